"""How a request for a cryptographic function gets from JavaScript to `functions.py`, and its reply back.

Both are in the scratch buffer of `isolates/operations.py`, and may be larger than it:

    request   u32 function, then fields
    reply     fields; or, when the operation is refused, a message in UTF-8
    field     u32 bytes, then the bytes

A function that takes long runs on a thread, and the reply to the call is a ticket. When it is done the loop is told,
JavaScript hears of it, and takes the replies one after the other.
"""

import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import NamedTuple

from cryptography.exceptions import InternalError, UnsupportedAlgorithm

from isolates.crypto import functions
from isolates.crypto.failures import DataError, NotSupportedError, OperationError, Refused

THREADS = 2
MAX_REQUEST_BYTES = 512 << 20
_U32 = struct.Struct("<I")
_U32_BYTES = 4


class CryptoOp(IntEnum):
    """`n` bytes of data; results after the arrow."""

    CALL = 32
    """(n) the rest of a request → (bytes of the reply, ticket or 0), data: as much of the reply as fits"""
    PREPARE = 33
    """(n) more of the request that the next CALL ends"""
    MORE = 34
    """(offset) → (n) of the last reply"""
    TAKE = 35
    """() → as CALL, for a function that has run on a thread; ticket 0: none"""


class Refusal(IntEnum):
    """Negative results of CALL and TAKE, which JavaScript makes a DOMException of."""

    OPERATION = -16
    DATA = -17
    NOT_SUPPORTED = -18


_REFUSALS: dict[type[Refused], Refusal] = {
    OperationError: Refusal.OPERATION,
    DataError: Refusal.DATA,
    NotSupportedError: Refusal.NOT_SUPPORTED,
}
Answer = tuple[int, bytes]
"""0 or a `Refusal`, and the reply."""
_NO_MEMORY: Answer = (int(Refusal.OPERATION), b"there is not enough memory for the operation (limit memory_mb)")


class _Running(NamedTuple):
    """An operation on a thread: since when, and the thread's clock of CPU time with what it showed then."""

    since: float
    clock: int
    cpu_since: float


class Calls:
    """`watch(descriptor, call)` has the loop call when the descriptor is readable; `on_done` then tells JavaScript."""

    def __init__(
        self, data: memoryview, *, watch: Callable[[int, Callable[[], None]], None], on_done: Callable[[], None]
    ) -> None:
        self._data = data
        self._watch = watch
        self._on_done = on_done
        self.on_no_memory: Callable[[], None] = lambda: None
        """Called when an operation was refused because the process has no memory left for it."""
        self._request = bytearray()
        self._reply = b""
        self._threads: ThreadPoolExecutor | None = None
        self._event = -1
        self._done: deque[tuple[int, Answer]] = deque()
        self._last_ticket = 0
        self._running: dict[int, _Running] = {}

    def __repr__(self) -> str:
        return f"<Calls {self._last_ticket} on threads so far, {len(self._done)} to take>"

    def busy_since(self) -> float | None:
        """When the longest operation that is under way on a thread began, by the monotonic clock. From any thread."""
        longest = self._longest()
        return None if longest is None else longest.since

    def cpu_seconds(self) -> float:
        """CPU time that this operation has used so far; 0 if there is none. From any thread."""
        longest = self._longest()
        return 0.0 if longest is None else time.clock_gettime(longest.clock) - longest.cpu_since

    def _longest(self) -> _Running | None:
        return min(list(self._running.values()), default=None)

    def run(self, op: int, argument: int) -> tuple[int, int, int]:
        """Do one operation of `CryptoOp`; return the words 0, 1 and 2 of the answer.

        Raises:
            MemoryError: there is no memory left to go on with.
            ValueError: the request makes no sense.
            NotImplementedError: there is no such operation.
        """
        if op == CryptoOp.CALL:
            return self._call(argument)
        if op == CryptoOp.PREPARE:
            return self._prepare(argument), 0, 0
        if op == CryptoOp.MORE:
            return 0, self._put(argument), 0
        if op == CryptoOp.TAKE:
            return self._take()
        raise NotImplementedError(f"operation {op}")

    def _prepare(self, size: int) -> int:
        piece = self._data[: self._size(size)]
        try:
            if len(self._request) + size <= MAX_REQUEST_BYTES:
                self._request += piece
                return 0
        except MemoryError:
            self.on_no_memory()
        self._request = bytearray()
        return Refusal.OPERATION

    def _call(self, size: int) -> tuple[int, int, int]:
        last = self._data[: self._size(size)]
        earlier, self._request = self._request, bytearray()
        try:
            number, fields = _decode(bytes(earlier + last) if earlier else bytes(last))
        except MemoryError:
            return self._answer(0, _NO_MEMORY)
        if functions.is_slow(number, fields):
            return 0, 0, self._start(number, fields)
        return self._answer(0, _run(number, fields))

    def _take(self) -> tuple[int, int, int]:
        if not self._done:
            return 0, 0, 0
        return self._answer(*self._done.popleft())

    def _answer(self, ticket: int, answer: Answer) -> tuple[int, int, int]:
        if answer is _NO_MEMORY:
            self.on_no_memory()
        code, self._reply = answer
        size = len(self._reply)
        if self._put(0) == size:
            self._reply = b""
        return code, size, ticket

    def _put(self, offset: int) -> int:
        """Put what fits of the reply, from `offset` on, into the buffer; return how much."""
        piece = memoryview(self._reply)[offset : offset + len(self._data)]
        self._data[: len(piece)] = piece
        if offset and offset + len(piece) == len(self._reply):
            self._reply = b""
        return len(piece)

    def _size(self, size: int) -> int:
        if not 0 <= size <= len(self._data):
            raise ValueError(size)
        return size

    # -- threads

    def _start(self, number: int, fields: functions.Fields) -> int:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="crypto")
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._watch(self._event, self._on_event)
        self._last_ticket += 1
        try:
            self._threads.submit(self._run_on_thread, self._last_ticket, number, fields)
        except RuntimeError as error:
            # There is no room for a thread's stack. The executor has kept the call, so that it is of no use any more.
            raise MemoryError(str(error)) from error
        return self._last_ticket

    def _run_on_thread(self, ticket: int, number: int, fields: functions.Fields) -> None:
        """Never raises, since nobody would hear of it and JavaScript would wait for ever."""
        thread = threading.get_ident()
        self._running[thread] = _Running(time.monotonic(), time.pthread_getcpuclockid(thread), time.thread_time())
        try:
            answer = _run(number, fields)
        except Exception as error:  # the thread's door
            answer = int(Refusal.OPERATION), f"the operation failed: {error!r}".encode()
        del self._running[thread]
        self._done.append((ticket, answer))
        os.eventfd_write(self._event, 1)

    def _on_event(self) -> None:
        os.eventfd_read(self._event)
        self._on_done()


def _run(number: int, fields: functions.Fields) -> Answer:
    try:
        return 0, _encode(functions.run(number, fields))
    except Refused as error:
        return int(_REFUSALS[type(error)]), str(error).encode()
    except MemoryError:
        return _NO_MEMORY
    except (InternalError, UnsupportedAlgorithm) as error:
        # OpenSSL's own failures, and what it was built without.
        return int(Refusal.OPERATION), f"the operation failed: {error}".encode()


def _decode(request: bytes) -> tuple[int, functions.Fields]:
    """Function and fields. Raises ValueError if the request ends early."""
    number = int.from_bytes(request[:_U32_BYTES], "little")
    fields, at, end = [], _U32_BYTES, len(request)
    while at < end:
        start = at + _U32_BYTES
        at = start + int.from_bytes(request[at:start], "little")
        fields.append(request[start:at])
    if at != end:
        raise ValueError("the request ends within a field")
    return number, fields


def _encode(fields: functions.Fields) -> bytes:
    return b"".join(part for field in fields for part in (_U32.pack(len(field)), field))
