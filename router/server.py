"""The edge's own HTTP/1.1 connection: an asyncio protocol on httptools that uvicorn runs in place of its own.

uvicorn starts and drains the server and keeps the list of connections; this class reads requests and has each answered
in the shortest way (`router.answering`): straight from the app's isolate host where nothing else is to be done, else as
ASGI through `router.app.Edge`. It exists because most of an edge worker's time went into a task, a scope and two queues
per request, which the common case does not need: with it, a request to an app and back costs less CPU than a bare
"hello world" on uvicorn's own protocol (38 against 65 µs at 32 connections, in the same minute on a busy machine), a
third of it in the kernel's `write`.

Requests are answered in their order. While one waits for its turn nothing more is read. RFC 9112 throughout; the parser
refuses what it must refuse (both framings, bare line feeds, folded headers).

One class, longer than a file should be: the parser's callbacks, the turns of the requests and the client's deadlines
are about the same few fields of one connection, and between two objects every header would pay for a call more.
"""

import asyncio
import logging
import socket
import time
from collections import deque
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from router.answering import exchange_for
from router.app import Edge
from router.asgi_exchange import AsgiExchange
from router.dispatch import Route
from router.errors import EdgeError
from router.exchanges import Exchange
from router.headers import WITHHELD, Peer
from router.hosts import BadHostError
from router.long_body import LEAST_BYTES as LONG_BODY_BYTES
from router.long_body import LongBody
from router.placed_body import PlacedBody, ShortReads
from router.requests import Request
from router.responses import whole_response
from router.upgrade import UpgradeExchange
from router.websocket.connection import WebSocketConnection

log = logging.getLogger("router.server")

HEAD_SECONDS = 10.0
"""From a head's first byte to its last."""
IDLE_SECONDS = 75.0
"""Between requests of one connection."""
STALL_SECONDS = 30.0
"""Without a byte of a body, or without a byte of a response being taken by the client."""
LINGER_SECONDS = 2.0
"""How long a client that still sends is read from after its answer, so that a reset does not destroy the answer."""
FRAMING_RATIO = 16
"""Bytes of framing that may come with each byte of a body: a chunk of one byte has five. Beyond that, chunk extensions
and trailers may be as large as a head; the parser collects them, and no bound on bodies stops them."""

_SLASH = ord("/")
_NOTED = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade"))
_UNUSUAL = frozenset((b"HEAD", b"TRACE"))
_SPECIAL = _NOTED | WITHHELD | {b"host"}


class EdgeProtocol(asyncio.Protocol):
    """One client connection."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        self.edge = cast(Edge, config.loaded_app)
        self.loop = _loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.peer: Peer = cast(Peer, None)
        self.client: tuple[str, int] | None = None
        self.scheme = "http"
        self.writable = True
        self.tasks = server_state.tasks
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._parser = httptools.HttpRequestParser(self)
        self._head_bytes = 0
        """Of the head that is being read, or beside the body."""
        self._new_head()
        self._receiving: Exchange | None = None
        """The request whose body is being read."""
        self._left = 0
        """Bytes of that body that the parser has yet to see, as far as their number is known."""
        self._placing = False
        """The rest of that body is read by a `PlacedBody`."""
        self._skipped = False
        """The parser took the head for the end of the request, but the body is to come."""
        self._pieces: list[bytes] = []
        """What this read brought of that body, which may be many chunks of a byte: they go on together."""
        self._current: Exchange | None = None
        """The request being answered."""
        self._waiting: deque[Exchange] = deque()
        self._websocket = False
        """A WebSocket of the data plane, which is handed to uvicorn's protocol."""
        self._upgrade: UpgradeExchange | None = None
        """The request for a WebSocket of an app after which no other can come."""
        self._deaf = False
        """What arrives is not read any more."""
        self._lingering = False
        self._since = time.monotonic()
        """Of what `check_time` judges now: idleness, a head, a body, a stalled write, lingering."""

    def __repr__(self) -> str:
        state = "closing" if self._deaf else "busy" if self._current else "idle"
        return f"<EdgeProtocol {self.peer} {state}, {len(self._waiting)} waiting>"

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._state.connections.add(cast(Any, self))
        if transport.get_extra_info("socket").family != socket.AF_UNIX:
            address = transport.get_extra_info("peername")
            # Without an address it is gone already; it must not pass for the Unix socket's trusted peer.
            self.client = (address[0], address[1]) if address else ("unknown", 0)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = "https"
        self.peer = self.edge.peer(self.client[0] if self.client else "", self.scheme)

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(cast(Any, self))
        self._deaf = True
        # These refer to this object: with them, all that was read, and the host's memory, would wait for the collector.
        self._parser = cast(Any, None)
        self._upgrade = None
        current, self._current, self._receiving = self._current, None, None
        self._waiting.clear()
        if current is not None:
            current.disconnected()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            if self._websocket:
                self._become_websocket()
            elif self._upgrade is not None:
                self._upgrade.feed_data(data[pause.args[0] :])
                self._parser = cast(Any, self._upgrade)
            else:
                # Any other protocol is declined by answering in HTTP/1.1; what follows is read as such.
                if self._skipped:
                    self._parse_body()
                self.data_received(data[pause.args[0] :])
            return
        except httptools.HttpParserInvalidMethodError:
            # Letters could be the method of some extension; anything else is not HTTP (TLS, say).
            self._refuse(EdgeError(501 if data[:1].isalpha() else 400))
            return
        except httptools.HttpParserCallbackError:
            # A mistake of ours: the connection's door.
            log.exception("unhandled error on %r", self)
            self._refuse(EdgeError(500, "The request could not be answered."))
            return
        except httptools.HttpParserError:
            self._refuse(EdgeError(400, "This is not a valid HTTP/1.1 request."))
            return
        receiving = self._receiving
        if receiving is not None:
            self._since = time.monotonic()
            if self._head_bytes > self.edge.max_head_bytes:
                self._refuse(EdgeError(431))
                return
            self._pass_on()
            if not receiving.started and receiving is self._current:
                receiving.start()
            if self._left >= LONG_BODY_BYTES:
                self._parser = cast(Any, LongBody(self._left, self.on_body, self._long_body_end))
                self._left = 0
        elif self._head_bytes and self._upgrade is None:
            self._head_unfinished(len(data))

    def eof_received(self) -> None:
        """The client sends no more, which is taken for its leaving, as proxies do."""

    def pause_writing(self) -> None:
        self.writable = False
        self._since = time.monotonic()

    def resume_writing(self) -> None:
        self.writable = True
        if self._current is not None:
            self._current.resume()

    # httptools' callbacks

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving is not None:
            return  # a trailer: nobody gets them
        name = name.lower()
        if name in _SPECIAL:
            self._special_header(name, value)
        else:
            self._fields.append(name)
            self._fields.append(value)

    def on_headers_complete(self) -> None:
        if self._deaf or self._receiving is not None:
            return  # the request before this one ended the connection, or see `_parse_body`
        parser, url = self._parser, self._url
        method = parser.get_method()
        keep_alive = parser.should_keep_alive()
        request = Request(method, url, self._host, self._fields, self._withheld, keep_alive)
        if self._hosts != 1 or url[0] != _SLASH or b"#" in url or method in _UNUSUAL:
            request.check_target(self._hosts)
        asked = upgrade = False
        # Without a Connection header only HTTP/1.1 is kept alive; asking for the version costs more than a header.
        if (self._withheld or not keep_alive) and (version := parser.get_http_version()) != "1.1":
            request.check_version(version)
        if noted := self._noted:
            request.take_framing(noted)
            if b"upgrade" in noted:
                asked = parser.should_upgrade()
                upgrade = asked and noted[b"upgrade"].lower() == b"websocket" and method == b"GET"
        if self._head_bytes > self.edge.max_head_bytes:
            request.check_size(self.edge.max_head_bytes)
        # After a request that is the connection's last the parser refuses what follows.
        self._left = request.length if keep_alive else 0
        self._new_head()
        # From here on it counts what comes with a body and is none of it.
        exchange = self._receiving = self._upgrade_exchange(request) if upgrade else exchange_for(self, request)
        if asked and request.length:
            self._skipped = not self._websocket and self._upgrade is None
        if self._current is None:
            self._current = exchange
        else:
            self._waiting.append(exchange)
            self.transport.pause_reading()

    def on_body(self, data: bytes) -> None:
        self._head_bytes = max(0, self._head_bytes - FRAMING_RATIO * len(data))  # a large body is no credit
        self._left -= len(data)
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        if self._skipped:
            return
        self._pass_on()
        receiving = self._receiving
        self._receiving = None
        self._head_bytes = 0
        if receiving is None or self._websocket:
            return
        receiving.body_end()
        if not receiving.started and receiving is self._current:
            receiving.start()

    # for exchanges

    def finished(self, exchange: Exchange, now: float) -> None:
        """The response to `exchange` is written: begin the next one, or wait for it, or close."""
        if exchange is not self._current:
            return
        if self._placing:
            self._placing = False
            self._read_by(self)
        self._current = None
        self._since = now
        self._state.total_requests += 1
        if not exchange.keep_alive:
            self._close(linger=not exchange.ended)
        elif self._waiting:
            self._current = self._waiting.popleft()
            if not self._waiting:
                self.transport.resume_reading()
            self._current.start()

    def abort(self) -> None:
        """Break the connection in the middle of a response, so that the client sees that it is not complete."""
        self._deaf = True
        if self._current is not None and self._current.lent:
            # Nothing of it may be read once it was given back, which the loss of the connection has happen.
            self.transport.abort()
        else:
            # `abort` would throw away what is written already; the client shall have it, and then an early end.
            self.transport.close()

    def replace(self, exchange: Exchange, early: bytes) -> None:
        """Let the ASGI application answer `exchange`, of whose body `early` is here: its host went away."""
        other = AsgiExchange(self, exchange.request, self.edge)
        other.keep_alive = exchange.keep_alive
        if early:
            other.body(early)
        if exchange.ended:
            other.body_end()
        if self._receiving is exchange:
            self._receiving = other
        self._current = other
        other.start()

    def hold(self) -> None:
        """Read nothing more for now: the body's receiver is behind."""
        self.transport.pause_reading()

    def go_on(self) -> None:
        """Read on after `hold`."""
        if not self._waiting and not self._deaf and not self.transport.is_reading():
            # The client was not read from, maybe for long, and has not stalled.
            self._since = time.monotonic()
            self.transport.resume_reading()

    def place(self, room: memoryview) -> bool:
        """Read what is left of the body into `room`, of exactly that size. False: it is not read in one piece."""
        # What another room has got already is not in `left`: a second one would get what follows the body.
        if self._placing or not isinstance(self._parser, LongBody) or self._parser.left != len(room):
            return False
        self._placing = True
        self._since = time.monotonic()
        self._read_by(PlacedBody(self, room))
        return True

    def switch(self, protocol: WebSocketConnection) -> bool:
        """The request was answered with 101: the connection belongs to `protocol` from now on. False: it is closing."""
        self._current = None
        if self._deaf or self.transport.is_closing():
            self.transport.close()
            return False
        self._deaf = True
        self._state.connections.discard(cast(Any, self))
        self._state.connections.add(cast(Any, protocol))
        self.transport.set_protocol(protocol)
        self.transport.resume_reading()
        return True

    def forget_socket(self, protocol: WebSocketConnection) -> None:
        """A WebSocket that was a connection of this kind is gone."""
        self._state.connections.discard(cast(Any, protocol))

    # for a placed body

    def placed(self) -> None:
        self._placing = False
        self._read_by(ShortReads(self))
        self._long_body_end(b"")

    def short_read(self, data: bytes) -> None:
        self.data_received(data)
        if self.transport.is_reading() and not self._deaf:
            self._read_by(self)  # it was no body that waits to be placed

    def progressed(self) -> None:
        self._since = time.monotonic()

    # for the server

    def shutdown(self) -> None:
        """Drain: close now if idle, else after the response that is due."""
        if self._current is None:
            self._close(linger=False)
        else:
            for exchange in (self._current, *self._waiting):
                exchange.keep_alive = False

    def check_time(self, now: float) -> None:
        """Close the connection if its client is too slow at `now`. Called about once a second."""
        waited = now - self._since
        if self._lingering:
            if waited > LINGER_SECONDS:
                self.transport.abort()
        elif not self.writable:
            if waited > STALL_SECONDS:
                self._reset()
        elif self._receiving is not None:
            if waited > STALL_SECONDS and self.transport.is_reading():
                self._reset()
        elif self._current is None:
            if self._head_bytes and waited > HEAD_SECONDS:
                self._refuse(EdgeError(408))
            elif waited > IDLE_SECONDS:
                self._close(linger=False)

    # own

    def _pass_on(self) -> None:
        pieces = self._pieces
        if pieces:
            self._pieces = []
            if self._receiving is not None:
                self._receiving.body(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _read_by(self, protocol: asyncio.BaseProtocol) -> None:
        """Have `protocol` get what arrives. How it wants to get it, a transport asks only when it begins to read."""
        self.transport.pause_reading()
        self.transport.set_protocol(protocol)
        self.transport.resume_reading()

    def _parse_body(self) -> None:
        """Have a parser read the body of a request that asks for another protocol: after its head, the one that read
        this begins with the next request. What that took for one would be the client's body, and behind a proxy
        somebody else would get its answer.
        """
        self._skipped = False
        assert self._receiving is not None
        request = self._receiving.request
        framing = b"content-length: %d" % request.length if request.length > 0 else b"transfer-encoding: chunked"
        kept = b"keep-alive" if request.keep_alive else b"close"
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\nconnection: %b\r\n\r\n" % (framing, kept))
        self._new_head()

    def _long_body_end(self, rest: bytes) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self.on_message_complete()
        if rest:
            self._parser.feed_data(rest)

    def _new_head(self) -> None:
        """Begin to collect the head of the next request."""
        self._url = b""
        self._host = b""
        self._hosts = 0
        self._fields: list[bytes] = []
        self._withheld: list[tuple[bytes, bytes]] = []
        self._noted: dict[bytes, bytes] = {}
        self._head_bytes = 0

    def _special_header(self, name: bytes, value: bytes) -> None:
        if name in WITHHELD:
            self._withheld.append((name, value))
        else:
            self._fields += (name, value)
        if name == b"host":
            self._host = value
            self._hosts += 1
        elif name in _NOTED:
            self._noted[name] = value

    def _upgrade_exchange(self, request: Request) -> Exchange:
        """A WebSocket is asked for: of an app with a worker, or of the data plane; else this is a request as any."""
        exchange = exchange_for(self, request)
        if request.special or request.problem is not None or request.http_10:
            return exchange
        if isinstance(exchange, AsgiExchange) and exchange.application is self.edge.data_plane:
            self._websocket = self._current is None
            return exchange
        try:
            route = self.edge.dispatcher.find(request.host)
        except BadHostError:
            return exchange
        if isinstance(route, Route) and route.app.has_worker and route.app.unavailable is None:
            self._upgrade = UpgradeExchange(self, request, route)
            return self._upgrade
        return exchange

    def _head_unfinished(self, arrived: int) -> None:
        if self._head_bytes > self.edge.max_head_bytes:
            self._refuse(EdgeError(431))
        elif self._head_bytes == arrived:
            self._since = time.monotonic()

    def _refuse(self, error: EdgeError) -> None:
        """Answer bytes that are no request, then close; where responses are still due, close after those."""
        receiving, self._receiving = self._receiving, None
        if self._current is None:
            identity = self.edge.request_id([], self.peer)
            self.transport.write(whole_response(error.answer(b"", identity)))
            self._close(linger=True)
        elif receiving is None:
            last = self._waiting[-1] if self._waiting else self._current
            last.keep_alive = False
            self._deaf = True
        elif receiving is self._current and receiving.lent:
            self.abort()
        elif receiving is self._current:
            # Its body broke off: nothing that it may still be answered with would be true.
            receiving.disconnected()
            self._current = None
            if receiving.responding:
                self.abort()
            else:
                self._refuse(error)
        else:
            self._waiting.pop()
            self._refuse(error)

    def _close(self, *, linger: bool) -> None:
        self._deaf = True
        self._receiving = None
        if linger and not self._lingering and self.transport.can_write_eof() and not self.transport.is_closing():
            self._lingering = True
            self._since = time.monotonic()
            self.transport.write_eof()
            self.transport.resume_reading()
        else:
            self.transport.close()

    def _reset(self) -> None:
        self._deaf = True
        self.transport.abort()

    def _become_websocket(self) -> None:
        """Hand the connection to uvicorn's WebSocket protocol, as uvicorn's own HTTP protocol does."""
        exchange, self._current, self._receiving = self._current, None, None
        assert exchange is not None and self._config.ws_protocol_class is not None
        request = exchange.request
        self._state.connections.discard(cast(Any, self))
        lines = [b"GET %b HTTP/1.1" % request.target, *(b"%b: %b" % header for header in request.headers()), b"", b""]
        protocol = cast(Any, self._config.ws_protocol_class)(
            config=self._config, server_state=self._state, app_state=self._app_state
        )
        protocol.connection_made(self.transport)
        protocol.data_received(b"\r\n".join(lines))
        self.transport.set_protocol(protocol)
