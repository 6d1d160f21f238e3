"""Slow clients and hosts of bodies in place, against the real server with shortened times, on this process's loop."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isolates.wire import Type
from router import server, servers
from router.app import Edge, Receive, Scope, Send
from router.dispatch import Dispatcher
from router.messages import Routes
from tests.router.edge import RawClient, app
from tests.router.placing_host import PlacingHost
from tests.router.test_placed_body import BODY, MB, is_cancelled, is_last_word, post

LIMIT_SECONDS = 0.6
"""Who is to keep within it pauses for a sixth of it, since a busy machine makes pauses longer."""
PAUSE_SECONDS = 0.1
Held = tuple[PlacingHost, RawClient, int]


async def no_data_plane(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Held]:
    """A host, and a client of whose body nothing has been sent, with its stream."""
    monkeypatch.setattr(servers, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(server, "STALL_SECONDS", LIMIT_SECONDS)
    dispatcher = Dispatcher([])
    edge = Edge(dispatcher, no_data_plane, trusted_proxies=[], max_body_bytes=4 * MB, max_head_bytes=1000)
    tcp = socket.create_server(("127.0.0.1", 0))
    serving = await servers.Uvicorn.start(edge, [], tcp, None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "h"))
        listener.listen(1)
        await dispatcher.apply(Routes(1, {"a.localhost": "app-1"}, {"app-1": app(tmp_path / "h")}))
        with await asyncio.to_thread(PlacingHost, listener) as host:
            [link] = dispatcher._links
            while not link.usable:  # noqa: ASYNC110 (only to be seen here, and a turn later)
                await asyncio.sleep(0)
            with RawClient(socket.create_connection(tcp.getsockname(), 5)) as client:
                client.send(post())
                yield host, client, await asyncio.to_thread(host.request)
    await serving.drain(1)
    await dispatcher.aclose()


async def test_a_body_that_stalls_in_mid_place_breaks_the_connection(held: Held) -> None:
    host, client, stream = held

    def run() -> None:
        host.place(stream, 0, MB)
        client.send(BODY[:1000])
        is_cancelled(host, stream)
        assert client.rest() == b""

    await asyncio.to_thread(run)


async def test_a_body_in_drops_is_received(held: Held) -> None:
    host, client, stream = held

    def run() -> None:
        host.place(stream, 0, MB)
        for at in range(12):
            client.send(BODY[at * 10 : at * 10 + 10])
            time.sleep(PAUSE_SECONDS)
        client.send(BODY[120:])
        is_last_word(host, stream)
        assert host.memory[:MB] == BODY

    await asyncio.to_thread(run)


@pytest.mark.parametrize("type_", [Type.PLACE, Type.WINDOW])
async def test_time_that_the_host_took_is_not_the_clients(held: Held, type_: Type) -> None:
    host, client, stream = held

    def run() -> None:
        time.sleep(LIMIT_SECONDS * 2)
        if type_ == Type.PLACE:
            host.place(stream, 0, MB)
        else:
            host.send(stream, Type.WINDOW, data=MB.to_bytes(4, "little"))
        time.sleep(PAUSE_SECONDS)
        client.send(BODY)
        if type_ == Type.PLACE:
            is_last_word(host, stream)
        else:
            assert host.body(stream) == BODY

    await asyncio.to_thread(run)
