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


def test_memory_that_reads_were_in_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", CHURN], capture_output=True, text=True, timeout=60, check=True)
    # New memory each time would be 50 times 250 pages.
    assert int(done.stdout) < 1000
