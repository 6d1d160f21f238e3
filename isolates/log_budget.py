"""How much an app may log: a bucket of bytes that refills, so that a flood costs neither the node nor other apps."""

BYTES_PER_SECOND = 1 << 20
LINE_OVERHEAD = 64
MAX_LINE_BYTES = 64 << 10


class LogBudget:
    """Pure: `now` is seconds of a monotonic clock."""

    def __init__(self, now: float, bytes_per_second: int = BYTES_PER_SECOND) -> None:
        self._rate = bytes_per_second
        self._left = float(bytes_per_second)
        self._at = now
        self.dropped = 0
        """Lines refused since `take_dropped` was last called."""

    def __repr__(self) -> str:
        return f"<LogBudget {int(self._left)} bytes left, {self.dropped} lines dropped>"

    def admits(self, size: int, now: float) -> bool:
        """Tell whether a line of `size` bytes may be logged, and count it either way."""
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
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
