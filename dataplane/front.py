"""The data plane's HTTP endpoints: a plain ASGI application that edge workers mount for the database host.

It checks the token, passes the body on to the worker of the database as it came, and streams the answer back. It knows
nothing of SQL. Every route exists as `/v1/{database}/…` and as bare `/v1/…`, where the token names the database: for a
database URL without a trailing slash, `@libsql/client` replaces the last segment and asks for `/v1/v2/pipeline`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping, MutableSet
from importlib.metadata import version
from time import perf_counter, time
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec

from dataplane import compression, sockets
from dataplane.catalog import CatalogIndex
from dataplane.errors import HttpError
from dataplane.messages import Catalog
from dataplane.throttle import Throttle
from dataplane.tokens import Access, TokenError
from dataplane.upstream import Answer, Socket, Upstream
from dataplane.wire import PRESERVE_ROWIDS, CallHead, Route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OnResponse = Callable[[str, int, float], None]

MAX_BODY_BYTES = 64 << 20
CLIENT_GONE = 499
"""Status for the counters only, as nginx has it: nobody reads this answer."""

_DATABASE_ID = re.compile(r"db-[a-z2-7]{12}")
_ROUTES = {
    "v2/pipeline": Route.PIPELINE_V2,
    "v3/pipeline": Route.PIPELINE_V3,
    "v3/cursor": Route.CURSOR_V3,
    "v1/execute": Route.EXECUTE_V1,
    "v1/batch": Route.BATCH_V1,
    "v3-protobuf/pipeline": Route.PIPELINE_PROTOBUF,
    "v3-protobuf/cursor": Route.CURSOR_PROTOBUF,
    "": Route.LEGACY,
}
_PROBES = {"v1": b"Hello, this is HTTP API v1 (Hrana over HTTP)", "v2": b"Hello, this is HTTP API v2 (Hrana over HTTP)"}
_PROBES["v3"] = b"Hello, this is HTTP API v3 (Hrana over HTTP)"
_PROBES["v3-protobuf"] = b"Hello, this is HTTP API v3 with Protobuf (Hrana over HTTP)"
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*"),
)
_PREFLIGHT = [
    *_CORS,
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type, *"),
    (b"access-control-max-age", b"86400"),
]
# hrana-client compares the type exactly: no charset.
_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain")
_TYPES = {
    Route.CURSOR_V3: _TEXT,
    Route.DUMP: _TEXT,
    Route.PIPELINE_PROTOBUF: (b"content-type", b"application/x-protobuf"),
    Route.CURSOR_PROTOBUF: (b"content-type", b"application/octet-stream"),
}
"""Of answers with status 200; all others are JSON."""
_heads = msgspec.msgpack.Encoder()


class Target(NamedTuple):
    """What a path asks for. `database_id` None: bare form."""

    database_id: str | None
    endpoint: str


def parse_path(path: str) -> Target | None:
    """Return the target of a request path, or None if it is not one of the data plane's.

    The legacy forms `/v1/{database}` and `/v1/{database}/` have the empty endpoint.
    """
    if not path.startswith("/v1/") and path != "/v1":
        return None
    first, _, rest = path[4:].partition("/")
    if _DATABASE_ID.fullmatch(first):
        return Target(first, rest.strip("/"))
    return Target(None, path[4:].strip("/"))


class Departure:
    """Cancels an answer when its client leaves. Begins to watch after a while: a task for every call would cost too
    much.
    """

    AFTER_SECONDS = 0.1

    def __init__(self, answer: Answer, receive: Receive) -> None:
        self._answer = answer
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(self.AFTER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._answer.cancel()
        self._answer.fail(HttpError(CLIENT_GONE, "CLIENT_GONE", "The client went away"))

    def close(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


class DataPlane:
    """The ASGI application. `on_response(database_id, status, seconds)` is called after every authorised answer."""

    def __init__(self, public_db_url: str, token_key: bytes, on_response: OnResponse | None = None) -> None:
        self.public_db_url = public_db_url
        self._index = CatalogIndex(token_key)
        self._on_response = on_response
        self._upstreams: dict[str, Upstream] = {}
        self._heads: dict[tuple[str, int, bool, str | None], bytes] = {}
        self._sockets: MutableSet[sockets.ClientSocket] = set()
        self._throttle = Throttle()
        self._version = f"brrrd {version('brrrd')}".encode()

    def __repr__(self) -> str:
        return f"<DataPlane {self._index!r} [{len(self._upstreams)} workers, {len(self._sockets)} WebSockets]>"

    def apply(self, catalog: Catalog) -> None:
        """Serve this catalog from now on."""
        self._index.apply(catalog)
        self._heads.clear()
        for socket in self._sockets:
            access = socket.access
            if access is not None and self._index.database(access.database.database_id) != access.database:
                socket.end("The database was changed, or its tokens were replaced")

    async def aclose(self) -> None:
        """Close the connections to the workers."""
        for upstream in self._upstreams.values():
            await upstream.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        try:
            await self._serve(scope, receive, send)
        except HttpError as error:
            extra = [(b"retry-after", b"1")] if error.status in (429, 503) else []
            if error.status == 401:
                extra = [(b"www-authenticate", b"Bearer")]
            await _respond(send, error.status, error.body(), _JSON, extra)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        if method == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await send({"type": "http.response.body", "body": b""})
            return
        target = parse_path(scope["path"])
        if target is None:
            raise HttpError(404, "NOT_FOUND", "There is no such endpoint")
        if method == "GET" and target.endpoint == "dump":
            await self._call(target, Route.DUMP, scope, receive, send)
            return
        if method in ("GET", "HEAD"):
            await self._probe(target, send)
            return
        route = _ROUTES.get(target.endpoint)
        if route is None or method != "POST":
            raise HttpError(404, "NOT_FOUND", "There is no such endpoint")
        await self._call(target, route, scope, receive, send)

    async def _probe(self, target: Target, send: Send) -> None:
        """Answer what clients ask to learn which versions there are; needs no token and tells nothing of databases."""
        endpoint = target.endpoint
        if endpoint in _PROBES:
            await _respond(send, 200, _PROBES[endpoint], _TEXT)
        elif endpoint == "health":
            await _respond(send, 200, b"", _TEXT)
        elif endpoint == "version":
            await _respond(send, 200, self._version, _TEXT)
        elif endpoint == "v1/jobs":
            # Old clients ask this to find out whether schema databases exist, and want this very error.
            await _respond(send, 400, b'{"error":"Invalid namespace"}', _JSON)
        else:
            raise HttpError(404, "NOT_FOUND", "There is no such endpoint")

    def _authorize(self, token: str | None, target: Target, scope: Scope) -> Access:
        """Return what the token allows. Raises `HttpError`."""
        now = time()
        try:
            access = self._index.authorize(token, target.database_id, now)
        except TokenError as error:
            client = scope.get("client")
            wait = self._throttle.failed(client[0] if client else "", now) if token else 0.0
            if wait:
                message = f"Too many wrong tokens from this address: try again in {wait:.0f} s"
                raise HttpError(429, "TOO_MANY_FAILURES", message) from None
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None
        if access is None:
            raise HttpError(404, "DATABASE_NOT_FOUND", "The database does not exist, or this token is not for it")
        return access

    def _way(self, access: Access) -> tuple[bytes, Upstream]:
        """Return the head of a call to the database, and its worker."""
        database = access.database
        key = (database.database_id, database.epoch, access.read_only, database.blocked)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = _heads.encode(CallHead(*key))
        upstream = self._upstreams.get(database.worker_socket)
        if upstream is None:
            upstream = self._upstreams[database.worker_socket] = Upstream(database.worker_socket)
        return head, upstream

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket."""
        await receive()  # websocket.connect
        target = parse_path(scope["path"])
        subprotocol = sockets.choose(scope.get("subprotocols", []))
        if target is None or target.endpoint or subprotocol is None:
            known = "hrana1, hrana2, hrana3 or hrana3-protobuf"
            error = HttpError(404, "NOT_FOUND", "There is no such endpoint")
            if subprotocol is None:
                error = HttpError(400, "PROTOCOL_ERROR", f"None of the WebSocket subprotocols is {known}")
            await _deny(scope, send, error)
            return
        wanted: Target = target

        async def connect(access: Access, route: Route, version: int) -> Socket:
            head, upstream = self._way(access)
            return await upstream.open_socket(route, head, version)

        await send({"type": "websocket.accept", "subprotocol": subprotocol.name})
        socket = sockets.ClientSocket(
            subprotocol,
            receive,
            send,
            authorize=lambda token: self._authorize(token, wanted, scope),
            connect=connect,
        )
        self._sockets.add(socket)
        try:
            await socket.run()
        except OSError:
            pass  # the client is gone
        finally:
            self._sockets.discard(socket)

    async def _call(self, target: Target, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        access = self._authorize(_bearer(scope), target, scope)
        database = access.database
        head, upstream = self._way(access)
        status = CLIENT_GONE
        try:
            body = await _read_body(scope, receive)
            if route is Route.DUMP:
                body = _dump_options(scope)
            answer = await upstream.call(route, head, body)
            departure = Departure(answer, receive)
            try:
                first = await answer.piece()
                status = answer.status
                await _send_answer(answer, first, _TYPES.get(route, _JSON), scope, send)
            finally:
                departure.close()
                answer.cancel()
        except HttpError as error:
            status = error.status
            raise
        finally:
            if self._on_response is not None:
                self._on_response(database.database_id, status, perf_counter() - started)


async def _send_answer(
    answer: Answer, first: bytes, content_type: tuple[bytes, bytes], scope: Scope, send: Send
) -> None:
    headers = [content_type if answer.status == 200 else _JSON, *_CORS]
    compressor: compression.Compressor | None = None
    if len(first) >= compression.MIN_BYTES or not answer.finished:
        headers.append((b"vary", b"accept-encoding"))
        if (chosen := compression.accepted(scope["headers"])) is not None:
            coding, compressor = chosen
            headers.append((b"content-encoding", coding))

    async def encoded(data: bytes) -> bytes:
        if compressor is None:
            return data
        if len(data) < compression.ASIDE_BYTES:
            return compressor.compress(data, last=answer.finished)
        return await asyncio.to_thread(compressor.compress, data, last=answer.finished)

    data = await encoded(first)
    if answer.finished:
        headers.append((b"content-length", b"%d" % len(data)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    while not answer.finished:
        await send({"type": "http.response.body", "body": data, "more_body": True})
        try:
            data = await encoded(await answer.piece())
        except HttpError as error:
            # The head is out: only a broken connection tells the client that the answer is not complete.
            raise ConnectionAbortedError(str(error)) from None
    await send({"type": "http.response.body", "body": data})


async def _respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: tuple[bytes, bytes],
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    headers = [content_type, *_CORS, (b"content-length", b"%d" % len(body)), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _deny(scope: Scope, send: Send, error: HttpError) -> None:
    """Refuse a WebSocket handshake, with an answer where the server can (ASGI's denial response)."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": sockets.VIOLATION})
        return
    headers = [_JSON, (b"content-length", b"%d" % len(error.body()))]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error.body()})


def _dump_options(scope: Scope) -> bytes:
    """Return the body of a DUMP call: `?preserve_row_ids=true` is libsql-server's."""
    wanted = parse_qs(scope.get("query_string", b"")).get(b"preserve_row_ids", [b""])[-1]
    return PRESERVE_ROWIDS if wanted in (b"1", b"true") else b""


def _bearer(scope: Scope) -> str | None:
    """Return the token of the Authorization header (RFC 6750, section 2.1), or None."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, token = value.partition(b" ")
            return token.strip().decode("latin-1") if kind.lower() == b"bearer" else None
    return None


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the request body. Raises `HttpError` 413, or `ConnectionAbortedError` if the client is gone."""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > MAX_BODY_BYTES:
            raise _too_large()
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))
    pieces: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError("the client went away")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()


def _too_large() -> HttpError:
    limit = MAX_BODY_BYTES >> 20
    return HttpError(413, "REQUEST_TOO_LARGE", f"The request body exceeds {limit} MiB: send it in several requests")
