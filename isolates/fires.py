"""The runs of crons that are under way in a host: what was asked for, and since when.

Used by the host, which passes `Fire` on to JavaScript as a frame, and its answer on to the supervisor.
"""

from typing import Final

from isolates import wire
from isolates.messages import Fire, Fired

_OUTCOMES: Final = ("ok", "exception", "timeout")


class Fires:
    """Pure: `now` is seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[str, float]] = {}
        self._last = 0

    def __repr__(self) -> str:
        return f"<Fires {len(self._running)} running>"

    def start(self, fire: Fire, now: float) -> bytes:
        """Note a run and return the frame for JavaScript."""
        self._last += 1
        self._running[self._last] = fire.run_id, now
        head = f"{fire.run_id}\n{fire.cron}\n{fire.scheduled_ms}".encode("latin-1", "replace")
        return wire.encode(self._last, wire.Type.FIRE, flags=wire.END, head=head)

    def end(self, stream: int, status: int, now: float) -> Fired | None:
        """Return what to tell the supervisor about a FIRED frame; None if nothing runs under that number."""
        run = self._running.pop(stream, None)
        if run is None:
            return None
        run_id, since = run
        return Fired(run_id, _OUTCOMES[min(status, len(_OUTCOMES) - 1)], (now - since) * 1000)
