"""The hosts that are being brought up: one start per app at most, and a later one takes the place of an earlier one.

Used by `isolate_hosts.py`, which decides when an app is started, what that takes, and what follows if it fails.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from runtime.supervisor.background import Background


class Starts:
    """By app id: each start is here from `begin` until it is done or forgotten."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<Starts {len(self._tasks)} under way>"

    def __contains__(self, app_id: object) -> bool:
        return app_id in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, app_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Start an app by doing `work`, in place of what may be under way for it."""
        self.forget(app_id)
        task = self._tasks[app_id] = self._background.run(work, "starting a host")
        task.add_done_callback(lambda done: self._done(app_id, done))

    def forget(self, app_id: str) -> None:
        """End what is under way for an app."""
        task = self._tasks.pop(app_id, None)
        if task is not None:
            task.cancel()

    def forget_all(self) -> None:
        """End everything that is under way."""
        for app_id in list(self._tasks):
            self.forget(app_id)

    async def over(self, app_id: str) -> None:
        """Wait for what is under way for an app now, whatever comes of it."""
        if app_id in self._tasks:
            await asyncio.wait([self._tasks[app_id]])

    async def all_over(self) -> None:
        """Wait for everything that is under way now."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _done(self, app_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(app_id) is task:
            del self._tasks[app_id]
