"""How much of a busy processor a thread gets, and how soon it lets others have it.

For threads that run a slow statement beside the one that leads (`dataplane.relay`), for isolate hosts, and for the
processes with an event loop. Lowering a thread's priority is not enough: one that computes is only asked to make way
where the kernel takes an interrupt, which may be no sooner than at its next tick, 4 ms later. So such a thread yields:
between two pieces of work (`Yielding`), between two steps of SQLite's virtual machine (`Connection.give_way`), in the
midst of JavaScript (`isolates.yields`) or of a step (`runtime.interrupts`). What it is then charged for is made small,
or it would get next to nothing: Linux 6.18 takes one slice away from who yields. Linux before 6.12 knows no slices of a
thread's own and gives it somewhat more. A leaf module: it imports nothing else of brrrd.
"""

import ctypes as c
import os
from contextlib import suppress
from time import monotonic

NICE = 5
SLICE_NANOSECONDS = 100_000
"""The least that Linux knows. A thread that yields after as much gets, beside another one that is always busy, 12 % of
a processor with `NICE`, and 22 % without."""
YIELD_SECONDS = 0.000_5
"""How long a thread with much to do goes on at most, as far as its pieces of work allow."""
_SYS_SCHED_SETATTR = 314
"""On x86-64, which is all that the engine's package is made for. glibc has a function for it only since 2.41."""
_KEEP_POLICY = 0x08


class _SchedAttr(c.Structure):
    """`struct sched_attr` of sched_setattr(2), its first version."""

    _fields_ = (
        ("size", c.c_uint32),
        ("policy", c.c_uint32),
        ("flags", c.c_uint64),
        ("nice", c.c_int32),
        ("priority", c.c_uint32),
        ("runtime", c.c_uint64),
        ("deadline", c.c_uint64),
        ("period", c.c_uint64),
    )


_libc = c.CDLL(None, use_errno=True)
YIELD = c.cast(_libc.sched_yield, c.c_void_p).value or 0
"""Address of sched_yield(2): takes nothing, returns 0."""


def lower(thread: int, by: int = 0) -> None:
    """Add to a thread's nice value, which cannot be undone, and make its slices short. `thread` is its native id.

    Or 0, for the calling thread. Threads that it starts and processes that it forks inherit both.
    """
    nice = min(19, os.getpriority(os.PRIO_PROCESS, thread) + by)
    attributes = _SchedAttr(c.sizeof(_SchedAttr), flags=_KEEP_POLICY, nice=nice, runtime=SLICE_NANOSECONDS)
    if _libc.syscall(_SYS_SCHED_SETATTR, thread, c.byref(attributes), 0) and by:
        # A sandbox that does not let it may know the older call.
        os.setpriority(os.PRIO_PROCESS, thread, nice)


def abandon(thread: int) -> None:
    """Let a thread have only what nobody else wants of a processor, for good. One that has ended meanwhile is no error.

    For what computes in vain: who waits for a lock that it holds may wait for long. `thread` is its native id.
    """
    with suppress(OSError):
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


class Yielding:
    """Has a thread that goes from one piece of work to the next without sleeping yield in between, often enough."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = 0.0
        """When to yield next, in seconds of the monotonic clock."""

    def between_turns(self, now: float) -> None:
        """Yield if it is time to at `now`."""
        if now >= self.due:
            os.sched_yield()
            self.due = monotonic() + YIELD_SECONDS

    def slept(self, now: float) -> None:
        """The thread gave the processor away by itself, up to `now`."""
        self.due = now + YIELD_SECONDS
