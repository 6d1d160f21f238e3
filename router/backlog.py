"""What a loop puts off because others wait: portions of the work that floods bring, taken in turns that stay short.

Whoever got more than is right for one turn of the loop looks at a portion and leaves the rest here: `router.links`,
`router.websocket.connection`, and the connections of hosts to the egress and the cache process. A request of somebody
else passes two or three turns, and there may be hundreds of connections that have more to do, so all of them together
have what one turn may take. After it other processes may have the processor.
"""

from collections import deque
from collections.abc import Callable
from time import monotonic

from runtime.per_loop import PerLoop
from runtime.priority import Yielding

TURN_SECONDS = 0.000_25
"""What portions may take in one turn of the loop, but for the last one of them."""


class Backlog(PerLoop):
    """Of one loop. Portions have their turns in order; who is not done at the end of one comes last again."""

    def __init__(self) -> None:
        super().__init__()
        self._portions: deque[Callable[[], None]] = deque()
        self._scheduled = False
        self._yielding = Yielding()

    def __repr__(self) -> str:
        return f"<Backlog {len(self._portions)} wait>"

    def add(self, portion: Callable[[], None]) -> None:
        """Have `portion` called in one of the next turns, once."""
        self._portions.append(portion)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._work)

    def _work(self) -> None:
        portions = self._portions
        until = monotonic() + TURN_SECONDS
        try:
            # Only those that are here now: the next portion of the same connection is for the next turn.
            for _ in range(len(portions)):
                portions.popleft()()
                if monotonic() >= until:
                    break
        finally:
            # After an exception too, which the loop reports: the others go on.
            self._scheduled = bool(portions)
            if portions:
                self.loop.call_soon(self._work)
        self._yielding.between_turns(monotonic())
