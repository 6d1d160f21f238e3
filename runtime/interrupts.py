"""Interrupts a thread of this process every now and then, so that it lets others have its processor.

For threads that compute in code which cannot be made to call anything: see `runtime.priority` for why that matters. The
kernel's timer sends a signal to that one thread, and the signal's handler is sched_yield(2) itself, which needs neither
Python nor SQLite. System calls that it interrupts go on. Used by `dataplane.relay` and `dataplane.checkpoints`.
"""

import ctypes as c
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime import priority

SIGNAL = signal.SIGURG
"""Harmless where nothing is prepared for it: the default is to ignore it."""
OFTEN_NANOSECONDS = 150_000
"""Between two interrupts while others want the thread's processor, too: who is woken up there waits for about as long.
An interrupt costs 25 microseconds on a virtual processor, so this is 16 % of who computes."""
SELDOM_NANOSECONDS = 1_000_000
"""The same while nobody else seems to want it: 2 %."""
SHARED_NANOSECONDS = 1_000_000
"""A thread that has waited for its processor for longer, from one `adapt` to the next, shares it with somebody."""
_SIGEV_THREAD_ID = 4
_libc = c.CDLL(None, use_errno=True)
_libc.signal.argtypes = (c.c_int, c.c_void_p)
_libc.timer_delete.argtypes = (c.c_void_p,)
_libc.timer_settime.argtypes = (c.c_void_p, c.c_int, c.c_void_p, c.c_void_p)


class _SigEvent(c.Structure):
    """`struct sigevent` of sigevent(3type), 64 bytes, as Linux has it for one thread."""

    _fields_ = (
        ("value", c.c_void_p),
        ("signal", c.c_int),
        ("notify", c.c_int),
        ("thread", c.c_int),
        ("unused", c.c_int * 11),
    )


def prepare() -> None:
    """Have the signal do nothing but yield, in this process and those that it forks. By the main thread, at start."""
    # Not Python's function: its handlers run when the interpreter does. This one resumes system calls.
    _libc.signal(SIGNAL, priority.YIELD)


class Interrupts:
    """Of one thread, by its native id, from now on until `stop`. The process was prepared. Raises `OSError`."""

    def __init__(self, thread: int) -> None:
        self._thread = thread
        self._schedstat = Path(f"/proc/self/task/{thread}/schedstat")
        self._timer = c.c_void_p()
        event = _SigEvent(None, SIGNAL, _SIGEV_THREAD_ID, thread)
        _check(_libc.timer_create(time.CLOCK_MONOTONIC, c.byref(event), c.byref(self._timer)))
        self.often = True
        """Not seldom."""
        self._waited = self._waited_so_far()
        self._begin(OFTEN_NANOSECONDS)

    def __repr__(self) -> str:
        return f"<Interrupts of thread {self._thread}, {'often' if self.often else 'seldom'}>"

    def adapt(self) -> None:
        """Interrupt the thread often or seldom, by how long it has waited for a processor since the last time."""
        waited, before = self._waited_so_far(), self._waited
        if waited is None or before is None:
            return
        self._waited = waited
        if (often := waited - before > SHARED_NANOSECONDS) != self.often:
            self.often = often
            self._begin(OFTEN_NANOSECONDS if often else SELDOM_NANOSECONDS)

    def stop(self) -> None:
        """Once, and before the thread ends."""
        _check(_libc.timer_delete(self._timer))

    def _begin(self, nanoseconds: int) -> None:
        every = (c.c_long * 4)(0, nanoseconds, 0, nanoseconds)
        _check(_libc.timer_settime(self._timer, 0, every, None))

    def _waited_so_far(self) -> int | None:
        """Nanoseconds for which the thread could have run and did not; None: this kernel does not tell.

        The second figure of `schedstat` (proc(5), Documentation/scheduler/sched-stats).
        """
        try:
            return int(self._schedstat.read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None


@contextmanager
def interrupted() -> Iterator[None]:
    """Interrupt the calling thread while this lasts; if the kernel has no timer for it, do without."""
    try:
        interrupts = Interrupts(threading.get_native_id())
    except OSError:
        interrupts = None
    try:
        yield
    finally:
        if interrupts is not None:
            interrupts.stop()


def _check(result: int) -> None:
    if result:
        code = c.get_errno()
        raise OSError(code, os.strerror(code))
