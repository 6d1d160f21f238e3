"""The C library's allocator, set for processes with large bytes objects or with many small blocks. A leaf module.

Python leaves objects above 512 bytes to `malloc`, which gives what is free at the end of its heap back to the kernel as
soon as it is 128 KB, or a little more: what each read of a socket brings. Having it anew costs a page fault for each
4 KB, ten times the copy that it is for.
"""

import ctypes

_M_MXFAST = 1
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
KEPT_BYTES = 4 << 20
"""Free memory at the end of the heap that is kept."""
MAPPED_BYTES = 2 << 20
"""Larger objects have a mapping of their own, which goes with them."""


def keep_memory() -> None:
    """Have `malloc` keep some free memory. Does nothing with a C library other than glibc."""
    _set(_M_TRIM_THRESHOLD, KEPT_BYTES)
    _set(_M_MMAP_THRESHOLD, MAPPED_BYTES)


def join_at_once() -> None:
    """Have `malloc` join what is freed with what is free around it right then. Elsewhere it does nothing, as above.

    By default it leaves that, for blocks of up to 128 bytes, to whoever frees 64 KB at once: some other thread may then
    have to join a million blocks, for a third of a second, while who freed them goes on.
    """
    _set(_M_MXFAST, 0)


def _set(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(parameter, value)
