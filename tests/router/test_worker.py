"""The worker process as the supervisor sees it: its messages, its end, and its heirs."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dataplane.messages import Catalog
from router.messages import Applied, Drain, EdgeStats
from tests.router.edge import EdgeProcess, app, edge_process, wire_host

GET = b"GET /hello HTTP/1.1\r\nHost: a.localhost\r\n\r\n"


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[EdgeProcess]:
    async with edge_process() as edge, wire_host(tmp_path / "h"):
        await edge.route({"a.localhost": app(tmp_path / "h")})
        yield edge


async def ended(edge: EdgeProcess, seconds: float = 5) -> int:
    return await asyncio.to_thread(edge.process.wait, seconds)


async def test_a_catalog_is_applied_and_reported(edge: EdgeProcess) -> None:
    edge.tell(Catalog(7, {}))
    assert await edge.expect(Applied) == Applied("catalog", 7)
    with edge.connect() as client:
        client.send(b"GET /v1/x HTTP/1.1\r\nHost: db.localhost\r\n\r\n")
        assert b'"catalog": 7' in client.response()[2]


async def test_responses_are_counted_by_app_and_database(edge: EdgeProcess) -> None:
    with edge.connect() as client:
        client.send(GET * 3 + b"GET /status?status=404 HTTP/1.1\r\nHost: a.localhost\r\n\r\n")
        for _ in range(4):
            client.response()
        client.send(b"GET /v1/x HTTP/1.1\r\nHost: db.localhost\r\n\r\n")
        client.response()
        while (stats := await edge.expect(EdgeStats)).databases.keys() != {"db-test"}:
            pass
        counted = stats.apps["app-1"]
        assert counted.responses == {"2xx": 3, "4xx": 1}
        assert counted.seconds_buckets[-1] == 4
        assert stats.databases["db-test"].responses == {"2xx": 1}
        assert stats.connections == 1
        assert stats.in_flight == 0


async def test_counters_survive_a_new_build(edge: EdgeProcess, tmp_path: Path) -> None:
    with edge.connect() as client:
        client.send(GET)
        client.response()
        await edge.route({"a.localhost": app(tmp_path / "h", build_id="build-2")})
        client.send(GET)
        client.response()
    while (await edge.expect(EdgeStats)).apps["app-1"].responses != {"2xx": 2}:
        pass


async def test_drain_finishes_what_is_in_flight_and_accepts_nothing_more(edge: EdgeProcess) -> None:
    with edge.connect() as idle, edge.connect() as busy:
        idle.send(GET)
        idle.response()
        busy.send(b"GET /pieces HTTP/1.1\r\nHost: a.localhost\r\n\r\n")
        busy.until(b"data: 0")
        edge.tell(Drain(5000))
        assert idle.sock.recv(1) == b""
        assert busy.until(b"data: 2\n\n\r\n0\r\n\r\n")
        assert busy.sock.recv(1) == b""
    assert await ended(edge) == 0


async def test_drain_ends_after_its_grace(edge: EdgeProcess) -> None:
    with edge.connect() as stuck:
        stuck.send(b"GET /hold HTTP/1.1\r\nHost: a.localhost\r\n\r\n")
        edge.tell(Drain(1000))
        assert await ended(edge, 10) == 0


async def test_the_worker_ends_with_its_channel(edge: EdgeProcess) -> None:
    assert edge.channel is not None
    edge.channel.close()
    assert await ended(edge) == 0


async def test_sigterm_ends_it_at_once_and_sigint_is_ignored(edge: EdgeProcess) -> None:
    os.kill(edge.process.pid, signal.SIGINT)
    with edge.connect() as client:
        client.send(GET)
        assert client.response()[0] == 200
    os.kill(edge.process.pid, signal.SIGTERM)
    assert await ended(edge) == 0


async def test_a_socket_is_taken_over_without_refusing_a_connection() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    async with edge_process(listener=listener) as first:
        os.kill(first.process.pid, signal.SIGKILL)
        await ended(first)
        with socket.create_connection(listener.getsockname(), 5) as waiting:
            waiting.sendall(b"GET / HTTP/1.1\r\nHost: db.localhost\r\nConnection: close\r\n\r\n")
            async with edge_process(listener=listener):
                waiting.settimeout(5)
                assert (await asyncio.to_thread(waiting.recv, 15)).startswith(b"HTTP/1.1 200")
    listener.close()
