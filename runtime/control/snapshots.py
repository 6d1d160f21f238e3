"""Snapshots of databases: taking, listing, restoring, by hand and on a schedule.

    data_dir/snapshots/<database_id>/<snapshot_id>.db   one complete database file each

A snapshot's file is made by a process of its own (`dataplane.snapshots`) and noted in the state once it is complete, so
a file without a note is a leftover of a crash. The one exception is what a restore keeps of the state before it: that
is noted first, since from the swap on it is the only copy. `recover` tells after a crash whether the swap happened.
"""

import asyncio
import logging
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from dataplane.messages import FILE_NAME, FromSnapshot, SnapshotFailed, SnapshotTaken
from runtime.config import Config
from runtime.control import database_files
from runtime.control.audit import Audit, of_database
from runtime.control.problems import Problem
from runtime.control.serving import Serving
from runtime.state import databases, ids, snapshots
from runtime.state.databases import Database
from runtime.state.errors import NotFound
from runtime.state.snapshots import Kind, Snapshot
from runtime.supervisor.process import Process

DRAFT_PREFIX = "restore-"
MOST_SECONDS_BETWEEN_LOOKS = 30.0
log = logging.getLogger("brrrd.control")
Result = TypeVar("Result")


def due(newest: Mapping[str, float], changed: Mapping[str, float], now: float, interval: float) -> list[str]:
    """Databases of which a snapshot is to be made: changed since their newest one, and that is old enough.

    `newest` is when the newest scheduled one was made, `changed` when the files were last written to, both by id.
    """
    return [
        key
        for key, written in changed.items()
        if key not in newest or (written > newest[key] and now - newest[key] >= interval)
    ]


def surplus(found: Sequence[Snapshot], kind: Kind, keep: int) -> list[Snapshot]:
    """Snapshots of a kind, listed with the newest first, that are not among the `keep` newest."""
    return [snapshot for snapshot in found if snapshot.kind == kind][keep:]


class Snapshots:
    """Snapshots of one node."""

    def __init__(self, config: Config, serving: Serving, audit: Audit, data_dir: Path) -> None:
        self._interval = float(config.snapshot_seconds)
        self._keep = config.keep_snapshots
        self._serving = serving
        self._audit = audit
        self._folder = data_dir / "snapshots"
        self._databases = data_dir / "databases"
        self._locks: dict[str, asyncio.Lock] = {}
        """One thing at a time per database."""

    def __repr__(self) -> str:
        return f"<Snapshots {self._folder} [{sum(lock.locked() for lock in self._locks.values())} under way]>"

    def path(self, snapshot: Snapshot) -> Path:
        """Its file."""
        return self._folder / snapshot.database_id / f"{snapshot.snapshot_id}.db"

    async def of(self, database: Database) -> list[Snapshot]:
        """All of a database, the newest first."""
        return await self._serving.store.read(snapshots.of_database, database.database_id)

    async def find(self, database: Database, snapshot_id: str) -> Snapshot:
        """One of a database. Raises `NotFound`."""
        return await self._serving.store.read(snapshots.find, database.database_id, snapshot_id)

    async def take(self, database_id: str, kind: Kind = "manual") -> Snapshot:
        """Copy a database as it is now, while it is used. Raises `Problem`, `NotFound`."""
        return await _finished(self._take(database_id, kind))

    async def _take(self, database_id: str, kind: Kind) -> Snapshot:
        async with self._lock(database_id):
            snapshot = Snapshot(ids.new("snp"), database_id, kind, time.time(), 0)
            target = self.path(snapshot)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            size = await self._copy("take", self._databases / database_id / FILE_NAME, target)
            snapshot = Snapshot(snapshot.snapshot_id, database_id, kind, snapshot.created, size)
            try:
                await self._serving.store.write(self._adding(snapshot))
            except NotFound:
                await asyncio.to_thread(self._remove_folder, database_id)
                raise
            log.info("snapshot %s of database %s: %d bytes, %s", snapshot.snapshot_id, database_id, size, kind)
            await self._forget_surplus(database_id, kind)
            return snapshot

    def _adding(self, snapshot: Snapshot) -> Callable[[sqlite3.Connection], Database]:
        def change(connection: sqlite3.Connection) -> Database:
            snapshots.add(connection, snapshot)
            return databases.find(connection, snapshot.database_id)

        if snapshot.kind == "scheduled":
            return change  # the list of snapshots tells as much
        return self._audit.noted("database.snapshot", of_database, change, snapshot_id=snapshot.snapshot_id)

    async def remove(self, snapshot: Snapshot) -> None:
        """Delete a snapshot."""

        def change(connection: sqlite3.Connection) -> Database:
            snapshots.remove(connection, snapshot.snapshot_id)
            return databases.find(connection, snapshot.database_id)

        noted = self._audit.noted("database.snapshot-delete", of_database, change, snapshot_id=snapshot.snapshot_id)
        async with self._lock(snapshot.database_id):
            await self._serving.store.write(noted)
            self.path(snapshot).unlink(missing_ok=True)

    async def restore(self, snapshot: Snapshot) -> Snapshot:
        """Make a database what it was; returns the snapshot that keeps what it is now.

        Open streams end with STREAM_EXPIRED; requests after that see the restored state. Raises `Problem`.
        """
        return await _finished(self._restore(snapshot))

    async def _restore(self, snapshot: Snapshot) -> Snapshot:
        database_id = snapshot.database_id
        async with self._lock(database_id):
            kept = Snapshot(ids.new("snp"), database_id, "before-restore", time.time(), 0)
            replacement = self._databases / database_id / f"{DRAFT_PREFIX}{kept.snapshot_id}.db"
            replacement.parent.mkdir(mode=0o700, exist_ok=True)
            await self._copy("prepare", self.path(snapshot), replacement)
            await self._serving.store.write(snapshots.add, kept)
            error = await self._swap(database_id, replacement, self.path(kept))
            if error is not None:
                await self._serving.store.write(snapshots.remove, kept.snapshot_id)
                raise Problem(503, f"The database is as it was: {error}.")
            size = self.path(kept).stat().st_size

            def change(connection: sqlite3.Connection) -> Database:
                snapshots.set_size(connection, kept.snapshot_id, size)
                return databases.find(connection, database_id)

            ids_of = {"snapshot_id": snapshot.snapshot_id, "kept": kept.snapshot_id}
            await self._serving.store.write(self._audit.noted("database.restore", of_database, change, **ids_of))
            log.info("database %s was restored from snapshot %s", database_id, snapshot.snapshot_id)
            await self._forget_surplus(database_id, "before-restore")
            return Snapshot(kept.snapshot_id, database_id, kept.kind, kept.created, size)

    async def _swap(self, database_id: str, replacement: Path, kept: Path) -> str | None:
        """Let the worker put the file in place; why it did not, or None."""
        try:
            return await self._serving.supervisor.replace_database(database_id, str(replacement), str(kept))
        except TimeoutError:
            replacement.unlink(missing_ok=True)  # whatever the worker still does, it can no longer swap
            if self._is_swapped(database_id, kept):
                return None
            kept.unlink(missing_ok=True)
            return "its worker did not answer in time; try again"

    def _is_swapped(self, database_id: str, kept: Path) -> bool:
        """Whether `kept` is a file of its own: until the swap is done it is a second name of the database's file."""
        live = self._databases / database_id / FILE_NAME
        return kept.exists() and not (live.exists() and live.samefile(kept))

    async def forget(self, database_id: str) -> None:
        """Remove the files of a deleted database's snapshots; the state has forgotten them with it."""
        async with self._lock(database_id):
            await asyncio.to_thread(self._remove_folder, database_id)
        self._locks.pop(database_id, None)

    async def recover(self) -> None:
        """Before anything else runs: make notes and files agree after a crash."""
        noted = await self._serving.store.read(snapshots.every)
        for snapshot in await asyncio.to_thread(self._sweep, noted):
            log.warning("snapshot %s of database %s has no file", snapshot.snapshot_id, snapshot.database_id)
            await self._serving.store.write(snapshots.remove, snapshot.snapshot_id)

    def _sweep(self, noted: Sequence[Snapshot]) -> list[Snapshot]:
        """Remove files that are no snapshots; return the notes that have no file."""
        for draft in self._databases.glob(f"*/{DRAFT_PREFIX}*"):
            draft.unlink(missing_ok=True)
        lost = []
        known = set()
        for snapshot in noted:
            path = self.path(snapshot)
            if self._is_swapped(snapshot.database_id, path):
                known.add(path)
            else:
                lost.append(snapshot)
        for file in self._folder.glob("*/*"):
            if file not in known:
                file.unlink(missing_ok=True)
        return lost

    async def run_schedule(self) -> None:
        """Take snapshots as configured, for ever."""
        if not self._interval:
            return
        pause = min(MOST_SECONDS_BETWEEN_LOOKS, self._interval / 4)
        while True:
            await asyncio.sleep(pause)
            for database_id in await self._due():
                try:
                    await self.take(database_id, "scheduled")
                except NotFound:
                    continue  # deleted meanwhile
                except (Problem, OSError) as error:
                    log.error("no scheduled snapshot of database %s: %s", database_id, error)

    async def _due(self) -> list[str]:
        newest = await self._serving.store.read(snapshots.newest, "scheduled")
        known = [database.database_id for database in await self._serving.store.read(databases.every)]
        changed = await asyncio.to_thread(self._changed, known)
        return due(newest, changed, time.time(), self._interval)

    def _changed(self, database_ids: Sequence[str]) -> dict[str, float]:
        """When each database that has a file was last written to."""
        found = {key: database_files.written(self._databases / key / FILE_NAME) for key in database_ids}
        return {key: when for key, when in found.items() if when is not None}

    async def _forget_surplus(self, database_id: str, kind: Kind) -> None:
        if kind == "manual":
            return
        found = await self._serving.store.read(snapshots.of_database, database_id)
        for snapshot in surplus(found, kind, self._keep):
            await self._serving.store.write(snapshots.remove, snapshot.snapshot_id)
            self.path(snapshot).unlink(missing_ok=True)

    async def _copy(self, work: str, source: Path, target: Path) -> int:
        """Run the snapshot process; the size of the copy in bytes. Raises `Problem`."""
        done: asyncio.Future[FromSnapshot] = asyncio.get_running_loop().create_future()

        def answered(message: FromSnapshot) -> None:
            if not done.done():
                done.set_result(message)

        process = await Process.spawn(
            f"snapshot of {target.parent.name}",
            "dataplane.snapshots",
            [],
            FromSnapshot,
            answered,
            lambda _, status: answered(SnapshotFailed(f"the process ended with status {status}")),
            [work, str(source), str(target)],
        )
        try:
            answer = await done
        finally:
            # It waits for this, so that its answer is never overtaken by its end.
            process.kill()
        if isinstance(answer, SnapshotTaken):
            return answer.size
        raise Problem(500, f"The snapshot could not be copied: {answer.message}.")

    def _remove_folder(self, database_id: str) -> None:
        shutil.rmtree(self._folder / database_id, ignore_errors=True)

    def _lock(self, database_id: str) -> asyncio.Lock:
        return self._locks.setdefault(database_id, asyncio.Lock())


async def _finished(work: Awaitable[Result]) -> Result:
    """Go on with `work` to its end even if the caller goes away."""
    return await asyncio.shield(asyncio.ensure_future(work))
