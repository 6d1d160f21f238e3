"""Counters of one app or database at one process, as cheap as a counter can be.

Those of apps are kept by the dispatcher while the app exists (a new build goes on counting), those of databases by edge
workers and the egress process. Sent once a second as `EdgeStats` and `EgressStats`.
"""

from bisect import bisect_left
from itertools import accumulate

from router.messages import LATENCY_BUCKETS, AppStats

_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Counters:
    """Responses by status class and by latency, WebSockets and their messages, requests refused at a limit."""

    __slots__ = ("_buckets", "_classes", "_seconds", "limits", "messages_in", "messages_out", "websockets")

    def __init__(self) -> None:
        self._classes = [0] * 6
        self._buckets = [0] * (len(LATENCY_BUCKETS) + 1)
        self._seconds = 0.0
        self.websockets = 0
        """Open now."""
        self.messages_in = 0
        self.messages_out = 0
        self.limits: dict[str, int] = {}
        """Requests that the edge refused, by the limit that was the cause."""

    def __repr__(self) -> str:
        return f"<Counters {sum(self._classes)} responses>"

    def observe(self, status: int, seconds: float) -> None:
        """Count one response of `status` (100 to 599) that took `seconds` up to its head."""
        self._classes[status // 100] += 1
        self._buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def over(self, limit: str) -> None:
        """Count one request that the edge refuses at a limit."""
        self.limits[limit] = self.limits.get(limit, 0) + 1

    def snapshot(self) -> AppStats:
        """Return the totals in the form of the control channel."""
        return AppStats(
            responses={name: count for name, count in zip(_CLASSES, self._classes[1:], strict=True) if count},
            seconds_sum=self._seconds,
            seconds_buckets=list(accumulate(self._buckets)),
            websockets=self.websockets,
            messages_in=self.messages_in,
            messages_out=self.messages_out,
            limits=dict(self.limits),
        )


class DatabaseCounters:
    """Counters of every database that this process answered for."""

    def __init__(self) -> None:
        self._counters: dict[str, Counters] = {}

    def __repr__(self) -> str:
        return f"<DatabaseCounters {len(self._counters)} databases>"

    def observe(self, database_id: str, status: int, seconds: float) -> None:
        """Count one response that took `seconds` up to its end."""
        counters = self._counters.get(database_id)
        if counters is None:
            counters = self._counters[database_id] = Counters()
        counters.observe(status, seconds)

    def snapshot(self) -> dict[str, AppStats]:
        """Return the totals by database id."""
        return {database_id: counters.snapshot() for database_id, counters in self._counters.items()}
