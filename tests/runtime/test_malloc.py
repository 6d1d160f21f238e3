"""The C library's allocator, as `runtime.malloc` sets it, in a process of its own."""

import subprocess
import sys

CHURN = """
import resource
from runtime.malloc import keep_memory
keep_memory()
def churn():
    for _ in range(50):
        pieces = [bytearray(256_000) for _ in range(4)]
        del pieces
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
FREED = """
import ctypes as c
from runtime.malloc import join_at_once
libc = c.CDLL(None)
libc.malloc.restype = c.c_void_p
Figures = type("Figures", (c.Structure,), {"_fields_": [(name, c.c_size_t) for name in (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]})
libc.mallinfo2.restype = Figures
def unjoined():
    blocks = [libc.malloc(100) for _ in range(1000)]
    for block in blocks:
        libc.free(c.c_void_p(block))
    return libc.mallinfo2().fsmblks
before = unjoined()
join_at_once()
print(before, unjoined())
"""


def _figures(program: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return [int(figure) for figure in done.stdout.split()]


def test_memory_that_reads_were_in_is_used_again() -> None:
    # New memory each time would be 50 times 250 pages.
    assert _figures(CHURN)[0] < 1000


def test_small_blocks_are_joined_when_they_are_freed() -> None:
    before, after = _figures(FREED)
    assert before > 50_000
    assert after == 0
