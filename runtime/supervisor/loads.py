"""Turns to load apps: the more builds are evaluated at the same time, the later each of them is ready.

Used by `isolate_hosts.py` for hosts that requests wait for. An app decides for itself how long its evaluation takes, up
to `loader.LOAD_SECONDS`, and may do so by waiting: one that takes long gives its turn to the next and goes on without.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LOADS_AT_ONCE = 8
TURN_SECONDS = 0.25
"""Many times what a small app takes."""


class Loads:
    """The turns of one node."""

    def __init__(self, at_once: int = LOADS_AT_ONCE, turn_seconds: float = TURN_SECONDS) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._turn_seconds = turn_seconds

    def __repr__(self) -> str:
        return f"<Loads {'all taken' if self._free.locked() else 'some free'}>"

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it for as long as the block takes, or until it has lasted long enough."""
        await self._free.acquire()
        over = asyncio.get_running_loop().create_future()
        over.add_done_callback(lambda _: self._free.release())
        timer = asyncio.get_running_loop().call_later(self._turn_seconds, _end, over)
        try:
            yield
        finally:
            timer.cancel()
            _end(over)


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)
