"""Keeps an asyncio loop awake for a moment when what it waits for is likely to come at once (`runtime.patience`).

Each loop has one `Lookout`, for those of its protocols that talk to another process of the node. `runtime.looking` does
the same for loops of our own. A leaf module: it imports only other ones.
"""

from collections.abc import Callable
from os import sched_yield
from time import monotonic

from runtime import looking
from runtime.patience import Patience
from runtime.per_loop import PerLoop
from runtime.priority import Yielding

SAME_TURN_SECONDS = 0.000_03
"""Who decides for so short a time was replaced in the same turn of the loop, and has waited for nothing."""


class Lookout(PerLoop):
    """Of one loop. Has it turn round, and look at its sockets, instead of sleeping while `Patience` lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = looking.patience()
        """For waiting until another process of the node has done what it was asked for."""
        self.requests = looking.patience()
        """For waiting until there is something to do."""
        self._patience: Patience | None = None
        self._since = self._until = 0.0
        self._looking = self._busy = False
        self._yielding = Yielding()

    def __repr__(self) -> str:
        return f"<Lookout {'looking' if self._looking else 'asleep'}, {self._patience}>"

    def write_soon(self, write: Callable[[], None]) -> None:
        """Have `write` called at the end of this turn: who waits for it is not to wait for others to have their turn on
        the processor, too.
        """
        self._busy = True
        self.loop.call_soon(write)

    def written(self, patience: Patience, under_way: int) -> None:
        """Another process was asked for something, or answered. As `wait`, and that process may run if it is time."""
        self._yielding.between_turns(monotonic())
        self.wait(patience, under_way)

    def wait(self, patience: Patience, under_way: int) -> None:
        """Whatever was waited for has come, and was dealt with: from now on `patience` decides.
        `under_way`: requests that are, as far as the caller knows.

        Called at the end of what a turn of the loop does, once or twice per turn: not for each request.
        """
        now = monotonic()
        if self._patience is not None and now - self._since > SAME_TURN_SECONDS:
            self._patience.ends(now)
        self._patience = patience
        self._since = now
        self._until = patience.begins(now, under_way)
        self._busy = True
        if not self._looking and self._until > now:
            self._looking = True
            self.loop.call_soon(self._look)

    def _look(self) -> None:
        if self._busy:
            # This turn, or the one before, had something to do: as cheap as can be where all turns have.
            self._busy = False
            self.loop.call_soon(self._look)
            return
        now = monotonic()
        if now < self._until and self._patience is not None:
            # Other processes that want the processor run first: it may be them who are waited for.
            sched_yield()
            self._patience.gave_way(now, monotonic())
            self.loop.call_soon(self._look)
        else:
            self._looking = False
