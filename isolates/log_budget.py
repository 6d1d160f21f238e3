"""How much an app may log: a bucket of bytes that refills, so that a flood costs neither the node nor other apps."""

import math

BYTES_AT_ONCE = 1 << 20
BYTES_PER_SECOND = 256 << 10
"""After that. A dozen apps that log without end leave the supervisor time for all else, with every core busy."""

SHARE_BYTES_PER_SECOND = 32 << 10
"""While the apps of the node log more than it takes together: what it takes of each app in any case."""
SHARE_SECONDS = 2.0
"""How long an app keeps to that once it was told; then to twice as much for as long, and so on up to its usual rate. At
once, all the apps that were told together would flood the node again."""
LINE_OVERHEAD = 256
"""Bytes that a line counts beside its text: what is kept with it, and what passing it on costs."""

MAX_LINE_BYTES = 64 << 10


class LogBudget:
    """Pure: `now` is seconds of a monotonic clock."""

    def __init__(self, now: float, at_once: int = BYTES_AT_ONCE, per_second: int = BYTES_PER_SECOND) -> None:
        self._most = at_once
        self._rate = per_second
        self._left = float(at_once)
        self._at = now
        self._lessened = -math.inf
        self.dropped = 0
        """Lines refused since `take_dropped` was last called."""

    def __repr__(self) -> str:
        return f"<LogBudget {int(self._left)} bytes left, {self.dropped} lines dropped>"

    def admits(self, size: int, now: float) -> bool:
        """Tell whether a line of `size` bytes may be logged, and count it either way."""
        rate, most = (self._reduced(now), self._reduced(now)) if self.is_lessened(now) else (self._rate, self._most)
        self._left = min(most, self._left + (now - self._at) * rate)
        self._at = now
        if self._left < size + LINE_OVERHEAD:
            self.dropped += 1
            return False
        self._left -= size + LINE_OVERHEAD
        return True

    def lessen(self, now: float) -> None:
        """Admit no more than the app's share of what the node takes, and only by and by more again."""
        self._lessened = now
        self._left = min(self._left, float(SHARE_BYTES_PER_SECOND))

    def is_lessened(self, now: float) -> bool:
        """Whether it is less than usual still."""
        return self._reduced(now) < self._rate

    def _reduced(self, now: float) -> int:
        """Bytes per second, and at once, that long after `lessen`."""
        doublings = min(32.0, (now - self._lessened) // SHARE_SECONDS)
        return SHARE_BYTES_PER_SECOND << int(doublings)

    def take_dropped(self) -> int:
        """Return how many lines were refused since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped
