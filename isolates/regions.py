"""Memory that an edge worker shares with this host, and which part of it is in use: where bodies are placed.

The edge worker writes what comes from a client where `isolates.block_pool` says, and the app's ArrayBuffer is over the
same pages (`isolates.v8.blocks`): between the two the body is neither sent nor copied.
"""

import os

from isolates.wire import MEMORY_BYTES

LEAST_BYTES = 128 << 10
LANES = 6
LANE_BYTES = MEMORY_BYTES // LANES


class Region:
    """What came over one connection. Owns the descriptor.

    Sizes of places are powers of two, and each size has a lane of its own: places never have to be joined or split, and
    as long as no more than `LANE_BYTES` are in use, there is always one.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.closed = False
        """The edge worker is gone, or let go of the memory."""
        self._unused = [0] * LANES
        """Per lane, where what was never in use begins."""
        self._free: list[list[int]] = [[] for _ in range(LANES)]

    def __repr__(self) -> str:
        return f"<Region{' closed' if self.closed else ''}, {sum(self._unused)} bytes of lanes begun>"

    def take(self, size: int) -> int:
        """Return where `size` bytes are free, of one of the sizes there are. Raises `MemoryError`."""
        lane = (size // LEAST_BYTES).bit_length() - 1
        if self._free[lane]:
            return self._free[lane].pop()
        offset = self._unused[lane]
        if offset + size > LANE_BYTES:
            raise MemoryError
        self._unused[lane] += size
        return lane * LANE_BYTES + offset

    def give_back(self, offset: int) -> None:
        """What `take` returned is free again."""
        self._free[offset // LANE_BYTES].append(offset)

    def close(self) -> None:
        """Let go of the descriptor. What is mapped stays mapped."""
        if not self.closed:
            self.closed = True
            os.close(self.descriptor)
