"""Requests of apps to the node's own data plane: from the host's frames to the database worker's and back, no HTTP.

Made by `router.egress.__main__` for destinations that are the data plane's. What is answered, and what is refused, is
decided in `dataplane.endpoints`, as it is for requests over HTTP at an edge worker; only answers are never compressed
here. Most requests are small and so are their answers: those take one frame each way, and no task.
"""

import http
from collections import deque
from time import perf_counter, time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dataplane import wire
from dataplane.blocks import Blocks, Body
from dataplane.endpoints import CLIENT_GONE, MAX_BODY_BYTES, Endpoints, Way, Whole, answer_fields, refusal, too_large
from dataplane.errors import HttpError
from dataplane.upstream import GRANT_BYTES, Pending
from isolates.wire import MAX_DATA_BYTES
from router.egress.errors import EgressError
from router.egress.exchange import Exchange
from router.egress.headers import Request
from router.stats import DatabaseCounters

if TYPE_CHECKING:
    from router.egress.connection import HostConnection

LIMIT = "database_bodies"
MAX_HELD_BYTES = 128 << 20
"""Of one app: bodies on their way to databases that are not complete, and answers that its hosts have not read."""

_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}
_heads: dict[tuple[wire.Route, int], bytes] = {}


class DatabaseExchange(Exchange):
    """One request to the data plane."""

    __slots__ = (
        *("_answer", "_blocked", "_body", "_call", "_counters", "_endpoints", "_held", "_host", "_share", "_started"),
        *("_status", "_ungranted", "_way"),
    )

    def __init__(
        self,
        host: "HostConnection",
        stream: int,
        request: Request,
        endpoints: Endpoints,
        counters: DatabaseCounters,
    ) -> None:
        assert host.share is not None
        super().__init__(host, stream, request)
        self._host = host
        self._share = host.share
        self._endpoints = endpoints
        self._counters = counters
        self._way: Way | None = None
        self._call: _Call | None = None
        self._body: list[bytes] | None = None
        """What has come of a body that is not complete."""
        self._answer: deque[tuple[bytes, bool]] | None = None
        """Pieces that wait for the host to read, with whether each is the last."""
        self._blocked = False
        """The host does not read as fast as the worker sends."""
        self._held = 0
        """Bytes of `_body` and `_answer`."""
        self._ungranted = 0
        self._status = 0
        self._started = 0.0

    # From the host.

    def start(self, data: bytes, end: bool) -> None:
        request = self.request
        path, _, query = request.destination.target.partition(b"?")
        text = path.decode("ascii")
        self._started = perf_counter()
        try:
            decision = self._endpoints.decide(
                request.method.decode("ascii"),
                unquote(text) if "%" in text else text,
                query,
                request.fields,
                self._host.identity.app_id,
                time(),
            )
            if isinstance(decision, Whole):
                self._reply(decision)
                return
            self._way = decision
            if (request.length or 0) > MAX_BODY_BYTES:
                raise too_large()
        except HttpError as error:
            self.fail(error)
            return
        if end:
            self._begin_call(data)
        else:
            self._body = []
            self.on_body(data, end)

    def on_body(self, data: bytes, end: bool) -> None:
        assert self._body is not None
        self._body.append(data)
        if not self._hold(len(data)):
            return
        if self._held > MAX_BODY_BYTES:
            self.fail(too_large())
        elif end:
            # Not put together, which would keep the loop from all other apps for as long as copying takes.
            pieces = self._body
            self._drop()
            self._begin_call(Blocks(pieces))
        else:
            self.consumed(len(data))

    def on_drained(self) -> None:
        self._blocked = False
        while self._answer and not self._blocked and not self.over:
            data, end = self._answer.popleft()
            self._held -= len(data)
            self._share.held -= len(data)
            self._pass_on(data, end)

    def on_cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._finished(CLIENT_GONE)

    # From the worker.

    def on_frame(self, frame: wire.Frame) -> None:
        """Take a piece of the answer."""
        end, data = bool(frame.flags & wire.END), frame.data
        if frame.type == wire.Type.ANSWER:
            assert self._way is not None
            self._status = frame.code
            if end and len(data) <= min(self.window, MAX_DATA_BYTES):
                self._finished(frame.code)
                self.respond_whole(frame.code, b"%b%d" % (_head(self._way.route, frame.code), len(data)), data)
                return
            fields = answer_fields(self._way.route, frame.code)
            if (length := wire.answer_bytes(frame)) is not None:
                fields.append((b"content-length", b"%d" % length))
            self.respond(frame.code, _REASONS.get(frame.code, b""), fields)
        if not self._blocked:
            self._pass_on(data, end)
        elif self._hold(len(data)):
            self._answer = self._answer or deque()
            self._answer.append((data, end))

    def fail(self, error: HttpError) -> None:
        """Answer with an error, or break the answer off if it has begun."""
        if self.over:
            return
        if self._call is not None:
            self._call.cancel()
        self._finished(error.status)
        if self._status:
            self.refuse(EgressError("connect", str(error)))
        else:
            self._reply(refusal(error))

    # Own.

    def _begin_call(self, body: Body) -> None:
        assert self._way is not None
        try:
            way = self._endpoints.in_force(self._way, self.request.fields, self._host.identity.app_id)
        except HttpError as error:
            self.fail(error)
            return
        self._call = _Call(self)
        way.upstream.begin(self._call, way.route, way.head, body if way.body is None else way.body)

    def _pass_on(self, data: bytes, end: bool) -> None:
        if end:
            self._finished(self._status)
        else:
            self._ungranted += len(data)
        self._blocked = not self.give(data, end)
        if self._ungranted >= GRANT_BYTES and self._call is not None:
            self._call.grant(self._ungranted)
            self._ungranted = 0

    def _reply(self, answer: Whole) -> None:
        fields = answer.fields
        if answer.status != 204:
            fields = [*fields, (b"content-length", b"%d" % len(answer.body))]
        self.respond(answer.status, _REASONS.get(answer.status, b""), fields)
        self.give(b"" if self.request.method == b"HEAD" else answer.body, True)

    def _finished(self, status: int) -> None:
        """Count the request, once, and hold nothing more of it."""
        if self._started and self._way is not None:
            self._counters.observe(self._way.database_id, status, perf_counter() - self._started)
        self._started = 0.0
        if self._held:
            self._drop()

    def _hold(self, count: int) -> bool:
        """Count bytes that wait here. False: they are too many, and the request is over."""
        self._held += count
        self._share.held += count
        if self._share.held <= MAX_HELD_BYTES:
            return True
        text = f"bodies to databases that are not complete, and answers not read, are over {LIMIT} = "
        self.abandon(EgressError("limit", f"{text}{MAX_HELD_BYTES >> 20} MiB", LIMIT))
        return False

    def _drop(self) -> None:
        self._share.held -= self._held
        self._held = 0
        self._body = self._answer = None


class _Call(Pending):
    """What the connection to the worker knows of an exchange."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: DatabaseExchange) -> None:
        super().__init__()
        self._exchange = exchange

    def on_frame(self, frame: wire.Frame) -> None:
        self._exchange.on_frame(frame)

    def on_failed(self, error: HttpError) -> None:
        self._exchange.fail(error)


def _head(route: wire.Route, status: int) -> bytes:
    """Return the head of a RESPONSE frame up to the value of its last field, Content-Length."""
    head = _heads.get((route, status))
    if head is None:
        parts = [_REASONS.get(status, b"")]
        for field in answer_fields(route, status):
            parts += field
        head = _heads[route, status] = b"\n".join((*parts, b"content-length", b""))
    return head
