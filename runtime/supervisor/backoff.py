"""When to start again what has ended: a pure rule, tested by tables.

Used for worker processes (`slot.py`) and, with a quarantine on top, for apps (`hosts.py`).
"""

from collections import deque


class Backoff:
    """Delays before a restart: none for the first death, then doubling while deaths follow each other.

    Deaths older than `window` seconds no longer count.
    """

    def __init__(self, *, first: float = 0.1, most: float = 5.0, window: float = 60.0) -> None:
        self._first = first
        self._most = most
        self._window = window
        self._deaths: deque[float] = deque()

    def __repr__(self) -> str:
        return f"<Backoff {len(self._deaths)} recent deaths>"

    def deaths(self, now: float) -> int:
        """Deaths within the window."""
        while self._deaths and self._deaths[0] <= now - self._window:
            self._deaths.popleft()
        return len(self._deaths)

    def died(self, now: float) -> float:
        """Record a death at `now` (monotonic seconds) and return the seconds to wait before the next start."""
        earlier = self.deaths(now)
        self._deaths.append(now)
        if earlier == 0:
            return 0.0
        return float(min(self._most, self._first * 2 ** min(earlier - 1, 30)))

    def forget(self) -> None:
        """A new build or an operator's action: earlier deaths say nothing any more."""
        self._deaths.clear()
