"""Knows which version of each table every edge worker holds, and wakes those who wait for all of them.

Pure state around asyncio futures; the supervisor feeds it.
"""

import asyncio

KINDS = ("routes", "catalog")


class Applied:
    """Versions acknowledged per edge worker. A worker that is down holds none and is not waited for."""

    def __init__(self) -> None:
        self._held: dict[int, dict[str, int]] = {}
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<Applied {self._held} waiting={len(self._waiting)}>"

    def up(self, index: int, versions: dict[str, int]) -> None:
        """A worker became ready, holding the tables it was started with."""
        self._held[index] = dict(versions)

    def down(self, index: int) -> None:
        """A worker died; its successor starts with the newest tables."""
        self._held.pop(index, None)
        self._wake()

    def applied(self, index: int, kind: str, version: int) -> None:
        """A worker acknowledged a table."""
        held = self._held.get(index)
        if held is not None and held.get(kind, 0) < version:
            held[kind] = version
            self._wake()

    def behind(self, kind: str, version: int) -> list[int]:
        """Workers that serve with an older table."""
        return [index for index, held in self._held.items() if held.get(kind, 0) < version]

    async def wait(self, kind: str, version: int, seconds: float) -> list[int]:
        """Return once no worker is behind; after `seconds`, return those that still are."""
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
