"""The life of isolate hosts and the recovery of an app whose hosts die: pure state, `now` is always an argument.

    STANDBY ──> STARTING ──> READY ──> DRAINING ──> GONE      a host that ends by itself goes to GONE from any state
       └────────────┴───────────┴──────────────────> ▲

`isolate_hosts.py` does what is decided here.
"""

from enum import Enum

import msgspec

from isolates.messages import HostStats
from runtime.supervisor.backoff import Backoff

MOST_DEATHS = 8
WINDOW_SECONDS = 60.0
QUARANTINE_SECONDS = 30.0
LONGEST_QUARANTINE_SECONDS = 600.0


class HostState(Enum):
    """Where a host is in its life."""

    STANDBY = "standby"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


_NEXT = {
    HostState.STANDBY: {HostState.STARTING, HostState.GONE},
    HostState.STARTING: {HostState.READY, HostState.GONE},
    HostState.READY: {HostState.DRAINING, HostState.GONE},
    HostState.DRAINING: {HostState.GONE},
    HostState.GONE: set[HostState](),
}


def may_become(state: HostState, following: HostState) -> bool:
    """Whether a host in `state` can go to `following`."""
    return following in _NEXT[state]


def was_asked(before: HostStats | None, now: HostStats) -> bool:
    """Whether a host had requests or WebSockets since it last reported.

    It also reports what its app does by itself, such as exceptions in an interval, which is no use that anybody makes
    of the app.
    """
    if now.active or now.queued or now.websockets:
        return True
    return before is None or now.requests + now.refused > before.requests + before.refused


class Verdict(msgspec.Struct, frozen=True):
    """What to do after a host died: start another one in `retry_in` seconds; until then maybe refuse requests."""

    retry_in: float
    unavailable: str | None
    """For the app's owner and its callers, when waiting makes no sense; None: the edge may wait for the new host."""


class Recovery:
    """Record of one app's dead hosts.

    A host that dies is replaced at once the first time and ever later after that; after `MOST_DEATHS` within
    `WINDOW_SECONDS` the app is quarantined: requests are refused at once. A quarantine ends with one attempt; when that
    host dies within the window as well, the next quarantine lasts twice as long. A deploy, rollback or change of the
    environment starts afresh.
    """

    def __init__(self) -> None:
        self._backoff = Backoff(window=WINDOW_SECONDS)
        self._quarantines = 0
        self._probation_until = float("-inf")

    def __repr__(self) -> str:
        return f"<Recovery {self._backoff!r} quarantines={self._quarantines}>"

    def deaths(self, now: float) -> int:
        """Deaths that still count at `now`."""
        return self._backoff.deaths(now)

    def renewed(self) -> None:
        """Something new is going to run: what died before does not count against it."""
        self._backoff.forget()
        self._quarantines = 0
        self._probation_until = float("-inf")

    def died(self, now: float, reason: str) -> Verdict:
        """Record a death at `now` (monotonic seconds)."""
        if now > self._probation_until and self._quarantines and self._backoff.deaths(now) == 0:
            self._quarantines = 0
        retry_in = self._backoff.died(now)
        deaths = self._backoff.deaths(now)
        if deaths < MOST_DEATHS and now > self._probation_until:
            return Verdict(retry_in, None if retry_in <= 1.0 else _sentence(deaths, reason, retry_in))
        retry_in = min(LONGEST_QUARANTINE_SECONDS, QUARANTINE_SECONDS * 2**self._quarantines)
        self._quarantines += 1
        self._probation_until = now + retry_in + WINDOW_SECONDS
        return Verdict(retry_in, _sentence(deaths, reason, retry_in))


def _sentence(deaths: int, reason: str, retry_in: float) -> str:
    times = "once" if deaths == 1 else f"{deaths} times"
    return (
        f"The app's process died {times} in the last minute ({reason}); "
        f"it is tried again in {retry_in:.0f} s, or at once with a new deployment."
    )
