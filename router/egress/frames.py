"""HTTP/2 frames as bytes (RFC 9113 section 4.1), cut out of what a connection reads. Pure.

`router.egress.http2` looks at each before h2 does: to count those that bring nothing, to stop after so many, and to
take GOAWAY itself, after which h2 would read nothing more although responses are still to come (section 6.8).
"""

from h2.exceptions import ProtocolError

MAX_FRAME_BYTES = 16_384
"""Of payload: the default, which this client never raises."""

_HEADER_BYTES = 9
_DATA, _HEADERS, _GOAWAY, _CONTINUATION = 0x0, 0x1, 0x7, 0x9
_END_STREAM = 0x1
_PADDED = 0x8


class FrameBuffer:
    """Bytes as they were read, out of which whole frames are taken."""

    def __init__(self) -> None:
        self._data = b""
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._data = self._data[self._position :] + data
        self._position = 0

    def take(self) -> bytes | None:
        """Return the next frame, None if it is not complete. Raises `ProtocolError` for one that is too large."""
        begin = self._position
        if len(self._data) - begin < _HEADER_BYTES:
            return None
        length = int.from_bytes(self._data[begin : begin + 3], "big")
        if length > MAX_FRAME_BYTES:
            raise ProtocolError("a frame is larger than this client takes")
        end = begin + _HEADER_BYTES + length
        if end > len(self._data):
            return None
        self._position = end
        return self._data[begin:end]


def is_idle(frame: bytes) -> bool:
    """Tell whether a frame brings neither a head, nor content, nor the end of one."""
    kind, flags = frame[3], frame[4]
    if kind == _DATA:
        return not flags & _END_STREAM and len(frame) <= _HEADER_BYTES + bool(flags & _PADDED)
    return kind not in (_HEADERS, _CONTINUATION)


def last_stream_of_goaway(frame: bytes) -> int | None:
    """Return the last stream that the server has seen or will see, if this is a GOAWAY."""
    if frame[3] != _GOAWAY:
        return None
    if len(frame) < _HEADER_BYTES + 8 or frame[5:9] != b"\0\0\0\0":
        raise ProtocolError("a GOAWAY is malformed")
    return int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
