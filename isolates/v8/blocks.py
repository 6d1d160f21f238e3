"""Memory for the contents of one ArrayBuffer after another.

V8 takes new memory from the kernel for each large ArrayBuffer and gives it back after the next collection. Touching a
page for the first time costs so much that filling 1 MB takes 0.7 ms in new memory and 0.03 ms in memory that was used
before. A `Block` is V8's own memory, inside its sandbox, that JavaScript gets as an ArrayBuffer of any size that fits
(`lend`), and that can be lent again once nothing refers to that ArrayBuffer any more. It can be made of pages that
another process has as well (`share`), which then fills it.

Nothing is called when it dies, in the midst of a garbage collection: V8 counts references to the memory anyway, and
that count is read here. An ArrayBuffer over a block is a `std::shared_ptr` that points to a backing store of its own
and owns the block's (C++ calls that aliasing). So the memory outlives every ArrayBuffer over it, wherever the app moves
its content and in whatever order things end.
"""

import ctypes

from isolates.v8 import pages
from isolates.v8.errors import EngineError
from isolates.v8.isolate import Handle, Isolate
from isolates.v8.symbols import DELETER, VERSION, SharedPointer

_UNINITIALISED = 1
_COUNT_AT = 8
"""Where the control block of libc++'s `shared_ptr` counts the owners, less one."""


def _nothing(_data: int | None, _size: int, _own: int | None) -> None:
    """The memory belongs to the block."""


_DELETER = DELETER(_nothing)
_DELETER_ADDRESS = ctypes.cast(_DELETER, ctypes.c_void_p)
"""V8 counts the size of what has a deleter, other than its own empty one, in deciding when to collect."""


class Block:
    """So many bytes, not cleared: whoever lends them has overwritten them. Raises `MemoryError`."""

    def __init__(self, isolate: Isolate, size: int) -> None:
        engine = isolate.engine
        array_buffer: Handle | None = engine.array_buffer_new(isolate.pointer, size, _UNINITIALISED)
        if array_buffer is None:
            raise MemoryError
        self._isolate = isolate
        self.size = size
        self.memory: Handle = isolate.keep(array_buffer)
        """An ArrayBuffer over all of it, to fill it with. Must not reach the app."""
        shared = engine.array_buffer_store(array_buffer)
        self._address: int = engine.array_buffer_data(array_buffer)
        self._control: int = shared.control
        self._others = ctypes.c_int64.from_address(shared.control + _COUNT_AT)
        # `shared` is one of the two owners, and is never destroyed as C++ would.
        self._others.value -= 1
        self._store: int | None = None
        self._shared = False

    def __repr__(self) -> str:
        return f"<Block of {self.size} bytes{', lent' if self.lent else ''}>"

    @property
    def lent(self) -> bool:
        """Whether V8 has yet to find that the ArrayBuffer lent last is dead."""
        return self._others.value != 0

    def lend(self, size: int) -> Handle:
        """Return a new ArrayBuffer over the first `size` bytes. Not while the block is lent."""
        engine = self._isolate.engine
        self._drop_store()
        self._store = engine.backing_store_over(self._address, size, _DELETER_ADDRESS, None)
        self._others.value += 1
        lent: Handle = engine.array_buffer_over(self._isolate.pointer, SharedPointer(self._store, self._control))
        return lent

    def share(self, descriptor: int, offset: int) -> None:
        """Let the memory be that of a file from `offset` on. Once, and before it is lent. Raises `OSError`."""
        pages.show_shared(self._address, self.size, descriptor, offset)
        self._shared = True

    def close(self) -> None:
        """Give the memory back, which is then gone from `memory` too. Not while the block is lent.

        Raises `OSError` if shared pages cannot be replaced by ones that V8 may have: the block is as it was, but empty.
        """
        if self._shared:
            pages.show_private(self._address, self.size)
            self._shared = False
        self._isolate.engine.array_buffer_detach(self.memory, None)
        self._isolate.drop(self.memory)
        self._drop_store()

    def _drop_store(self) -> None:
        """Delete the backing store of the ArrayBuffer lent last, as `std::unique_ptr` would."""
        if self._store is not None:
            self._isolate.engine.backing_store_destroy(self._store)
            self._isolate.engine.operator_delete(self._store)
            self._store = None


def check(isolate: Isolate) -> None:
    """Raise `EngineError` unless references to memory are counted where this module reads them."""
    block = Block(isolate, 1)
    counts = [block._others.value]
    isolate.engine.array_buffer_detach(block.lend(1), None)
    counts.append(block._others.value)
    block.lend(1)
    counts.append(block._others.value)
    if counts != [0, 0, 1]:
        raise EngineError(f"mini-racer {VERSION} counts references to memory in an unknown way on this machine")
