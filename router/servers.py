"""The HTTP servers that can stand in front of the edge application, behind one small interface.

All of them serve sockets that are bound already: the supervisor keeps the sockets, so that a restarted worker takes
them over without refusing a connection.
"""

import asyncio
import contextlib
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import uvicorn

from router.app import Edge
from router.messages import EdgeSettings
from router.responses import CLOCK
from router.server import IDLE_SECONDS, EdgeProtocol

TICK_SECONDS = 1.0


class Serving(ABC):
    """A server that accepts connections."""

    @abstractmethod
    def connections(self) -> int:
        """Return the number of open client connections, 0 if the server does not tell."""

    @abstractmethod
    async def drain(self, grace_seconds: float) -> None:
        """Accept nothing more and return once what is in flight is done, or after `grace_seconds`."""


async def serve(settings: EdgeSettings, edge: Edge) -> Serving:
    """Start the server named in `settings` on the inherited sockets. Raises `ValueError` for an unknown name."""
    descriptors = (settings.tcp_fd, settings.unix_fd)
    if settings.server == "uvicorn":
        return await Uvicorn.start(edge, [_inherited(descriptor) for descriptor in descriptors])
    if settings.server == "hypercorn":
        return await Hypercorn.start(edge, descriptors)
    raise ValueError(f"server {settings.server!r} is not one of uvicorn, hypercorn")


def _inherited(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the worker decides about them."""
        yield


class Uvicorn(Serving):
    """uvicorn, with the edge's own protocol for HTTP/1.1 connections."""

    def __init__(self, server: uvicorn.Server, task: "asyncio.Task[None]") -> None:
        self._server = server
        self._task = task
        self._ticker = asyncio.create_task(self._tick())

    @classmethod
    async def start(cls, edge: Edge, sockets: list[socket.socket]) -> "Uvicorn":
        config = uvicorn.Config(
            cast(Any, edge),
            http=EdgeProtocol,
            ws="wsproto",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        server = _Uvicorn(config)
        task = asyncio.create_task(server.serve(sockets))
        while not server.started and not task.done():  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.001)
        return cls(server, task)

    def connections(self) -> int:
        return len(self._server.server_state.connections)

    async def drain(self, grace_seconds: float) -> None:
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=grace_seconds + 1)
        self._ticker.cancel()

    async def _tick(self) -> None:
        """Once a second: the Date header, and clients that are too slow."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            CLOCK.tick()
            now = time.monotonic()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, EdgeProtocol):
                    connection.check_time(now)


class Hypercorn(Serving):
    """hypercorn: a twelfth of the rate on HTTP/1.1, for HTTP/2."""

    def __init__(self, stop: asyncio.Event, task: "asyncio.Task[None]") -> None:
        self._stop = stop
        self._task = task

    @classmethod
    async def start(cls, edge: Edge, descriptors: tuple[int, ...]) -> "Hypercorn":
        from hypercorn.asyncio import serve as hypercorn_serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"fd://{descriptor}" for descriptor in descriptors]
        config.accesslog = None
        config.errorlog = None
        config.include_server_header = False
        config.keep_alive_timeout = IDLE_SECONDS
        config.h11_max_incomplete_size = edge.max_head_bytes
        stop = asyncio.Event()
        task = asyncio.create_task(hypercorn_serve(cast(Any, edge), config, shutdown_trigger=cast(Any, stop.wait)))
        await asyncio.sleep(0)
        return cls(stop, task)

    def connections(self) -> int:
        return 0

    async def drain(self, grace_seconds: float) -> None:
        self._stop.set()
        await asyncio.wait([self._task], timeout=grace_seconds)
