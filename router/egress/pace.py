"""How often connections of one app may go on reading floods of small frames. Pure.

Reading so many frames takes a few milliseconds, and the process serves every app: with the pauses in between, those of
one app together take about a quarter of its time, however many connections they come on.
"""

PAUSE_SECONDS = 0.01


class Pace:
    """Turns of one app's connections that have more to read than fits in one."""

    def __init__(self) -> None:
        self._due = 0.0

    def next_turn(self, now: float) -> float:
        """Take the next turn; return in how many seconds it is, at `now`."""
        self._due = max(self._due, now) + PAUSE_SECONDS
        return self._due - now
