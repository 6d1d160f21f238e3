"""Connections of the outbound client that are open: those in use, and idle ones for the next request.

A pool of connections to the outside belongs to one isolate host, so to one app: whatever a server ties to a connection
(NTLM, a client it has taken a liking to) stays with the app, and no two apps share an HTTP/2 connection, whose errors
and limits would be each other's. Connections to different origins are never taken for one another either, not even
where an HTTP/2 certificate covers both.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import Protocol

from router.egress.client import SILENCE_SECONDS, ClientExchange
from router.egress.destination import Destination
from router.egress.errors import EgressError
from router.egress.headers import Request
from router.egress.http1 import Connection
from router.egress.http2 import Http2Connection
from router.egress.negotiation import Negotiation
from router.egress.pace import Pace
from router.egress.sockets import Sockets

log = logging.getLogger("router.egress")

MAX_IDLE = 64
"""Open connections that one pool keeps for later."""

MAX_KNOWN_ORIGINS = 1024
SWEEP_SECONDS = 5.0
SETTLE_SECONDS = 5.0
"""How long further requests wait for a new HTTP/2 server's settings, which are the first that it sends."""

AnyConnection = Connection | Http2Connection


class Connector(Protocol):
    """Opens connections for one pool."""

    def key(self, destination: Destination) -> Hashable:
        """Return what a connection has in common with another that can take the same requests."""

    def may_be_http2(self, destination: Destination) -> bool:
        """Tell whether a connection may turn out to speak HTTP/2."""

    def head(self, request: Request, request_id: bytes) -> bytes:
        """Return the head of the request as it goes over the wire in HTTP/1.1."""

    async def connect(self, destination: Destination, factory: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """Open a connection. Raises `EgressError`."""


class Pool:
    """Connections of one connector: those in use, and idle ones by key, the one used last first.

    `sockets` counts those of `app_id`; without it they are not counted.
    """

    def __init__(self, connector: Connector, sockets: Sockets | None = None, app_id: str = "") -> None:
        self._connector = connector
        self._sockets = sockets
        self._app_id = app_id
        self._idle: dict[Hashable, list[Connection]] = {}
        self._idle_count = 0
        self._busy: set[Connection] = set()
        self._shared: dict[Hashable, list[Http2Connection]] = {}
        self._all: set[AnyConnection] = set()
        self._waiting: dict[Hashable, list[ClientExchange]] = {}
        """Exchanges by the origin to which the one connection is being made that all of them may share."""
        self._plain: set[Hashable] = set()
        """Origins whose connections turned out to speak HTTP/1.1."""
        self._pace = Pace()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if sockets is not None:
            sockets.join(self, self.close_idle)

    def __repr__(self) -> str:
        shared = sum(len(connections) for connections in self._shared.values())
        busy = f"{len(self._busy)} busy, {self._idle_count} idle, {shared} of HTTP/2"
        return f"<Pool [{busy}, {len(self._tasks)} connecting]>"

    def attach(self, exchange: ClientExchange) -> None:
        """Give `exchange` a carrier, at once if there is one."""
        key = self._connector.key(exchange.request.destination)
        if self._shared:
            for shared in self._shared.get(key, ()):
                if shared.room:
                    shared.run(exchange)
                    return
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if connection.usable:
                self._run(connection, exchange, reused=True)
                return
        if key in self._waiting:
            self._waiting[key].append(exchange)
        elif key not in self._plain and self._connector.may_be_http2(exchange.request.destination):
            self._waiting[key] = [exchange]
            self._begin(self._connect(key, exchange, shared=True))
        else:
            self._begin(self._connect(key, exchange, shared=False))

    def release(self, connection: Connection) -> None:
        """Take back a connection whose exchange is over."""
        self._busy.discard(connection)
        if self._closed or self._idle_count >= MAX_IDLE or not connection.usable:
            connection.close()
            return
        self._idle.setdefault(connection.key, []).append(connection)
        self._idle_count += 1

    def forget(self, connection: AnyConnection) -> None:
        """Drop a connection that is closed."""
        self._count_out(connection)
        if isinstance(connection, Http2Connection):
            self.retire(connection)
            return
        self._busy.discard(connection)
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
            self._idle_count -= 1

    def retire(self, connection: Http2Connection) -> None:
        """Give a connection no more exchanges: the server wants none, or it is used up."""
        shared = self._shared.get(connection.key, [])
        if connection in shared:
            shared.remove(connection)
            if not shared:
                del self._shared[connection.key]

    def head(self, request: Request, request_id: bytes) -> bytes:
        """Return the head of the request as it goes over the wire in HTTP/1.1."""
        return self._connector.head(request, request_id)

    def close(self) -> None:
        """Close what is idle; what is in use closes when it is done."""
        self._closed = True
        self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()
        while self.close_idle():
            pass
        if self._sockets is not None:
            self._sockets.leave(self)

    def close_idle(self) -> bool:
        """Close one connection that nobody uses, the one idle for longest of its origin; False: there is none."""
        for key, connections in self._idle.items():
            if connections:
                self._close(connections.pop(0))
                self._idle_count -= 1
                if not connections:
                    del self._idle[key]
                return True
        for shared in self._shared.values():
            for connection in shared:
                if not connection.busy:
                    self.retire(connection)
                    self._close(connection)
                    return True
        return False

    def _close(self, connection: AnyConnection) -> None:
        self._count_out(connection)
        connection.close()

    def _count_out(self, connection: AnyConnection) -> None:
        if connection in self._all:
            self._all.remove(connection)
            if self._sockets is not None:
                self._sockets.release(self._app_id)

    def _run(self, connection: Connection, exchange: ClientExchange, *, reused: bool) -> None:
        self._busy.add(connection)
        connection.run(exchange, reused=reused)

    def _begin(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Opening

    async def _open(self, key: Hashable, exchange: ClientExchange) -> AnyConnection:
        """Open a connection for `exchange`. Raises `EgressError` whatever goes wrong: the app must not wait forever."""
        destination = exchange.request.destination
        may_be_http2 = self._connector.may_be_http2(destination)
        make = (lambda: Negotiation(self, key, self._pace)) if may_be_http2 else (lambda: Connection(self, key))
        if self._sockets is not None:
            self._sockets.take(self._app_id, self.close_idle)
        opened: asyncio.Protocol | None = None
        try:
            opened = await self._connector.connect(destination, make)
        except EgressError:
            raise
        except Exception:
            log.exception("connecting for %r failed in an unforeseen way", exchange)
            raise EgressError("connect", "the connection could not be made") from None
        finally:
            if self._sockets is not None and opened is None:
                self._sockets.release(self._app_id)
        connection = opened.chosen if isinstance(opened, Negotiation) else opened
        assert isinstance(connection, AnyConnection)
        self._all.add(connection)
        return connection

    async def _connect(self, key: Hashable, exchange: ClientExchange, *, shared: bool) -> None:
        """Open a connection for one exchange, with `shared` for everybody who waits for one to that origin."""
        try:
            connection = await self._open(key, exchange)
        except EgressError as error:
            for waiting in self._waiting.pop(key) if shared else [exchange]:
                waiting.refuse(error)
            return
        usable = connection.room if isinstance(connection, Http2Connection) else connection.usable
        if isinstance(connection, Http2Connection):
            self._shared.setdefault(key, []).append(connection)
            self._plain.discard(key)
        elif shared and len(self._plain) < MAX_KNOWN_ORIGINS:
            self._plain.add(key)
        if not usable:
            host = exchange.request.destination.host
            exchange.refuse(EgressError("connect", f"{host} closed the connection at once"))
        elif isinstance(connection, Http2Connection):
            if not exchange.over:
                connection.run(exchange)
            await asyncio.wait([connection.settled], timeout=SETTLE_SECONDS)
        elif exchange.over:
            self.release(connection)
        else:
            self._run(connection, exchange, reused=False)
        if shared:
            _, *others = self._waiting.pop(key)
            for waiting in others:
                if not waiting.over:
                    self.attach(waiting)

    def _sweep(self) -> None:
        """Close what has been idle for too long, and give up what has been silent for too long."""
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self._loop.time()
        for key, connections in list(self._idle.items()):
            for connection in [connection for connection in connections if connection.idle_expired(now)]:
                connections.remove(connection)
                self._idle_count -= 1
                self._close(connection)
            if not connections:
                del self._idle[key]
        silence = EgressError("timeout", f"there was no answer within {SILENCE_SECONDS:.0f} s")
        for connection in [connection for connection in self._busy if connection.silent(now)]:
            connection.give_up(silence)
        for shared in [connection for connection in self._all if isinstance(connection, Http2Connection)]:
            if shared.idle_expired(now):
                self.retire(shared)
                self._close(shared)
            elif shared.silent(now):
                shared.give_up(silence)
