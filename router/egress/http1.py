"""HTTP/1.1 connections, as lean as the paths that need them: an app's way to its database, and to services it calls.

One protocol object per connection, no task and no stream reader per request: several times the rate of general-purpose
asynchronous clients. Which connection an exchange gets is decided in `router.egress.pool`. Requests were checked before
(`router.egress.headers`); what the other side sends is bounded here.
"""

import asyncio
from collections.abc import Hashable
from typing import Any, cast

import httptools

from isolates.wire import MAX_HEAD_BYTES
from router.egress.client import IDLE_SECONDS, SILENCE_SECONDS, ClientExchange, Home, UpgradeExchange
from router.egress.errors import EgressError
from router.egress.headers import HOP_BY_HOP, has_body

FRAMING_RATIO = 16
"""Bytes of framing that may come with each byte of a body: a chunk of one byte has five. Beyond that, a chunk extension
or a trailer may be as large as a head, since the parser collects it."""


class Connection(asyncio.Protocol):
    """One connection, with at most one exchange at a time."""

    # Of the response being read; see `_reset`.
    _reason: bytes
    _fields: list[tuple[bytes, bytes]]
    _pieces: list[bytes]
    _head_seen: bool
    _head_done: bool
    _body_done: bool
    _until_close: bool
    _keep_alive: bool

    def __init__(self, pool: Home, key: Hashable) -> None:
        self.key = key
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: ClientExchange | None = None
        self._reused = False
        self._chunked = False
        self._request_ended = False
        self._write_paused = False
        self._unsent = 0
        self._read_paused = False
        self._head_bytes = 0
        self._last_active = 0.0
        self._keep_seconds = IDLE_SECONDS
        self._reset()

    def __repr__(self) -> str:
        return f"<Connection {self._exchange or 'idle'}>"

    @property
    def usable(self) -> bool:
        """Whether an exchange can run on it."""
        return self._transport is not None and not self._transport.is_closing()

    def idle_expired(self, now: float) -> bool:
        """Tell whether it has been idle for longer than it may."""
        return now - self._last_active > self._keep_seconds

    def silent(self, now: float) -> bool:
        """Tell whether the other side has said and taken nothing for too long."""
        return now - self._last_active > SILENCE_SECONDS and not self._read_paused

    def give_up(self, error: EgressError) -> None:
        """End the exchange with `error` and close."""
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.refuse(error)

    def run(self, exchange: ClientExchange, *, reused: bool) -> None:
        """Send the request of `exchange` and pass its response on."""
        self._exchange = exchange
        self._reused = reused
        self._chunked = exchange.request.length is None
        self._request_ended = False
        self._head_bytes = 0
        self._last_active = self._loop.time()
        self._reset()
        exchange.attached(self, self._pool.head(exchange.request, exchange.request_id))

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
        if self._transport is not None and self._read_paused:
            self._read_paused = False
            self._last_active = self._loop.time()
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
        # It has methods of this object: with it, what was read would wait for the collector.
        self._parser = cast(Any, None)
        exchange, self._exchange = self._exchange, None
        self._pool.forget(self)
        if exchange is None or exchange.over:
            return
        if self._head_done and self._until_close:
            exchange.detach()
            exchange.give(b"", True)
        elif self._head_seen or not self._reused or not exchange.may_repeat:
            host = exchange.request.destination.host
            exchange.refuse(EgressError("connect", f"{host} closed the connection before its response was complete"))
        else:
            exchange.again()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._last_active = self._loop.time()
        count, self._unsent = self._unsent, 0
        if self._exchange is not None:
            self._exchange.consumed(count)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Bytes that belong to no request; nothing after them could be trusted.
            self.abort()
            return
        self._last_active = self._loop.time()
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            self._switch(exchange, data[pause.args[0] :])
            return
        except httptools.HttpParserError as error:
            if not self._body_done:
                host = exchange.request.destination.host
                self.give_up(EgressError("protocol", f"{host} gave no valid HTTP response: {error}"))
                return
            # What follows a whole response, such as a body after HEAD or 204, costs the connection and nothing else.
            self._keep_alive = False
        if self._head_bytes > MAX_HEAD_BYTES and not self._body_done:
            part = "framing beside its body" if self._head_done else "head"
            self.give_up(EgressError("protocol", f"the response's {part} is over {MAX_HEAD_BYTES:,} bytes"))
        elif self._head_done:
            self._deliver()

    def _switch(self, exchange: ClientExchange, rest: bytes) -> None:
        """The server answered 101: the connection is not this class's any more, if that was asked for."""
        transport, fields = self._transport, self._fields
        if transport is None or not isinstance(exchange, UpgradeExchange) or self._parser.get_status_code() != 101:
            host = exchange.request.destination.host
            self.give_up(EgressError("protocol", f"{host} answered with another protocol"))
            return
        self._transport = self._exchange = None
        self._pool.forget(self)
        exchange.switched(transport, fields, rest)

    def _deliver(self) -> None:
        """Pass on what one read has brought, in as few frames as possible."""
        exchange = self._exchange
        if exchange is None:
            return
        done = self._body_done
        pieces, self._pieces = self._pieces, []
        if done:
            self._finished()
            exchange.detach()
            exchange.give(b"".join(pieces), True)
        elif not exchange.give(b"".join(pieces), False) and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()

    def _finished(self) -> None:
        self._exchange = None
        if not self._request_ended or not self._keep_alive:
            self.close()
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
        if self._head_done:  # trailers are of no interest, and there may be any number of them
            self._head_bytes = 0
        else:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        status = self._parser.get_status_code()
        if exchange is None or 100 <= status < 200:
            return
        names = dict(self._fields)
        if not 200 <= status <= 599 or names.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            # No transfer coding but this one was asked for (RFC 9112 section 7.4).
            raise httptools.HttpParserError("an unknown status or transfer coding")
        self._keep_alive = self._parser.should_keep_alive()
        self._keep_seconds = _keep_seconds(names.get(b"keep-alive", b""))
        self._until_close = b"content-length" not in names and b"transfer-encoding" not in names
        fields = [field for field in self._fields if field[0] not in HOP_BY_HOP]
        exchange.respond(status, self._reason, fields)
        self._head_done = True
        self._head_bytes = 0  # from here on, what comes with the body and is none of it
        if not has_body(exchange.request.method, status):
            self._body_done = True
            # The parser does not know that HEAD has no body, and would take the next response for it.
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        if self._body_done:
            raise httptools.HttpParserError("a body where none can be")
        self._pieces.append(data)
        self._head_bytes = max(0, self._head_bytes - FRAMING_RATIO * len(data))  # a large body is no credit

    def on_message_complete(self) -> None:
        if self._head_done:
            self._body_done = True
        elif self._parser.get_status_code() != 101:
            # An interim response (RFC 9110 section 15.2): the final one is still to come.
            self._reset()


def _keep_seconds(field: bytes) -> float:
    """Return how long to keep a connection idle: a second less than the server announces in Keep-Alive."""
    for option in field.split(b","):
        name, _, value = option.strip().partition(b"=")
        if name.lower() == b"timeout" and value.isdigit() and len(value) < 6:
            return min(IDLE_SECONDS, max(0.0, int(value) - 1.0))
    return IDLE_SECONDS
