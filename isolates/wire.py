"""Wire format between an edge worker and an isolate host, and between a host and the egress process.

A stream socket carries frames both ways, many requests at once. Integers are little-endian, offsets in bytes:

    offset size field
    0      4    length    u32  whole frame, this header included
    4      4    stream    u32  chosen by the side that sends REQUEST, never reused on a connection while open
    8      1    type      u8   see `Type`
    9      1    flags     u8   bit 0 `END`: the last frame of this direction of the stream; others: see below
    10     2    status    u16  HTTP status (RESPONSE, REFUSE), level (LOG), kind (MESSAGE), code (CLOSE), else 0
    12     4    head      u32  bytes of head that follow; the rest of the frame is data
    16     …    head, then data

Heads are latin-1 fields joined by a line feed, which no method, target, header name or header value can contain:

    REQUEST   method, absolute URL, request id, then header name and value in turn; data: first bytes of the body
    RESPONSE  reason phrase (may be empty), then header name and value in turn; data: first bytes of the body
    DATA      no head; data: bytes of the body, possibly none when END is set
    CANCEL    why: the receiver stops all work on the stream and sends nothing more on it; from the egress process, if a
              limit of the app's is the cause, then its name
    WINDOW    no head; data: u32, that many more bytes of body may be sent to the sender of this frame
    REFUSE    code, then detail; instead of RESPONSE: the request was not, or could not be, answered by the app; from
              the egress process, if a limit of the app's is the cause, then its name
    GOAWAY    stream 0; the host takes no new requests on this connection, what is in flight goes on; with a head
              (code, then detail, as for REFUSE) the host is about to end, and that is why
    IDENTIFY  stream 0; no head; data: the host's ticket (`router.identity`): the first frame, and only the first, on a
              connection of a host to a service of the node
    MESSAGE   no head; status: kind 1 text (UTF-8), 2 binary; data: a WebSocket message, or with flag `MORE` (bit 1) a
              piece of it that the next MESSAGE continues
    CLOSE     no head; status: WebSocket close code, 0 for none; data: reason (UTF-8); END is set
    BUSY      stream 0; status 1: JavaScript does not yield, so requests that it has not seen are sent back (REFUSE
              `blocked`) and new ones would wait; status 0: it yields, which a host says first on each connection,
              once its app is loaded, and then again after it did not
    LOG       host internal; head: request id (may be empty); data: UTF-8 text; status: level 0 debug … 3 error
    LOADED    host internal, stream 0; the app is ready
    LIMIT     host internal; as LOG, but head: request id, then the limit that the app's code was over; without data it
              is only counted; from the egress process, on a stream: why that one waits, head: limit, sentence
    SUBSCRIBE host to egress; from now on this number stands for the channel whose name is the data, in UTF-8
    UNSUBSCRIBE  host to egress; the number is free again
    BROADCAST host to egress: data is for all other hosts of the app that subscribed to the same name; from there to
              each of them, on its own number for that name; status: messages before this one that were dropped
    FIRE      host internal, to JavaScript; head: id of the run, cron expression, its time in ms since the epoch
    FIRED     host internal, the answer on the stream of FIRE; status: 0 it ended well, 1 it threw, 2 it took too long
    MEMORY    stream 0; the first frame of an edge worker that shares memory; no head or data, but a descriptor with it
              (SCM_RIGHTS): `MEMORY_BYTES` that both map
    PLACE     to an edge worker that shares memory: more of a body may be sent, as by WINDOW, and instead may be written
              where the host says: no head; data: u32 as WINDOW's, u32 where in the memory the whole body begins. What
              was sent before is not to be written. DATA with END and flag `PLACED` (bit 3) tells that all the rest is
              there. Whatever becomes of the stream after a PLACE, the edge worker has the last word, DATA with END or
              CANCEL: only then the place is free
              RESPONSE with END and flag `PLACED`, to an edge worker that shares memory: all of the body is there; data:
              u32 its size, at most `MAX_PLACED_BYTES`, u32 where it begins. Again the edge worker has the last word,
              WINDOW when all of it has left or CANCEL: only then the place is free, and may be written to. Until then
              the stream is open, and the host sends nothing on it but CANCEL, and what a request's body needs
    ELSEWHERE host internal, to JavaScript; the stream is the number of WebSockets in other isolates
    UNFIT     host internal, stream 0: the isolate cannot go on; data: UTF-8 message that says why
    FAILED    host internal, stream 0; head: file, line, column (empty if unknown); data: UTF-8 message

Header names are lower-case; order and duplicates are kept. Either side may send `WINDOW_BYTES` of body on a stream
before it needs a WINDOW; body bytes within REQUEST and RESPONSE count. Frames are at most `MAX_FRAME_BYTES`, heads at
most `MAX_HEAD_BYTES`. A connection keeps the order; frames of a stream that the receiver no longer knows are ignored.

WebSockets. A REQUEST with flag `UPGRADE` (bit 2) asks for one and has no body. A RESPONSE of status 101 without END
grants it; anything else answers the request as any other. The stream then carries MESSAGE, CLOSE, WINDOW and CANCEL,
with a window of `SOCKET_WINDOW_BYTES` that counts MESSAGE frames whole, headers included, so that empty messages are
bounded too. The side that speaks to the network (edge worker or egress process) ends the stream: its CLOSE is its last
word, tells how the WebSocket ended (1006: without a closing handshake) and always comes, also in answer to a CLOSE from
the host's side, which is the wish to close. CANCEL from the host's side ends the stream without an answer.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

HEADER = struct.Struct("<IIBBHI")
HEADER_BYTES = HEADER.size
END = 1
MORE = 2
UPGRADE = 4
PLACED = 8
TEXT = 1
BINARY = 2
BLOCKED = "blocked"
"""REFUSE code: no code of the app has seen the request, which may be sent to another host."""
DRAINING = "draining"
"""As `BLOCKED`: the host is about to end."""
WINDOW_BYTES = 256 << 10
HELD_BYTES = WINDOW_BYTES
MAX_HELD_BYTES = 4 << 20
"""Of a request's body with a Content-Length over the one, up to the other, an edge worker that shares memory may send
nothing until it gets the first PLACE or WINDOW: a host that wants a body of which nothing came sends one of the two."""
GRANT_BYTES = WINDOW_BYTES // 8
"""So much of what a host sent is granted anew at the latest when it is consumed: a host with many bodies to send uses a
quarter of their windows, and must not wait for a grant that comes only after half of one."""
SOCKET_WINDOW_BYTES = 64 << 10
"""Smaller than for bodies: an app may have a thousand WebSockets open."""
SOCKET_PIECE_BYTES = (32 << 10) - HEADER_BYTES
"""Data of one MESSAGE frame at most. With its header half a window: whoever has consumed all has granted that much."""
MAX_DATA_BYTES = 64 << 10
MAX_HEAD_BYTES = 128 << 10
MAX_FRAME_BYTES = HEADER_BYTES + MAX_HEAD_BYTES + MAX_DATA_BYTES


MEMORY_BYTES = 384 << 20
"""Of addresses: there is memory only where bodies are or were. What is where is the host's affair (`regions.py`)."""
MAX_PLACED_BYTES = 4 << 20
"""Of a response's body there: where an edge worker has to copy one, a host must not make it take hundreds of MB."""
PLACE = struct.Struct("<II")
"""Data of a PLACE, and of a RESPONSE with `PLACED`."""


class Type(IntEnum):
    """What a frame says."""

    REQUEST = 1
    RESPONSE = 2
    DATA = 3
    CANCEL = 4
    WINDOW = 5
    REFUSE = 6
    GOAWAY = 7
    BUSY = 8
    IDENTIFY = 9
    MESSAGE = 10
    CLOSE = 11
    LOG = 16
    LOADED = 17
    FAILED = 18
    LIMIT = 19
    FIRE = 20
    FIRED = 21
    UNFIT = 22
    ELSEWHERE = 23
    SUBSCRIBE = 24
    UNSUBSCRIBE = 25
    BROADCAST = 26
    MEMORY = 27
    PLACE = 28


class Frame(NamedTuple):
    """One decoded frame; `head` and `data` are as on the wire."""

    stream: int
    type: int
    flags: int
    status: int
    head: bytes
    data: bytes


class FrameError(Exception):
    """The other side broke the format; the connection cannot go on."""


def encode(stream: int, type: int, *, flags: int = 0, status: int = 0, head: bytes = b"", data: bytes = b"") -> bytes:
    """Return one frame as bytes."""
    head_bytes = len(head)
    length = HEADER_BYTES + head_bytes + len(data)
    return HEADER.pack(length, stream, type, flags, status, head_bytes) + head + data


def decode(buffer: bytes, start: int = 0) -> tuple[list[Frame], int]:
    """Return the complete frames in `buffer` from `start` on, and the offset of the first byte not consumed."""
    frames: list[Frame] = []
    end = len(buffer)
    unpack = HEADER.unpack_from
    # Half the cost of calling the class, which shows at the edge (a Python-level __new__ per frame).
    new = tuple.__new__
    while end - start >= HEADER_BYTES:
        length, stream, type_, flags, status, head_bytes = unpack(buffer, start)
        if not HEADER_BYTES + head_bytes <= length <= MAX_FRAME_BYTES:
            raise FrameError(f"frame of {length} bytes with a head of {head_bytes}")
        if end - start < length:
            break
        body = start + HEADER_BYTES
        split = body + head_bytes
        start += length
        frames.append(new(Frame, (stream, type_, flags, status, buffer[body:split], buffer[split:start])))
    return frames, start
