"""Room for request bodies that an edge worker holds until they are complete, and their worker until it has answered.

Used by `dataplane.front`. A body is one piece of memory in the end, so that whoever sends many large ones at a time
would have all of the machine's: those of one database wait for each other instead, and nobody else does. Pure but for
the futures that they wait for.
"""

import asyncio
from collections import deque

MOST_BYTES = 128 << 20
"""Of one database at a time: two of the largest bodies that there may be."""


class Room:
    """What is taken by the bodies of each database."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}

    def __repr__(self) -> str:
        waiting = sum(map(len, self._waiting.values()))
        return f"<Room [{sum(self._taken.values())} bytes taken, {waiting} bodies waiting]>"

    async def take(self, database_id: str, size: int) -> None:
        """Wait until there is room for a body, in the order of asking; `give_back` the same afterwards, in parts or as
        a whole.
        """
        if database_id not in self._waiting and self._fits(database_id, size):
            self._taken[database_id] = self._taken.get(database_id, 0) + size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(database_id, deque()).append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(database_id, size)
            raise

    def give_back(self, database_id: str, size: int) -> None:
        """The body, or what was taken for it in vain, is gone."""
        taken = self._taken.get(database_id, 0) - size
        if taken:
            self._taken[database_id] = taken
        else:
            self._taken.pop(database_id, None)
        waiting = self._waiting.get(database_id)
        while waiting and (waiting[0][1].done() or self._fits(database_id, waiting[0][0])):
            following, turn = waiting.popleft()
            if not turn.done():
                self._taken[database_id] = self._taken.get(database_id, 0) + following
                turn.set_result(None)
        if waiting is not None and not waiting:
            del self._waiting[database_id]

    def _fits(self, database_id: str, size: int) -> bool:
        taken = self._taken.get(database_id, 0)
        return not taken or taken + size <= self._most
