"""Ends JavaScript that does not come back to the event loop: an endless loop, a flood of microtasks, a slow regexp.

A thread of its own, because the isolate's thread is in V8 then (and has let go of the GIL).
"""

import _thread
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

DEATH_SECONDS = 0.5
"""How long JavaScript may take to end after it was told to, before the process does. A native loop does not listen:
`fill` of a huge array goes on for seconds, while callers wait for an answer that can no longer come."""
_LEAST_WAIT = 0.002
"""CPU time lags behind the wall clock while the thread waits for a core: look again this soon at the earliest."""


class CpuLimit(NamedTuple):
    """`expire` is called when what has been going on since `busy_since()` has `used()` that many `seconds` of CPU time.

    That is a turn of JavaScript, or an operation on another thread; `busy_since` is None while there is none.
    """

    seconds: float
    busy_since: Callable[[], float | None]
    used: Callable[[], float]
    expire: Callable[[], None]

    def left(self, now: float) -> float:
        """Return for how long to sleep before looking again; not positive: over the limit."""
        busy_since = self.busy_since()
        left = cpu_seconds_left(busy_since, now, self.seconds, self.used)
        # It may have ended in between, and the figures be of two of them.
        return left if left > 0 or busy_since == self.busy_since() else _LEAST_WAIT


def seconds_left(busy_since: float | None, now: float, limit: float) -> float:
    """Return for how many seconds the loop certainly stays within `limit`; not positive: it is over it.

    An idle loop may get busy at any moment, so then this is the whole limit: the thread sleeps through idle times and
    wakes once per limit at most.
    """
    return limit if busy_since is None else busy_since + limit - now


def cpu_seconds_left(busy_since: float | None, now: float, limit: float, used: Callable[[], float]) -> float:
    """As `seconds_left`, for CPU time, of which a turn cannot use more than has passed."""
    left = seconds_left(busy_since, now, limit)
    return left if left > 0 else limit - used()


class Watchdog:
    """Calls `expire` once when `busy_since()` has been the same for `limit` seconds, and then exits with `status`.

    `busy_since` returns when the loop handed over to JavaScript, by the monotonic clock, or None while it waits. Each
    limit of `cpu` ends the process in the same way.
    """

    def __init__(
        self,
        *,
        limit: float,
        status: int,
        busy_since: Callable[[], float | None],
        expire: Callable[[], None],
        cpu: Sequence[CpuLimit] = (),
    ) -> None:
        self._limit = limit
        self._status = status
        self._busy_since = busy_since
        self._expire = expire
        self._cpu = cpu
        self._ending = threading.Event()

    def __repr__(self) -> str:
        return f"<Watchdog {self._limit} s>"

    def start(self) -> None:
        """Begin, without waiting for the thread to run: a request waits for this host to be ready."""
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        while (left := self._left()) > 0:
            if self._ending.wait(left):
                break
        time.sleep(DEATH_SECONDS)
        os._exit(self._status)

    def end_soon(self) -> None:
        """End the process in `DEATH_SECONDS`, whatever its other threads do. For another limit than time."""
        self._ending.set()

    def _left(self) -> float:
        """Return how long to sleep; not positive once a limit was hit and its `expire` called."""
        busy_since, now = self._busy_since(), time.monotonic()
        left = seconds_left(busy_since, now, self._limit)
        if left <= 0:
            self._expire()
            return left
        for limit in self._cpu:
            cpu_left = limit.left(now)
            if cpu_left <= 0:
                limit.expire()
                return cpu_left
            left = min(left, max(cpu_left, _LEAST_WAIT))
        return left
