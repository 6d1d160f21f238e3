"""Header fields on their way through the edge, both directions, as pure functions.

Towards the app: hop-by-hop fields go (RFC 9110 §7.6.1, those that Connection lists too), and what tells the app about
the client (X-Forwarded-For/-Proto/-Host, Forwarded, X-Request-Id) follows one rule of trust:

    a peer within `trusted_proxies`   what it sent is kept and extended; its X-Forwarded-Proto is the URL's scheme
    the egress process (Unix socket)  the same: it sends what an app may not, and knows which scheme the app asked for
    any other peer                    what it sent is dropped and replaced by what the edge itself knows

Towards the client: hop-by-hop fields go, framing fields are checked, every other field keeps its order and duplicates.
Heads are in the form of `isolates.wire`: fields joined by a line feed.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

Headers = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)
FORWARDING = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-request-id"))
# A Connection header may not take these away: the request would change its meaning (RFC 9110 §7.6.1, last note).
_NEVER_LISTED = frozenset((b"host", b"content-length", b"content-type", b"cookie", b"authorization"))
_PLAIN_CONNECTION = frozenset((b"keep-alive", b"Keep-Alive", b"close"))
WITHHELD = HOP_BY_HOP | FORWARDING
"""Request fields that do not simply pass."""

UPGRADE_FIELDS = b"\nconnection\nUpgrade\nupgrade\nwebsocket"
"""What hop-by-hop fields an app sees of such a request."""

BODILESS = frozenset((204, 205, 304))
"""Statuses whose responses have no body."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_QUOTED_PLAIN = re.compile(rb"[A-Za-z0-9.!#$%&'*+^_`|~-]+")


class Trust:
    """Which peers' forwarding headers are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)

    def __repr__(self) -> str:
        return f"<Trust {', '.join(map(str, self._networks)) or 'nobody'}>"

    def covers(self, address: str) -> bool:
        """Whether `address` (as the socket gives it) is trusted: a Unix socket's ``""``, or in one of the networks.

        Only the egress process can connect to an edge worker's Unix socket.
        """
        if not address:
            return True
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


class Peer:
    """The other end of one client connection, as forwarding headers describe it."""

    __slots__ = ("_host", "_suffix", "address", "scheme", "trusted")

    def __init__(self, address: str, trusted: bool, scheme: str = "http") -> None:
        # A Unix socket has no address: its client is an app on this node.
        self.address = (address or "127.0.0.1").encode("ascii", "replace")
        self.trusted = trusted
        self.scheme = scheme.encode("ascii", "replace")
        self._host: bytes | None = None
        self._suffix = b""

    def __repr__(self) -> str:
        return f"<Peer {self.address.decode()}{' trusted' if self.trusted else ''} {self.scheme.decode()}>"

    def element(self, host: bytes) -> bytes:
        """Return this hop as an element of Forwarded (RFC 7239 §4)."""
        node = b'"[%b]"' % self.address if b":" in self.address else self.address
        return b"for=%b;host=%b;proto=%b" % (node, _quoted(host), self.scheme)

    def own_fields(self, host: bytes) -> bytes:
        """Return the forwarding fields for a request of an untrusted peer. Nearly always as for the one before."""
        if host != self._host:
            self._suffix = b"\n".join(
                (
                    *(b"x-forwarded-for", self.address),
                    *(b"x-forwarded-proto", self.scheme),
                    *(b"x-forwarded-host", host),
                    *(b"forwarded", self.element(host)),
                )
            )
            self._host = host
        return self._suffix


def _quoted(value: bytes) -> bytes:
    if _QUOTED_PLAIN.fullmatch(value):
        return value
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def field_value(headers: Headers, name: bytes) -> bytes:
    """Return the value of the first field of that name (lower case); empty without one."""
    return next((value for key, value in headers if key == name), b"")


def split(headers: Headers) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Return a request's fields as `request_head` takes them: those that pass, name and value in turn, and the rest."""
    fields: list[bytes] = []
    withheld: list[tuple[bytes, bytes]] = []
    for header in headers:
        if header[0] in WITHHELD:
            withheld.append(header)
        else:
            fields += header
    return fields, withheld


def request_head(
    method: bytes, target: bytes, host: bytes, fields: list[bytes], withheld: Headers, peer: Peer, request_id: bytes
) -> bytes:
    """Return the head of a REQUEST frame.

    `target` is the raw path with its query, `host` the Host header as received, `fields` and `withheld` are from
    `split`, names in lower case.
    """
    if withheld:
        listed = _listed(withheld)
        if listed:
            fields = _without(fields, listed)
    if fields.count(b"cookie") > 1:
        fields = _with_one_cookie(fields)
    if peer.trusted:
        return _trusted_head(method, target, host, fields, withheld, peer, request_id)
    url = b"%b://%b%b" % (peer.scheme, host, target)
    return b"\n".join((method, url, request_id, *fields, peer.own_fields(host), b"x-request-id", request_id))


def _trusted_head(
    method: bytes, target: bytes, host: bytes, fields: list[bytes], withheld: Headers, peer: Peer, request_id: bytes
) -> bytes:
    brought: dict[bytes, bytes] = {}
    for name, value in withheld:
        if name in FORWARDING:
            brought[name] = brought[name] + b", " + value if name in brought else value
    scheme = brought.get(b"x-forwarded-proto", b"").partition(b",")[0].strip().lower()
    if scheme not in (b"http", b"https"):
        scheme = peer.scheme
    own = (
        *(b"x-forwarded-for", _extended(brought.get(b"x-forwarded-for"), peer.address)),
        *(b"x-forwarded-proto", scheme),
        *(b"x-forwarded-host", brought.get(b"x-forwarded-host", host)),
        *(b"forwarded", _extended(brought.get(b"forwarded"), peer.element(host))),
        *(b"x-request-id", request_id),
    )
    return b"\n".join((method, scheme + b"://" + host + target, request_id, *fields, *own))


def _extended(before: bytes | None, own: bytes) -> bytes:
    return before + b", " + own if before else own


def _listed(withheld: Headers) -> set[bytes]:
    """Return the fields that Connection lists, apart from its own options and what it may not take away."""
    names: set[bytes] = set()
    for name, value in withheld:
        if name == b"connection" and value not in _PLAIN_CONNECTION:
            names |= {option.strip() for option in value.lower().split(b",")}
    return names - _NEVER_LISTED


def _without(fields: list[bytes], names: AbstractSet[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name not in names:
            kept += (name, value)
    return kept


def _with_one_cookie(fields: list[bytes]) -> list[bytes]:
    """Join cookies that came in several fields, as HTTP/2 clients send them, by "; " (RFC 9113 §8.2.3): an app would
    see them joined by a comma, which belongs to a cookie's value."""
    cookies = [value for name, value in zip(fields[::2], fields[1::2], strict=True) if name == b"cookie"]
    if len(cookies) < 2:
        return fields
    return [*_without(fields, {b"cookie"}), b"cookie", b"; ".join(cookies)]


class BadResponseError(Exception):
    """The host sent a response head that cannot be passed on. The client gets 502."""


# Response fields by name: True is passed on, False is not. Grows with the names that apps use, up to a bound.
_RESPONSE_NAMES = dict.fromkeys(HOP_BY_HOP | {b"x-request-id", b"content-length"}, False)
_MAX_REMEMBERED_NAMES = 2048


class ResponseHead:
    """A RESPONSE frame's head, ready to be passed on.

    `reason` may be empty; `fields` are name and value in turn, without hop-by-hop fields, Content-Length and
    X-Request-Id (the edge sets those); `length` is the Content-Length that the app gave, -1 without one.
    """

    __slots__ = ("fields", "length", "reason")

    def __init__(self, head: bytes) -> None:
        """Raises `BadResponseError`."""
        if b"\r" in head or b"\0" in head:
            raise BadResponseError("a response head holds a control character")
        parts = head.split(b"\n")
        self.reason = parts[0]
        if not len(parts) & 1:
            raise BadResponseError("a response head holds a header without a value")
        self.length = -1
        hop_by_hop: frozenset[bytes] = frozenset()
        fields: list[bytes] = []
        self.fields = fields
        known = _RESPONSE_NAMES
        iterator = iter(parts)
        next(iterator)
        for name in iterator:
            value = next(iterator)
            passed = known.get(name)
            if passed is None:
                passed = _learn(name)
            if passed:
                fields += (name, value)
            elif name == b"content-length":
                self.length = _length(value, self.length)
            elif name == b"connection":
                hop_by_hop |= _listed([(name, value)])
        if hop_by_hop:
            self.fields = _without(fields, hop_by_hop)

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Return `fields` as ASGI wants them."""
        return list(zip(self.fields[::2], self.fields[1::2], strict=True))


def _learn(name: bytes) -> bool:
    if not _TOKEN.fullmatch(name):
        raise BadResponseError("a response header's name is not a lower-case token")
    if len(_RESPONSE_NAMES) < _MAX_REMEMBERED_NAMES:
        _RESPONSE_NAMES[name] = True
    return True


def _length(value: bytes, before: int) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BadResponseError("a response has an invalid Content-Length")
    length = int(value)
    if before not in (-1, length):
        raise BadResponseError("a response has two different Content-Lengths")
    return length
