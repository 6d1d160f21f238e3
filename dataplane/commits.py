"""Making commits durable, several at once: the WAL of a database is synced before a commit in it is acknowledged.

SQLite would sync within each commit (`synchronous=FULL`) while the next writer waits for its turn. Here the turn goes
on as soon as the commit is written, and calls whose answers depend on it wait for one `fdatasync` of the WAL, which
covers all commits written before it began; those that come meanwhile share the next one. The order is SQLite's own: a
checkpoint syncs the WAL before it touches the database file. Readers may see a commit a moment before it is durable;
what they write then is synced after it. Used by `dataplane.syncs`; only the leader calls in here, except `sync`, and
`open`, which `dataplane.database` calls.
"""

import os
import threading
from pathlib import Path
from typing import Any

from dataplane.calls import Call

FAST_SECONDS = 0.0005
"""On a disk that syncs faster, the leader waits itself: another thread would cost more."""
FEW_PAGES = 64
"""Of 4 KB: nor for more than these, which may take a disk long that is fast with one."""


class _Log:
    """The WAL as one file, and the folder that has its name. Closed when nobody uses it any more: one thread may still
    sync it when another one finds that its name is gone.
    """

    def __init__(self, path: Path) -> None:
        self._file = self._folder = -1
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)

    @property
    def removed(self) -> bool:
        """The last connection that closes removes the WAL, after its content went to the database file."""
        return not os.fstat(self._file).st_nlink

    def sync(self) -> None:
        if self._folder >= 0:
            # A file is only as durable as its name.
            os.fsync(self._folder)
            os.close(self._folder)
            self._folder = -1
        os.fdatasync(self._file)


class Commits:
    """Commits of one database that are not on the disk yet."""

    def __init__(self, path: Path) -> None:
        self.syncing = False
        self.commits = self.syncs = 0
        """Counters."""
        self.seconds = 0.0
        """Moving average of one sync."""
        self.pages = 0
        """Written to the WAL since the last sync began, be it by what was rolled back then."""
        self._path = path.with_name(path.name + "-wal")
        self._log: _Log | None = None
        self._opening = threading.Lock()
        self._waiting: list[tuple[Call, Any]] = []

    def __repr__(self) -> str:
        return f"<Commits [{len(self._waiting)} waiting{', syncing' if self.syncing else ''}]>"

    def open(self) -> None:
        """A connection was opened that may commit, and keeps the WAL in its place. Raises `OSError`.

        When it has committed it would be too late to find that the process may open no more files.
        """
        with self._opening:
            if self._log is None or self._log.removed:
                self._log = _Log(self._path)

    def is_short(self, seconds: float) -> bool:
        """Return whether a sync that begins now is likely to take no longer than that."""
        return self.syncs > 0 and self.pages <= FEW_PAGES and self.seconds < seconds

    def wait(self, call: Call, outcome: Any, *, committed: bool) -> None:
        """`call` has committed, or another one before it of its stream; `outcome` is what to go on with."""
        self.commits += committed
        self._waiting.append((call, outcome))

    @property
    def due(self) -> bool:
        """`begin` is to be called."""
        return bool(self._waiting) and not self.syncing

    def begin(self) -> list[tuple[Call, Any]]:
        """Return whom the sync that is to follow will serve."""
        waiting, self._waiting = self._waiting, []
        self.syncing, self.pages = True, 0
        return waiting

    def sync(self) -> None:
        """Wait for the disk. Raises `OSError`: what was committed may be lost, so the process must not go on."""
        assert self._log is not None  # since the connection that committed was opened
        self._log.sync()

    def ended(self, seconds: float) -> None:
        """The sync is over after `seconds`."""
        self.syncing = False
        self.syncs += 1
        self.seconds += (seconds - self.seconds) * (0.2 if self.syncs > 1 else 1)

    def close(self) -> None:
        """Let go of the WAL."""
        self._log = None
