"""Response heads as bytes: what is the same for every way of answering (`router.exchanges`).

Pure, and on the path of every response: what repeats (status lines, the Date header, the heads that an app sends again
and again) is made once.
"""

import http
import time
from functools import lru_cache
from typing import NamedTuple

from router.errors import ErrorAnswer
from router.headers import ResponseHead

_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in http.HTTPStatus
}


def status_line(status: int, reason: bytes = b"") -> bytes:
    """Return the first line of a response."""
    known = _STATUS_LINES.get(status)
    if known is None or (reason and not known.endswith(b" %b\r\n" % reason)):
        return b"HTTP/1.1 %d %b\r\n" % (status, reason)
    return known


class Clock:
    """The Date header (RFC 9110 §6.6.1), made once a second and not once a response."""

    def __init__(self) -> None:
        self.line = b""
        self.tick()

    def tick(self) -> None:
        """Take the time."""
        self.line = b"date: %b\r\n" % time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()).encode()


CLOCK = Clock()


class Lines(NamedTuple):
    """A response's head as it is sent to clients, without what depends on the connection."""

    reason: bytes
    block: bytes
    """Header lines without framing."""
    length: int
    """The Content-Length given, -1 without one."""
    dated: bool
    """Whether `block` has a Date."""


_KNOWN_LINES: dict[bytes, Lines] = {}
_MAX_KNOWN_LINES = 1024
_MAX_KNOWN_BYTES = 512


def lines_of(head: bytes) -> Lines:
    """Return a RESPONSE frame's head as header lines. Raises `BadResponseError`.

    Most apps answer with the same few heads again and again, so that short ones are remembered.
    """
    known = _KNOWN_LINES.get(head)
    if known is None:
        parsed = ResponseHead(head)
        pairs = parsed.pairs()
        block = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
        known = Lines(parsed.reason, block, parsed.length, any(name == b"date" for name, _ in pairs))
        if len(head) <= _MAX_KNOWN_BYTES:
            if len(_KNOWN_LINES) >= _MAX_KNOWN_LINES:
                _KNOWN_LINES.clear()
            _KNOWN_LINES[head] = known
    return known


def whole_response(answer: ErrorAnswer) -> bytes:
    """Return an answer to something that is no request, after which the connection is closed."""
    lines = b"".join([b"%b: %b\r\n" % field for field in answer.fields])
    return b"".join((status_line(answer.status), lines, CLOCK.line, b"connection: close\r\n\r\n", answer.body))


def asgi_lines(fields: list[tuple[bytes, bytes]]) -> Lines:
    """Return an ASGI application's response headers, its framing taken out. Raises `ValueError`."""
    block, length, dated = b"", -1, False
    for name, value in fields:
        lower, line = _asgi_line(name, value)
        if lower == b"content-length":
            length = int(value)
        else:
            dated = dated or lower == b"date"
            block += line
    return Lines(b"", block, length, dated)


@lru_cache(512)  # applications have the same few fields again and again
def _asgi_line(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return the name in lower case, and the line if it is none of the framing's. Raises `ValueError`."""
    lower = name.lower()
    if lower in (b"content-length", b"transfer-encoding", b"connection"):
        return lower, b""
    if b"\r" in value or b"\n" in value:
        raise ValueError(f"header {name!r} has a line break")
    return lower, b"%b: %b\r\n" % (name, value)
