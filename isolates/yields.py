"""Lets others have the processor while JavaScript computes for long.

A thread that computes keeps its processor although somebody else was woken there, now and then until the kernel's next
tick, 4 ms later. So during a long turn of JavaScript a timer interrupts its thread every millisecond, and the signal's
handler is sched_yield(2) itself. It needs neither V8 nor Python, and gets at code that V8 cannot interrupt: sorting,
parsing, garbage collection. Its signals do not pile up.

Short turns cost nothing: a second timer, which counts the process's CPU time and is therefore silent while that is
idle, wakes the thread that looks for long ones, once per tick at most. It takes some milliseconds to find one. So where
one long turn follows another, as in floods, and for the first turns of an app, the loop itself has the timer run from
the beginning (`TurnYields`); and it yields between turns where there are many without a rest. Used by the host and its
ring, prepared for by the zygote.
"""

import _thread
import ctypes
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime import priority
from runtime.priority import Yielding

LONG_SECONDS = 0.002
"""A turn of JavaScript that has taken longer makes way for others from now on."""
YIELD_SECONDS = 0.001
"""How often. Each time costs as much as 15 to 20 microseconds on a virtual processor: 2 % of a long turn."""
COLD_TURNS = 16
"""An app's first turns are long, since none of its code is compiled."""
_CPU_SECONDS = 0.004
"""After so much CPU time a look is due. The kernel counts no finer than in ticks."""
_LOOK_SECONDS = 0.01
"""How often to look whether a long turn is over."""


def prepare() -> None:
    """Make of this process one whose children may yield. They inherit all of it, and no timer."""
    libc = ctypes.CDLL(None)
    # Not Python's function: its handlers run when the interpreter does, which is after the turn. This one resumes
    # system calls that it interrupts, but for those that wait, which Python repeats.
    libc.signal(signal.SIGALRM, ctypes.c_void_p(priority.YIELD))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
    priority.lower(0)


@contextmanager
def yielding() -> Iterator[None]:
    """While this lasts, the main thread yields the processor every now and then."""
    signal.setitimer(signal.ITIMER_REAL, YIELD_SECONDS, YIELD_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def is_long(busy_since: float | None, now: float) -> bool:
    """Whether the turn that began at `busy_since` (None: JavaScript has nothing to do) is a long one at `now`."""
    return busy_since is not None and now - busy_since >= LONG_SECONDS


class TurnYields(Yielding):
    """What the loop does at each of its turns, on the main thread."""

    __slots__ = ("_cold", "_expects_long", "_timer_runs")

    def __init__(self) -> None:
        super().__init__()
        self._cold = COLD_TURNS
        self._expects_long = True
        """The last turn was long, or it was one of the first: the next one is likely to be."""
        self._timer_runs = False

    def turn_ended(self, seconds: float) -> None:
        """JavaScript has given control back after so long."""
        self._expects_long = seconds >= YIELD_SECONDS
        if self._cold:
            self._cold -= 1
            self._expects_long = True

    def begin_anew(self) -> None:
        """Another app is loaded: the turns so far were a rehearsal."""
        self._cold = COLD_TURNS
        self._expects_long = True

    def turn_begins(self, now: float) -> None:
        """JavaScript gets control at `now`."""
        self.between_turns(now)
        if self._expects_long:
            # Anew, although it may run: short turns are not to be interrupted, and `Yields` may have ended it.
            signal.setitimer(signal.ITIMER_REAL, YIELD_SECONDS, YIELD_SECONDS)
            self._timer_runs = True

    def sleeps(self) -> None:
        """The loop is about to wait."""
        if self._timer_runs:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._timer_runs = False


class Yields:
    """Has the main thread yield during long turns. `busy_since` as for the watchdog."""

    def __init__(self, busy_since: Callable[[], float | None]) -> None:
        self._busy_since = busy_since

    def __repr__(self) -> str:
        return f"<Yields {'now' if self._are_due() else 'not now'}>"

    def start(self) -> None:
        """Begin, without waiting for the thread to run: a request waits for this host to be ready."""
        signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS, _CPU_SECONDS)
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        while True:
            signal.sigwait({signal.SIGPROF})
            if self._are_due():
                with yielding():
                    while self._are_due():
                        time.sleep(_LOOK_SECONDS)

    def _are_due(self) -> bool:
        return is_long(self._busy_since(), time.monotonic())
