"""A request's head as `router.server` reads it from a connection, before it is decided who answers."""

from router.errors import EdgeError
from router.headers import Headers


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
