"""The edge as a plain ASGI application: every request of every listener begins here.

    data plane's names   the data plane's own ASGI application
    an app's name        a static file, else the app's isolate host, else 404
    any other name       404

It runs under any ASGI server. `router.server` takes a shorter way for the common case, an app that answers from its
host (`router.exchanges.HostExchange`), and shares all decisions with what is here.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from artifacts.index import Asset
from isolates import wire
from router import asgi_socket, assets
from router.dispatch import DataHost, Dispatcher, Route
from router.errors import EdgeError
from router.headers import (
    BODILESS,
    UPGRADE_FIELDS,
    BadResponseError,
    Headers,
    Peer,
    ResponseHead,
    Trust,
    field_value,
    request_head,
    split,
)
from router.hosts import BadHostError, authority
from router.refusals import MOST_ATTEMPTS, UNSEEN, lost, refusal
from router.request_ids import RequestIds, acceptable
from router.stream import Loss, Stream

log = logging.getLogger("router.app")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

REFUSED_METHODS = frozenset(("CONNECT", "TRACE"))
UNREADABLE_FILE = "A file of this app cannot be read."


class Edge:
    """The ASGI application of one edge worker.

    `data_plane` answers for the data plane's names. Bodies of requests to apps are bounded by `max_body_bytes` and by
    the app's own limit, heads by `max_head_bytes`.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        data_plane: ASGIApp,
        *,
        trusted_proxies: list[str],
        max_body_bytes: int,
        max_head_bytes: int,
    ) -> None:
        self.dispatcher = dispatcher
        self.max_body_bytes = max_body_bytes
        self.max_head_bytes = max_head_bytes
        self.trust = Trust(trusted_proxies)
        self.data_plane = data_plane
        self._ids = RequestIds()
        self.files = assets.SmallFiles()

    def __repr__(self) -> str:
        return f"<Edge {self.dispatcher!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    def peer(self, address: str, scheme: str = "http") -> Peer:
        """Describe the client at `address` ("" on a Unix socket); once per connection where the server can."""
        return Peer(address, self.trust.covers(address), scheme)

    def request_id(self, headers: Headers, peer: Peer) -> bytes:
        """Return the id of a request: the one a trusted proxy brought if it will do, else a new one."""
        if peer.trusted:
            brought = field_value(headers, b"x-request-id")
            if acceptable(brought):
                return brought
        return self._ids.new()

    def is_for_data_plane(self, headers: Headers) -> bool:
        """Whether the data plane answers a request with these headers."""
        try:
            return isinstance(self._target("GET", headers), DataHost)
        except EdgeError:
            return False

    def body_limit(self, route: Route) -> int:
        """Return how many bytes of body a request to this app may have."""
        return min(self.max_body_bytes, route.app.max_body_bytes)

    def body_too_large(self, route: Route) -> EdgeError:
        """Return the error for a request whose body is over that, and count it."""
        route.counters.over("max_body_bytes")
        return EdgeError(413, code="max_body_bytes")

    def head(self, method: bytes, scope: Scope, peer: Peer, request_id: bytes) -> bytes:
        """Return the head of a request for an app's host. Raises `EdgeError` if it is too large."""
        headers: Headers = scope["headers"]
        fields, withheld = split(headers)
        path, query = _raw_path(scope), scope["query_string"]
        target = path + b"?" + query if query else path
        host = authority(field_value(headers, b"host"))
        head = request_head(method, target, host, fields, withheld, peer, request_id)
        if len(head) > self.max_head_bytes:
            raise EdgeError(431)
        return head

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        peer = self.peer(client[0] if client else "", scope.get("scheme", "http"))
        headers: Headers = scope["headers"]
        request_id = self.request_id(headers, peer)
        began = time.monotonic()
        target: Route | DataHost | None = None
        try:
            target = self._target(scope["method"], headers)
            if isinstance(target, DataHost):
                await self.data_plane(scope, receive, send)
            else:
                await self._app(target, scope, peer, request_id, receive, send)
        except EdgeError as error:
            if isinstance(target, Route):
                target.counters.observe(error.status, time.monotonic() - began)
            await _send_whole(send, scope["method"], *error.answer(field_value(headers, b"accept"), request_id))

    def _target(self, method: str, headers: Headers) -> Route | DataHost:
        """Return what answers. Raises `EdgeError`."""
        if method in REFUSED_METHODS:
            raise EdgeError(405)
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1:
            raise EdgeError(400, "A request needs exactly one Host header.")
        try:
            target = self.dispatcher.find(hosts[0])
        except BadHostError as error:
            raise EdgeError(400, f"The request cannot be routed: {error}.") from None
        if target is None:
            raise EdgeError(404, "No app is deployed at this host name.", code="unknown_host")
        return target

    async def _app(
        self, route: Route, scope: Scope, peer: Peer, request_id: bytes, receive: Receive, send: Send
    ) -> None:
        method: str = scope["method"]
        if route.app.unavailable is not None:
            raise EdgeError(503, route.app.unavailable, code="unavailable", retry_after=60)
        if route.assets is not None:
            asset = route.assets.find(_raw_path(scope).decode("latin-1"))
            if asset is not None and method in ("GET", "HEAD"):
                await self._file(route, asset, scope, request_id, send)
                return
            if asset is not None and not route.app.has_worker:
                raise EdgeError(405)
        if not route.app.has_worker:
            raise EdgeError(404)
        await _Exchange(self, route, scope, peer, request_id).run(receive, send)

    async def _file(self, route: Route, asset: Asset, scope: Scope, request_id: bytes, send: Send) -> None:
        began = time.monotonic()
        method, query = scope["method"], scope["query_string"]
        found = assets.answer(asset, route.app.directory, method, scope["headers"], query)
        fields = [*found.fields, (b"x-request-id", request_id)]
        async with aclosing(assets.chunks(found.path, found.offset, found.length)) as pieces:
            try:
                small = asset.size <= assets.SMALL_BYTES or not found.length
                first = self.files.part(found) if small else await anext(pieces)
            except OSError as error:
                log.error("static file of build %s: %s", route.app.build_id, error)
                raise EdgeError(500, UNREADABLE_FILE) from None
            route.counters.observe(found.status, time.monotonic() - began)
            if small:
                await _send_whole(send, method, found.status, fields, first)
                return
            await send({"type": "http.response.start", "status": found.status, "headers": fields})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As `_http`, for a WebSocket."""
        client, headers = scope.get("client"), scope["headers"]
        # ASGI names the WebSocket's scheme; apps see the request that it began as.
        scheme = "https" if scope.get("scheme") == "wss" else "http"
        peer = self.peer(client[0] if client else "", scheme)
        request_id = self.request_id(headers, peer)
        try:
            target = self._target("GET", headers)
            if isinstance(target, DataHost):
                await self.data_plane(scope, receive, send)
                return
            if target.app.unavailable is not None:
                raise EdgeError(503, target.app.unavailable, code="unavailable", retry_after=60)
            if not target.app.has_worker:
                raise EdgeError(404)
            head = self.head(b"GET", scope, peer, request_id) + UPGRADE_FIELDS
            await asgi_socket.serve(self.dispatcher, target, head, scope, receive, send, request_id)
        except EdgeError as error:
            await asgi_socket.deny(send, scope, *error.answer(field_value(headers, b"accept"), request_id))


class _Exchange(Stream):
    """One request to an app's host through ASGI: the link's callbacks become events for one coroutine."""

    def __init__(self, edge: Edge, route: Route, scope: Scope, peer: Peer, request_id: bytes) -> None:
        self._edge = edge
        self._route = route
        self._scope = scope
        self._peer = peer
        self._request_id = request_id
        self._events: deque[tuple[str, Any]] = deque()
        self._happened = asyncio.Event()
        self._more_wanted = asyncio.Event()
        self._received = 0
        self._may_retry = False
        """The request went out as a whole, in one frame."""

    async def run(self, receive: Receive, send: Send) -> None:
        """Carry the request to its end. Raises `EdgeError` as long as no response began."""
        route, dispatcher = self._route, self._edge.dispatcher
        began = time.monotonic()
        limit = self._edge.body_limit(route)
        declared = field_value(self._scope["headers"], b"content-length")
        if declared.isdigit() and int(declared) > limit:
            raise self._edge.body_too_large(route)
        head = self._edge.head(self._scope["method"].encode(), self._scope, self._peer, self._request_id)
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        for attempt in range(1, MOST_ATTEMPTS + 1):
            link = dispatcher.pick(route) or await dispatcher.wait_for_link(route)
            body, more = first.get("body", b""), first.get("more_body", False)
            whole = not more and len(body) <= wire.MAX_DATA_BYTES and len(body) <= limit
            self._may_retry = whole and attempt < MOST_ATTEMPTS
            self.window = wire.WINDOW_BYTES
            link.open(self, head, body if whole else b"", whole, time.monotonic())
            upload = asyncio.create_task(self._upload(None if whole else first, limit, receive))
            try:
                if await self._respond(began, send):
                    return
            finally:
                upload.cancel()
                self.cancel("client gone")

    async def _upload(self, first: Message | None, limit: int, receive: Receive) -> None:
        """Pass the body on, if it was not sent yet, then watch for the client's leaving."""
        message = first or await receive()
        while message["type"] == "http.request":
            body, end = message.get("body", b""), not message.get("more_body", False)
            self._received += len(body)
            if self._received > limit:
                self._happen("error", self._edge.body_too_large(self._route))
                return
            self._more_wanted.clear()
            if not self.send_body(body, end) and not end:
                await self._more_wanted.wait()
            message = await receive()
        self._happen("gone", None)

    async def _respond(self, began: float, send: Send) -> bool:
        """Pass the response on. False: the host did not get to the request, so that another one may have it."""
        counters = self._route.counters
        kind, detail = await self._next()
        if kind == "unseen":
            return False
        if kind == "gone":
            counters.observe(499, time.monotonic() - began)
            return True
        if kind == "error":
            raise detail
        status, head, data, end = detail
        counters.observe(status, time.monotonic() - began)
        fields = head.pairs()
        bodiless = self._scope["method"] == "HEAD" or status in BODILESS
        if head.length >= 0 and status not in (204, 205):
            fields.append((b"content-length", b"%d" % head.length))
        elif end and not bodiless:
            fields.append((b"content-length", b"%d" % len(data)))
        fields.append((b"x-request-id", self._request_id))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        if bodiless:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return True
        while True:
            await send({"type": "http.response.body", "body": data, "more_body": not end})
            if end:
                return True
            self.consumed(len(data))
            kind, detail = await self._next()
            if kind == "placed":
                await self._send_placed(detail, send)
                return True
            if kind != "data":
                # Returning in mid-response makes the server break the connection: the client sees a truncated body.
                return True
            data, end = detail

    async def _send_placed(self, body: memoryview, send: Send) -> None:
        """Pass a body on from the host's memory, as long as nothing happens that makes it worthless."""
        for at in range(0, len(body), wire.MAX_DATA_BYTES):
            if self._events:
                return
            piece, more = bytes(body[at : at + wire.MAX_DATA_BYTES]), at + wire.MAX_DATA_BYTES < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
        self.taken()

    async def _next(self) -> tuple[str, Any]:
        while not self._events:
            self._happened.clear()
            await self._happened.wait()
        return self._events.popleft()

    def _happen(self, kind: str, detail: Any) -> None:
        self._events.append((kind, detail))
        self._happened.set()

    # Stream

    def on_response(self, status: int, head: bytes, data: bytes, end: bool) -> None:
        self._begin(status, head, data, end, len(data) if end else -1)

    def on_placed(self, status: int, head: bytes, body: memoryview) -> None:
        self._begin(status, head, b"", False, len(body))
        if self.link is not None:
            self._happen("placed", body)

    def _begin(self, status: int, head: bytes, data: bytes, end: bool, size: int) -> None:
        """The head came; `size` is that of the whole body, as far as it is known."""
        try:
            if not 200 <= status <= 599:
                raise BadResponseError(f"status {status}")
            parsed = ResponseHead(head)
            if size >= 0 and self._scope["method"] != "HEAD" and status not in BODILESS:
                parsed.length = size
        except BadResponseError as error:
            log.warning("request %s: %s", self._request_id.decode("latin-1"), error)
            self.cancel("bad response")
            self._happen("error", EdgeError(502))
        else:
            self._happen("response", (status, parsed, data, end))

    def on_data(self, data: bytes, end: bool) -> None:
        self._happen("data", (data, end))

    def on_refused(self, status: int, code: str, detail: str) -> None:
        if code in UNSEEN and self._may_retry:
            self._happen("unseen", None)
        else:
            self._happen("error", refusal(status, code, detail))

    def on_lost(self, loss: Loss) -> None:
        self._happen("error", lost(loss))
        # Of what is in the host's memory no more is copied from here on, however long the client takes for what was.
        self.cancel("deadline" if loss is Loss.DEADLINE else "ended")

    def on_window(self) -> None:
        self._more_wanted.set()


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/%:@!$&'()*+,;=~-._").encode()
    return raw


async def _send_whole(send: Send, method: str, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
