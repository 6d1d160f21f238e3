"""Requests to this node's own names: HTTP/1.1 to an edge worker over its Unix socket.

The way an app reaches its database, several times per request it serves, so it is the fast path of this process: one
protocol object per connection, no task and no stream reader per request. The edge is trusted to speak HTTP correctly,
the request was checked before (`router.egress.headers`).
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import cast

import httptools

from router.egress.errors import EgressError
from router.egress.exchange import Exchange, Sender
from router.egress.headers import HOP_BY_HOP, Request, has_body, local_head

log = logging.getLogger("router.egress")

MAX_IDLE = 64
"""Open connections kept for later, all edge workers together."""

IDLE_SECONDS = 30.0
"""Well below the edge's own keep-alive time, so that no request meets a connection that is being closed."""

_SAFE_TO_REPEAT = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class LocalPool:
    """Connections to the edge workers' Unix sockets, taken in turn when a new one is needed."""

    def __init__(self, sockets: Sequence[str]) -> None:
        self._sockets = list(sockets)
        self._turn = 0
        self._idle: list[LocalConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(IDLE_SECONDS, self._sweep)

    def __repr__(self) -> str:
        return f"<LocalPool [{len(self._idle)} idle, {len(self._tasks)} connecting]>"

    def attach(self, exchange: "LocalExchange") -> None:
        """Give `exchange` a connection, at once if one is idle."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                connection.run(exchange, reused=True)
                return
        task = self._loop.create_task(self._connect(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def release(self, connection: "LocalConnection") -> None:
        """Take back a connection whose exchange is over."""
        if len(self._idle) < MAX_IDLE:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: "LocalConnection") -> None:
        """Drop a connection that was closed by the edge."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle; what is in use closes when it is done."""
        self._sweeper.cancel()
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    async def _connect(self, exchange: "LocalExchange") -> None:
        """Try each edge worker once, beginning with the one whose turn it is."""
        for _ in range(len(self._sockets)):
            path = self._sockets[self._turn % len(self._sockets)]
            self._turn += 1
            try:
                _, connection = await self._loop.create_unix_connection(lambda: LocalConnection(self), path)
            except OSError as error:
                log.warning("an edge worker cannot be reached at %s: %s", path, error)
                continue
            if exchange.over:
                self.release(connection)
            else:
                connection.run(exchange, reused=False)
            return
        if not exchange.over:
            exchange.refuse(EgressError("connect", "this node's edge cannot be reached at the moment"))

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(IDLE_SECONDS / 2, self._sweep)
        before = self._loop.time() - IDLE_SECONDS
        expired = [connection for connection in self._idle if connection.idle_since < before]
        self._idle = [connection for connection in self._idle if connection.idle_since >= before]
        for connection in expired:
            connection.close()


class LocalExchange(Exchange):
    """A request to the node itself."""

    __slots__ = ("_answered", "_connection", "_early", "_pool", "request_id")

    def __init__(self, sender: Sender, stream: int, request: Request, request_id: bytes, pool: LocalPool) -> None:
        super().__init__(sender, stream, request)
        self.request_id = request_id
        self._pool = pool
        self._connection: LocalConnection | None = None
        self._early: list[tuple[bytes, bool]] = []
        self._answered = False

    def start(self, data: bytes, end: bool) -> None:
        self._early.append((data, end))
        self._pool.attach(self)

    def attached(self, connection: "LocalConnection") -> None:
        """Send what there is of the request."""
        self._connection = connection
        early, self._early = self._early, []
        head = local_head(self.request, self.request_id)
        for data, end in early:
            connection.send_body(data, end, head)
            head = b""

    def again(self) -> None:
        """Send the request once more, on another connection: the one before was closed while it was idle."""
        self._connection = None
        self._early = [(b"", True)]
        self._pool.attach(self)

    def detach(self) -> None:
        """The response was read in full, and the connection serves another request from now on."""
        self._connection = None
        self._answered = True

    def on_body(self, data: bytes, end: bool) -> None:
        if self._connection is not None:
            self._connection.send_body(data, end)
        elif self._answered:
            # Answered before the request was complete: the rest of it is of no interest.
            self.consumed(len(data))
        else:
            self._early.append((data, end))

    def on_drained(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()

    def on_cancel(self) -> None:
        if self._connection is not None:
            self._connection.abort()


class LocalConnection(asyncio.Protocol):
    """One connection to an edge worker, with at most one exchange."""

    # Of the response being read; see `_reset`.
    _reason: bytes
    _fields: list[tuple[bytes, bytes]]
    _pieces: list[bytes]
    _head_seen: bool
    _head_done: bool
    _body_done: bool
    _until_close: bool
    _keep_alive: bool

    def __init__(self, pool: LocalPool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: LocalExchange | None = None
        self._reused = False
        self._chunked = False
        self._request_ended = False
        self._write_paused = False
        self._unsent = 0
        self._reset()
        self.idle_since = 0.0

    def __repr__(self) -> str:
        return f"<LocalConnection {self._exchange or 'idle'}>"

    @property
    def usable(self) -> bool:
        """Whether an exchange can run on it."""
        return self._transport is not None and not self._transport.is_closing()

    def run(self, exchange: LocalExchange, *, reused: bool) -> None:
        """Send the request of `exchange` and pass its response on."""
        self._exchange = exchange
        self._reused = reused
        self._chunked = exchange.request.length is None
        self._request_ended = False
        self._reset()
        exchange.attached(self)

    def send_body(self, data: bytes, end: bool, head: bytes = b"") -> None:
        """Send a piece of the request's body, after `head` if it is the first."""
        assert self._transport is not None and self._exchange is not None
        count = len(data)
        if self._chunked:
            if data:
                data = b"%x\r\n%b\r\n" % (count, data)
            if end:
                data += b"0\r\n\r\n"
        self._request_ended = end
        if head or data:
            self._transport.write(head + data)
        if self._write_paused:
            self._unsent += count
        else:
            self._exchange.consumed(count)

    def resume_reading(self) -> None:
        """Read on: what was read has gone to the host."""
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, since a response that nobody wants is in it."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        exchange, self._exchange = self._exchange, None
        if exchange is None or exchange.over:
            self._pool.forget(self)
        elif self._head_done and self._until_close:
            exchange.detach()
            exchange.give(b"", True)
        elif self._head_seen or not self._reused or not _can_repeat(exchange.request):
            exchange.refuse(EgressError("connect", "this node's edge closed the connection"))
        else:
            exchange.again()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        count, self._unsent = self._unsent, 0
        if self._exchange is not None:
            self._exchange.consumed(count)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            log.error("an edge worker's response cannot be read: %s", error)
            exchange = self._exchange
            self.abort()
            if exchange is not None:
                exchange.refuse(EgressError("protocol", "this node's edge gave no valid response"))
            return
        self._deliver()

    def _deliver(self) -> None:
        """Pass on what one read has brought, in as few frames as possible."""
        exchange = self._exchange
        if exchange is None or not self._head_done:
            return
        done = self._body_done
        pieces, self._pieces = self._pieces, []
        if done:
            self._finished()
            exchange.detach()
            exchange.give(b"".join(pieces), True)
        elif not exchange.give(b"".join(pieces), False) and self._transport is not None:
            self._transport.pause_reading()

    def _finished(self) -> None:
        self._exchange = None
        if not self._request_ended or not self._keep_alive or not self.usable:
            self.close()
            return
        self._pool.release(self)

    # httptools.HttpResponseParser

    def _reset(self) -> None:
        self._reason = b""
        self._fields = []
        self._pieces = []
        self._head_seen = False
        self._head_done = False
        self._body_done = False
        self._until_close = False
        self._keep_alive = True

    def on_message_begin(self) -> None:
        if self._head_done:
            # A second response, to a request that was never sent.
            raise httptools.HttpParserError("more than one response")
        self._head_seen = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        status = self._parser.get_status_code()
        if exchange is None or status < 200:
            return
        names = {name for name, _ in self._fields}
        self._keep_alive = self._parser.should_keep_alive()
        self._until_close = b"content-length" not in names and b"transfer-encoding" not in names
        fields = [field for field in self._fields if field[0] not in HOP_BY_HOP]
        exchange.respond(status, self._reason, fields)
        self._head_done = True
        if not has_body(exchange.request.method, status):
            self._body_done = True
            # The parser does not know that HEAD has no body, and would take the next response for it.
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        if self._body_done:
            raise httptools.HttpParserError("a body where none can be")
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._body_done = True
        else:
            # An interim response (RFC 9110 section 15.2): the final one is still to come.
            self._reset()


def _can_repeat(request: Request) -> bool:
    return request.method in _SAFE_TO_REPEAT and request.length == 0
