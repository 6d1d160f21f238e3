"""Synchronous operations that JavaScript asks of the host: `native.call()`.

Request and result are in the scratch buffer: i32[0] the operation, i32[1…7] arguments, data from byte 64. On return
i32[0] is 0, or a negative `Failure`; results are in i32[1…] and the data. Operations from `FIRST_CRYPTO` on are
those of `isolates/crypto/calls.py`, those from `compression.FIRST` on of `isolates/compression.py`, with refusals of
their own.
"""

import hashlib
import os
import struct
from collections.abc import Callable
from enum import IntEnum
from time import monotonic
from typing import Any

from isolates import compression
from isolates.block_pool import BlockPool
from isolates.crypto.calls import Calls
from isolates.regions import Region
from isolates.v8.isolate import Handle

DATA = 64
FIRST_CRYPTO = 32
_WORDS = struct.Struct("<8i")
_DIGESTS = {1: "sha1", 5: "md5", 256: "sha256", 384: "sha384", 512: "sha512"}


class Op(IntEnum):
    """`n` bytes, `p` bytes of path; results after the arrow."""

    FLUSH = 1
    RANDOM = 2
    """(n) → data: n random bytes"""
    DIGEST = 3
    """(algorithm, n) of data → (length), data"""
    DIGEST_NEW = 4
    """(algorithm) → (handle)"""
    DIGEST_UPDATE = 5
    """(handle, n) of data"""
    DIGEST_FINAL = 6
    """(handle) → (length), data; the handle is gone"""
    READ_FILE = 7
    """(p, offset), data: path in the package → (size of the file), data: as much from offset on as fits"""
    CHECKPOINT = 8
    """Run the microtasks that are ready."""
    REQUIRE = 9
    """(n) of data: name of a module of the platform, whose namespace is `native.required` then."""
    TAKE_BLOCK = 10
    """(n, connection) → (number of a block with room for n bytes, where it is in the memory shared over the connection
    or -1); `native.block` is its memory then. See `block_pool.py`."""
    LEND_BLOCK = 11
    """(number, n): `native.block` is an ArrayBuffer over its first n bytes then."""
    PUT_BLOCK_BACK = 12
    """(number)"""
    COLLECT = 13
    """Find what died young."""
    BORROW_BLOCK = 14
    """As TAKE_BLOCK, but the block is lent: `native.block` is an ArrayBuffer of n bytes, not cleared."""
    TAKE_BLOCK_BACK = 15
    """(number): the ArrayBuffer that was lent is detached."""


class Failure(IntEnum):
    UNKNOWN_OPERATION = -1
    BAD_ARGUMENT = -2
    NOT_FOUND = -3


class Operations:
    """`flush` sends the output buffer; `run_microtasks` and `collect` are the isolate's; `watch`, `on_done`, `region`
    are the ring's.

    `show(value)` makes a value JavaScript's `native.block`.
    """

    def __init__(
        self,
        scratch: memoryview,
        *,
        flush: Callable[[], None],
        run_microtasks: Callable[[], None],
        collect: Callable[[], None],
        watch: Callable[[int, Callable[[], None]], None],
        on_done: Callable[[], None],
        blocks: BlockPool,
        region: Callable[[int], Region | None],
        show: Callable[[Handle], None],
    ) -> None:
        self._scratch = scratch
        self._room = len(scratch) - DATA
        self._flush = flush
        self._run_microtasks = run_microtasks
        self._collect = collect
        self._blocks = blocks
        self._region = region
        self._show = show
        self.read: Callable[[str], bytes] = _no_package
        """Returns a file of the package or raises LookupError."""
        self.require: Callable[[str], None] = _no_modules
        """Evaluates a module of the platform or raises LookupError."""
        self._digests: dict[int, Any] = {}
        self._next_digest = 1
        self._file: tuple[str, bytes] = ("", b"")
        self.crypto = Calls(scratch[DATA:], watch=watch, on_done=on_done)
        self._compression = compression.Streams(scratch[DATA:])

    def call(self) -> None:
        """Do one operation. `native.call`."""
        words = _WORDS.unpack_from(self._scratch)
        more = 0
        try:
            if words[0] >= compression.FIRST:
                code, result, more = self._compression.run(words[0], words[1], words[2])
            elif words[0] >= FIRST_CRYPTO:
                code, result, more = self.crypto.run(words[0], words[1])
            elif words[0] == Op.TAKE_BLOCK:
                code, (result, more) = 0, self._take_block(words[1], words[2])
            elif words[0] == Op.BORROW_BLOCK:
                code, (result, more) = 0, self._borrow_block(words[1], words[2])
            else:
                code, result = 0, self._run(words[0], words[1], words[2])
        except (KeyError, ValueError):
            code, result = int(Failure.BAD_ARGUMENT), 0
        except LookupError:
            code, result = int(Failure.NOT_FOUND), 0
        except NotImplementedError:
            code, result = int(Failure.UNKNOWN_OPERATION), 0
        struct.pack_into("<3i", self._scratch, 0, code, result, more)

    def _run(self, op: int, first: int, second: int) -> int:
        if op == Op.FLUSH:
            self._flush()
            return 0
        if op == Op.CHECKPOINT:
            self._run_microtasks()
            return 0
        if op == Op.RANDOM:
            return self._put(os.urandom(self._size(first)))
        if op == Op.DIGEST:
            return self._put(hashlib.new(_DIGESTS[first], self._take(second)).digest())
        if op == Op.DIGEST_NEW:
            handle, self._next_digest = self._next_digest, self._next_digest + 1
            self._digests[handle] = hashlib.new(_DIGESTS[first])
            return handle
        if op == Op.DIGEST_UPDATE:
            self._digests[first].update(self._take(second))
            return 0
        if op == Op.DIGEST_FINAL:
            return self._put(self._digests.pop(first).digest())
        if op == Op.REQUIRE:
            self.require(bytes(self._take(first)).decode())
            return 0
        if op == Op.READ_FILE:
            return self._read_file(bytes(self._take(first)).decode(), second)
        if op == Op.LEND_BLOCK:
            self._show(self._blocks.lend(first, second))
            return 0
        if op == Op.COLLECT:
            self._collect()
            return 0
        if op == Op.PUT_BLOCK_BACK:
            self._blocks.put_back(first)
            return 0
        if op == Op.TAKE_BLOCK_BACK:
            self._blocks.take_back(first, monotonic())
            return 0
        raise NotImplementedError(f"operation {op}")

    def _read_file(self, path: str, offset: int) -> int:
        """Put a piece of a file into the buffer and return the file's size. The file is kept for its next piece."""
        if offset < 0:
            raise ValueError(offset)
        if offset == 0 or self._file[0] != path:
            self._file = (path, self.read(path))
        content = self._file[1]
        self._put(content[offset : offset + self._room])
        if offset + self._room >= len(content):
            self._file = ("", b"")
        return len(content)

    def _take_block(self, size: int, connection: int) -> tuple[int, int]:
        number = self._blocks.take(size, monotonic(), self._region(connection))
        if number is None:
            raise LookupError(f"no block for {size} bytes")
        self._show(self._blocks.memory(number))
        return number, self._blocks.offset(number)

    def _borrow_block(self, size: int, connection: int) -> tuple[int, int]:
        borrowed = self._blocks.borrow(size, monotonic(), self._region(connection))
        if borrowed is None:
            raise LookupError(f"no block for {size} bytes")
        number, offset, memory = borrowed
        self._show(memory)
        return number, offset

    def _size(self, size: int) -> int:
        if not 0 <= size <= self._room:
            raise ValueError(size)
        return size

    def _take(self, size: int) -> memoryview:
        return self._scratch[DATA : DATA + self._size(size)]

    def _put(self, data: bytes) -> int:
        self._scratch[DATA : DATA + len(data)] = data
        return len(data)


def _no_package(path: str) -> bytes:
    raise LookupError(f"{path}: no package is loaded")


def _no_modules(name: str) -> None:
    raise LookupError(f"{name}: no modules are loaded")
