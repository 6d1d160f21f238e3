"""Wire format between a database worker and its callers: edge workers, and the egress process for the node's apps.

A Unix stream socket carries frames both ways, many calls at once; the caller, the edge below, connects. A call is one
request to a database: the edge has checked its token and passes the body on as it came, the database worker decodes
it, runs it and returns the body of the answer, so that JSON is parsed and made once, and not in the edge process.
Integers are little-endian, offsets in bytes:

    offset size field
    0      4    length    u32  whole frame, this header included
    4      4    call      u32  chosen by the edge, never reused on a connection while the call is open
    8      1    type      u8   see `Type`
    9      1    flags     u8   bit 0 `END`: last frame of this direction of the call; bit 1 `MESSAGE`: see below
    10     2    code      u16  `Route` (CALL), HTTP status (ANSWER), close code (END of a WebSocket), else 0
    12     4    head      u32  bytes of head that follow; the rest of the frame is data
    16     …    head, then data

    CALL    head: MessagePack array of `CallHead`; data: first bytes of the request body
    DATA    no head; data: more of the body, possibly none when END is set
    CANCEL  the edge: nobody waits for the answer any more; the worker: the answer cannot be completed, abort it
    WINDOW  edge to worker, no head; data: u32, that many more bytes of answer may be sent. The worker may send
            `WINDOW_BYTES` without one; what is in ANSWER counts
    ANSWER  head: u32, bytes of the whole body, if that is known and in several frames; data: first bytes of the
            answer's body. A status other than 200 comes with JSON
    GOAWAY  call 0; the worker takes no new calls on this connection, what is in flight goes on; the edge closes it then

A WebSocket is a call whose bodies are its messages: CALL (one byte of data: Hrana's version), then DATA frames, of
which the last one of each message has the flag MESSAGE, in both directions; the edge ends it with CANCEL, the worker
with END, a close code and the reason as data.

Frames of a call that the receiver no longer knows are ignored.
"""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Self, TypeAlias

import msgspec

from dataplane import blocks
from dataplane.blocks import Body
from dataplane.messages import DatabaseLimits

HEADER = struct.Struct("<IIBBHI")
HEADER_BYTES = HEADER.size
END = 1
MESSAGE = 2
WINDOW_BYTES = 1 << 20
PRESERVE_ROWIDS = b"preserve_row_ids"
"""Body of a DUMP call that asks for rowids of tables that have no INTEGER PRIMARY KEY."""
MAX_DATA_BYTES = 64 << 10
"""Longer bodies are cut into frames of this size, so that calls share the socket fairly (`dataplane.outbox`)."""
MAX_FRAME_BYTES = 1 << 20
_U32 = struct.Struct("<I")


class Type(IntEnum):
    """What a frame says."""

    CALL = 1
    DATA = 2
    CANCEL = 3
    WINDOW = 4
    ANSWER = 5
    GOAWAY = 6


class Route(IntEnum):
    """Which endpoint was called."""

    PIPELINE_V2 = 1
    PIPELINE_V3 = 2
    CURSOR_V3 = 3
    EXECUTE_V1 = 4
    BATCH_V1 = 5
    DUMP = 6
    """Answered with SQL text; see `dataplane.dump`."""
    PIPELINE_PROTOBUF = 7
    CURSOR_PROTOBUF = 8
    LEGACY = 9
    """The first protocol: POST of `statements` to the root."""
    SOCKET_JSON = 10
    SOCKET_PROTOBUF = 11


SOCKETS = frozenset({Route.SOCKET_JSON, Route.SOCKET_PROTOBUF})
"""Routes whose calls are WebSockets."""


class CallHead(msgspec.Struct, array_like=True, frozen=True):
    """Whose call it is. The worker believes the edge."""

    database_id: str
    epoch: int
    """Token epoch of the database: a stream opened under another one is dead."""
    read_only: bool = False
    blocked: str | None = None
    """Why every statement is to be refused, if the database is suspended."""
    limits: DatabaseLimits | None = None
    """Those that the database has of its own."""
    catalog: int = 0
    """Version of the catalog that says so."""


class Frame(NamedTuple):
    """One decoded frame."""

    call: int
    type: int
    flags: int
    code: int
    head: bytes
    data: bytes


class FrameError(Exception):
    """The other side broke the format; the connection cannot go on."""


def encode(call: int, type: int, *, flags: int = 0, code: int = 0, head: bytes = b"", data: bytes = b"") -> bytes:
    """Return one frame as bytes."""
    head_bytes = len(head)
    return HEADER.pack(HEADER_BYTES + head_bytes + len(data), call, type, flags, code, head_bytes) + head + data


class LongBody:
    """A body that takes several frames, of which each is made when it is taken: `next(body)`. False once all were."""

    def __init__(self, call: int, type: int, body: Body, *, flags: int, code: int, head: bytes) -> None:
        self._call = call
        self._type = type
        self._blocks = deque(blocks.of(body))
        self._left = len(body)
        self._flags = flags
        self._code = code
        self._head = head

    def __bool__(self) -> bool:
        return self._left > 0

    def __repr__(self) -> str:
        return f"<LongBody of {self._call} [{self._left} bytes left]>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        size = min(self._left, MAX_DATA_BYTES)
        self._left -= size
        flags = self._flags & ~(END | MESSAGE) if self._left else self._flags
        head = self._head
        header = HEADER.pack(HEADER_BYTES + len(head) + size, self._call, self._type, flags, self._code, len(head))
        frame = b"".join((header, head, *self._cut(size)))
        self._type, self._code, self._head = Type.DATA, 0, b""
        return frame

    def _cut(self, size: int) -> Iterator[bytes | memoryview]:
        """Take the next `size` bytes."""
        while size:
            block = self._blocks.popleft()
            if len(block) > size:
                view = memoryview(block)
                self._blocks.appendleft(view[size:])
                block = view[:size]
            size -= len(block)
            yield block


Frames: TypeAlias = Sequence[bytes] | LongBody
"""Of one call, in their order."""


def encode_body(call: int, type: int, body: Body, *, flags: int = 0, code: int = 0, head: bytes = b"") -> Frames:
    """Return `body` as one frame of `type`, followed by DATA frames for what does not fit."""
    size = len(body)
    if size <= MAX_DATA_BYTES:
        if not isinstance(body, bytes):
            body = b"".join(body.blocks)
        head_bytes = len(head)
        return [HEADER.pack(HEADER_BYTES + head_bytes + size, call, type, flags, code, head_bytes) + head + body]
    return LongBody(call, type, body, flags=flags, code=code, head=head)


def encode_answer(call: int, body: Body, status: int) -> Frames:
    """Return the frames of an answer that is complete."""
    size = len(body)
    head = _U32.pack(size) if size > MAX_DATA_BYTES else b""
    return encode_body(call, Type.ANSWER, body, flags=END, code=status, head=head)


def answer_bytes(frame: Frame) -> int | None:
    """Return how long the body is that begins with an ANSWER frame; None: that is not known yet."""
    if frame.flags & END:
        return len(frame.data)
    return int(_U32.unpack(frame.head)[0]) if frame.head else None


def encode_window(call: int, nbytes: int) -> bytes:
    """Return a WINDOW frame."""
    return encode(call, Type.WINDOW, data=_U32.pack(nbytes))


def window_bytes(frame: Frame) -> int:
    """Return what a WINDOW frame grants. Raises `FrameError`."""
    if len(frame.data) != _U32.size:
        raise FrameError(f"WINDOW with {len(frame.data)} bytes")
    return int(_U32.unpack(frame.data)[0])


class Decoder:
    """Cuts received bytes into frames."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, received: bytes) -> list[Frame]:
        """Take bytes and return the frames that are now complete. Raises `FrameError`."""
        buffer = self._buffer + received if self._buffer else received
        frames: list[Frame] = []
        start, end = 0, len(buffer)
        unpack = HEADER.unpack_from
        while end - start >= HEADER_BYTES:
            length, call, type_, flags, code, head_bytes = unpack(buffer, start)
            if not HEADER_BYTES + head_bytes <= length <= MAX_FRAME_BYTES:
                raise FrameError(f"frame of {length} bytes with a head of {head_bytes}")
            if end - start < length:
                break
            body = start + HEADER_BYTES
            split = body + head_bytes
            start += length
            frames.append(Frame(call, type_, flags, code, buffer[body:split], buffer[split:start]))
        self._buffer = buffer[start:] if start else buffer
        return frames
