"""Connections of the outbound client that are open: those in use, and idle ones for the next request."""

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import Protocol

from router.egress.client import SILENCE_SECONDS, ClientExchange, Connection
from router.egress.destination import Destination
from router.egress.errors import EgressError
from router.egress.headers import Request

log = logging.getLogger("router.egress")

MAX_IDLE = 64
"""Open connections that one pool keeps for later."""

SWEEP_SECONDS = 5.0


class Connector(Protocol):
    """Opens connections for one pool."""

    def key(self, destination: Destination) -> Hashable:
        """Return what a connection has in common with another that can take the same requests."""

    def head(self, request: Request, request_id: bytes) -> bytes:
        """Return the head of the request as it goes over the wire."""

    async def connect(self, destination: Destination, factory: Callable[[], Connection]) -> Connection:
        """Open a connection. Raises `EgressError`."""


class Pool:
    """Connections of one connector: those in use, and idle ones by key, the one used last first."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._idle: dict[Hashable, list[Connection]] = {}
        self._idle_count = 0
        self._busy: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def __repr__(self) -> str:
        return f"<Pool [{len(self._busy)} busy, {self._idle_count} idle, {len(self._tasks)} connecting]>"

    def attach(self, exchange: ClientExchange) -> None:
        """Give `exchange` a connection, at once if one is idle."""
        key = self._connector.key(exchange.request.destination)
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if connection.usable:
                self._run(connection, exchange, reused=True)
                return
        task = self._loop.create_task(self._connect(key, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def release(self, connection: Connection) -> None:
        """Take back a connection whose exchange is over."""
        self._busy.discard(connection)
        if self._closed or self._idle_count >= MAX_IDLE or not connection.usable:
            connection.close()
            return
        self._idle.setdefault(connection.key, []).append(connection)
        self._idle_count += 1

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is closed."""
        self._busy.discard(connection)
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
            self._idle_count -= 1

    def head(self, request: Request, request_id: bytes) -> bytes:
        """Return the head of the request as it goes over the wire."""
        return self._connector.head(request, request_id)

    def close(self) -> None:
        """Close what is idle; what is in use closes when it is done."""
        self._closed = True
        self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()
        for connections in list(self._idle.values()):
            for connection in connections:
                connection.close()

    def _run(self, connection: Connection, exchange: ClientExchange, *, reused: bool) -> None:
        self._busy.add(connection)
        connection.run(exchange, reused=reused)

    async def _connect(self, key: Hashable, exchange: ClientExchange) -> None:
        try:
            connection = await self._connector.connect(exchange.request.destination, lambda: Connection(self, key))
        except EgressError as error:
            exchange.refuse(error)
            return
        except Exception:
            # This task's door: whatever went wrong, the app must not wait for ever.
            log.exception("connecting for %r failed in an unforeseen way", exchange)
            exchange.refuse(EgressError("connect", "the connection could not be made"))
            return
        if exchange.over:
            self.release(connection)
        elif not connection.usable:
            exchange.refuse(
                EgressError("connect", f"{exchange.request.destination.host} closed the connection at once")
            )
        else:
            self._run(connection, exchange, reused=False)

    def _sweep(self) -> None:
        """Close what has been idle for too long, and give up what has been silent for too long."""
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self._loop.time()
        for key, connections in list(self._idle.items()):
            for connection in [connection for connection in connections if connection.idle_expired(now)]:
                connections.remove(connection)
                self._idle_count -= 1
                connection.close()
            if not connections:
                del self._idle[key]
        for connection in [connection for connection in self._busy if connection.silent(now)]:
            connection.give_up(EgressError("timeout", f"there was no answer within {SILENCE_SECONDS:.0f} s"))
