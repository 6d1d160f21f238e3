"""How much an app may log: a bucket of bytes that refills, so that a flood costs neither the node nor other apps."""

BYTES_AT_ONCE = 1 << 20
BYTES_PER_SECOND = 256 << 10
"""After that. A dozen apps that log without end leave the supervisor time for all else, with every core busy."""

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
        self.dropped = 0
        """Lines refused since `take_dropped` was last called."""

    def __repr__(self) -> str:
        return f"<LogBudget {int(self._left)} bytes left, {self.dropped} lines dropped>"

    def admits(self, size: int, now: float) -> bool:
        """Tell whether a line of `size` bytes may be logged, and count it either way."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < size + LINE_OVERHEAD:
            self.dropped += 1
            return False
        self._left -= size + LINE_OVERHEAD
        return True

    def take_dropped(self) -> int:
        """Return how many lines were refused since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped
