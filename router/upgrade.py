"""WebSockets of apps at the edge: the opening handshake, and the way of messages between a client and its isolate.

`UpgradeExchange` is made by `router.server` for a request that asks for a WebSocket. The app sees the request and
answers it as any other; a status of 101 turns the connection into a `WebSocketConnection` and the request's stream into
a `HostSocket`, anything else is sent on and closes the connection. Bounds: the app's wall limit holds up to the answer,
`max_websockets` is counted at the host, a message's size here.
"""

import logging
import time
from typing import TYPE_CHECKING

from router.dispatch import Route
from router.errors import EdgeError
from router.exchanges import HostExchange
from router.headers import UPGRADE_FIELDS, BadResponseError, Headers, ResponseHead, request_head
from router.host_socket import HostSocket
from router.links import HostLink
from router.refusals import MOST_ATTEMPTS, UNSEEN, refusal
from router.requests import Request
from router.responses import CLOCK
from router.websocket.connection import WebSocketConnection
from router.websocket.deflate import Agreement, Deflate, Inflate, agree
from router.websocket.frames import Reader
from router.websocket.handshake import accept_value, checked_key, chosen_protocol, listed

if TYPE_CHECKING:
    from router.server import EdgeProtocol

log = logging.getLogger("router.server")

EARLY_BYTES = 64 << 10
"""What a client may send before it has its answer."""
_SET_HERE = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-version"))


class Handshake:
    """The client's half of the opening handshake, and what the app's answer makes of it."""

    def __init__(self, fields: Headers) -> None:
        """Raises `EdgeError`."""
        self._key = checked_key(fields)
        self._protocols = listed(fields, b"sec-websocket-protocol")
        self._extensions = b", ".join(value for name, value in fields if name == b"sec-websocket-extensions")
        self.agreement: Agreement | None = None

    def answer(self, head: bytes, request_id: bytes) -> bytes:
        """Return the response's head for the app's RESPONSE of 101. Raises `BadResponseError`."""
        lines = [b"HTTP/1.1 101 Switching Protocols", b"upgrade: websocket", b"connection: Upgrade"]
        lines += [b"sec-websocket-accept: " + accept_value(self._key), CLOCK.line[:-2]]
        for name, value in ResponseHead(head).pairs():
            if name == b"sec-websocket-protocol":
                try:
                    chosen_protocol(value, self._protocols)
                except ValueError as error:
                    raise BadResponseError(str(error)) from None
            if name not in _SET_HERE and name != b"date":
                lines.append(b"%b: %b" % (name, value))
        self.agreement = agree(self._extensions) if self._extensions else None
        if self.agreement is not None:
            lines.append(b"sec-websocket-extensions: " + self.agreement.answer)
        return b"\r\n".join([*lines, b"x-request-id: " + request_id, b"", b""])


class UpgradeExchange(HostExchange):
    """A request for a WebSocket, up to its answer."""

    _attempts = 0
    _gone = False
    _arrived = b""
    """What the client sent after its request."""
    _handshake: Handshake

    def __init__(self, connection: "EdgeProtocol", request: Request, route: Route) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive = False
        """Whatever follows the request is meant for the WebSocket."""
        self._route = route

    def start(self) -> None:
        self.started = True
        self.ended = True
        connection = self.connection
        self._request_id = connection.edge.request_id(self.request.withheld, connection.peer)
        try:
            self._handshake = Handshake(self.request.headers())
        except EdgeError as error:
            self._fail(error)
            return
        self._attempt()

    def feed_data(self, data: bytes) -> None:
        """What arrives after the request: takes the place of the connection's parser."""
        self._arrived += data
        if len(self._arrived) > EARLY_BYTES:
            self.disconnected()
            self.connection.abort()

    def body(self, data: bytes) -> None:
        """There is none."""

    def body_end(self) -> None:
        self.ended = True

    def disconnected(self) -> None:
        self._gone = True
        self.cancel("client disconnected")

    def on_response(self, status: int, head: bytes, data: bytes, end: bool) -> None:
        if status != 101:
            super().on_response(status, head, data, end)
            return
        try:
            if end:
                raise BadResponseError("status 101 to a request that goes on")
            answer = self._handshake.answer(head, self._request_id)
        except BadResponseError as error:
            log.warning("request %s: %s", self._request_id.decode("latin-1"), error)
            self.cancel("bad response")
            self._fail(EdgeError(502, f"The app's WebSocket cannot be opened: {error}."))
            return
        self._route.counters.observe(101, time.monotonic() - self.opened)
        self._open_socket(answer)

    def on_refused(self, status: int, code: str, detail: str) -> None:
        if self._placed is not None:
            self._break_off()
        elif code in UNSEEN and self._attempts < MOST_ATTEMPTS and not self.responding:
            self._attempt()
        else:
            self._fail(refusal(status, code, detail))

    def _attempt(self) -> None:
        """Send the request to a host, once there is one."""
        self._attempts += 1
        connection, route = self.connection, self._route
        link = connection.edge.dispatcher.pick_for_socket(route)
        if link is not None:
            self._send(link)
            return
        task = connection.loop.create_task(self._wait())
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)

    async def _wait(self) -> None:
        try:
            link = await self.connection.edge.dispatcher.wait_for_link(self._route)
        except EdgeError as error:
            if not self._gone:
                self._fail(error)
            return
        if not self._gone:
            self._send(link)

    def _send(self, link: HostLink) -> None:
        request, connection = self.request, self.connection
        head = request_head(
            *(request.method, request.target, request.host, request.fields, request.withheld),
            *(connection.peer, self._request_id),
        )
        if len(head) > connection.edge.max_head_bytes:
            self._fail(EdgeError(431))
            return
        link.open_upgrade(self, head + UPGRADE_FIELDS, time.monotonic())

    def _open_socket(self, answer: bytes) -> None:
        """Answer 101 and hand both sides over."""
        link, connection, agreement = self.link, self.connection, self._handshake.agreement
        assert link is not None
        transport = connection.transport
        far = HostSocket(self.id, link, self._route.counters)
        reader = Reader(
            masked=True,
            max_message_bytes=self._route.app.websocket_message_kb << 10,
            inflater=Inflate(agreement) if agreement is not None else None,
            on_too_big=far.message_too_big,
        )
        socket = far.connection = WebSocketConnection(
            transport,
            far,
            reader,
            deflate=Deflate(agreement) if agreement is not None else None,
            on_gone=connection.forget_socket,
        )
        link.become_socket(self, far)
        if not connection.switch(socket):
            socket.connection_lost(None)
            return
        transport.write(answer)
        if self._arrived:
            socket.data_received(self._arrived)
