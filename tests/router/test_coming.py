"""A host that is being started: the edge connects at once, and sends nothing until the host says that it is up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isolates import wire
from router.messages import App, Coming, Upstream, Wake
from tests.router.edge import EdgeProcess, RawClient, app, edge_process

GET = b"GET /hello HTTP/1.1\r\nHost: a.localhost\r\n\r\n"
SILENT_SECONDS = 0.3
UP = wire.encode(0, wire.Type.BUSY, status=0)


class ComingHost:
    """Accepts one connection, and does what the test does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def __aenter__(self) -> "ComingHost":
        self._server = await asyncio.start_unix_server(
            lambda reader, writer: self._connections.put_nowait((reader, writer)), self.path
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        self._server.close()

    async def connected(self) -> None:
        async with asyncio.timeout(10):
            self.reader, self.writer = await self._connections.get()
            assert (await self.frame()).type == wire.Type.MEMORY

    @property
    def more_connections(self) -> int:
        return self._connections.qsize()

    async def frame(self, seconds: float = 10) -> wire.Frame:
        async with asyncio.timeout(seconds):
            [frame], used = wire.decode(await self.reader.read(1 << 16))
        assert used
        return frame

    async def answer(self, text: bytes) -> None:
        request = await self.frame()
        assert request.type == wire.Type.REQUEST
        response = wire.encode(request.stream, wire.Type.RESPONSE, flags=wire.END, status=200, data=text)
        self.writer.write(response)


@pytest.fixture
async def edge() -> AsyncIterator[EdgeProcess]:
    """An edge worker with an app that has no host."""
    async with edge_process() as edge:
        await edge.route({"a.localhost": without_host()})
        yield edge


def without_host() -> App:
    return app(None)


async def body(client: RawClient) -> bytes:
    return (await asyncio.to_thread(client.response))[2]


async def test_requests_wait_until_the_host_is_up_and_stay_on_its_connection(edge: EdgeProcess, tmp_path: Path) -> None:
    path = tmp_path / "h"
    with edge.connect() as client:
        async with ComingHost(path) as host:
            client.send(GET)
            assert await edge.expect(Wake) == Wake("app-1")
            edge.tell(Coming("app-1", "build-1", Upstream("host-1", str(path))))
            await host.connected()
            with pytest.raises(TimeoutError):
                await host.frame(SILENT_SECONDS)
            host.writer.write(UP)
            await host.answer(b"first")
            assert await body(client) == b"first"
            # A table of a moment before, one that names the host, and one that does not any more.
            await edge.route({"a.localhost": without_host()})
            client.send(GET)
            await host.answer(b"second")
            assert await body(client) == b"second"
            await edge.route({"a.localhost": app(path)})
            client.send(GET)
            await host.answer(b"third")
            assert await body(client) == b"third"
            assert not host.more_connections
            await edge.route({"a.localhost": without_host()})
            async with asyncio.timeout(10):
                assert await host.reader.read() == b""


async def test_a_host_that_does_not_come_up_costs_no_request(edge: EdgeProcess, tmp_path: Path) -> None:
    with edge.connect() as client:
        client.send(GET)
        await edge.expect(Wake)
        for number in (1, 2):
            path = tmp_path / f"h{number}"
            async with ComingHost(path) as host:
                edge.tell(Coming("app-1", "build-1", Upstream(f"host-{number}", str(path))))
                await host.connected()
                if number == 2:
                    host.writer.write(UP)
                    await host.answer(b"the second")
                    assert await body(client) == b"the second"


async def test_a_host_of_another_build_or_of_an_app_that_has_one_is_left_alone(
    edge: EdgeProcess, tmp_path: Path
) -> None:
    path = tmp_path / "h"
    async with ComingHost(path) as host:
        edge.tell(Coming("app-1", "build-0", Upstream("host-1", str(path))))
        edge.tell(Coming("no-app", "build-1", Upstream("host-1", str(path))))
        edge.tell(Coming("app-1", "build-1", Upstream("host-1", str(path))))
        await host.connected()
        # Another deploy was quicker.
        async with ComingHost(tmp_path / "new") as new:
            await edge.route({"a.localhost": app(new.path, host_id="host-2", build_id="build-2")})
            await new.connected()
            edge.tell(Coming("app-1", "build-2", Upstream("host-1", str(path))))
            async with asyncio.timeout(10):
                assert await host.reader.read() == b""
            with edge.connect() as client:
                client.send(GET)
                await new.answer(b"new")
                assert await body(client) == b"new"
            assert not host.more_connections
