"""Which recycled memory a body is in, if any. Called by JavaScript through `operations.py`.

JavaScript takes a block for a body of known size, fills it, or has an edge worker fill it that shares memory, and has
it lent to the app as an ArrayBuffer like any other; or it puts the block back. The app keeps what it was lent for as
long as it likes: when the pool is used up, bodies get new memory of V8's, as if there were no pool.

The copy of an array that an app answers with is made in a block as well, which is lent to the platform itself
(`borrow`) and taken back once it was sent, or found dead like any other if the answer never was.
"""

import math

from isolates.process import RECYCLED_MB
from isolates.regions import LANES, LEAST_BYTES, Region
from isolates.v8.blocks import Block, check
from isolates.v8.isolate import Handle, Isolate

MAX_BYTES = RECYCLED_MB << 20
"""Fifty bodies of 1 MB that arrive at once, and those that were dealt with since the last collection."""
GARBAGE_BYTES = 8 << 20
"""So much must be lent for a collection to be worth its while. V8 itself lets four times as much pile up; the fewer
blocks are in use, the more of them the processor's caches hold."""
MAX_BLOCK_BYTES = LEAST_BYTES << LANES - 1
IDLE_SECONDS = 2.0
"""If none was taken for so long, free blocks are given back."""


def block_size(size: int) -> int:
    """Return the size of the block for so many bytes: of few sizes, so that most blocks fit most bodies."""
    return max(LEAST_BYTES, 1 << (size - 1).bit_length())


class PooledBlock:
    """A block, and where it is in which edge worker's memory, if it is in any's."""

    def __init__(self, block: Block, region: Region | None, offset: int) -> None:
        self.block = block
        self.region = region
        self.offset = offset

    def __repr__(self) -> str:
        return f"<PooledBlock {self.block!r}, {self.region!r}>"

    @property
    def useless(self) -> bool:
        """Nobody can fill it any more."""
        return self.region is not None and self.region.closed

    def close(self) -> None:
        """Give the memory back. Raises `OSError` as `Block.close`."""
        self.block.close()
        if self.region is not None:
            self.region.give_back(self.offset)


class BlockPool:
    """The blocks of one isolate. JavaScript names them by numbers."""

    def __init__(self, isolate: Isolate) -> None:
        check(isolate)
        self._isolate = isolate
        self._free: list[PooledBlock] = []
        """The one used last is last: its memory may still be in the processor's caches."""
        self._taken: dict[int, PooledBlock] = {}
        self._lent: dict[int, PooledBlock] = {}
        self.held_bytes = 0
        """Of all blocks."""
        self._next_number = 1
        self._patience = 0
        """So many bodies that find no free block shall come before V8 is asked to collect again."""
        self._kept_bytes = 0
        """Lent to ArrayBuffers that a collection of all there is found alive, at most."""
        self._used = 0.0

    def __repr__(self) -> str:
        counts = f"{len(self._free)} free, {len(self._taken)} taken, {len(self._lent)} lent"
        return f"<BlockPool {self.held_bytes} bytes: {counts}>"

    def take(self, size: int, now: float, region: Region | None = None) -> int | None:
        """Return the number of a block for `size` bytes, in the `region` if there is one; None if there is no block."""
        if size > MAX_BLOCK_BYTES:
            return None
        if region is not None and region.closed:
            region = None
        self._used = now
        size = block_size(size)
        block = self._find(size, region)
        if block is None and self._collect():
            block = self._find(size, region)
        if block is None:
            block = self._make(size, region)
        if block is None:
            return None
        number, self._next_number = self._next_number, self._next_number + 1
        self._taken[number] = block
        return number

    def memory(self, number: int) -> Handle:
        """Return the ArrayBuffer to fill a taken block by. Raises `KeyError`."""
        return self._taken[number].block.memory

    def offset(self, number: int) -> int:
        """Return where in its edge worker's memory a taken block is, -1 if it is in none. Raises `KeyError`."""
        return self._taken[number].offset

    def lend(self, number: int, size: int) -> Handle:
        """Return an ArrayBuffer for the app over the first `size` bytes of a taken block, all of which were written.

        Raises `KeyError`, `ValueError`.
        """
        taken = self._taken[number]
        if not 0 < size <= taken.block.size:
            raise ValueError(size)
        del self._taken[number]
        self._lent[number] = taken
        return taken.block.lend(size)

    def borrow(self, size: int, now: float, region: Region | None = None) -> tuple[int, int, Handle] | None:
        """As `take` and `lend` at once: return number, offset and ArrayBuffer, or None.

        In the ArrayBuffer is what was in the block before: the app must not see it before it is overwritten.
        """
        number = self.take(size, now, region)
        if number is None:
            return None
        return number, self.offset(number), self.lend(number, size)

    def take_back(self, number: int, now: float) -> None:
        """The ArrayBuffer that was lent under this number is detached: V8 need not find that out. Raises `KeyError`."""
        block = self._lent[number]
        # It may have been away for longer than the pool was idle, with nothing left then for `trim` to look after.
        self._used = now
        # Who says so is not believed: V8 counts.
        if not block.block.lent:
            del self._lent[number]
            self._free.append(block)

    def put_back(self, number: int) -> None:
        """A taken block is not needed after all, and nobody is filling it. Raises `KeyError`."""
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
        self._collect_old()
        self._close(self._free)
        # What the app keeps is looked at when the next body comes.
        self._used = now if self._taken or self._free else math.inf
        return self._used + IDLE_SECONDS

    def _find(self, size: int, region: Region | None) -> PooledBlock | None:
        """Return a free block of exactly this size in this region, or in none."""
        return self._pop(size, region) or (self._pop(size, region) if self._reclaim() else None)

    def _pop(self, size: int, region: Region | None) -> PooledBlock | None:
        for at in range(len(self._free) - 1, -1, -1):
            if self._free[at].block.size == size and self._free[at].region is region:
                return self._free.pop(at)
        return None

    def _reclaim(self) -> int:
        """Take back what V8 found dead; return how many blocks."""
        dead = [number for number, block in self._lent.items() if not block.block.lent]
        self._free += [self._lent.pop(number) for number in dead]
        return len(dead)

    def _make(self, size: int, region: Region | None) -> PooledBlock | None:
        """Return a new block if there is room for it, perhaps in place of free ones of other kinds."""
        self._close([block for block in self._free if block.useless])
        excess = self.held_bytes + size - MAX_BYTES
        if excess > sum(block.block.size for block in self._free):
            return None
        for block in list(self._free):
            if self.held_bytes + size <= MAX_BYTES:
                break
            self._close([block])
        if self.held_bytes + size > MAX_BYTES:
            return None
        try:
            made = Block(self._isolate, size)
        except MemoryError:
            return None
        self.held_bytes += size
        return PooledBlock(made, *_placed(made, region))

    def _close(self, blocks: list[PooledBlock]) -> None:
        """Give free blocks back. One that the app's own memory leaves no room for stays."""
        for block in list(blocks):
            try:
                block.close()
            except OSError:
                continue
            self._free.remove(block)
            self.held_bytes -= block.block.size

    @property
    def _lent_bytes(self) -> int:
        return sum(block.block.size for block in self._lent.values())

    def _collect_old(self) -> None:
        """Have V8 find what died old, if much that is lent may have: it sees no reason to of itself while idle.

        Many bodies at once are still in use when V8 next collects, and old from then on.
        """
        self._kept_bytes = min(self._kept_bytes, self._lent_bytes)
        if self._lent_bytes >= self._kept_bytes + GARBAGE_BYTES:
            self._isolate.collect_all()
            self._reclaim()
            self._kept_bytes = self._lent_bytes

    def _collect(self) -> bool:
        """Have V8 collect, if the app has much and may have let go of it; return whether there was something."""
        if self._patience:
            self._patience -= 1
            return False
        if self._lent_bytes < GARBAGE_BYTES:
            return False
        self._isolate.collect_young()
        count = self._reclaim()
        if count < len(self._lent):
            # The app keeps most of them: not every body shall cost a collection.
            self._patience = len(self._lent)
        return count > 0


def _placed(block: Block, region: Region | None) -> tuple[Region | None, int]:
    """Have `block` be in `region` if that is possible; return what came of it."""
    if region is None:
        return None, -1
    offset = region.take(block.size)
    try:
        block.share(region.descriptor, offset)
    except OSError:
        region.close()
        return None, -1
    return region, offset
