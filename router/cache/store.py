"""Everything cached on the node, as the connections of hosts use it: finds at once, changes through the writer.

Bodies larger than a frame are files, read and written by a few threads of their own, so that the loop never waits for
them. A body is on the disk before its entry is in the index: readers see a whole entry or none.
"""

import asyncio
import logging
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from router.cache.budget import Limits, refusal
from router.cache.calls import CallError
from router.cache.changes import Changes, New
from router.cache.index import Entry, Lookup, Unusable
from router.cache.writer import Writer

Result = TypeVar("Result")

USED_SECONDS = 60.0
"""An entry's last use is noted no more often: for the order in which they go that is enough."""
NOTE_SECONDS = 5.0
SWEEP_SECONDS = 20.0
FILE_THREADS = 4
TRIM_BYTES = 1 << 20
"""How much of a body arrives before room is made for it."""

log = logging.getLogger("router.cache")


class Store:
    """See the module. One per process."""

    def __init__(self, folder: Path, limits: Limits, app_ids: Iterable[str]) -> None:
        """Open the folder, made if it is not there; what belongs to other apps than `app_ids` goes."""
        self.limits = limits
        self.writing: Counter[str] = Counter()
        """Bytes of bodies under way, by app."""
        self._folder = folder
        self._files = folder / "bodies"
        changes = self._open()
        self._changes = changes
        self.lookup = Lookup(folder / "index.db")
        self._writer = Writer(changes, self._files, self._discard)
        # Apart: a flush to a slow disk must not keep those that read waiting.
        self._readers = ThreadPoolExecutor(FILE_THREADS, "readers")
        self._writers = ThreadPoolExecutor(FILE_THREADS, "writers")
        self._forgotten: set[str] = set()
        self._used: dict[int, float] = {}
        self._trimming: set[str] = set()
        kept = list(app_ids)
        self._writer.submit(lambda changes: changes.keep_apps(kept))
        self._tasks = [asyncio.create_task(self._sweep()), asyncio.create_task(self._note())]

    def __repr__(self) -> str:
        return f"<Store {self._changes!r}>"

    @property
    def stored(self) -> dict[str, tuple[int, int]]:
        """Entries and bytes by app, as of the last change."""
        return {app_id: (self._changes.entries[app_id], count) for app_id, count in list(self._changes.stored.items())}

    @property
    def evicted(self) -> Counter[str]:
        """Entries that went for want of room, by app, since the start."""
        return self._changes.evicted

    def change(self, change: Callable[[Changes], Result]) -> "asyncio.Future[Result]":
        """Have the index changed, see `Writer.submit`."""
        return self._writer.submit(change)

    async def read(self, work: Callable[[], Result]) -> Result:
        """Do something with files that may wait for the disk. Raises `CallError` (storage) when the disk refuses.

        Must not be cancelled while the caller's descriptor is in use: a thread does not stop for that.
        """
        return await self._file(self._readers, work)

    async def write(self, work: Callable[[], Result]) -> Result:
        """As `read`, for what changes files."""
        return await self._file(self._writers, work)

    @staticmethod
    async def _file(threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except FileNotFoundError:
            raise
        except OSError as error:
            log.error("a cached body could not be read or written: %s", error.strerror)
            raise CallError("storage", "the node's disk did not do it") from None

    def path(self, file: str) -> Path:
        return self._files / file

    def new_file(self) -> str:
        """Return a name for a body."""
        return secrets.token_hex(12)

    def touch(self, entry: Entry, now: float) -> None:
        """Note that an entry was used."""
        if now - entry.used > USED_SECONDS:
            self._used[entry.id] = now

    def reserve(self, app_id: str, size: int, more: int) -> None:
        """Count `more` bytes of a body that has `size` now, on their way to the disk. Raises `CallError` (quota)."""
        reason = refusal(self.writing, self.limits, app_id, size, more)
        if reason is not None:
            raise CallError("quota", reason)
        self.writing[app_id] += more
        if size // TRIM_BYTES != (size - more) // TRIM_BYTES:
            self._trim(app_id)

    def release(self, app_id: str, count: int) -> None:
        """The body is stored or given up."""
        self.writing[app_id] -= count
        if not self.writing[app_id]:
            del self.writing[app_id]

    async def insert(self, app_id: str, new: New) -> None:
        """Store an entry. Raises `CallError`."""
        if app_id in self._forgotten:
            raise CallError("gone", "the app was deleted")
        if await self._writer.submit(lambda changes: changes.insert(app_id, new, time.time())):
            self._trim(app_id)

    async def forget(self, app_id: str, *, for_good: bool) -> tuple[int, int]:
        """Remove all that an app has stored; returns how many entries and bytes that was."""
        if for_good:
            self._forgotten.add(app_id)
        counts = await self._writer.submit(lambda changes: changes.forget(app_id))
        while await self._writer.submit(Changes.reap):
            pass
        return counts

    def close(self) -> None:
        """Make the changes that wait, and stop."""
        for task in self._tasks:
            task.cancel()
        self._writer.close()
        self._readers.shutdown()
        self._writers.shutdown()
        self.lookup.close()

    def _trim(self, app_id: str) -> None:
        if app_id not in self._trimming:
            self._trimming.add(app_id)
            task = asyncio.get_running_loop().create_task(self._trim_all(app_id))
            self._tasks.append(task)
            task.add_done_callback(self._tasks.remove)

    async def _trim_all(self, app_id: str) -> None:
        """Remove what is over the limits, in steps, between which others' changes are made."""
        try:
            while await self._writer.submit(lambda changes: changes.trim(app_id)):
                pass
        except CallError:
            pass  # logged; the next change tries again
        finally:
            self._trimming.discard(app_id)

    async def _note(self) -> None:
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            used, self._used = self._used, {}
            if used:
                self._writer.submit(lambda changes, used=used: changes.used(used))  # type: ignore[misc]

    async def _sweep(self) -> None:
        """Remove what expired and what belongs to nothing: bodies first, which a process that died left behind."""
        await self.write(self._remove_strays)
        for app_id in self.stored:
            self._trim(app_id)  # the limits may be lower than they were
        while True:
            for step in (Changes.reap, lambda changes: changes.expire(time.time())):
                try:
                    while await self._writer.submit(step):
                        pass
                except CallError:
                    pass  # logged; there is a next time
            self._writer.submit(Changes.shrink)
            await asyncio.sleep(SWEEP_SECONDS)

    def _remove_strays(self) -> None:
        started = time.time()
        lookup = Lookup(self._folder / "index.db")
        try:
            for found in os.scandir(self._files):
                # Those begun since belong to somebody.
                if not lookup.is_kept(found.name) and found.stat().st_mtime < started - 1:
                    os.unlink(found.path)  # noqa: PTH108
        finally:
            lookup.close()

    def _open(self) -> Changes:
        for attempt in range(2):
            self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return Changes(self._folder / "index.db", self.limits, self.writing)
            except Unusable as error:
                if attempt:
                    raise
                log.error("the cache in %s cannot be used and begins anew: %s", self._folder, error)
                shutil.rmtree(self._folder)
        raise AssertionError

    def _discard(self) -> None:
        """The index is broken: what is cached can be made again, so begin anew. On the writer's thread."""
        log.critical("the cache's index is broken; everything in it is thrown away")
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(1)
