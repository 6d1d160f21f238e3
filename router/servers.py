"""The HTTP servers that can stand in front of the edge application, behind one small interface.

All of them serve sockets that are bound already: the supervisor keeps the sockets, so that a restarted worker takes
them over without refusing a connection.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import uvicorn

from router.app import ASGIApp, Edge, Message, Receive, Scope, Send
from router.database_sockets import DatabaseSocket
from router.messages import EdgeSettings
from router.responses import CLOCK
from router.server import IDLE_SECONDS, EdgeProtocol
from router.tls import server_tls
from router.websocket.connection import PING_SECONDS, WebSocketConnection

TICK_SECONDS = 1.0
HANDSHAKE_SECONDS = 10.0
"""For a TLS handshake."""
LINGER_SECONDS = 10.0
"""How long the rest of a body is read that was answered early."""


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
    if settings.server == "uvicorn":
        tls = server_tls(settings.tls_cert, settings.tls_key, ["http/1.1"]) if settings.tls_cert else None
        return await Uvicorn.start(edge, [_inherited(settings.unix_fd)], _inherited(settings.tcp_fd), tls)
    if settings.server == "hypercorn":
        return await Hypercorn.start(edge, settings)
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
    async def start(
        cls, edge: Edge, plain: list[socket.socket], public: socket.socket, tls: ssl.SSLContext | None
    ) -> "Uvicorn":
        """Serve `public` with TLS, if there is a context for it, and `plain` without."""
        config = uvicorn.Config(
            cast(Any, edge),
            http=EdgeProtocol,
            ws=DatabaseSocket,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        server = _Uvicorn(config)
        # uvicorn knows TLS for all of its sockets or for none; the Unix socket has none.
        task = asyncio.create_task(server.serve(plain if tls else [public, *plain]))
        while not server.started and not task.done():  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.001)
        if tls:
            listening = await asyncio.get_running_loop().create_server(
                lambda: EdgeProtocol(config, server.server_state, server.lifespan.state),
                sock=public,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
            server.servers.append(listening)
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
                if isinstance(connection, EdgeProtocol | WebSocketConnection):
                    connection.check_time(now)


class Hypercorn(Serving):
    """hypercorn: a twelfth of the rate on HTTP/1.1, for HTTP/2, which clients choose in the TLS handshake."""

    def __init__(self, stop: asyncio.Event, task: "asyncio.Task[None]") -> None:
        self._stop = stop
        self._task = task

    @classmethod
    async def start(cls, edge: Edge, settings: EdgeSettings) -> "Hypercorn":
        from hypercorn.asyncio import serve as hypercorn_serve
        from hypercorn.config import Config

        from router import hypercorn_sockets

        hypercorn_sockets.install()
        config = Config()
        tcp, unix = f"fd://{settings.tcp_fd}", f"fd://{settings.unix_fd}"
        if settings.tls_cert:
            config.certfile, config.keyfile = settings.tls_cert, settings.tls_key
            config.ssl_handshake_timeout = HANDSHAKE_SECONDS
            config.bind, config.insecure_bind = [tcp], [unix]
        else:
            config.bind = [tcp, unix]
        config.h2_max_header_list_size = edge.max_head_bytes
        config.accesslog = None
        config.errorlog = None
        config.include_server_header = False
        config.websocket_ping_interval = PING_SECONDS
        config.keep_alive_timeout = IDLE_SECONDS
        config.h11_max_incomplete_size = edge.max_head_bytes
        stop = asyncio.Event()
        application = cast(Any, _to_the_end(hypercorn_sockets.counted(edge)))
        task = asyncio.create_task(hypercorn_serve(application, config, shutdown_trigger=cast(Any, stop.wait)))
        await asyncio.sleep(0)
        return cls(stop, task)

    def connections(self) -> int:
        return 0

    async def drain(self, grace_seconds: float) -> None:
        self._stop.set()
        await asyncio.wait([self._task], timeout=grace_seconds)


def _to_the_end(edge: ASGIApp) -> ASGIApp:
    """Return `edge` such that an HTTP/2 request's body is read to its end after an early answer, within bounds.

    hypercorn ends the whole connection, and all requests on it, when data arrives for a stream that was answered.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["http_version"] != "2":
            await edge(scope, receive, send)
            return
        ended = False

        async def receive_watched() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or message["type"] == "http.disconnect" or not message.get("more_body", False)
            return message

        async def send_end_last(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False) and not ended:
                await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LINGER_SECONDS):
                        while not ended:
                            await receive_watched()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await edge(scope, receive_watched, send_end_last)

    return application
