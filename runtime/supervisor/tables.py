"""The tables that processes serve by: their versions, and that every process that needs one holds the newest.

Used by the supervisor, which says what is in a table (`routes.py` builds it) and which processes take it. Who has
confirmed which version is kept in `applied.py`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from runtime.supervisor.applied import KINDS, Applied
from runtime.supervisor.slot import Slot

APPLY_SECONDS = 5.0
"""A process that has not taken a table by then is replaced; its successor starts with the newest one."""

log = logging.getLogger("brrrd.supervisor")


class Tables:
    """`build` makes each kind of table with the version it is given; `takers` are the processes that are sent it."""

    def __init__(
        self, build: Mapping[str, Callable[[int], msgspec.Struct]], takers: Callable[[str], Sequence[Slot]]
    ) -> None:
        self.applied = Applied()
        self._versions = dict.fromkeys(KINDS, 0)
        self._build = build
        self._takers = takers
        self._dirty = False
        self._pushing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Tables {self._versions} {self.applied!r}>"

    def version(self, kind: str) -> int:
        """The newest version."""
        return self._versions[kind]

    def newest(self, kind: str) -> msgspec.Struct:
        """What a process that starts now is told."""
        return self._build[kind](self._versions[kind])

    async def push(self, kind: str) -> None:
        """Send a new version and return when every process serves by it; one that does not take it is replaced."""
        self._versions[kind] += 1
        version = self._versions[kind]
        table = self.newest(kind)
        slots = {slot.name: slot for slot in self._takers(kind)}
        for slot in slots.values():
            slot.send(table)
        while overdue := await self.applied.wait(kind, version, APPLY_SECONDS):
            for name in overdue:
                log.error("%s did not take %s %d in %.0f s and is replaced", name, kind, version, APPLY_SECONDS)
                slots[name].kill()
                self.applied.down(name)

    def changed(self) -> None:
        """Routes are not what they were: push them soon.

        Called many times when many hosts change at once: the next push begins when the one before is taken.
        """
        self._dirty = True
        if self._pushing is None:
            self._pushing = asyncio.get_running_loop().create_task(self._push_changes())
            self._pushing.add_done_callback(self._pushed)

    async def _push_changes(self) -> None:
        await asyncio.sleep(0)
        while self._dirty:
            self._dirty = False
            await self.push("routes")

    def _pushed(self, task: asyncio.Task[None]) -> None:
        self._pushing = None
        if not task.cancelled() and task.exception() is not None:
            log.error("pushing routes failed", exc_info=task.exception())
