"""How many requests of an app all edge workers have at its hosts together, in memory that they share.

A host counts its own requests against the app's cap (`max_concurrent_requests`). Once an app has several hosts, none of
them knows the sum, so edge workers keep it: a table of u32, one row per app that has had several hosts (its `slot`),
one column per edge worker. Each cell has one writer; a reader adds up a row. An app with one host is not counted here.

The supervisor makes the memory, hands it to edge workers, and clears the column of one that died.
"""

import mmap
import os

SLOTS = 4096
"""Apps with several hosts at the same time, at most; further ones keep to one."""
_CELL = 4


class Occupancy:
    """One worker's view. `fd` is the shared memory, or -1 for none."""

    def __init__(self, fd: int, index: int, workers: int) -> None:
        self._index = index
        self._workers = workers
        size = SLOTS * workers * _CELL
        self._memory = mmap.mmap(fd, size) if fd >= 0 else mmap.mmap(-1, size)
        self._cells = memoryview(self._memory).cast("I")

    def __repr__(self) -> str:
        return f"<Occupancy of worker {self._index} in {self._workers}>"

    def admit(self, slot: int, own: int, most: int) -> bool:
        """Whether one more request may start beside the `own` ones of this worker, `most` over all workers."""
        row = slot * self._workers
        # Written before the others are read: of two workers that see the last free place, at least one sees the other.
        self._cells[row + self._index] = own + 1
        if sum(self._cells[row : row + self._workers]) <= most:
            return True
        self._cells[row + self._index] = own
        return False

    def publish(self, slot: int, own: int) -> None:
        """Say how many requests this worker has at the app's hosts."""
        self._cells[slot * self._workers + self._index] = own

    def clear(self, index: int) -> None:
        """Forget what a worker said that died."""
        for cell in range(index, SLOTS * self._workers, self._workers):
            self._cells[cell] = 0

    def close(self) -> None:
        """Unmap the memory."""
        self._cells.release()
        self._memory.close()


def shared_memory(workers: int) -> int:
    """Return a descriptor of memory for that many workers."""
    fd = os.memfd_create("brrrd-occupancy", os.MFD_CLOEXEC)
    os.ftruncate(fd, SLOTS * workers * _CELL)
    return fd
