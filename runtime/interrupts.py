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

from runtime import priority

SIGNAL = signal.SIGURG
"""Harmless where nothing is prepared for it: the default is to ignore it."""
INTERVAL_NANOSECONDS = 250_000
"""Each interrupt costs as much as 15 to 20 microseconds on a virtual processor: 7 % of who computes. With twice the
interval 4 %, but then who is woken up on that processor waits for twice as long."""
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
        self._timer = c.c_void_p()
        event = _SigEvent(None, SIGNAL, _SIGEV_THREAD_ID, thread)
        _check(_libc.timer_create(time.CLOCK_MONOTONIC, c.byref(event), c.byref(self._timer)))
        every = (c.c_long * 4)(0, INTERVAL_NANOSECONDS, 0, INTERVAL_NANOSECONDS)
        _check(_libc.timer_settime(self._timer, 0, every, None))

    def stop(self) -> None:
        """Once, and before the thread ends."""
        _check(_libc.timer_delete(self._timer))


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
