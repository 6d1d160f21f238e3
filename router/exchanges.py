"""One request and its response on an edge connection (`router.server`), and the two short ways to answer it.

`HostExchange` goes straight to the app's isolate host: frames in, bytes out, no task. `AssetExchange` sends a small
static file. Everything else (the data plane, large files, errors, apps whose host is being started) is an ASGI
application's affair, `router.asgi_exchange`. `Exchange` is what all share: framing of the response by RFC 9112 §6.
"""

import logging
import time
from typing import TYPE_CHECKING

from artifacts.index import Asset
from isolates.wire import HELD_BYTES, MAX_HELD_BYTES
from router import assets
from router.app import UNREADABLE_FILE
from router.dispatch import Route
from router.errors import EdgeError
from router.headers import BODILESS, BadResponseError, field_value, request_head
from router.links import HostLink
from router.placed_response import PlacedResponse
from router.refusals import UNSEEN, lost, refusal
from router.requests import Request
from router.responses import CLOCK, Lines, asgi_lines, lines_of, status_line
from router.shared_memory import SharedMemory
from router.stream import Loss, Stream

if TYPE_CHECKING:
    from router.server import EdgeProtocol

log = logging.getLogger("router.server")

FIRST_BODY_BYTES = 64 << 10
_ORDINARY = frozenset(range(200, 600)) - BODILESS
"""Statuses whose responses have a body."""


class Exchange:
    """What the connection needs to know of a request that it handed over, and how a response is written.

    Defaults are at the class: most requests never change them, and one is made per request.
    """

    started = False
    ended = False
    """The whole request has arrived."""
    responding = False
    """The response's head is written."""
    lent = 0
    """Bytes that the transport is given are memory of somebody else's, who waits to be told that they have left."""
    _chunked = False
    _left = -1
    """Bytes of body that the response's Content-Length still allows, -1 without one."""

    def __init__(self, connection: "EdgeProtocol", request: Request) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive = request.keep_alive
        """Whether the connection may go on after this."""

    def start(self) -> None:
        """Begin; called once, when it is this request's turn."""
        raise NotImplementedError

    def body(self, data: bytes) -> None:
        """Bytes of the body arrived, perhaps before `start`."""
        raise NotImplementedError

    def body_end(self) -> None:
        """The request is complete."""
        raise NotImplementedError

    def disconnected(self) -> None:
        """The client is gone, or sent something that cannot be read: nothing can be written any more."""
        raise NotImplementedError

    def resume(self) -> None:
        """The client took what had been written."""
        raise NotImplementedError

    def write_continue(self) -> None:
        """Ask for the body if the client waits to be asked (RFC 9110 §10.1.1)."""
        if self.request.expects and not self.responding and not self.connection.transport.is_closing():
            self.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.request.expects = False

    def write_head(self, status: int, lines: Lines, data: bytes, end: bool, request_id: bytes = b"") -> bool:
        """Write the head and the first bytes of the body. Returns whether the response is complete by that.

        The framing is the app's Content-Length, or the body's own when all of it is here, or chunked; for an HTTP/1.0
        client it is the end of the connection.
        """
        transport, request = self.connection.transport, self.request
        self.responding = True
        if transport.is_closing():
            return True
        head = _head(status, lines, request_id)
        if end and self.keep_alive and self.ended and status in _ORDINARY and request.ordinary:
            # The framing that nearly all responses have.
            transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(data), data))
            return True
        if status in BODILESS or request.method == b"HEAD":
            data, end = b"", True
        framing = self._framing(status, lines.length, len(data), end)
        transport.write(head + framing + (data if end else b""))
        return end or (bool(data) and self.write_data(data, False))

    def _framing(self, status: int, length: int, size: int, end: bool) -> bytes:
        """Return the last lines of a head whose Content-Length is `length`, -1 without one.

        `size`: of the body's first bytes, which with `end` are all.
        """
        request, lines = self.request, b""
        if not self.ended:
            # What is left of the request would have to be read first, for the sake of an answer already given.
            self.keep_alive = False
        if status == 204 or status == 304 or request.method == b"HEAD":
            length = -1 if status == 204 else length
        elif end:
            length = size
        elif length < 0:
            self._chunked = not request.http_10
            self.keep_alive = self.keep_alive and self._chunked
        self._left = length
        if length >= 0:
            lines = b"content-length: %d\r\n" % length
        elif self._chunked:
            lines = b"transfer-encoding: chunked\r\n"
        if not self.keep_alive:
            lines += b"connection: close\r\n"
        elif request.http_10:
            lines += b"connection: keep-alive\r\n"
        return lines + b"\r\n"

    def write_data(self, data: bytes, end: bool) -> bool:
        """Write more of the body. Returns whether the response is complete by that.

        A body that does not match its Content-Length breaks the connection, which is how HTTP/1.1 says so.
        """
        transport = self.connection.transport
        if transport.is_closing():
            return True
        if self._chunked:
            if data:
                transport.writelines((b"%x\r\n" % len(data), data, b"\r\n0\r\n\r\n" if end else b"\r\n"))
            elif end:
                transport.write(b"0\r\n\r\n")
            return end
        if self._left >= 0:
            self._left -= len(data)
            if self._left < 0 or (end and self._left):
                self.connection.abort()
                return True
        if data:
            transport.write(data)
        return end

    def write_error(self, error: EdgeError, request_id: bytes) -> None:
        """Answer with an error, or break the connection if a response began."""
        if self.responding:
            self.connection.abort()
            return
        answer = error.answer(field_value(self.request.headers(), b"accept"), request_id)
        pairs = [field for field in answer.fields if field[0] != b"content-length"]
        lines = Lines(b"", b"".join([b"%b: %b\r\n" % pair for pair in pairs]), len(answer.body), False)
        self.write_head(answer.status, lines, answer.body, True)


def _head(status: int, lines: Lines, request_id: bytes) -> bytes:
    """Return a head, up to its framing."""
    head = status_line(status, lines.reason) + lines.block
    if not lines.dated:
        head += CLOCK.line
    if request_id:
        head += b"x-request-id: %b\r\n" % request_id
    return head


class HostExchange(Stream, Exchange):
    """A request that its app's isolate host answers, without a task."""

    _early = b""
    """What of the body arrived before the start."""
    _received = 0
    _in_place = False
    """The rest of the body is written to the host's memory."""
    _request_id = b""
    _owed = 0
    """Bytes of the response written while the client was behind."""
    _placed: PlacedResponse | None = None
    """The response, as long as it is sent from the host's memory."""
    _loss: Loss | None = None
    """Why it was broken off."""

    def __init__(self, connection: "EdgeProtocol", request: Request, route: Route, link: HostLink) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive = request.keep_alive
        self._route = route
        self._chosen = link

    def start(self) -> None:
        request, connection = self.request, self.connection
        if not self._chosen.usable:
            connection.replace(self, self._early)
            return
        self.started = True
        edge, peer = connection.edge, connection.peer
        request_id = self._request_id = edge.request_id(request.withheld, peer)
        head = request_head(
            request.method, request.target, request.host, request.fields, request.withheld, peer, request_id
        )
        if len(head) > edge.max_head_bytes:
            self._fail(EdgeError(431))
            return
        early = self._early
        if early and self._received > edge.body_limit(self._route):
            # It came with the head, and maybe nothing follows that would make `body` see it.
            self._fail(edge.body_too_large(self._route))
            return
        if not self.ended and HELD_BYTES < request.length <= MAX_HELD_BYTES and self._chosen.memory is not None:
            self._chosen.open(self, head, b"", False, time.monotonic())
            self.hold_body(early)
            connection.hold()
        elif len(early) <= FIRST_BODY_BYTES:
            self._chosen.open(self, head, early, self.ended, time.monotonic())
        else:
            # Not with the head, where it would be copied.
            self._chosen.open(self, head, b"", False, time.monotonic())
            self.send_body(early, self.ended)
        if not self.ended:
            self.write_continue()
            self._early = b""

    def body(self, data: bytes) -> None:
        self._received += len(data)
        if not self.started:
            self._early = self._early + data if self._early else data
        elif self._received > self.connection.edge.body_limit(self._route):
            if self._placed is not None:
                self._break_off()
            elif self.link is not None:
                self.cancel("body too large")
                self._fail(self.connection.edge.body_too_large(self._route))
        elif not self.send_body(data, self._received == self.request.length):
            self.connection.hold()

    def body_end(self) -> None:
        self.ended = True
        if self._in_place:
            self._received = self.request.length
            self.send_placed()
        elif self.started:
            self.send_body(b"", True)

    def on_place(self, memory: SharedMemory, offset: int) -> bool:
        length, received, pending = self.request.length, self._received, self._pending
        if not received < length <= self.connection.edge.body_limit(self._route):
            return False
        try:
            room = memory.part(offset, length)
        except OSError as error:
            log.warning("request %s: %s", self._request_id.decode("latin-1"), error)
            return False
        if room is None or not self.connection.place(room[received:]):
            return False
        room[received - len(pending) : received] = pending
        self._pending = b""
        self._in_place = True
        return True

    def disconnected(self) -> None:
        self.cancel("deadline" if self._loss is Loss.DEADLINE else "client disconnected")

    def resume(self) -> None:
        if self._placed is not None:
            self._send_on(self._placed)
            return
        owed, self._owed = self._owed, 0
        self.consumed(owed)

    def on_response(self, status: int, head: bytes, data: bytes, end: bool) -> None:
        now = time.monotonic()
        try:
            lines = lines_of(head)
            if not 200 <= status <= 599:
                raise BadResponseError(f"status {status}")
        except BadResponseError as error:
            log.warning("request %s: %s", self._request_id.decode("latin-1"), error)
            self.cancel("bad response")
            self._fail(EdgeError(502))
            return
        self._route.counters.observe(status, now - self.opened)
        if self.write_head(status, lines, data, end, self._request_id):
            self._done(now)
        else:
            self._account(len(data))

    def on_placed(self, status: int, head: bytes, body: memoryview) -> None:
        transport = self.connection.transport
        try:
            lines = lines_of(head)
        except BadResponseError:
            lines = None
        bodiless = status not in _ORDINARY or self.request.method == b"HEAD"
        if lines is None or bodiless or self.responding or transport.is_closing():
            super().on_placed(status, head, body)
            return
        self._route.counters.observe(status, time.monotonic() - self.opened)
        self.responding = True
        start = _head(status, lines, self._request_id) + self._framing(status, -1, len(body), True)
        self._placed = PlacedResponse(transport, start, body)
        self._send_on(self._placed)

    def on_data(self, data: bytes, end: bool) -> None:
        if self.write_data(data, end):
            self._done(time.monotonic())
        else:
            self._account(len(data))

    def on_refused(self, status: int, code: str, detail: str) -> None:
        if self._placed is not None:
            self._break_off()
            return
        if code in UNSEEN and not self.responding and self.ended and len(self._early) == self._received:
            # All of it is here still, and no code of the app has seen it.
            self.connection.replace(self, self._early)
            return
        self._fail(refusal(status, code, detail))

    def on_lost(self, loss: Loss) -> None:
        if self._placed is not None:
            self._loss = loss
            self._break_off()
            return
        self._fail(lost(loss))

    def on_window(self) -> None:
        self.connection.go_on()

    def _send_on(self, placed: PlacedResponse) -> None:
        if placed.go_on():
            self._placed = None
            self.taken()
            self._done(time.monotonic())

    def _break_off(self) -> None:
        """What is in the host's memory may change from now on, or is not to be sent: `disconnected` follows."""
        self.connection.abort()

    def _account(self, count: int) -> None:
        if self.connection.writable:
            self.consumed(count)
        else:
            self._owed += count

    def _fail(self, error: EdgeError) -> None:
        now = time.monotonic()
        if not self.responding:
            self._route.counters.observe(error.status, now - self.opened if self.opened else 0.0)
        self.write_error(error, self._request_id)
        self._done(now)

    def _done(self, now: float) -> None:
        self.cancel("answered")
        self.connection.finished(self, now)


class AssetExchange(Exchange):
    """A request that a small static file answers, at once and from memory."""

    def __init__(self, connection: "EdgeProtocol", request: Request, route: Route, asset: Asset) -> None:
        super().__init__(connection, request)
        self._route = route
        self._asset = asset

    def start(self) -> None:
        self.started = True
        connection, request, route = self.connection, self.request, self._route
        began = time.monotonic()
        request_id = connection.edge.request_id(request.withheld, connection.peer)
        query = request.target.partition(b"?")[2]
        found = assets.answer(self._asset, route.app.directory, request.method.decode(), request.headers(), query)
        try:
            content = connection.edge.files.part(found)
        except OSError as error:
            log.error("static file of build %s: %s", route.app.build_id, error)
            self.write_error(EdgeError(500, UNREADABLE_FILE), request_id)
        else:
            self.write_head(found.status, asgi_lines(found.fields), content, True, request_id)
        now = time.monotonic()
        route.counters.observe(found.status, now - began)
        connection.finished(self, now)

    def body(self, data: bytes) -> None:
        """A file does not care."""

    def body_end(self) -> None:
        self.ended = True

    def disconnected(self) -> None:
        """Nothing is under way."""

    def resume(self) -> None:
        """Nothing waits."""
