"""A WebSocket of an app where the server in front speaks the protocol itself: the edge as a plain ASGI application.

Used by `router.app` for servers other than `router.server`, such as hypercorn with TLS and HTTP/2. The way to the host
is the same (`router.host_socket`); frames, pings and compression are the server's affair.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from isolates.wire import HEADER_BYTES, SOCKET_PIECE_BYTES
from router.dispatch import Dispatcher, Route
from router.errors import EdgeError
from router.headers import BadResponseError, ResponseHead
from router.host_socket import HostSocket
from router.links import HostLink
from router.refusals import MOST_ATTEMPTS, UNSEEN, lost, refusal
from router.stream import Loss, Stream
from router.websocket.frames import ABNORMAL, NO_STATUS, NORMAL, TOO_BIG, Opcode, cut

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_ANSWER_BYTES = 1 << 20
"""Of an answer other than 101."""
_SET_HERE = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol"))


class Handshake(Stream):
    """The request, up to its answer."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.status = 0
        self.head = ResponseHead(b"")
        self.body = b""
        self.unseen = False
        self.socket: HostSocket | None = None
        self._route: Route | None = None

    def begin(self, link: HostLink, head: bytes, route: Route) -> None:
        """Send the request."""
        self._route = route
        link.open_upgrade(self, head, time.monotonic())

    def on_response(self, status: int, head: bytes, data: bytes, end: bool) -> None:
        try:
            self.head = ResponseHead(head)
            if status == 101 and end:
                raise BadResponseError("status 101 to a request that goes on")
        except BadResponseError:
            self.cancel("bad response")
            self._fail(EdgeError(502))
            return
        self.status = status
        if status == 101:
            assert self.link is not None and self._route is not None
            link = self.link
            self.socket = HostSocket(self.id, link, self._route.counters)
            self.socket.connection = AsgiSocket(self.socket)
            link.become_socket(self, self.socket)
            self.answered.set_result(None)
        else:
            self.on_data(data, end)

    def on_data(self, data: bytes, end: bool) -> None:
        self.body += data
        if len(self.body) > MAX_ANSWER_BYTES:
            self.cancel("too large")
            self._fail(EdgeError(502))
        elif end and not self.answered.done():
            self.answered.set_result(None)
        else:
            self.consumed(len(data))

    def on_refused(self, status: int, code: str, detail: str) -> None:
        self.unseen = code in UNSEEN
        self._fail(refusal(status, code, detail))

    def on_lost(self, loss: Loss) -> None:
        self._fail(lost(loss))

    def on_window(self) -> None:
        """Nothing is sent."""

    def _fail(self, error: EdgeError) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


class AsgiSocket:
    """An accepted WebSocket: `router.websocket.stream.Connection`."""

    def __init__(self, far: HostSocket) -> None:
        self._far = far
        self._out: deque[tuple[int, bytes, bool]] = deque()
        self._closing: tuple[int, bytes] | None = None
        self._told = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    # from the host

    def send_message(self, opcode: int, data: bytes, more: bool) -> None:
        self._out.append((opcode, data, more))
        self._wake.set()

    def close(self, code: int, reason: bytes) -> None:
        self._closing = self._closing or (code, reason)
        self._wake.set()

    def fail(self, code: int, reason: bytes) -> None:
        self._out.clear()
        self.close(code, reason)
        self.tell(code, reason)

    def pump(self) -> None:
        self._room.set()

    # for `serve`

    def tell(self, code: int, reason: bytes) -> None:
        """Tell the host, once, that it is over."""
        if not self._told:
            self._told = True
            self._far.ended(code, reason)

    async def run(self, receive: Receive, send: Send, most: int) -> None:
        """Carry messages of up to `most` bytes both ways until one side has closed."""
        tasks = [asyncio.create_task(self._inward(receive, most)), asyncio.create_task(self._outward(send, most))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.tell(ABNORMAL, b"")

    async def _inward(self, receive: Receive, most: int) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or NO_STATUS
                reason = (message.get("reason") or "").encode()
                self.tell(0 if code == NO_STATUS else code, cut(reason))
                return
            text = message.get("text")
            opcode, data = (Opcode.BINARY, message["bytes"]) if text is None else (Opcode.TEXT, text.encode())
            if len(data) > most:
                self._far.message_too_big()
                self.fail(TOO_BIG, f"A message is larger than {most} bytes".encode())
                await asyncio.Event().wait()  # until the close is sent
            for at in range(0, max(1, len(data)), SOCKET_PIECE_BYTES):
                while not self._far.ready:
                    self._room.clear()
                    await self._room.wait()
                self._far.message(opcode, data[at : at + SOCKET_PIECE_BYTES], at + SOCKET_PIECE_BYTES < len(data))

    async def _outward(self, send: Send, most: int) -> None:
        """ASGI has no pieces of messages, so that those of the app are bounded here as those of clients are."""
        pieces: list[bytes] = []
        while True:
            while self._out:
                opcode, data, more = self._out.popleft()
                pieces.append(data)
                if more and sum(map(len, pieces)) > most:
                    self.fail(TOO_BIG, f"A message of the app is larger than {most} bytes".encode())
                elif not more:
                    whole = b"".join(pieces)
                    pieces.clear()
                    if opcode == Opcode.TEXT:
                        await send({"type": "websocket.send", "text": whole.decode("utf-8", "replace")})
                    else:
                        await send({"type": "websocket.send", "bytes": whole})
                self._far.consumed(HEADER_BYTES + len(data))
            if self._closing is not None:
                code, reason = self._closing
                await send({"type": "websocket.close", "code": code or NORMAL, "reason": reason.decode()})
                self.tell(code, reason)
                return
            self._wake.clear()
            await self._wake.wait()


async def serve(
    dispatcher: Dispatcher, route: Route, head: bytes, scope: Message, receive: Receive, send: Send, request_id: bytes
) -> None:
    """Answer a request for a WebSocket, `head` being that of its REQUEST frame. Raises `EdgeError`."""
    await receive()
    handshake = await _answered(dispatcher, route, head)
    fields = [*handshake.head.pairs(), (b"x-request-id", request_id)]
    route.counters.observe(handshake.status, time.monotonic() - handshake.opened)
    if handshake.socket is None:
        await deny(send, scope, handshake.status, fields, handshake.body)
        return
    socket = handshake.socket.connection
    assert isinstance(socket, AsgiSocket)
    chosen = next((value.decode("latin-1") for name, value in fields if name == b"sec-websocket-protocol"), None)
    kept = [field for field in fields if field[0] not in _SET_HERE]
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": kept})
    await socket.run(receive, send, route.app.websocket_message_kb << 10)


async def _answered(dispatcher: Dispatcher, route: Route, head: bytes) -> Handshake:
    for attempt in range(1, MOST_ATTEMPTS + 1):
        link = dispatcher.pick_for_socket(route) or await dispatcher.wait_for_link(route)
        handshake = Handshake()
        handshake.begin(link, head, route)
        try:
            await handshake.answered
        except EdgeError:
            if handshake.unseen and attempt < MOST_ATTEMPTS:
                continue
            raise
        else:
            return handshake
        finally:
            handshake.cancel("client gone")
    raise EdgeError(503)


async def deny(send: Send, scope: Message, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Answer with a response, where the server can pass one on; else it says 403."""
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": fields})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1008})
