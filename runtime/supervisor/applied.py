"""Knows which version of each table every process that serves by it holds, and wakes those who wait for all of them.

Pure state around asyncio futures; the supervisor feeds it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

KINDS = ("routes", "catalog")


class Applied:
    """Versions acknowledged per process, by its name. One that is down holds none and is not waited for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, dict[str, int]] = {}
        self._up_since: dict[str, float] = {}
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<Applied {self._held} waiting={len(self._waiting)}>"

    def up(self, name: str, kinds: Iterable[str] = KINDS) -> None:
        """A process became ready that is sent tables of these kinds; which versions it holds, it will say."""
        self._held[name] = dict.fromkeys(kinds, 0)
        self._up_since[name] = self._clock()

    def down(self, name: str) -> None:
        """A process died; its successor starts with the newest tables."""
        self._held.pop(name, None)
        self._up_since.pop(name, None)
        self._wake()

    def applied(self, name: str, kind: str, version: int) -> None:
        """A process acknowledged a table."""
        held = self._held.get(name)
        if held is not None and held.get(kind, 0) < version:
            held[kind] = version
            self._wake()

    def behind(self, kind: str, version: int) -> list[str]:
        """Processes that serve with an older table."""
        return [name for name, held in self._held.items() if held.get(kind, version) < version]

    async def wait(self, kind: str, version: int, seconds: float) -> list[str]:
        """Return once no process is behind, or those that still are when they have had so many seconds: from now, or
        from when they came up. Others may be behind, too, but not for so long.
        """
        began = self._clock()
        while behind := self.behind(kind, version):
            left = {name: max(began, self._up_since[name]) + seconds - self._clock() for name in behind}
            if overdue := [name for name in behind if left[name] <= 0]:
                return overdue
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((kind, version, future))
            try:
                await asyncio.wait_for(future, min(left.values()))
            except TimeoutError:
                self._waiting = [entry for entry in self._waiting if entry[2] is not future]
        return []

    def _wake(self) -> None:
        still = []
        for kind, version, future in self._waiting:
            if future.done():
                continue
            if self.behind(kind, version):
                still.append((kind, version, future))
            else:
                future.set_result(None)
        self._waiting = still
