"""Header fields of outbound requests and their responses. Pure.

Fields come as `isolates.wire` heads: latin-1, joined by line feeds, names in lower case. An isolate host is not trusted
here, so that names and values are checked before they reach a connection that others use too.
"""

import re
from collections.abc import Sequence

from router.egress.destination import Destination, parse
from router.egress.errors import EgressError

Fields = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
"""RFC 9110 section 7.6.1: for one connection only, in both directions."""

_SET_HERE = HOP_BY_HOP | {b"host", b"content-length", b"expect", b"proxy-authorization", b"http2-settings"}
_FORWARDING = frozenset((b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id"))
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_FORBIDDEN_METHODS = frozenset((b"CONNECT", b"TRACE", b"TRACK"))
"""WHATWG Fetch, "forbidden method"."""

_known_names: set[bytes] = set()
_MAX_KNOWN_NAMES = 2048

ACCEPTED_CODINGS = b"gzip, deflate, br, zstd"


class Request:
    """What a REQUEST frame asks for, checked. Field names are in lower case."""

    __slots__ = ("destination", "fields", "length", "method")

    def __init__(self, method: bytes, destination: Destination, fields: Fields, length: int | None) -> None:
        self.method = method
        self.destination = destination
        self.fields = fields
        """End-to-end fields only; Host, Content-Length and everything hop-by-hop are set where it is sent."""
        self.length = length
        """Bytes of body, None when only the end of the stream will tell."""

    def __repr__(self) -> str:
        return f"<Request {self.method.decode()} {self.destination.scheme}://{self.destination.authority.decode()}>"


_HANDSHAKE = frozenset(
    (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-accept")
)


def upgrade_request(head: bytes, key: bytes) -> tuple[Request, bytes]:
    """As `request`, for a WebSocket: with the fields of its handshake (RFC 6455 section 4.1). Raises `EgressError`."""
    plain, request_id = request(head, b"", True)
    if plain.method != b"GET":
        raise EgressError("protocol", "a WebSocket is asked for with GET")
    fields = [field for field in plain.fields if field[0] not in _HANDSHAKE]
    fields += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    fields += [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", key)]
    return Request(plain.method, plain.destination, fields, plain.length), request_id


def request(head: bytes, data: bytes, end: bool) -> tuple[Request, bytes]:
    """Return what a REQUEST frame asks for, and its request id. Raises `EgressError` (protocol)."""
    parts = head.split(b"\n")
    if len(parts) < 3 or not len(parts) % 2 or b"\r" in head or b"\0" in head:
        raise EgressError("protocol", "the request's header fields are malformed")
    method = parts[0]
    if not _METHOD.fullmatch(method) or method.upper() in _FORBIDDEN_METHODS:
        raise EgressError("protocol", "this method cannot be fetched")
    destination = parse(parts[1])
    fields: list[tuple[bytes, bytes]] = []
    declared: bytes | None = None
    for index in range(3, len(parts), 2):
        name, value = parts[index], parts[index + 1]
        if name not in _known_names:
            _check_name(name)
        if name == b"content-length":
            declared = value
        elif name not in _SET_HERE:
            fields.append((name, value))
    return Request(method, destination, fields, _length(declared, data, end)), parts[2]


def _check_name(name: bytes) -> None:
    if not _TOKEN.fullmatch(name):
        raise EgressError("protocol", "a request header's name is not a lower-case token")
    if len(_known_names) < _MAX_KNOWN_NAMES:
        _known_names.add(name)


def _length(declared: bytes | None, data: bytes, end: bool) -> int | None:
    """A body that is whole has the length it has; for a stream its Content-Length is believed, and checked later."""
    if end:
        return len(data)
    if declared is None:
        return None
    if not declared.isdigit() or len(declared) > 18 or int(declared) < len(data):
        raise EgressError("protocol", "the request's Content-Length is wrong")
    return int(declared)


def public_head(request: Request) -> bytes:
    """Return the head of a request that leaves the node, as HTTP/1.1."""
    return _head(request, _public_fields(request))


def public_fields(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the head of a request that leaves the node, as HTTP/2 has it (RFC 9113 section 8.3.1)."""
    destination = request.destination
    return [
        (b":method", request.method),
        (b":scheme", destination.scheme.encode()),
        (b":authority", destination.authority),
        (b":path", destination.target),
        *_public_fields(request),
        *(field for field in _framing(request) if field[0] == b"content-length"),
    ]


def _public_fields(request: Request) -> list[tuple[bytes, bytes]]:
    fields = list(request.fields)
    names = {name for name, _ in request.fields}
    for name, value in (
        (b"accept", b"*/*"),
        (b"accept-encoding", b"identity" if b"range" in names else ACCEPTED_CODINGS),
        (b"user-agent", b"brrrd"),
    ):
        if name not in names:
            fields.append((name, value))
    return fields


def local_head(request: Request, request_id: bytes) -> bytes:
    """Return the head of a request to this node's own edge, as HTTP/1.1.

    What an app says about a client in front of it is left out: between app and edge there is none. Compressing for a
    Unix socket would be work for nothing.
    """
    fields = [field for field in request.fields if field[0] not in _FORWARDING and field[0] != b"accept-encoding"]
    if request.destination.scheme == "https":
        fields.append((b"x-forwarded-proto", b"https"))
    if request_id:
        fields.append((b"x-request-id", request_id))
    return _head(request, fields)


def _head(request: Request, fields: Fields) -> bytes:
    destination = request.destination
    lines = [b"%b %b HTTP/1.1\r\nhost: %b" % (request.method, destination.target, destination.authority)]
    lines += [b"%b: %b" % field for field in fields]
    lines += [b"%b: %b" % field for field in _framing(request)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _framing(request: Request) -> list[tuple[bytes, bytes]]:
    if request.length is None:
        return [(b"transfer-encoding", b"chunked")]
    # RFC 9110 section 8.6: a method that expects content says so even without any.
    if request.length or request.method in (b"POST", b"PUT", b"PATCH"):
        return [(b"content-length", b"%d" % request.length)]
    return []


def has_body(method: bytes, status: int) -> bool:
    """Tell whether a final response can have a body (RFC 9112 section 6.3)."""
    return method != b"HEAD" and status not in (204, 304)


def codings(fields: Fields) -> list[str]:
    """Return the response's content codings in the order they were applied, "identity" left out."""
    values = [value for name, value in fields if name == b"content-encoding"]
    if not values:
        return []
    listed = b",".join(values).decode("latin-1").lower().split(",")
    return [coding for part in listed if (coding := part.strip()) not in ("", "identity")]


def without_coding(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Return the fields of a response whose body has been decoded: its coded length says nothing any more."""
    return [field for field in fields if field[0] not in (b"content-encoding", b"content-length")]
