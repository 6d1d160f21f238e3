"""The layout of the buffers that a host's event loop and JavaScript share.

For `ring.py`, which fills the input and reads the output, and whoever asks what JavaScript counted. In JavaScript it is
`js/src/ring/input.ts` and `output.ts`. Integers are little-endian, the first `HEADER_BYTES` of each buffer a header:

    input   u32 bytes of segments, u32 flags (bit 0 leave the loop; bit 1 draining),
            f64 wall clock in ms, f64 monotonic clock in ms
    output  u32 bytes of segments, u32 flags (bit 0 more work is ready: do not wait),
            f64 ms until the next timer, counted from the last input's clock (-1: none), u32 active requests,
            queued, requests so far, refused so far, exceptions so far, background work, open WebSockets
    scratch used by `operations.py`

The clocks of the input are set before JavaScript runs for the first time, too.

A segment is u32 connection, u32 bytes, then whole frames of `wire.py`. Connection 0 is the host, 1 the egress process,
2 the cache process, others are edge workers; a segment without frames says that the connection closed, and of the host
that operations which it runs on threads are done.
"""

import struct
from typing import NamedTuple, Self

HEADER_BYTES = 64
BUFFER_BYTES = HEADER_BYTES + (1 << 20)
"""At least; the platform may make larger ones."""
LEAVE = 1
DRAINING = 2
MORE_WORK = 1
HOST = 0
EGRESS = 1
CACHE = 2
FIRST_EDGE = 3

INPUT = struct.Struct("<IIdd")
OUTPUT = struct.Struct("<IIdIIIIIII")
OUTPUT_START = struct.Struct("<IId")
REQUESTS = struct.Struct(f"<{OUTPUT_START.size}xI4xI")
"""Of the output: active requests, and requests so far."""
SEGMENT = struct.Struct("<II")
SEGMENT_BYTES = SEGMENT.size
U32 = struct.Struct("<I")


class Counters(NamedTuple):
    """What JavaScript counts, as in the output header."""

    active: int = 0
    queued: int = 0
    requests: int = 0
    refused: int = 0
    exceptions: int = 0
    background: int = 0
    websockets: int = 0

    @classmethod
    def read(cls, output: memoryview) -> Self:
        """Return the counters as JavaScript last wrote them."""
        return cls(*OUTPUT.unpack_from(output)[3:])

    @property
    def busy(self) -> bool:
        """Whether a request, work that outlives its response, or a WebSocket is under way."""
        return bool(self.active or self.queued or self.background or self.websockets)


def clear(output: memoryview) -> None:
    """Write the header of an output in which there is nothing yet, and no timer."""
    OUTPUT.pack_into(output, 0, 0, 0, -1.0, *Counters())
