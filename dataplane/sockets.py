"""Hrana over WebSocket at the edge: chooses the subprotocol, checks the token in `hello`, passes messages on.

Used by `dataplane.front` as the ASGI application for WebSockets. What messages ask for is the database worker's affair
(`dataplane.sessions`); the edge only reads their type. A WebSocket ends at once when its database is rotated,
suspended, deleted or moved, and when its query token expires; clients connect again by themselves.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from time import time
from typing import Any, NamedTuple

import msgspec

from dataplane import protobuf_requests, wire
from dataplane.errors import HttpError
from dataplane.formats import DECODE_ERRORS, JSON, PROTOBUF, Format
from dataplane.tokens import Access
from dataplane.unanswered import MOST_OF_SOCKET, Messages, Unanswered
from dataplane.upstream import Socket

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HELD_EXTENSION = "brrrd.held"
"""ASGI extension of a server that says how many bytes of messages it holds that the application has yet to take, whole
or in part: `watch(on_held)` has `on_held(bytes)` called now and when that changes.
"""
HELLO_SECONDS = 10.0
"""From the handshake to `hello`."""
MAX_UNANSWERED = 2_048
"""Requests of one WebSocket that may be on their way; nothing more is read while there are as many. All the streams
that it may have can wait for one of them to end its transaction, which another message is to do.
"""
MESSAGE_BYTES = 1 << 10
"""What a message takes beyond its text, at the worker."""

WRONG_TYPE = 1003
UNDECODABLE = 1007
VIOLATION = 1008
INTERNAL = 1011
TRY_LATER = 1013
_REASON_BYTES = 120
log = logging.getLogger("brrrd.dataplane")


class Subprotocol(NamedTuple):
    """What was agreed on in the handshake."""

    name: str | None
    version: int
    format: Format
    route: wire.Route


_KNOWN = (
    Subprotocol("hrana3-protobuf", 3, PROTOBUF, wire.Route.SOCKET_PROTOBUF),
    Subprotocol("hrana3", 3, JSON, wire.Route.SOCKET_JSON),
    Subprotocol("hrana2", 2, JSON, wire.Route.SOCKET_JSON),
    Subprotocol("hrana1", 1, JSON, wire.Route.SOCKET_JSON),
)


def choose(offered: list[str]) -> Subprotocol | None:
    """Return the best of the offered subprotocols; without any, hrana1 is meant. None: there is nothing in common."""
    if not offered:
        return Subprotocol(None, 1, JSON, wire.Route.SOCKET_JSON)
    return next((known for known in _KNOWN if known.name in offered), None)


class SocketClosed(Exception):
    """The WebSocket is to be closed, with a close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _Head(msgspec.Struct, frozen=True):
    """What the edge reads of a message."""

    type: str
    jwt: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_HELLO_TAG = 0x0A


def _hello(data: bytes, form: Format) -> tuple[bool, str | None]:
    """Return whether the message is `hello`, and its token. Raises `SocketClosed`."""
    try:
        if form is JSON:
            head = _decode_head(data)
            return head.type == "hello", head.jwt
        if data[:1] != bytes((_HELLO_TAG,)):
            return False, None
        return True, getattr(protobuf_requests.decode_client_message(data), "jwt", None)
    except DECODE_ERRORS as error:
        raise SocketClosed(UNDECODABLE, f"Cannot decode the message: {error}") from None


class ClientSocket:
    """One WebSocket after its handshake. `authorize` raises `HttpError`; `connect` opens the way to the worker; `watch`
    is the server's, see `HELD_EXTENSION`.
    """

    def __init__(
        self,
        subprotocol: Subprotocol,
        receive: Receive,
        send: Send,
        *,
        authorize: Callable[[str | None], Access],
        connect: Callable[[Access, wire.Route, int], Awaitable[Socket]],
        unanswered: Unanswered,
        watch: Callable[[Callable[[int], None]], None] = lambda _: None,
    ) -> None:
        self.access: Access | None = None
        self._subprotocol = subprotocol
        self._format = subprotocol.format
        self._receive = receive
        self._send = send
        self._authorize = authorize
        self._connect = connect
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watch = watch
        self._all_unanswered = unanswered
        self._unanswered: Messages | None = None
        """Once its database is known."""
        self._answered = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        """Ends the connection with its query token, unless another `hello` brings a newer one."""

    def __repr__(self) -> str:
        of = self.access.database.database_id if self.access is not None else "no database yet"
        return f"<ClientSocket {self._subprotocol.name} of {of} [{self._unanswered!r}]>"

    def end(self, reason: str, code: int = VIOLATION) -> None:
        """Close it soon."""
        if not self._ending.done():
            self._ending.set_exception(SocketClosed(code, reason))

    async def run(self) -> None:
        """Serve it to its end. Raises `OSError` when the client is gone."""
        upstream: Socket | None = None
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                access = await self._first()
            database_id = access.database.database_id
            messages = self._unanswered = self._all_unanswered.open(database_id, partial(self.end, code=TRY_LATER))
            self._watch(partial(self._hold, messages))
            upstream = await self._connect(access, self._subprotocol.route, self._subprotocol.version)
            self._keep(access)
            await self._tell({"type": "hello_ok"})
            await self._pump(upstream, messages)
        except SocketClosed as closed:
            await self._close(closed.code, str(closed))
        except HttpError as error:
            await self._close(INTERNAL, str(error))
        except TimeoutError:
            await self._close(VIOLATION, "No hello was received")
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            if self._unanswered is not None:
                self._all_unanswered.close(self._unanswered)
            if upstream is not None:
                upstream.cancel()
            if not self._ending.cancel():
                self._ending.exception()  # looked at, so that nothing is logged

    async def _first(self) -> Access:
        is_hello, token = _hello(await self._message(), self._format)
        if not is_hello:
            raise SocketClosed(VIOLATION, "The first message has to be hello")
        self.access = await self._check(token)
        return self.access

    def _keep(self, access: Access) -> None:
        """Serve the connection for as long as this access is good."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if access.expires is not None:
            left = max(0.0, access.expires - time())
            self._expiry = asyncio.get_running_loop().call_later(left, self.end, "The query token has expired")

    async def _check(self, token: str | None) -> Access:
        try:
            return self._authorize(token)
        except HttpError as error:
            await self._tell({"type": "hello_error", "error": error.document()})
            raise SocketClosed(VIOLATION, str(error)) from None

    async def _pump(self, upstream: Socket, messages: Messages) -> None:
        ways = (self._upward(upstream, messages), self._downward(upstream, messages))
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            done, _ = await asyncio.wait([*tasks, self._ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for finished in done:
            finished.result()

    async def _upward(self, upstream: Socket, messages: Messages) -> None:
        while True:
            data = await self._message()
            is_hello, token = _hello(data, self._format)
            if is_hello:
                access = await self._check(token)
                if self.access is None or access.database != self.access.database:
                    raise SocketClosed(VIOLATION, "A WebSocket cannot change its database: open another one")
                if access.read_only != self.access.read_only:
                    raise SocketClosed(VIOLATION, "A WebSocket cannot change its rights: open another one")
                self._keep(access)
                await self._tell({"type": "hello_ok"})
                continue
            _end(self._all_unanswered.add(messages, len(data) + MESSAGE_BYTES))
            upstream.send(data)
            while len(messages) >= MAX_UNANSWERED or messages.bytes > MOST_OF_SOCKET:
                self._answered.clear()
                await self._answered.wait()

    def _hold(self, messages: Messages, size: int) -> None:
        _end(self._all_unanswered.hold(messages, size))

    async def _downward(self, upstream: Socket, messages: Messages) -> None:
        while True:
            data = await upstream.piece()
            if upstream.finished:
                raise SocketClosed(upstream.status or INTERNAL, data.decode("utf-8", "replace"))
            await self._write(data)
            self._all_unanswered.answered(messages)
            self._answered.set()

    async def _message(self) -> bytes:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionResetError("the client is gone")
        text, data = message.get("text"), message.get("bytes")
        if self._format is JSON:
            if text is None:
                raise SocketClosed(WRONG_TYPE, "Text is expected with this subprotocol")
            return str(text).encode("utf-8", "surrogatepass")
        if data is None:
            raise SocketClosed(WRONG_TYPE, "Binary messages are expected with this subprotocol")
        return bytes(data)

    async def _tell(self, document: dict[str, Any]) -> None:
        message = self._format.server_message(document)
        assert isinstance(message, bytes)  # as all short ones
        await self._write(message)

    async def _write(self, data: bytes) -> None:
        if self._format is JSON:
            await self._send({"type": "websocket.send", "text": data.decode()})
        else:
            await self._send({"type": "websocket.send", "bytes": data})

    async def _close(self, code: int, reason: str) -> None:
        short = reason.encode()[:_REASON_BYTES].decode("utf-8", "ignore")
        await self._send({"type": "websocket.close", "code": code, "reason": short})


def _end(greedy: Iterable[tuple[Messages, str]]) -> None:
    for messages, why in greedy:
        log.warning("a WebSocket of database %s was closed: %s", messages.database_id, why)
        messages.end(why)
