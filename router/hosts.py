"""Host names: the Host header in one canonical form, and the lookup by exact or wildcard name.

Used by the edge application for every request; must stay free of I/O. The grammar is RFC 9110 §7.2 (Host is
`uri-host [":" port]`), names beyond ASCII follow UTS 46 / IDNA 2008.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Generic, TypeVar

import idna

Target = TypeVar("Target")

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PORT = re.compile(r"[0-9]{0,5}", re.ASCII)
MAX_NAME_BYTES = 253


class BadHostError(ValueError):
    """The Host header is missing, malformed, or names something no host table can hold."""


def normalise(raw: bytes) -> str:
    """Return the name in a Host header value: lower case, A-labels, without port and trailing dot.

    Raises `BadHostError`. An IPv6 literal keeps its brackets and is compressed, `[::1]`.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadHostError("the Host header is not text") from None
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadHostError("the Host header has an unfinished IPv6 address")
        _check_port(rest[1:])
        return _ipv6(literal)
    name, _, port = text.partition(":")
    _check_port(port)
    if name.endswith("."):
        name = name[:-1]
    name = name.lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise BadHostError("the Host header is not a valid international name") from None
    if len(name) > MAX_NAME_BYTES or not _NAME.fullmatch(name):
        raise BadHostError("the Host header is not a host name")
    return name


def authority(raw: bytes) -> bytes:
    """Return a Host header value for use in a URL: as it is, unless its name has to become A-labels first."""
    if raw.isascii():
        return raw
    _, colon, port = raw.partition(b":")
    return normalise(raw).encode() + colon + port


def _check_port(port: str) -> None:
    if not _PORT.fullmatch(port) or int(port or 0) > 65535:
        raise BadHostError("the Host header has an invalid port")


def _ipv6(literal: str) -> str:
    try:
        address = ipaddress.IPv6Address(literal)
    except ValueError:
        raise BadHostError("the Host header has an invalid IPv6 address") from None
    if address.scope_id is not None:
        raise BadHostError("the Host header has an IPv6 address with a zone")
    return f"[{address.compressed}]"


ASSETS_HOST = "assets.internal"
"""Where an app's code finds its own static files, through the egress process. `.internal` is nobody's domain."""


def assets_name(app_id: str) -> str:
    """Return the host name that leads to the static files of an app and to nothing else of it.

    It protects nothing: the same files are at the app's own names.
    """
    return f"{app_id}.{ASSETS_HOST}"


def find(names: Mapping[str, Target], host: str) -> Target | None:
    """Return what `host` (canonical) leads to: the exact name first, then `*.` for its first label.

    A wildcard stands for exactly one label, as in certificates (RFC 9525 §6.3), so that the lookup is two probes.
    """
    target = names.get(host)
    if target is None:
        _, dot, parent = host.partition(".")
        if dot:
            target = names.get("*." + parent)
    return target


class HostCache(Generic[Target]):
    """Remembers what raw Host header values led to, between two changes of the table.

    Nearly all requests repeat a few spellings, for which this is one dictionary probe. Bounded: when full, it forgets
    everything, which costs an attacker's made-up names nothing more than a miss each.
    """

    def __init__(self, names: Mapping[str, Target], limit: int = 4096) -> None:
        self._names = names
        self._limit = limit
        self._known: dict[bytes, Target | None] = {}

    def __repr__(self) -> str:
        return f"<HostCache {len(self._names)} names, {len(self._known)} spellings>"

    def find(self, raw: bytes) -> Target | None:
        """Return the target of a raw Host header value. Raises `BadHostError`."""
        try:
            return self._known[raw]
        except KeyError:
            target = find(self._names, normalise(raw))
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[raw] = target
        return target
