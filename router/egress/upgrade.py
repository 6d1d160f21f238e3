"""WebSockets that apps open: an outbound request that is answered with 101, and what becomes of its stream then.

The request takes the way of any other (`router.egress.client`), with the same policy; an answer other than 101 is the
app's to see. After a 101 the connection belongs to a `WebSocketConnection`, this end being the client.
"""

import asyncio
import base64
import os
from typing import TYPE_CHECKING

from isolates.wire import HEADER, HEADER_BYTES, MAX_HEAD_BYTES, Type
from router.egress.client import Home, UpgradeExchange
from router.egress.errors import EgressError
from router.egress.headers import HOP_BY_HOP, Fields, Request
from router.egress.sockets import Sockets
from router.websocket.connection import WebSocketConnection
from router.websocket.frames import GOING_AWAY, Reader
from router.websocket.handshake import accept_value, chosen_protocol, listed
from router.websocket.stream import SocketStream

if TYPE_CHECKING:
    from router.egress.connection import HostConnection

MAX_MESSAGE_BYTES = 64 << 20
"""The most that a manifest's `websocket_message_kb` can allow; the isolate keeps to the app's own."""


def new_key() -> bytes:
    """Return a Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16))


class OutboundSocket(SocketStream):
    """The way between a WebSocket to the outside and the host whose app opened it."""

    connection: WebSocketConnection

    def __init__(self, stream: int, host: "HostConnection") -> None:
        super().__init__(stream)
        self._host = host
        self._over = False

    @property
    def choked(self) -> bool:
        return self._host.choked

    def send_frame(self, type_: int, flags: int, status: int, data: bytes) -> None:
        if not self._over:
            self._host.send(HEADER.pack(HEADER_BYTES + len(data), self.id, type_, flags, status, 0) + data)

    def forget(self) -> None:
        self._over = True
        self._host.sockets.pop(self.id, None)

    def host_gone(self) -> None:
        """The app has ended."""
        self._over = True
        self.connection.fail(GOING_AWAY, b"")


class SocketExchange(UpgradeExchange):
    """A request for a WebSocket, up to its answer."""

    __slots__ = ("_host", "_sockets")

    def __init__(
        self,
        host: "HostConnection",
        stream: int,
        request: Request,
        request_id: bytes,
        pool: Home,
        sockets: Sockets | None = None,
    ) -> None:
        """`sockets` counts the connection as long as it is open; without it that is not counted."""
        super().__init__(host, stream, request, request_id, pool)
        self._host = host
        self._sockets = sockets

    def switched(self, transport: asyncio.Transport, fields: Fields, rest: bytes) -> None:
        if self.over:
            transport.abort()
            return
        try:
            head = self._answer(fields)
            if self._sockets is not None:
                self._sockets.take(self._host.identity.app_id, lambda: False)
        except EgressError as error:
            transport.abort()
            self.refuse(error)
            return
        self.detach()
        self.over = True
        self._host.finished(self, None)
        far = OutboundSocket(self.stream, self._host)
        reader = Reader(masked=False, max_message_bytes=MAX_MESSAGE_BYTES)
        far.connection = WebSocketConnection(transport, far, reader, client=True, on_gone=self._gone)
        self._host.sockets[self.stream] = far
        self._host.send(HEADER.pack(HEADER_BYTES + len(head), self.stream, Type.RESPONSE, 0, 101, len(head)) + head)
        transport.set_protocol(far.connection)
        transport.resume_reading()
        if rest:
            far.connection.data_received(rest)

    def _gone(self, _: WebSocketConnection) -> None:
        if self._sockets is not None:
            self._sockets.release(self._host.identity.app_id)

    def _answer(self, fields: Fields) -> bytes:
        """Check the server's half of the handshake (RFC 6455 section 4.1) and return the RESPONSE frame's head."""
        own = dict(self.request.fields)
        given = dict(fields)
        name = self.request.destination.host
        if given.get(b"sec-websocket-accept") != accept_value(own[b"sec-websocket-key"]):
            raise EgressError("protocol", f"{name} did not answer the WebSocket handshake as it has to")
        if given.get(b"upgrade", b"").lower() != b"websocket" or b"sec-websocket-extensions" in given:
            raise EgressError("protocol", f"{name} answered with a protocol or extension that was not asked for")
        try:
            offered = listed(self.request.fields, b"sec-websocket-protocol")
            chosen_protocol(given.get(b"sec-websocket-protocol", b""), offered)
        except ValueError as error:
            raise EgressError("protocol", f"{name}: {error}") from None
        parts = [b"Switching Protocols"]
        for field in fields:
            if field[0] not in HOP_BY_HOP or field[0] == b"upgrade":
                parts += field
        head = b"\n".join(parts)
        if len(head) > MAX_HEAD_BYTES or b"\r" in head or b"\0" in head:
            raise EgressError("protocol", "the response's header fields are too large or malformed")
        return head
