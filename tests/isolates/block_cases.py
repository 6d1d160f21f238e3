"""What memory lent to ArrayBuffers must stand, one function a case: `python -m tests.isolates.block_cases CASE`.

`test_block_pool.py` runs each in a process of its own, which a mistake would end.
"""

import errno
import gc
import math
import mmap
import os
import resource
import sys
import time
from pathlib import Path

from isolates.block_pool import IDLE_SECONDS, MAX_BYTES, BlockPool, block_size
from isolates.regions import LANE_BYTES, Region
from isolates.v8 import engine, pages
from isolates.v8.blocks import Block
from isolates.v8.isolate import Isolate
from isolates.wire import MEMORY_BYTES

MB = 1 << 20
NOW = 1000.0


class Bodies:
    """An isolate whose `body(size, byte)` gives an ArrayBuffer over a block, filled with a byte; null without one."""

    def __init__(self) -> None:
        v8 = engine.start()
        self.isolate = Isolate(
            v8, heap_mb=64, snapshot=None, on_heap_limit=lambda size: size, on_fatal=lambda *why: print(why)
        )
        self.pool = BlockPool(self.isolate)
        self.blocks: set[int] = set()
        """Which memory was used."""
        self.now = NOW
        native = self.isolate.evaluate("globalThis.native = { size: 0, byte: 0, block: null }", "case")
        self._native = self.isolate.keep(native)
        self.isolate.set(self._native, "call", self.isolate.function(self._give))
        self.run("""
            globalThis.body = (size, byte) => {
              Object.assign(native, { size, byte, block: null });
              native.call();
              const { block } = native;
              native.block = null;
              return block;
            };
            globalThis.same = (bytes, byte) => new Uint8Array(bytes).every((value) => value === byte);
        """)

    def _give(self, _info: int) -> None:
        size, byte = (int(self.isolate.text(self.isolate.get(self._native, name))) for name in ("size", "byte"))
        number = self.pool.take(size, self.now)
        if number is None:
            return
        memory = self.isolate.buffer(self.pool.memory(number))
        assert len(memory) == block_size(size)
        memory[:] = bytes([255]) * len(memory)
        memory[:size] = bytes([byte]) * size
        self.isolate.set(self._native, "block", self.pool.lend(number, size))
        del memory

    def run(self, script: str) -> str:
        """Evaluate within a callback's scope, as all of an app's code runs, and return the value as text."""
        return self.isolate.text(self.isolate.call(self.isolate.evaluate(f"() => {{ {script} }}", "case")))

    def tidy(self) -> None:
        """Have all that is dead found dead."""
        self.isolate.run_microtasks()
        self.isolate.engine.low_memory_notification(self.isolate.pointer)


def bodies_that_die_use_the_same_memory() -> None:
    bodies = Bodies()
    assert (
        bodies.run("for (let i = 0; i < 500; i++) if (!same(body(1e6, i % 200), i % 200)) return i; return 'ok'")
        == "ok"
    )
    assert bodies.pool.held_bytes <= MAX_BYTES
    assert bodies.run("return body(1e6, 1).byteLength") == "1000000"


def bodies_that_live_keep_their_bytes() -> None:
    bodies = Bodies()
    bodies.run(
        """
        globalThis.kept = [];
        for (let i = 0; i < 2000; i++) { const one = body(1e5, i % 251); if (one) kept.push([one, i % 251]); }
        """
    )
    assert int(bodies.run("return kept.length")) * block_size(100_000) <= MAX_BYTES
    bodies.tidy()
    assert bodies.run("return kept.every(([bytes, byte]) => same(bytes, byte))") == "true"
    assert bodies.run("return body(1e5, 1)") == "null"
    bodies.run("kept = null")
    bodies.tidy()
    assert bodies.run("return same(body(1e5, 7), 7)") == "true"


def other_sizes_take_the_place_of_free_blocks() -> None:
    bodies = Bodies()
    bodies.run(f"for (let i = 0; i < {MAX_BYTES // MB}; i++) body({MB}, 1)")
    bodies.tidy()
    assert bodies.run("return same(body(4e6, 3), 3) && same(body(2e5, 4), 4)") == "true"
    assert bodies.pool.held_bytes <= MAX_BYTES


def moved_content_outlives_what_it_was_moved_from() -> None:
    bodies = Bodies()
    bodies.run("""
        globalThis.moved = [
          body(1e6, 1).transfer(),
          body(1e6, 2).transferToFixedLength(),
          body(1e6, 3).transfer(10),
          body(1e6, 4).transfer(3e6),
          body(1e6, 5).transfer(0),
        ];
    """)
    bodies.tidy()
    bodies.run("for (let i = 0; i < 300; i++) body(1e6, 99)")
    assert bodies.run("return moved.map((one) => one.byteLength)") == "1000000,1000000,10,3000000,0"
    assert bodies.run("return moved.every((one, at) => same(one.slice(0, 1e6), at + 1))") == "true"
    assert bodies.run("return same(moved[3].slice(1e6), 0)") == "true"


def a_buffer_is_as_any_other() -> None:
    bodies = Bodies()
    assert bodies.run("const one = body(1e6, 1); return [one.resizable, one.maxByteLength, one.detached]") == (
        "false,1000000,false"
    )
    assert bodies.run("try { body(1e6, 1).resize(5) } catch (error) { return error.name }") == "TypeError"
    assert bodies.run("const one = body(1e6, 1); one.transfer(); return [one.detached, one.byteLength]") == "true,0"
    assert (
        bodies.run("try { new Uint8Array(body(1e5, 1), 0, 131072) } catch (error) { return error.name }")
        == "RangeError"
    )
    assert bodies.run(
        "const whole = new Uint8Array(body(1e5, 1)); return [whole.length, whole[1e5], whole.at(-1)]"
    ) == ("100000,,1")


def views_keep_the_memory() -> None:
    bodies = Bodies()
    bodies.run("globalThis.views = [new Uint8Array(body(1e6, 8)).subarray(999_990), new DataView(body(1e6, 9), 5, 5)]")
    bodies.tidy()
    bodies.run("for (let i = 0; i < 300; i++) body(1e6, 99)")
    assert bodies.run("return [...views[0], views[1].getUint8(4)]") == ",".join(["8"] * 10 + ["9"])


def idle_memory_is_given_back() -> None:
    bodies = Bodies()
    bodies.run("globalThis.kept = body(1e6, 6); for (let i = 0; i < 30; i++) body(1e6, 1)")
    assert bodies.pool.trim(NOW + IDLE_SECONDS / 2) == NOW + IDLE_SECONDS
    before = _resident()
    assert bodies.pool.trim(NOW + IDLE_SECONDS) == float("inf")
    assert bodies.pool.held_bytes == MB
    assert _resident() < before - 5 * MB
    assert bodies.run("return same(kept, 6) && same(body(1e6, 7), 7)") == "true"


def an_isolate_goes_while_its_buffers_live() -> None:
    for _ in range(3):
        bodies = Bodies()
        bodies.run("globalThis.kept = []; for (let i = 0; i < 20; i++) kept.push(body(1e6, i)); body(1e6, 1)")
        bodies.isolate.dispose()
        del bodies
        gc.collect()


def an_isolate_that_was_ended_goes() -> None:
    bodies = Bodies()
    bodies.run("globalThis.kept = []; for (let i = 0; i < 20; i++) kept.push(body(1e6, i));")
    bodies.isolate.terminate()
    try:
        bodies.run("for (;;) body(1e6, 1)")
    except Exception as error:
        assert type(error).__name__ == "Terminated", error
    else:
        raise AssertionError("it was not ended")
    bodies.isolate.dispose()


def memory_that_is_refused_is_no_block() -> None:
    bodies = Bodies()
    try:
        Block(bodies.isolate, 1 << 45)
    except MemoryError:
        pass
    else:
        raise AssertionError("there was memory")
    assert bodies.pool.take(5 * MB, NOW) is None


def a_block_is_taken_back_once_its_buffer_is_detached() -> None:
    """And not a moment before, whatever is said."""
    bodies = Bodies()
    borrowed = bodies.pool.borrow(MB, NOW)
    assert borrowed is not None
    number, offset, memory = borrowed
    assert offset == -1
    bodies.isolate.set(bodies._native, "block", memory)
    bodies.run("globalThis.kept = native.block; native.block = null; new Uint8Array(kept).fill(7)")
    bodies.pool.take_back(number, NOW)
    other = bodies.pool.borrow(MB, NOW)
    assert other is not None and other[0] != number and bodies.pool.held_bytes == 2 * MB
    assert bodies.run("return same(kept, 7)") == "true"
    bodies.run("kept.transfer(0)")
    bodies.pool.take_back(number, NOW)
    again = bodies.pool.borrow(MB, NOW)
    assert again is not None and bodies.pool.held_bytes == 2 * MB
    assert bodies.run("return kept.byteLength") == "0"
    try:
        bodies.pool.take_back(number, NOW)
    except KeyError:
        return
    raise AssertionError


def what_comes_back_after_an_idle_time_is_given_back_as_well() -> None:
    """A client may take a response for longer than that."""
    bodies, shared = Bodies(), Shared()
    borrowed = bodies.pool.borrow(MB, NOW, shared.region)
    assert borrowed is not None
    number, _, memory = borrowed
    bodies.isolate.set(bodies._native, "block", memory)
    bodies.run("new Uint8Array(native.block).fill(7)")
    for later in range(1, 4):
        bodies.pool.trim(NOW + later * IDLE_SECONDS)
        assert shared.bytes == MB
    bodies.run("native.block.transfer(0)")
    late = NOW + 9 * IDLE_SECONDS
    bodies.pool.take_back(number, late)
    assert bodies.pool.trim(late) == late + IDLE_SECONDS
    assert bodies.pool.trim(late + IDLE_SECONDS) == math.inf
    assert shared.bytes == bodies.pool.held_bytes == 0


def what_a_pool_is_asked_wrongly_it_refuses() -> None:
    bodies = Bodies()
    number = bodies.pool.take(1000, NOW)
    assert number is not None
    for size in (0, -1, block_size(1000) + 1):
        try:
            bodies.pool.lend(number, size)
        except ValueError:
            continue
        raise AssertionError(size)
    bodies.pool.put_back(number)
    for call in (bodies.pool.put_back, bodies.pool.memory):
        try:
            call(number)
        except KeyError:
            continue
        raise AssertionError(call)


class Shared:
    """Memory that an edge worker would share."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("case-bodies")
        os.ftruncate(self.descriptor, MEMORY_BYTES)
        self.memory = mmap.mmap(self.descriptor, MEMORY_BYTES)
        self.region = Region(os.dup(self.descriptor))

    @property
    def bytes(self) -> int:
        return os.fstat(self.descriptor).st_blocks * 512


def what_is_written_at_the_offset_is_in_the_block() -> None:
    bodies, shared = Bodies(), Shared()
    sizes = [1, 131_072, 131_073, MB, 4 * MB]
    numbers = [bodies.pool.take(size, NOW, shared.region) for size in sizes]
    for byte, (number, size) in enumerate(zip(numbers, sizes, strict=True), 1):
        assert number is not None
        offset = bodies.pool.offset(number)
        shared.memory[offset : offset + size] = bytes([byte]) * size
    for byte, (number, size) in enumerate(zip(numbers, sizes, strict=True), 1):
        assert number is not None
        memory = bodies.isolate.buffer(bodies.pool.memory(number))
        assert memory[:size] == bytes([byte]) * size
        del memory
        bodies.pool.put_back(number)


def blocks_of_one_edge_worker_are_not_anothers() -> None:
    bodies, first, second = Bodies(), Shared(), Shared()
    number = bodies.pool.take(MB, NOW, first.region)
    assert number is not None
    bodies.pool.put_back(number)
    for region in (second.region, None):
        other = bodies.pool.take(MB, NOW, region)
        assert other is not None
        bodies.isolate.buffer(bodies.pool.memory(other))[:MB] = b"x" * MB
        assert first.bytes == 0
    assert second.bytes == MB
    again = bodies.pool.take(MB, NOW, first.region)
    assert again is not None and bodies.pool.offset(again) == 3 * LANE_BYTES


def blocks_of_an_edge_worker_that_is_gone_make_room() -> None:
    bodies, gone, there = Bodies(), Shared(), Shared()
    for shared in (gone, there):
        numbers = [bodies.pool.take(4 * MB, NOW, shared.region) for _ in range(MAX_BYTES // (4 * MB))]
        for number in numbers:
            assert number is not None and bodies.pool.offset(number) >= 0
            bodies.pool.put_back(number)
        gone.region.close()
    number = bodies.pool.take(4 * MB, NOW, gone.region)
    assert number is not None and bodies.pool.offset(number) == -1


def memory_that_cannot_be_shared_is_not() -> None:
    bodies = Bodies()
    broken = Region(os.open("/dev/null", os.O_RDWR))
    for _ in range(3):
        number = bodies.pool.take(MB, NOW, broken)
        assert number is not None and bodies.pool.offset(number) == -1
        bodies.isolate.buffer(bodies.pool.memory(number))[:MB] = b"x" * MB
        bodies.pool.put_back(number)
    assert broken.closed and bodies.pool.held_bytes == MB


def a_block_that_cannot_become_private_again_stays() -> None:
    bodies, shared = Bodies(), Shared()
    number = bodies.pool.take(4 * MB, NOW, shared.region)
    assert number is not None
    offset = bodies.pool.offset(number)
    bodies.pool.put_back(number)
    show_private, pages.show_private = pages.show_private, _no_memory
    try:
        for later in range(1, 4):
            assert bodies.pool.trim(NOW + later * IDLE_SECONDS) == NOW + (later + 1) * IDLE_SECONDS
            assert bodies.pool.held_bytes == 4 * MB
        others = [bodies.pool.take(4 * MB, NOW) for _ in range(MAX_BYTES // (4 * MB) - 1)]
        assert None not in others and bodies.pool.take(4 * MB, NOW) is None
        number = bodies.pool.take(4 * MB, NOW, shared.region)
        assert number is not None and bodies.pool.offset(number) == offset
        shared.memory[offset] = 7
        assert bodies.isolate.buffer(bodies.pool.memory(number))[0] == 7
        bodies.pool.put_back(number)
    finally:
        pages.show_private = show_private
    bodies.pool.trim(NOW + 9 * IDLE_SECONDS)
    assert shared.bytes == 0 and bodies.pool.held_bytes == MAX_BYTES - 4 * MB


def _no_memory(address: int, size: int) -> None:
    raise OSError(errno.ENOMEM, "no memory")


def bodies_that_grew_old_are_found_when_idle() -> None:
    bodies = Bodies()
    bodies.run("globalThis.kept = []; for (let i = 0; i < 30; i++) kept.push(body(1e6, i))")
    for _ in range(3):
        bodies.isolate.collect_young()
    bodies.run("kept.length = 10")
    bodies.pool.trim(NOW + IDLE_SECONDS)
    assert bodies.pool.held_bytes == 10 * MB
    assert bodies.run("return kept.every((bytes, at) => same(bytes, at))") == "true"


def what_an_app_keeps_is_looked_through_once() -> None:
    bodies = Bodies()
    bodies.run("globalThis.kept = []; for (let i = 0; i < 30; i++) kept.push(body(1e6, i))")
    looked: list[None] = []
    collect_all = bodies.isolate.collect_all
    bodies.isolate.collect_all = lambda: looked.append(collect_all())  # type: ignore[method-assign]
    for _ in range(5):
        bodies.now += IDLE_SECONDS
        bodies.run("kept.push(body(1e6, 7))")
        bodies.pool.trim(bodies.now + IDLE_SECONDS)
        assert len(looked) == 1
    bodies.run("for (let i = 0; i < 10; i++) kept.push(body(1e6, 7))")
    bodies.pool.trim(bodies.now + IDLE_SECONDS)
    assert len(looked) == 2


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


CASES = {
    name: case
    for name, case in list(globals().items())
    if callable(case) and getattr(case, "__module__", "") == __name__ and "_" in name and name[0] != "_"
}

if __name__ == "__main__":
    began = time.monotonic()
    CASES[sys.argv[1]]()
    print(f"through in {time.monotonic() - began:.1f} s", flush=True)
    os._exit(0)
