"""Clients that are too slow, against the real server with shortened times, on this process's loop."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest

from router import server, servers
from router.app import Edge, Receive, Scope, Send
from router.dispatch import Dispatcher
from tests.router.edge import RawClient

LARGE = b"x" * (16 << 20)
LIMIT_SECONDS = 0.6
"""Of each kind. Who is to keep within it pauses for a sixth of it, since a busy machine makes pauses longer."""
PAUSE_SECONDS = 0.1


async def data_plane(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a POST with its length, a GET with more than any socket buffer holds."""
    length = 0
    if scope["method"] == "POST":
        while (message := await receive())["type"] == "http.request":
            length += len(message["body"])
            if not message["more_body"]:
                break
        else:
            return
    body = b"%d" % length if scope["method"] == "POST" else LARGE
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(servers, "TICK_SECONDS", 0.05)
    for name in ("HEAD_SECONDS", "IDLE_SECONDS", "STALL_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(server, name, LIMIT_SECONDS)
    dispatcher = Dispatcher(["db.localhost"])
    edge = Edge(dispatcher, data_plane, trusted_proxies=[], max_body_bytes=1000, max_head_bytes=1000)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = await servers.Uvicorn.start(edge, [], listener, None)
    yield listener.getsockname()[1]
    await serving.drain(1)
    await dispatcher.aclose()


async def exchange(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send the pieces with pauses, then read to the end of the connection."""

    def run() -> bytes:
        with RawClient(socket.create_connection(("127.0.0.1", port), 5)) as client:
            for piece in pieces:
                client.send(piece)
                if pause:
                    client.sock.settimeout(pause)
                    with contextlib.suppress(TimeoutError):
                        client.buffer += client.sock.recv(65536)
                    client.sock.settimeout(5)
            return client.rest()

    return await asyncio.to_thread(run)


async def test_an_unfinished_head_is_answered_with_408(port: int) -> None:
    assert (await exchange(port, b"GET / HTTP/1.1\r\nHost: db")).startswith(b"HTTP/1.1 408 ")


async def test_a_head_in_drops_does_not_win_time(port: int) -> None:
    drops = [b"GET / HTTP/1.1\r\n"] + [b"X: y\r\n"] * 7
    assert (await exchange(port, *drops, pause=PAUSE_SECONDS)).startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed(port: int) -> None:
    assert await exchange(port) == b""


async def test_a_connection_is_idle_again_after_a_response(port: int) -> None:
    request = b"POST / HTTP/1.1\r\nHost: db.localhost\r\nContent-Length: 2\r\n\r\nab"
    answer = await exchange(port, *[request] * 8, pause=PAUSE_SECONDS)
    assert answer.count(b"HTTP/1.1 200 OK") == 8


async def test_a_body_that_stalls_breaks_the_connection(port: int) -> None:
    assert await exchange(port, b"POST / HTTP/1.1\r\nHost: db.localhost\r\nContent-Length: 2\r\n\r\na") == b""


async def test_a_body_in_drops_is_received(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: db.localhost\r\nConnection: close\r\nContent-Length: 8\r\n\r\n"
    assert (await exchange(port, head, *[b"x"] * 8, pause=PAUSE_SECONDS)).endswith(b"\r\n\r\n8")


async def test_a_client_that_takes_nothing_is_cut_off(port: int) -> None:
    def run() -> int:
        with RawClient(socket.create_connection(("127.0.0.1", port), 5)) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: db.localhost\r\n\r\n")
            time.sleep(LIMIT_SECONDS * 4)
            try:
                return len(client.rest())
            except ConnectionResetError:
                return 0

    assert await asyncio.to_thread(run) < len(LARGE)


async def test_a_client_that_goes_on_sending_after_its_answer_is_read_from_for_a_while(port: int) -> None:
    request = b"POST / HTTP/1.1\r\nHost: nobody.localhost\r\nContent-Length: 100000\r\n\r\n"
    answer = await exchange(port, request, *[b"x" * 1000] * 3, pause=0.01)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer
