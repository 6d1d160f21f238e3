"""Where a request's URL leads: to one of this node's own names, or out. Pure.

Called by `router.egress.connection` for every REQUEST. The URL comes from an isolate host, which may be under an app's
control: everything is checked again here, whatever the platform's own URL parser has done.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from router.egress.errors import EgressError
from router.hosts import BadHostError, normalise

_URL = re.compile(rb"(https?)://([^/?#\\]+)([/?][^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_TARGET = re.compile(rb"[!-~]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


# "Bad ports" of the Fetch standard (section 2.9): services that take a request for something else, such as mail.
_BAD_PORTS = frozenset(
    (
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109),
        *(110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530),
        *(531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045),
        *(4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)


class Destination(NamedTuple):
    """A checked absolute http(s) URL in parts."""

    scheme: str
    host: str
    """Lower case, A-labels, no trailing dot; an IPv6 address without brackets."""
    port: int
    authority: bytes
    """As the Host header has it: the port only where the URL has one."""
    target: bytes
    """Path and query, percent-encoded, at least "/"."""

    def at(self, host: str) -> "Destination":
        """Return the same path at another host, on HTTP's own port."""
        return self._replace(scheme="http", host=host, port=80, authority=host.encode())


def parse(url: bytes) -> Destination:
    """Split and check a request's URL. Raises `EgressError` (protocol)."""
    match = _URL.fullmatch(url)
    if match is None:
        raise EgressError("protocol", "only absolute http: and https: URLs can be fetched")
    scheme, host, port, authority = _authority(match[1], match[2])
    target = match[3] or b"/"
    if not target.startswith(b"/"):
        target = b"/" + target
    if not _TARGET.fullmatch(target):
        raise EgressError("protocol", "the URL has characters that are not percent-encoded")
    return Destination(scheme, host, port, authority, target)


@lru_cache(maxsize=4096)
def _authority(scheme_bytes: bytes, authority: bytes) -> tuple[str, str, int, bytes]:
    """Apps fetch from few authorities, over and over."""
    scheme = scheme_bytes.decode().lower()
    if b"@" in authority:
        raise EgressError(
            "protocol", "a URL with a user name or password cannot be fetched; use an Authorization header"
        )
    try:
        host = normalise(authority)
    except BadHostError:
        raise EgressError("protocol", "the URL's host is not a valid name or address") from None
    digits = authority.rpartition(b"]")[2].partition(b":")[2]
    port = int(digits) if digits else _DEFAULT_PORTS[scheme]
    if not port:
        raise EgressError("protocol", "port 0 cannot be connected to")
    if port in _BAD_PORTS:
        raise EgressError("blocked", f"port {port} is not one for HTTP, and the Fetch standard blocks it")
    shown = host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"
    return scheme, host.strip("[]"), port, shown.encode()


class OwnNames:
    """The names that this node serves itself.

    `authorities` are the host:port pairs under which the edge listens, `db_hosts` the data plane's names, `names` the
    apps' (exact or `*.suffix`). A name is the node's own on the default ports, which is where a proxy in front has it,
    and on the edge's; an address or `localhost` only on the edge's, as other services of the machine live there too.
    """

    def __init__(self, authorities: Iterable[str], db_hosts: Iterable[str], names: Iterable[str] = ()) -> None:
        self._authorities = {_split(authority) for authority in authorities}
        self._edge_ports = {port for _, port in self._authorities}
        self._db_hosts = frozenset(name.lower().strip("[]") for name in db_hosts)
        self.replace(names)

    def __repr__(self) -> str:
        return f"<OwnNames {len(self._db_hosts) + len(self._names)} names on ports {sorted(self._edge_ports)}>"

    def replace(self, names: Iterable[str]) -> None:
        """Take a new list of the apps' names."""
        self._names = frozenset(name.lower() for name in names)

    def include(self, destination: Destination) -> bool:
        """Tell whether a request for `destination` is answered by this node."""
        host, port = destination.host, destination.port
        if (host, port) in self._authorities:
            return True
        if port not in self._edge_ports and (port not in (80, 443) or _is_machine(host)):
            return False
        return host in self._db_hosts or host in self._names or "*." + host.partition(".")[2] in self._names

    def include_databases(self, destination: Destination) -> bool:
        """Tell, of a destination that is this node's, whether it is the data plane: its names are nobody else's."""
        return destination.host in self._db_hosts


def _split(authority: str) -> tuple[str, int]:
    host, _, port = authority.rpartition(":")
    return host.lower().strip("[]"), int(port)


def _is_machine(host: str) -> bool:
    return host == "localhost" or ":" in host or host.replace(".", "").isdigit()
