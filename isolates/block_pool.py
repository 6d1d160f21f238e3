"""Which recycled memory a body is collected in, if any. Called by JavaScript through `operations.py`.

JavaScript takes a block for a body of known size, fills it, and has it lent to the app as an ArrayBuffer like any
other; or it puts the block back. The app keeps what it was lent for as long as it likes: when the pool is used up,
bodies get new memory of V8's, as if there were no pool.
"""

import math

from isolates.process import RECYCLED_MB
from isolates.v8.blocks import Block, check
from isolates.v8.isolate import Handle, Isolate

MAX_BYTES = RECYCLED_MB << 20
"""Fifty bodies of 1 MB that arrive at once, and those that were dealt with since the last collection."""
GARBAGE_BYTES = 8 << 20
"""So much must be lent for a collection to be worth its while. V8 itself lets four times as much pile up; the fewer
blocks are in use, the more of them the processor's caches hold."""
MIN_BLOCK_BYTES = 128 << 10
MAX_BLOCK_BYTES = 4 << 20
IDLE_SECONDS = 2.0
"""If none was taken for so long, free blocks are given back."""


def block_size(size: int) -> int:
    """Return the size of the block for so many bytes: of few sizes, so that most blocks fit most bodies."""
    return max(MIN_BLOCK_BYTES, 1 << (size - 1).bit_length())


class BlockPool:
    """The blocks of one isolate. JavaScript names them by numbers."""

    def __init__(self, isolate: Isolate) -> None:
        check(isolate)
        self._isolate = isolate
        self._free: list[Block] = []
        """The one used last is last: its memory may still be in the processor's caches."""
        self._taken: dict[int, Block] = {}
        self._lent: list[Block] = []
        self.held_bytes = 0
        """Of all blocks."""
        self._next_number = 1
        self._patience = 0
        """So many bodies that find no free block shall come before V8 is asked to collect again."""
        self._used = 0.0

    def __repr__(self) -> str:
        counts = f"{len(self._free)} free, {len(self._taken)} taken, {len(self._lent)} lent"
        return f"<BlockPool {self.held_bytes} bytes: {counts}>"

    def take(self, size: int, now: float) -> int | None:
        """Return the number of a block for `size` bytes; None if there is none."""
        if size > MAX_BLOCK_BYTES:
            return None
        self._used = now
        size = block_size(size)
        block = self._find(size) or (self._find(size) if self._collect() else None) or self._make(size)
        if block is None:
            return None
        number, self._next_number = self._next_number, self._next_number + 1
        self._taken[number] = block
        return number

    def memory(self, number: int) -> Handle:
        """Return the ArrayBuffer to fill a taken block by. Raises `KeyError`."""
        return self._taken[number].memory

    def lend(self, number: int, size: int) -> Handle:
        """Return an ArrayBuffer for the app over the first `size` bytes of a taken block, all of which were written.

        Raises `KeyError`, `ValueError`.
        """
        block = self._taken[number]
        if not 0 < size <= block.size:
            raise ValueError(size)
        del self._taken[number]
        self._lent.append(block)
        return block.lend(size)

    def put_back(self, number: int) -> None:
        """A taken block is not needed after all. Raises `KeyError`."""
        self._free.append(self._taken.pop(number))

    def trim(self, now: float) -> float:
        """Give free blocks back if none was taken of late; return when to be called again at the latest."""
        if not self.held_bytes:
            return math.inf
        idle_at = self._used + IDLE_SECONDS
        if now < idle_at:
            return idle_at
        self._isolate.collect_young()
        self._reclaim()
        for block in self._free:
            self._close(block)
        self._free.clear()
        # What the app keeps is looked at when the next body comes.
        self._used = now if self._taken else math.inf
        return self._used + IDLE_SECONDS

    def _find(self, size: int) -> Block | None:
        """Return a free block of exactly this size."""
        return self._pop(size) or (self._pop(size) if self._reclaim() else None)

    def _pop(self, size: int) -> Block | None:
        for at in range(len(self._free) - 1, -1, -1):
            if self._free[at].size == size:
                return self._free.pop(at)
        return None

    def _reclaim(self) -> int:
        """Take back what V8 found dead; return how many blocks."""
        lent = [block for block in self._lent if block.lent]
        count = len(self._lent) - len(lent)
        if count:
            self._free += [block for block in self._lent if not block.lent]
            self._lent = lent
        return count

    def _make(self, size: int) -> Block | None:
        """Return a new block if there is room for it, perhaps in place of free ones of other sizes."""
        excess = self.held_bytes + size - MAX_BYTES
        if excess > sum(block.size for block in self._free):
            return None
        while self.held_bytes + size > MAX_BYTES:
            self._close(self._free.pop(0))
        try:
            block = Block(self._isolate, size)
        except MemoryError:
            return None
        self.held_bytes += size
        return block

    def _close(self, block: Block) -> None:
        self.held_bytes -= block.size
        block.close()

    def _collect(self) -> bool:
        """Have V8 collect, if the app has much and may have let go of it; return whether there was something."""
        if self._patience:
            self._patience -= 1
            return False
        if sum(block.size for block in self._lent) < GARBAGE_BYTES:
            return False
        self._isolate.collect_young()
        count = self._reclaim()
        if count < len(self._lent):
            # The app keeps most of them: not every body shall cost a collection.
            self._patience = len(self._lent)
        return count > 0
