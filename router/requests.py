"""A request's head as `router.server` reads it from a connection, before it is decided who answers. Pure."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from router.errors import EdgeError
from router.headers import Headers, split


class Request:
    """Set by the connection, read by exchanges. What is rarely set has its default at the class."""

    length = 0
    """Content-Length, or -1 for a chunked body."""
    http_10 = False
    ordinary = True
    """Neither HEAD nor of HTTP/1.0, so that every response with a body gets one, and no more than a length."""
    expects = False
    """The client waits for 100 before it sends the body (RFC 9110 §10.1.1)."""
    special = False
    """Not for the short way to the host."""
    problem: EdgeError | None = None
    """Set if the request cannot be answered otherwise."""

    def __init__(
        self,
        method: bytes,
        target: bytes,
        host: bytes,
        fields: list[bytes],
        withheld: list[tuple[bytes, bytes]],
        keep_alive: bool,
    ) -> None:
        self.method = method
        self.target = target
        """As received; the path and query also where the absolute form was sent."""
        self.host = host
        self.fields = fields
        """Name and value in turn, without what is in `withheld` (`router.headers.split`)."""
        self.withheld = withheld
        self.keep_alive = keep_alive

    def __repr__(self) -> str:
        return f"<Request {self.method.decode()} {self.target.decode('latin-1')}>"

    def headers(self) -> Headers:
        """Return all header fields as ASGI wants them."""
        return [*zip(self.fields[::2], self.fields[1::2], strict=True), *self.withheld]

    def check_target(self, hosts: int) -> None:
        """Deal with unusual methods and forms of target, and a number of Host headers (`hosts`) other than one.

        RFC 9112 §3.2.
        """
        target = self.target
        if self.method == b"HEAD":
            self.ordinary = False
            if hosts == 1 and target[:1] == b"/" and b"#" not in target:
                return
        self.special = True
        if b"#" in target:
            self.problem = EdgeError(400, "The request target has a fragment.")
        elif target[:1] != b"/" and target != b"*" and self.method != b"CONNECT" and hosts <= 1:
            self._take_absolute_form()

    def _take_absolute_form(self) -> None:
        """The authority of an absolute target counts, whatever Host says (RFC 9112 §3.2.2)."""
        try:
            parts = urlsplit(self.target)
        except ValueError:
            self.problem = EdgeError(400, "The request target is not a URL.")
            return
        authority = parts.netloc.rpartition(b"@")[2]
        if parts.scheme.lower() not in (b"http", b"https") or not authority:
            self.problem = EdgeError(400, "The request target is not a path.")
            return
        others = [pair for pair in self.headers() if pair[0] != b"host"]
        self.fields, self.withheld = split([(b"host", authority), *others])
        self.host = authority
        self.target = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
        self.special = self.method == b"TRACE"

    def check_version(self, version: str) -> None:
        """Deal with a version other than 1.1, as the parser gives it."""
        self.ordinary = False
        if version == "1.0":
            self.http_10 = True
        else:
            self.problem = EdgeError(505)
            self.keep_alive = False

    def check_size(self, limit: int) -> None:
        """Refuse a head of more than `limit` bytes."""
        if len(self.target) + sum(map(len, self.fields)) > limit:
            self.problem = EdgeError(431)
            self.keep_alive = False

    def take_framing(self, noted: Mapping[bytes, bytes]) -> None:
        """Take length and expectation from Content-Length, Transfer-Encoding and Expect, which the parser checked."""
        if b"transfer-encoding" in noted:
            self.length = -1
        elif b"content-length" in noted:
            self.length = int(noted[b"content-length"])
        self.expects = noted.get(b"expect", b"").lower() == b"100-continue" and not self.http_10
