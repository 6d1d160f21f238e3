"""What the pages of dead arrays must stand, one function a case: `python -m tests.isolates.page_run_cases CASE`.

`test_spare_memory.py` runs each in a process of its own: it has one allocator, and a mistake would end it.
"""

import ctypes
import os
import resource
import sys
from pathlib import Path

from isolates.spare_memory import RUNS
from isolates.v8 import engine
from isolates.v8.errors import EngineError
from isolates.v8.isolate import Isolate
from isolates.v8.page_runs import PageRuns

MB = 1 << 20
CHUNK = 16 << 10


def isolate() -> Isolate:
    return Isolate(
        engine.start(), heap_mb=64, snapshot=None, on_heap_limit=lambda size: size, on_fatal=lambda *why: print(why)
    )


def make(isolate: Isolate, megabytes: int, size: int = CHUNK) -> int:
    """Make and drop that many megabytes of arrays, with a collection for every four; return the page faults."""
    made = isolate.evaluate("(count, size) => { for (; count > 0; count--) new Uint8Array(size).fill(1); }", "case")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(0, megabytes, 4):
        isolate.call(made, isolate.string(str(4 * MB // size)), isolate.string(str(size)))
        isolate.collect_young()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def new_arrays_get_the_pages_of_dead_ones() -> None:
    one = isolate()
    without = make(one, 80)
    PageRuns(one, RUNS)
    make(one, 8)
    assert without > 80 * MB // 4096 / 2, without
    assert make(one, 80) < without / 20


def kept_pages_are_given_back() -> None:
    one = isolate()
    runs = PageRuns(one, RUNS)
    for size in (CHUNK, 60_000, 200_000):
        make(one, 16, size)
        kept, before = runs.empty_bytes, resident()
        assert 2 * MB < kept < RUNS * max(size, 64 << 10), (size, kept)
        runs.give_back()
        assert runs.empty_bytes == 0
        assert resident() < before - kept / 2
    assert make(one, 8) > 0


def what_is_kept_holds_nothing_of_before() -> None:
    one = isolate()
    PageRuns(one, RUNS)
    make(one, 40)
    find = "() => { for (let i = 0; i < 2000; i++) if (new Uint8Array(16384).some(Boolean)) return 'old'; return '' }"
    assert one.text(one.call(one.evaluate(find, "case"))) == ""


def another_isolate_of_the_process_finds_it_as_it_was_left() -> None:
    first = isolate()
    PageRuns(first, RUNS)
    make(first, 40)
    first.dispose()
    second = isolate()
    PageRuns(second, RUNS).give_back()
    make(second, 40)


def an_allocator_with_other_numbers_is_refused() -> None:
    one = isolate()
    runs = PageRuns(one, RUNS)
    assert isinstance(runs._shift, ctypes.c_uint8)
    runs._shift.value = 5
    try:
        PageRuns(one, RUNS)
    except EngineError as error:
        assert "mini-racer" in str(error)
    else:
        raise AssertionError("it was taken for the known one")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


CASES = {
    case.__name__: case
    for case in (
        new_arrays_get_the_pages_of_dead_ones,
        kept_pages_are_given_back,
        what_is_kept_holds_nothing_of_before,
        another_isolate_of_the_process_finds_it_as_it_was_left,
        an_allocator_with_other_numbers_is_refused,
    )
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
    print("through", flush=True)
    os._exit(0)
