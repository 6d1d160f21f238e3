"""The one thread that changes the index. What arrives while a transaction is under way goes into the next, together."""

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from router.cache.calls import CallError
from router.cache.changes import Changes

Result = TypeVar("Result")

MOST_AT_ONCE = 256

log = logging.getLogger("router.cache")

_Job = tuple[Callable[[Changes], Any], "asyncio.Future[Any]"]


class Writer:
    """Runs functions of `Changes` in order. `files` is the folder of bodies; `on_corrupt` ends the process."""

    def __init__(self, changes: Changes, files: Path, on_corrupt: Callable[[], None]) -> None:
        self._changes = changes
        self._files = files
        self._on_corrupt = on_corrupt
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Writer {self._jobs.qsize()} waiting>"

    def submit(self, change: Callable[[Changes], Result]) -> "asyncio.Future[Result]":
        """Have a change made; the future is done when it is committed.

        It raises what `change` raised, or `CallError` (storage) when the disk did not take it.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        self._jobs.put((change, future))
        return future

    def close(self) -> None:
        """Make the changes that wait, and end. Blocks for as long as that takes."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while len(jobs) < MOST_AT_ONCE and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    self._jobs.put(None)
                    break
                jobs.append(following)
            outcomes = self._transact(jobs)
            self._loop.call_soon_threadsafe(self._tell, jobs, outcomes)

    def _transact(self, jobs: list[_Job]) -> list[Any]:
        changes = self._changes
        outcomes: list[Any] = []
        try:
            changes.begin()
            for change, _ in jobs:
                try:
                    outcomes.append(change(changes))
                except CallError as error:
                    outcomes.append(error)
            changes.commit()
        except sqlite3.Error as error:
            log.error("the cache's index could not be written: %s", error)
            self._undo(error)
            return [CallError("storage", "the node could not store it")] * len(jobs)
        self._unlink()
        return outcomes

    def _undo(self, error: sqlite3.Error) -> None:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._on_corrupt()
        try:
            self._changes.rollback()
        except sqlite3.Error as worse:
            log.critical("the cache's index cannot be used: %s", worse)
            os._exit(1)

    def _unlink(self) -> None:
        """Remove bodies whose entries are gone for good. Those that open ones are read from stay until then."""
        for name in self._changes.gone_files:
            try:
                (self._files / name).unlink(missing_ok=True)
            except OSError as error:
                log.error("a cached body could not be removed: %s", error.strerror)
        self._changes.gone_files.clear()

    @staticmethod
    def _tell(jobs: list[_Job], outcomes: list[Any]) -> None:
        for (_, future), outcome in zip(jobs, outcomes, strict=True):
            if future.done():
                continue  # whoever wanted to know has gone
            if isinstance(outcome, CallError):
                future.set_exception(outcome)
                future.exception()  # seen: it may be that nobody waits for it
            else:
                future.set_result(outcome)
