"""Whether a process still answers: a process that hangs does not die by itself, and what waits for it would wait on.

`slot.py` asks each ready process every `ASK_SECONDS` by an empty frame on its control channel, which its event loop
sends back. Questions are counted rather than seconds, so that time in which the supervisor itself stood still, with the
machine asleep for one, is nobody's fault.
"""

ASK_SECONDS = 2.0
MOST_UNANSWERED = 4
"""A process is given up between 8 and 10 seconds after it stopped; no event loop is away that long at work."""


class Pulse:
    """Questions that one process has not answered yet."""

    def __init__(self) -> None:
        self._unanswered = 0

    def __repr__(self) -> str:
        return f"<Pulse {self._unanswered} unanswered>"

    def answered(self) -> None:
        """It is there."""
        self._unanswered = 0

    def ask(self) -> bool:
        """Count one more question; False: do not ask any more, it hangs."""
        if self._unanswered >= MOST_UNANSWERED:
            return False
        self._unanswered += 1
        return True
