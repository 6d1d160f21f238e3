"""Cancels answers whose clients leave. Used by `dataplane.front`."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dataplane.endpoints import CLIENT_GONE
from dataplane.errors import HttpError
from dataplane.upstream import Answer

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
AFTER_SECONDS = 0.1
"""An answer is looked after when it has taken as long, or twice as long at most. A task for each would cost much of
what a short query does, and so would a timer.
"""


class Departure:
    """What happens when the client of `answer` leaves; `receive` is that of ASGI."""

    def __init__(self, answer: Answer, receive: Receive) -> None:
        self._answer = answer
        self._receive = receive
        self._task: asyncio.Task[None] | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the client to leave from now on."""
        self._task = loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._answer.give_up(HttpError(CLIENT_GONE, "CLIENT_GONE", "The client went away"))

    def end(self) -> None:
        """Wait no longer."""
        if self._task is not None:
            self._task.cancel()


class Departures:
    """Those of all answers under way. Made within the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._new: set[Departure] = set()
        self._old: set[Departure] = set()
        """Of answers that were under way the last time that somebody looked."""
        self._looks = False

    def __repr__(self) -> str:
        return f"<Departures [{len(self._new) + len(self._old)} answers not looked after]>"

    def expect(self, answer: Answer, receive: Receive) -> Departure:
        """`answer` is under way, which may take long; `end` when it is over."""
        departure = Departure(answer, receive)
        self._new.add(departure)
        if not self._looks:
            self._looks = True
            self._loop.call_later(AFTER_SECONDS, self._look)
        return departure

    def end(self, departure: Departure) -> None:
        """Its answer is over."""
        self._new.discard(departure)
        self._old.discard(departure)
        departure.end()

    def _look(self) -> None:
        for departure in self._old:
            departure.begin(self._loop)
        self._old, self._new = self._new, set()
        self._looks = bool(self._old)
        if self._looks:
            self._loop.call_later(AFTER_SECONDS, self._look)
