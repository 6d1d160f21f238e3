"""What a request to the data plane asks for, and whether it may: all that is decided before a worker is called.

Used by `dataplane.front`, for requests over HTTP, and by `router.egress.databases`, for those of the node's own apps,
so that both answer alike. Every route exists as `/v1/{database}/…` and as bare `/v1/…`, where the token names the
database: for a database URL without a trailing slash, `@libsql/client` replaces the last segment and asks for
`/v1/v2/pipeline`. Knows nothing of SQL.
"""

import math
import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec

from dataplane.catalog import CatalogIndex
from dataplane.errors import HttpError
from dataplane.messages import Catalog, DatabaseLimits
from dataplane.throttle import Throttle
from dataplane.tokens import Access, TokenError
from dataplane.upstream import Upstream
from dataplane.wire import PRESERVE_ROWIDS, CallHead, Route

Field = tuple[bytes, bytes]

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
_KNOWN = frozenset((*_ROUTES, *_PROBES, "dump", "health", "version", "v1/jobs"))
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
_VERSION = f"brrrd {version('brrrd')}".encode()
_heads = msgspec.msgpack.Encoder()


class Target(NamedTuple):
    """What a path asks for. `database_id` None: bare form."""

    database_id: str | None
    endpoint: str


class Whole(NamedTuple):
    """An answer that needs no worker. A body of no bytes with status 204 has no Content-Length."""

    status: int
    fields: list[Field]
    """Without framing."""
    body: bytes


class Way(NamedTuple):
    """A call that a worker answers."""

    database_id: str
    route: Route
    head: bytes
    """Of the CALL frame."""
    upstream: Upstream
    body: bytes | None
    """Of the call; None: that of the request."""
    target: Target
    since: float
    """Unix time at which it was decided, …"""
    catalog: int
    """… and by which version of the catalog."""


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


def answer_fields(route: Route, status: int) -> list[Field]:
    """Return the fields of a worker's answer, without framing."""
    return [_TYPES.get(route, _JSON) if status == 200 else _JSON, *_CORS]


def refusal(error: HttpError) -> Whole:
    """Return the answer that tells an error."""
    fields = [_JSON, *_CORS]
    if error.status in (429, 503):
        fields.append((b"retry-after", b"%d" % math.ceil(error.retry_seconds)))
    elif error.status == 401:
        fields.append((b"www-authenticate", b"Bearer"))
    return Whole(error.status, fields, error.body())


def not_found() -> HttpError:
    """Return the error for what is none of the endpoints."""
    return HttpError(404, "NOT_FOUND", "There is no such endpoint")


def too_large() -> HttpError:
    """Return the error for a body over `MAX_BODY_BYTES`."""
    limit = MAX_BODY_BYTES >> 20
    return HttpError(413, "REQUEST_TOO_LARGE", f"The request body exceeds {limit} MiB: send it in several requests")


def bearer(fields: Iterable[Field]) -> str | None:
    """Return the token of the Authorization header (RFC 6750, section 2.1), or None."""
    for name, value in fields:
        if name == b"authorization":
            kind, _, token = value.partition(b" ")
            return token.strip().decode("latin-1") if kind.lower() == b"bearer" else None
    return None


class Endpoints:
    """The data plane as one process serves it: catalog, wrong tokens, ways to the workers."""

    def __init__(self, token_key: bytes) -> None:
        self.index = CatalogIndex(token_key)
        self._upstreams: dict[str, Upstream] = {}
        self._heads: dict[tuple[str, int, bool, str | None, DatabaseLimits | None], bytes] = {}
        self._throttle = Throttle()

    def __repr__(self) -> str:
        return f"<Endpoints {self.index!r} [{len(self._upstreams)} workers]>"

    def apply(self, catalog: Catalog) -> None:
        """Serve this catalog from now on."""
        self.index.apply(catalog)
        self._heads.clear()

    async def aclose(self) -> None:
        """Close the connections to the workers."""
        for upstream in self._upstreams.values():
            await upstream.aclose()

    def decide(
        self, method: str, path: str, query: bytes, fields: Iterable[Field], client: str, now: float
    ) -> Whole | Way:
        """Return what answers a request: this, or a worker. Raises `HttpError`.

        `path` is percent-decoded, `client` is whom wrong tokens are counted for, `now` is Unix time.
        """
        target = parse_path(path)
        if target is None or target.endpoint not in _KNOWN:
            raise not_found()
        if method == "OPTIONS":
            return Whole(204, _PREFLIGHT, b"")
        if method == "POST":
            route = _ROUTES.get(target.endpoint)
            if route is None:
                raise not_found()
            return self._way(target, route, fields, client, now)
        if method == "GET" and target.endpoint == "dump":
            return self._way(target, Route.DUMP, fields, client, now, _dump_options(query))
        if method in ("GET", "HEAD"):
            return _probe(target.endpoint)
        raise not_found()

    def in_force(self, way: Way, fields: Iterable[Field], client: str) -> Way:
        """Return `way` by the catalog of now, which may have changed while the body came. Raises `HttpError`.

        To be asked before every call: a body can take as long as its client likes, and a rotation or a suspension holds
        for what it has not sent yet. A token that has expired meanwhile is good for its request.
        """
        if way.catalog == self.index.version:
            return way
        return self._way(way.target, way.route, fields, client, way.since, way.body)

    def authorize(self, token: str | None, target: Target, client: str, now: float) -> Access:
        """Return what the token allows. Raises `HttpError`."""
        try:
            access = self.index.authorize(token, target.database_id, now)
        except TokenError as error:
            wait = self._throttle.failed(client, now) if token and not error.genuine else 0.0
            if wait:
                message = f"Too many wrong tokens from this address: try again in {math.ceil(wait)} s"
                raise HttpError(429, "TOO_MANY_FAILURES", message, retry_seconds=wait) from None
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None
        if access is None:
            raise HttpError(404, "DATABASE_NOT_FOUND", "The database does not exist, or this token is not for it")
        return access

    def call_head(self, access: Access) -> bytes:
        """Return the head of calls with this access."""
        database = access.database
        key = (database.database_id, database.epoch, access.read_only, database.blocked, database.limits)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = _heads.encode(CallHead(*key, self.index.version))
        return head

    def upstream(self, access: Access) -> Upstream:
        """Return the worker of the database."""
        path = access.database.worker_socket
        upstream = self._upstreams.get(path)
        if upstream is None:
            upstream = self._upstreams[path] = Upstream(path)
        return upstream

    def _way(
        self, target: Target, route: Route, fields: Iterable[Field], client: str, now: float, body: bytes | None = None
    ) -> Way:
        access = self.authorize(bearer(fields), target, client, now)
        head, upstream = self.call_head(access), self.upstream(access)
        return Way(access.database.database_id, route, head, upstream, body, target, now, self.index.version)


def _probe(endpoint: str) -> Whole:
    """Answer what clients ask to learn which versions there are; needs no token and tells nothing of databases."""
    if endpoint in _PROBES:
        return Whole(200, [_TEXT, *_CORS], _PROBES[endpoint])
    if endpoint == "health":
        return Whole(200, [_TEXT, *_CORS], b"")
    if endpoint == "version":
        return Whole(200, [_TEXT, *_CORS], _VERSION)
    if endpoint == "v1/jobs":
        # Old clients ask this to find out whether schema databases exist, and want this very error.
        return Whole(400, [_JSON, *_CORS], b'{"error":"Invalid namespace"}')
    raise not_found()


def _dump_options(query: bytes) -> bytes:
    """Return the body of a DUMP call: `?preserve_row_ids=true` is libsql-server's."""
    wanted = parse_qs(query).get(b"preserve_row_ids", [b""])[-1]
    return PRESERVE_ROWIDS if wanted in (b"1", b"true") else b""
