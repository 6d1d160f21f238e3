"""How much apps may log together: what the supervisor takes of their lines, so that floods leave it time for the rest.

Every isolate host bounds its own app (`isolates.log_budget`), which does not help against many of them. Each app has a
small share of its own, and what is over it comes out of a common one: no flood costs another app's few lines. Asked by
`runtime.telemetry.reports` for each line. Pure: `now` is seconds of a monotonic clock.
"""

from collections import Counter

from isolates.log_budget import LINE_OVERHEAD, SHARE_BYTES_PER_SECOND

COMMON_BYTES_PER_SECOND = 2 << 20
"""With overhead: at most 8,000 lines, some 5 % of the supervisor's time. That much can be used at once, too."""

OWN_BYTES = 256 << 10
"""Of its own share an app may use that much at once."""


class _Bucket:
    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, now: float, rate: int, most: int) -> None:
        self._at = now
        self._left = float(most)
        self._rate = rate
        self._most = most

    def takes(self, size: int, now: float) -> bool:
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < size:
            return False
        self._left -= size
        return True


class LogShares:
    """The shares of all apps."""

    def __init__(self, now: float) -> None:
        self._common = _Bucket(now, COMMON_BYTES_PER_SECOND, COMMON_BYTES_PER_SECOND)
        self._own: dict[str, _Bucket] = {}
        self._dropped: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<LogShares of {len(self._own)} apps, {self._dropped.total()} lines dropped>"

    def admits(self, app_id: str, size: int, now: float) -> bool:
        """Tell whether a line of an app with that many bytes is kept, and count it either way."""
        own = self._own.get(app_id)
        if own is None:
            own = self._own[app_id] = _Bucket(now, SHARE_BYTES_PER_SECOND, OWN_BYTES)
        size += LINE_OVERHEAD
        if own.takes(size, now) or self._common.takes(size, now):
            return True
        self._dropped[app_id] += 1
        return False

    def take_dropped(self) -> dict[str, int]:
        """Return how many lines of which apps were dropped since the last call."""
        dropped, self._dropped = self._dropped, Counter()
        return dropped

    def forget(self, app_id: str) -> None:
        """The app was deleted."""
        self._own.pop(app_id, None)
        self._dropped.pop(app_id, None)
