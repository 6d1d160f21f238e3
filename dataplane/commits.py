"""Making commits durable, several at once: the WAL of a database is synced before a commit in it is acknowledged.

SQLite would sync within each commit (`synchronous=FULL`) while the next writer waits for its turn. Here the turn goes
on as soon as the commit is written, and calls whose answers depend on it wait for one `fdatasync` of the WAL, which
covers all commits written before it began; those that come meanwhile share the next one. The order is SQLite's own: a
checkpoint syncs the WAL before it touches the database file. Readers may see a commit a moment before it is durable;
what they write then is synced after it. Used by `dataplane.service`; only the leader calls in here, except `sync`.
"""

import os
from pathlib import Path
from typing import Any

from dataplane.calls import Call

FAST_SECONDS = 0.0005
"""On a disk that syncs faster, the leader waits itself: another thread would cost more."""


class Commits:
    """Commits of one database that are not on the disk yet."""

    def __init__(self, path: Path) -> None:
        self.syncing = False
        self.commits = self.syncs = 0
        """Counters."""
        self.seconds = 0.0
        """Moving average of one sync."""
        self._wal = path.with_name(path.name + "-wal")
        self._descriptor: int | None = None
        self._waiting: list[tuple[Call, Any]] = []

    def __repr__(self) -> str:
        return f"<Commits [{len(self._waiting)} waiting{', syncing' if self.syncing else ''}]>"

    def wait(self, call: Call, outcome: Any) -> None:
        """`call` has committed; `outcome` is what to go on with."""
        self.commits += 1
        self._waiting.append((call, outcome))

    @property
    def due(self) -> bool:
        """`begin` is to be called."""
        return bool(self._waiting) and not self.syncing

    def begin(self) -> list[tuple[Call, Any]]:
        """Return whom the sync that is to follow will serve."""
        waiting, self._waiting = self._waiting, []
        self.syncing = True
        return waiting

    def sync(self) -> None:
        """Wait for the disk. Raises `OSError`: what was committed may be lost, so the process must not go on."""
        if self._descriptor is None or not os.fstat(self._descriptor).st_nlink:
            # The last connection that closes removes the WAL, after its content went to the database file.
            self._open()
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)

    def ended(self, seconds: float) -> None:
        """The sync is over after `seconds`."""
        self.syncing = False
        self.syncs += 1
        self.seconds += (seconds - self.seconds) * (0.2 if self.syncs > 1 else 1)

    def _open(self) -> None:
        self.close()
        try:
            self._descriptor = os.open(self._wal, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        # A file is only as durable as its name.
        folder = os.open(self._wal.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of the WAL."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
