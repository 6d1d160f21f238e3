"""WebSocket frames (RFC 6455 §5), both roles. Pure: bytes in, events out, and bytes for what is to be sent.

Used by `router.websocket.connection`. It is pulled and not pushed: nothing is unmasked, decompressed or handed on
before it is asked for, so that a receiver that is behind costs what one read brought and no more, however well the rest
is compressed. A message is handed on in pieces as they arrive, for the same reason; a small one comes as a whole. No
library at hand bounds what one read may become.
"""

import codecs
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple, Protocol

from isolates.wire import SOCKET_PIECE_BYTES

try:
    # Written in C: a twentieth of the time for 16 KiB.
    from websockets.speedups import apply_mask
except ImportError:  # where the package was installed without a compiler
    from websockets.utils import apply_mask

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NO_STATUS = 1005
ABNORMAL = 1006
INVALID_DATA = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012

MAX_CONTROL_BYTES = 125
MAX_REASON_BYTES = 123
_FIN = 0x80
_RSV1 = 0x40
_MASKED = 0x80


class Opcode(IntEnum):
    """RFC 6455 §5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Event(NamedTuple):
    """What arrived. `data` of a CLOSE is its reason; `code` is 0 but for a CLOSE that has one."""

    opcode: int
    """Never CONTINUATION: pieces of a message have the message's opcode."""
    data: bytes
    more: bool = False
    """The message goes on in the next event of this opcode."""
    code: int = 0


class FrameError(Exception):
    """The other side broke the protocol or a limit: the connection has to be failed with this close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Inflater(Protocol):
    """Decompresses messages (`router.websocket.deflate`)."""

    def begin(self, data: bytes, last: bool) -> None:
        """Take the payload of a frame, or part of it; `last`: the message ends with it."""

    def pull(self, most: int) -> bytes:
        """Return up to `most` bytes; none: more payload is needed. Raises `FrameError`."""

    @property
    def drained(self) -> bool:
        """Whether all that was taken has been pulled."""


_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)
_new_event = tuple.__new__
"""Half the cost of calling the class, as in `isolates.wire`."""


def is_close_code(code: int) -> bool:
    """Tell whether a close frame may carry `code` (RFC 6455 §7.4, and what the registry has added since)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, NO_STATUS, ABNORMAL))


def frame(opcode: int, payload: bytes, *, fin: bool = True, compressed: bool = False, mask: bytes = b"") -> bytes:
    """Return one frame, masked if there is a `mask` of four bytes."""
    count = len(payload)
    first = opcode | (_FIN if fin else 0) | (_RSV1 if compressed else 0)
    second = _MASKED if mask else 0
    if count < 126:
        head = bytes((first, second | count))
    elif count < 65536:
        head = bytes((first, second | 126, count >> 8, count & 0xFF))
    else:
        head = bytes((first, second | 127)) + count.to_bytes(8, "big")
    return head + mask + apply_mask(payload, mask) if mask else head + payload


def close_payload(code: int, reason: bytes) -> bytes:
    """Return the payload of a close frame; `code` 0 is none."""
    return code.to_bytes(2, "big") + cut(reason) if code else b""


def cut(reason: bytes) -> bytes:
    """Return as much of UTF-8 text as a close frame holds."""
    return reason if len(reason) <= MAX_REASON_BYTES else reason[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()


class Reader:
    """Takes frames apart. `masked`: whether the other side has to mask, as clients do.

    A message of more than `max_message_bytes`, decompressed, is an error (1009); `on_too_big` is called before.
    """

    def __init__(
        self,
        *,
        masked: bool,
        max_message_bytes: int,
        inflater: Inflater | None = None,
        on_too_big: Callable[[], None] = lambda: None,
    ) -> None:
        self._masked = masked
        self._most = max_message_bytes
        self._inflater = inflater
        self._on_too_big = on_too_big
        self._buffer = b""
        self._at = 0
        self._left = 0
        """Bytes of the data frame being read that have not arrived."""
        self._mask = b""
        self._fin = True
        self._message = 0
        """Opcode of the message being read, 0 between messages."""
        self._size = 0
        self._compressed = False
        self._inflating = False
        """The inflater holds something."""
        self._utf8: codecs.IncrementalDecoder | None = None

    def __repr__(self) -> str:
        return f"<Reader {len(self._buffer) - self._at} bytes waiting>"

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next(self) -> Event | None:
        """Return what comes next, or None until more is fed. Raises `FrameError`; nothing can be read after that.

        Every frame gives an event, an empty one of a longer message too: the caller bounds how many it takes at once.
        """
        if self._masked and not self._message:
            found = self._small()
            if found is not None:
                return found
        if not self._inflating:
            found = self._payload() if self._left else self._frame()
            if found is not None or not self._inflating:
                return found
        assert self._inflater is not None
        data = self._inflater.pull(SOCKET_PIECE_BYTES)
        self._inflating = not self._inflater.drained
        return self._piece(data, self._fin and not self._left and not self._inflating)

    def _small(self) -> Event | None:
        """A whole message of less than 126 bytes in one frame, if that comes next: what most of them are."""
        buffer, at = self._buffer, self._at
        here = len(buffer) - at
        if here < 6:
            return None
        opcode, count = buffer[at] ^ _FIN, buffer[at + 1] ^ _MASKED
        end = at + 6 + count
        if (opcode != _TEXT and opcode != _BINARY) or count > MAX_CONTROL_BYTES or here < 6 + count:
            return None
        if count > self._most:
            return None
        data = apply_mask(buffer[at + 6 : end], buffer[at + 2 : at + 6])
        if opcode == _TEXT and not data.isascii():
            self._check_text(data, True)
        self._at = end
        return _new_event(Event, (opcode, data, False, 0))

    def _frame(self) -> Event | None:
        """Read a frame's head, and its payload as far as it is here."""
        buffer, at = self._buffer, self._at
        here = len(buffer) - at
        if here < 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        count = second & 0x7F
        start = at + 2 if count < 126 else at + 4 if count == 126 else at + 10
        if second & _MASKED:
            start += 4
        opcode = first & 0x0F
        self._check(first, opcode, bool(second & _MASKED))
        if opcode >= Opcode.CLOSE and (count > MAX_CONTROL_BYTES or not first & _FIN):
            raise FrameError(PROTOCOL_ERROR, "A control frame is too long or fragmented")
        if len(buffer) < start:
            return None
        if count >= 126:
            count = self._long(buffer, at, count)
        mask = buffer[start - 4 : start] if second & _MASKED else b""
        if opcode >= Opcode.CLOSE:
            if len(buffer) < start + count:
                return None
            self._at = start + count
            payload = buffer[start : self._at]
            return _control(opcode, apply_mask(payload, mask) if mask else payload)
        if opcode:
            self._message, self._size, self._utf8 = opcode, 0, None
            self._compressed = bool(first & _RSV1)
        if not self._compressed and self._size + count > self._most:
            raise self._too_big()
        self._fin, self._mask, self._left, self._at = bool(first & _FIN), mask, count, start
        return self._payload()

    def _check(self, first: int, opcode: int, masked: bool) -> None:
        if masked != self._masked:
            raise FrameError(PROTOCOL_ERROR, "A frame is not masked" if self._masked else "A frame is masked")
        starts = opcode in (Opcode.TEXT, Opcode.BINARY)
        if first & 0x30 or (first & _RSV1 and not (starts and self._inflater is not None)):
            raise FrameError(PROTOCOL_ERROR, "A reserved bit is set")
        if starts and self._message:
            raise FrameError(PROTOCOL_ERROR, "A message begins within another one")
        if opcode == Opcode.CONTINUATION and not self._message:
            raise FrameError(PROTOCOL_ERROR, "A continuation frame continues nothing")
        if 3 <= opcode <= 7 or opcode > Opcode.PONG:
            raise FrameError(PROTOCOL_ERROR, "An opcode is unknown")

    def _long(self, buffer: bytes, at: int, kind: int) -> int:
        if kind == 126:
            count = int.from_bytes(buffer[at + 2 : at + 4], "big")
            minimal = count >= 126
        else:
            count = int.from_bytes(buffer[at + 2 : at + 10], "big")
            minimal = 65536 <= count < 1 << 63
        if not minimal:
            raise FrameError(PROTOCOL_ERROR, "A frame's length is not encoded as it has to be")
        return count

    def _payload(self) -> Event | None:
        """Take what is here of the data frame's payload."""
        start = self._at
        count = min(self._left, len(self._buffer) - start, SOCKET_PIECE_BYTES)
        if not count and self._left:
            return None
        self._at = start + count
        self._left -= count
        data = self._buffer[start : self._at]
        mask = self._mask
        if mask:
            data = apply_mask(data, mask)
            turned = count & 3
            if self._left and turned:
                self._mask = mask[turned:] + mask[:turned]
        ended = self._fin and not self._left
        if not self._compressed:
            return self._piece(data, ended)
        assert self._inflater is not None
        self._inflater.begin(data, ended)
        self._inflating = True
        return None

    def _piece(self, data: bytes, ended: bool) -> Event:
        self._size += len(data)
        if self._size > self._most:
            raise self._too_big()
        opcode = self._message
        if opcode == Opcode.TEXT:
            self._check_text(data, ended)
        if ended:
            self._message = 0
            self._compressed = False
        return Event(opcode, data, not ended)

    def _check_text(self, data: bytes, ended: bool) -> None:
        try:
            if self._utf8 is None:
                if ended:
                    if data.isascii():
                        return
                    codecs.utf_8_decode(data, "strict", True)
                    return
                self._utf8 = codecs.getincrementaldecoder("utf-8")()
            self._utf8.decode(data, ended)
        except UnicodeDecodeError:
            raise FrameError(INVALID_DATA, "A text message is not UTF-8") from None

    def _too_big(self) -> FrameError:
        self._on_too_big()
        return FrameError(TOO_BIG, f"A message is larger than {self._most} bytes")


def _control(opcode: int, payload: bytes) -> Event:
    if opcode != Opcode.CLOSE or not payload:
        return Event(opcode, payload)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not is_close_code(code):
        raise FrameError(PROTOCOL_ERROR, "A close frame has no valid code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(INVALID_DATA, "A close frame's reason is not UTF-8") from None
    return Event(opcode, payload[2:], code=code)
