"""What a host tells the supervisor of its app and of itself beside messages of its life: log lines, limits, counters.

Used by the host. Log lines are within a budget, and those of statistics and of an app may be dropped: nobody waits for
a supervisor that does not read.
"""

import time
from collections import Counter
from collections.abc import Callable

from isolates.buffers import Counters
from isolates.link import Link
from isolates.log_budget import MAX_LINE_BYTES, LogBudget
from isolates.messages import HostStats, Log


class Reports:
    """For the isolate's thread; only `say` may be called from any."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._budget = LogBudget(time.monotonic())
        self._limits: Counter[str] = Counter()
        """How often each was hit."""
        self._sent_counters: Counters | None = None
        self._sent_limits = 0

    def __repr__(self) -> str:
        return f"<Reports {dict(self._limits)}, {self._budget!r}>"

    def log(self, level: str, request_id: str, text: bytes) -> None:
        """Pass on a line of the app's log, cut to `MAX_LINE_BYTES`, if the budget has room for it."""
        now = time.monotonic()
        if self._budget.admits(min(len(text), MAX_LINE_BYTES), now):
            line = text[:MAX_LINE_BYTES].decode("utf-8", "replace")
            if not self._link.send(Log(time.time(), level, request_id, line), droppable=True):
                # The supervisor is behind, and an app that never yields does not hear that it is to log less.
                self._budget.dropped += 1
                self._budget.lessen(now)

    def say(self, level: str, message: str) -> None:
        """Write a line of the host's own into the app's log, which is not dropped."""
        self._link.send(Log(time.time(), level, "", message))

    def hit(self, limit: str, message: str) -> None:
        """Count a limit that does not end the host, and tell the app's owner."""
        self.count(limit)
        self.log("warn", "", message.encode())

    def log_less(self) -> None:
        """Pass on fewer lines for a moment: the supervisor has more from all apps together than it takes."""
        self._budget.lessen(time.monotonic())

    def count(self, limit: str) -> None:
        """Count a limit that was hit."""
        self._limits[limit] += 1

    def changed(self, counters: Counters) -> bool:
        """Whether there is something to say that `send_stats` has not said."""
        return counters != self._sent_counters or self._limits.total() != self._sent_limits

    def send_stats(self, counters: Counters, heap_bytes: Callable[[], int]) -> None:
        """Send the counters if they changed."""
        self.send_dropped()
        if not self.changed(counters):
            return
        self._sent_counters = counters
        self._sent_limits = self._limits.total()
        self._link.send(
            HostStats(
                requests=counters.requests,
                active=counters.active,
                queued=counters.queued,
                refused=counters.refused,
                exceptions=counters.exceptions,
                heap_bytes=heap_bytes(),
                limits=dict(self._limits),
                websockets=counters.websockets,
            ),
            droppable=True,
        )

    def send_dropped(self) -> None:
        """Say how many lines of the log were dropped, if any."""
        dropped = self._budget.take_dropped()
        if dropped:
            self._limits["log_volume"] += dropped
            shared = self._budget.is_lessened(time.monotonic())
            why = "the node's apps log more than it takes" if shared else "over 1 MB at once, or 256 KB per second"
            self.say("warn", f"{dropped} log lines were dropped: {why} (limit log_volume)")
