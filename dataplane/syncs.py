"""Which databases have commits that are not on the disk yet, and the threads that wait for the disk.

The order and what one wait covers is `dataplane.commits`; here is when it happens: when the leader has nothing else to
do at once, by itself if the disk is fast, on another thread otherwise. Used by `dataplane.service`; only the leader
calls in here.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from dataplane.calls import Call
from dataplane.commits import FAST_SECONDS
from dataplane.database import Database
from dataplane.streams import SLOW_SECONDS

EXIT_DISK = 74
MAX_SYNCS = 16
"""Databases whose WALs are synced at the same time."""
log = logging.getLogger("brrrd.dataplane")


class Syncs:
    """Commits on their way to the disk. `on_done` is called, on any thread, when one of those threads is done."""

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._on_done = on_done
        self._committed: set[Database] = set()
        """Databases with commits that wait for the disk."""
        self._synced: deque[tuple[Database, list[tuple[Call, Any]], float]] = deque()
        """Syncs that came to an end; other threads append."""
        self._disk = ThreadPoolExecutor(MAX_SYNCS, thread_name_prefix="sync")

    def __repr__(self) -> str:
        return f"<Syncs [{len(self._committed)} databases waiting]>"

    def wait(self, database: Database, call: Call, outcome: Any) -> None:
        """The stream of `call` has committed in `database`; `outcome` is what to go on with when that is durable.

        It may commit anew meanwhile, in another call, whose wait is its own.
        """
        stream = call.stream
        assert stream is not None
        database.commits.wait(call, outcome, committed=stream.unsynced)
        stream.unsynced = False
        stream.committing += 1
        self._committed.add(database)

    def begin(self, *, alone: bool) -> bool:
        """Sync what waits; True if `ended` has something. `alone`: no other call is waiting for the leader."""
        for database in [database for database in self._committed if not database.commits.syncing]:
            self._committed.discard(database)
            short = database.commits.is_short(SLOW_SECONDS if alone else FAST_SECONDS)
            calls = database.commits.begin()
            if short:
                self._sync(database, calls)
            else:
                self._disk.submit(self._sync_aside, database, calls)
        return bool(self._synced)

    def ended(self) -> Iterator[tuple[Call, Any]]:
        """Yield calls whose commits are on the disk, and what to go on with."""
        while self._synced:
            database, calls, seconds = self._synced.popleft()
            database.commits.ended(seconds)
            if database.commits.due:
                self._committed.add(database)
            for call, outcome in calls:
                assert call.stream is not None
                call.stream.committing -= 1
                yield call, outcome

    def _sync_aside(self, database: Database, calls: list[tuple[Call, Any]]) -> None:
        self._sync(database, calls)
        self._on_done()

    def _sync(self, database: Database, calls: list[tuple[Call, Any]]) -> None:
        began = monotonic()
        try:
            database.commits.sync()
        except OSError:
            # What the disk has is not known any more: recovery from the WAL finds out, in a new process.
            log.exception("the WAL of database %s cannot be synced", database.database_id)
            os._exit(EXIT_DISK)
        self._synced.append((database, calls, monotonic() - began))
