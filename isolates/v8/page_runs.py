"""How many pages of dead ArrayBuffers V8's allocator keeps for the next ones, instead of giving them to the kernel.

An ArrayBuffer of less than a megabyte lies in a run of pages (a slot span of PartitionAlloc). When a run is empty its
pages go back to the kernel, unless few runs are: 16, and an eighth of all that is in use. As V8 finds ArrayBuffers dead
many megabytes at a time, nearly all went back and were then taken anew, with a page fault for every 4 KB: a stream of
chunks of 16 KB spent 58 % of its host's time on that. The two numbers are in the allocator's root, of which a process
has one. Used by `isolates.spare_memory`.
"""

import ctypes

from isolates.v8.blocks import Block
from isolates.v8.errors import EngineError
from isolates.v8.isolate import Isolate
from isolates.v8.symbols import DISTRIBUTION, VERSION

MAX_RUNS = 1024
_ROOT_AT = 8
"""In the allocator of ArrayBuffers: the address of the root."""
_EMPTY_BYTES_AT = 0x1630
"""In the root: bytes of empty runs whose pages are kept."""
_SHIFT_AT = 0x1638
"""Bytes in use, shifted to the right by this, is how many bytes may be kept."""
_NEXT_AT, _RUNS_AT = 0x3670, 0x3672
"""Which of the places for empty runs is filled next, and how many there are."""
_USUAL_RUNS, _USUAL_SHIFT = 16, 3
_ANY, _NONE = 0, 63
_RUN_BYTES = 128 << 10
"""An ArrayBuffer of this size has a run to itself."""


class PageRuns:
    """Has `runs` empty runs kept from now on, `MAX_RUNS` at most. Raises `EngineError` if the allocator is unknown."""

    def __init__(self, isolate: Isolate, runs: int) -> None:
        group = ctypes.c_void_p()
        isolate.engine.default_isolate_group(ctypes.addressof(group))
        allocator: int = isolate.engine.array_buffer_memory(group.value)
        root = ctypes.c_size_t.from_address(allocator + _ROOT_AT).value
        count = ctypes.c_uint16.from_address(root + _RUNS_AT)
        following = ctypes.c_uint16.from_address(root + _NEXT_AT)
        self._isolate = isolate
        self._empty_bytes = ctypes.c_size_t.from_address(root + _EMPTY_BYTES_AT)
        self._shift = ctypes.c_uint8.from_address(root + _SHIFT_AT)
        # An isolate of this process that was disposed of may have left it as it is to be.
        known = ((_USUAL_RUNS, _USUAL_SHIFT), (runs, _ANY))
        if (count.value, self._shift.value) not in known or following.value >= count.value:
            raise EngineError(f"{DISTRIBUTION} {VERSION} keeps empty pages in an unknown way on this machine")
        count.value = max(runs, _USUAL_RUNS)
        self._shift.value = _ANY

    def __repr__(self) -> str:
        return f"<PageRuns {self.empty_bytes} bytes empty>"

    @property
    def empty_bytes(self) -> int:
        """Bytes of empty runs that are kept."""
        return self._empty_bytes.value

    def give_back(self) -> None:
        """Give the pages of all empty runs to the kernel. Raises `MemoryError`."""
        # The allocator does so when another run gets empty and more bytes are kept than may be.
        self._shift.value = _NONE
        try:
            Block(self._isolate, _RUN_BYTES).close()
        finally:
            self._shift.value = _ANY
