"""Which pages are under an address of this process: those of a shared file for a while, then fresh ones again."""

import ctypes
import mmap
import os

_MAP_FIXED = 0x10
_MADV_REMOVE = 9
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_madvise = _libc.madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def show_shared(address: int, size: int, descriptor: int, offset: int) -> None:
    """Have `size` bytes at `address` be those of a file from `offset` on. All three are whole pages. Raises `OSError`.

    What was there is gone.
    """
    _replace(address, size, mmap.MAP_SHARED, descriptor, offset)


def show_private(address: int, size: int) -> None:
    """Undo `show_shared`: the pages are empty and this process's own, and those of the file go back to the kernel.

    Raises `OSError` if this process may have no more memory; then the file's pages, emptied, are still there.
    """
    _madvise(address, size, _MADV_REMOVE)
    _replace(address, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)


def _replace(address: int, size: int, flags: int, descriptor: int, offset: int) -> None:
    if address % mmap.PAGESIZE:
        raise OSError(f"{address:#x} is not where a page begins")
    if _mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags | _MAP_FIXED, descriptor, offset) == _FAILED:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
