"""Sends requests back that wait for JavaScript which does not yield, so that another host can have them at once.

A thread of its own, because the isolate's thread is in V8 then (and has let go of the GIL). It sleeps until the
supervisor writes to the control channel: normally the loop reads that at once, and this thread finds nothing to do. A
message that stays there (`Probe`, when an edge worker finds the host silent) while one turn of JavaScript goes on means
that the host does not get to new requests either.
"""

import _thread
import select
import time
from collections.abc import Callable

BLOCKED_SECONDS = 0.05
"""A turn of JavaScript that takes longer holds up others."""
_PAUSE_SECONDS = 0.02


def is_blocked(busy_since: float | None, now: float) -> bool:
    """Whether the turn that began at `busy_since` (None: JavaScript has nothing to do) has taken too long at `now`."""
    return busy_since is not None and now - busy_since >= BLOCKED_SECONDS


class Relief:
    """Calls `relieve(busy_since)` while the turn of that time is too long and something waits in `descriptor`.

    `busy_since` as for the watchdog.
    """

    def __init__(
        self, *, descriptor: int, busy_since: Callable[[], float | None], relieve: Callable[[float], None]
    ) -> None:
        self._poller = select.poll()
        self._poller.register(descriptor, select.POLLIN)
        self._busy_since = busy_since
        self._relieve = relieve

    def __repr__(self) -> str:
        return "<Relief>"

    def start(self) -> None:
        """Begin, without waiting for the thread to run: a request waits for this host to be ready."""
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        while True:
            self._poller.poll()
            busy_since, now = self._busy_since(), time.monotonic()
            if busy_since is not None and is_blocked(busy_since, now):
                self._relieve(busy_since)
            # Either the loop reads the message meanwhile, or the turn gets too long.
            time.sleep(_PAUSE_SECONDS)
