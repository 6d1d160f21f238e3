"""Knows which version of each table every process that serves by it holds, and wakes those who wait for all of them.

Pure state around asyncio futures; the supervisor feeds it.
"""

import asyncio
from collections.abc import Iterable

KINDS = ("routes", "catalog")


class Applied:
    """Versions acknowledged per process, by its name. One that is down holds none and is not waited for."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, int]] = {}
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<Applied {self._held} waiting={len(self._waiting)}>"

    def up(self, name: str, kinds: Iterable[str] = KINDS) -> None:
        """A process became ready that is sent tables of these kinds; which versions it holds, it will say."""
        self._held[name] = dict.fromkeys(kinds, 0)

    def down(self, name: str) -> None:
        """A process died; its successor starts with the newest tables."""
        self._held.pop(name, None)
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
        """Return once no process is behind; after `seconds`, return those that still are."""
        if self.behind(kind, version):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((kind, version, future))
            try:
                await asyncio.wait_for(future, seconds)
            except TimeoutError:
                self._waiting = [entry for entry in self._waiting if entry[2] is not future]
        return self.behind(kind, version)

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
