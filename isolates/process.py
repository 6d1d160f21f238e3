"""What the processes of this room do about their own life, beside `runtime.child`: signals, descriptors, memory."""

import os
import resource
import signal

_MEGABYTE = 1 << 20
_SPARE_MB = 192
RECYCLED_MB = 64
"""What the pool of `block_pool.py` may hold, so that it takes nothing away from the app."""


def default_signals() -> None:
    """Ctrl-C reaches the whole terminal group but is the supervisor's to handle; SIGTERM ends this process at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def close_descriptors(*keep: int) -> None:
    """Close every descriptor but the standard ones and those named."""
    low = 3
    for descriptor in sorted(keep):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def private_mb(heap_mb: int) -> int:
    """How much a host's private memory may grow: by the heap, as much again in buffers, the pool, and some spare."""
    return 2 * heap_mb + RECYCLED_MB + _SPARE_MB


def bound_memory(heap_mb: int) -> None:
    """Let this process's private memory grow by `private_mb(heap_mb)`.

    Only the JavaScript heap has a limit in V8: typed arrays and WebAssembly memories have none, and beyond RLIMIT_DATA
    they throw a RangeError. V8's code range (512 MB of address space) counts, so the bound starts from what is mapped.
    """
    descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        pages = int(os.read(descriptor, 256).split()[5])  # private writable mappings
    finally:
        os.close(descriptor)
    bound = pages * resource.getpagesize() + private_mb(heap_mb) * _MEGABYTE
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
