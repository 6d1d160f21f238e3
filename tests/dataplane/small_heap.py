"""A database worker with little memory: `python -m tests.dataplane.small_heap` in place of `dataplane.worker`."""

from dataplane import memory, worker

CACHES_MIB, MOST_MIB, HEAP_MIB = 48, 128, 384

if __name__ == "__main__":
    memory.CACHES_BYTES, memory.MOST_BYTES, memory.HEAP_BYTES = CACHES_MIB << 20, MOST_MIB << 20, HEAP_MIB << 20
    worker.main()
