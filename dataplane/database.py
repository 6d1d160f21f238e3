"""One database of a worker: its file, its pool of idle connections, whose turn it is to write."""

import logging
import math
import os
import shutil
from collections import deque
from concurrent.futures import Executor, Future, wait
from functools import partial
from pathlib import Path
from typing import Protocol

from dataplane.calls import Call
from dataplane.checkpoints import Checkpoints
from dataplane.commits import Commits
from dataplane.connection import Connection
from dataplane.errors import HttpError, SqlError
from dataplane.limits import Limits
from dataplane.messages import FILE_NAME, DatabaseLimits
from dataplane.pool import Pool
from dataplane.stored_sql import StoredTotal
from dataplane.streams import SLOW_SECONDS, Stream
from dataplane.usage import Usage
from dataplane.writers import Writers

_FILES = 5
"""What the first connection opens: the database, the WAL and its index, and for commits the WAL and its folder."""
log = logging.getLogger("brrrd.dataplane")


class OnClosed(Protocol):
    """Closes a database, `at_once` or when that is short."""

    def __call__(self, *, at_once: bool = False) -> None: ...


class Database:
    """State of an open database. `take` may be called by any SQL thread, everything else by the leader only."""

    def __init__(
        self,
        directory: Path,
        database_id: str,
        *,
        limits: Limits,
        usage: Usage,
        stored_sql: StoredTotal,
        threads: Executor,
    ) -> None:
        self.database_id = database_id
        self.path = directory / database_id / FILE_NAME
        self.writers: Writers[Stream] = Writers(limits)
        self.commits = Commits(self.path)
        self.checkpoints = Checkpoints(partial(Connection, self.path), threads)
        self.streams = 0
        self.aside = 0
        """Calls that run on threads of their own."""
        self.held: deque[Call] = deque()
        """Calls that wait for one of those to come to an end."""
        self.last_used = 0.0
        self.on_closed: OnClosed | None = None
        """Set while it is being dropped: called when the last stream is gone, and again until it is closed."""
        self.closing_since = math.inf
        """Monotonic time at which that began."""
        self.limits = limits
        """Those of all databases, and its own in place of some of them."""
        self._node_limits = limits
        self._own: DatabaseLimits | None = None
        self._threads = threads
        self._removal: Future[None] | None = None
        self._pools = {False: Pool(), True: Pool()}
        """By whether their connections are read-only."""
        self.usage = usage
        self.stored_sql = stored_sql

    def __repr__(self) -> str:
        pooled = sum(map(len, self._pools.values()))
        return f"<Database {self.database_id} [{self.streams} streams, {pooled} pooled connections]>"

    def limit(self, own: DatabaseLimits | None) -> None:
        """Hold it to limits of its own from now on; streams that are open, once `adopt` is called for them."""
        if own != self._own:
            self._own = own
            self.limits = self._node_limits.with_own(own)

    def adopt(self, stream: Stream) -> None:
        """Hold a stream that was open before to the limits of now. It must not be running. Raises `SqlError`."""
        stream.limits = self.limits
        if stream.connection is not None:
            self._limit_connection(stream.connection)

    def _limit_connection(self, connection: Connection) -> None:
        limits = self.limits
        connection.limit(limits.max_database_bytes, limits.max_row_bytes, limits.max_sql_bytes)
        connection.limited_by = limits

    def take(self, *, read_only: bool) -> Connection:
        """Return an idle connection or open one, and the file with it. Raises `SqlError` or `HttpError`."""
        connection = self._pools[read_only].take()
        if connection is not None:
            if connection.limited_by is not self.limits:
                self._limit_connection(connection)
            return connection
        try:
            return self._connect(read_only=read_only)
        except (OSError, SqlError):
            if _files_are_left():
                raise
        log.error("database %s cannot be opened: the worker may open no more files", self.database_id)
        raise HttpError(
            503, "TOO_MANY_OPEN_FILES", "The database cannot be opened now: its worker has all files open that it may"
        )

    def _connect(self, *, read_only: bool) -> Connection:
        if not self.path.exists():
            self._create_directory()
        limits = self.limits
        connection = Connection(
            self.path,
            read_only=read_only,
            max_bytes=limits.max_database_bytes,
            max_row_bytes=limits.max_row_bytes,
            max_sql_bytes=limits.max_sql_bytes,
        )
        try:
            self.commits.open()
        except OSError:
            connection.close()
            raise
        connection.limited_by = limits
        connection.statements.may_write = False
        if not read_only:
            connection.statements.look_at_file()
        return connection

    def _create_directory(self) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        # SQLite syncs the folder of the file, but nobody else would sync the one above.
        for directory in (folder, folder.parent):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def put_back(self, connection: Connection, *, read_only: bool) -> None:
        """Keep a connection for the next stream, or close it."""
        usable = self.on_closed is None and connection.limited_by is self.limits and connection.recycle()
        if not (usable and self._pools[read_only].put(connection)):
            connection.close()

    def shrink_pools(self) -> None:
        """Close idle connections, a few, if nobody has needed them since the last call."""
        for pool in self._pools.values():
            pool.shrink()

    def spare_memory(self) -> None:
        """Have idle connections give back what they keep only to be faster."""
        for pool in self._pools.values():
            pool.spare_memory()

    def can_close(self) -> bool:
        """Return whether `close` is short, so that it holds up nobody: to be asked again and again."""
        return self.checkpoints.settle(_size(_wal_of(self.path)))

    def close(self, *, for_good: bool = False) -> None:
        """Close idle connections; the last one checkpoints the WAL, unless the files are to be deleted (`for_good`)."""
        self.checkpoints.close()
        for pool in self._pools.values():
            pool.close(for_good=for_good)
        self.commits.close()

    def remove(self, *, at_once: bool) -> bool:
        """Remove the files of what is closed for good; return whether they are gone: if not, ask again, or `at_once`.

        Not on the leading thread, for to free what a large file has takes the kernel long.
        """
        patience = 0.0
        if self._removal is None:
            self._removal = self._threads.submit(shutil.rmtree, self.path.parent, ignore_errors=True)
            patience = SLOW_SECONDS
        wait([self._removal], None if at_once else patience)
        return self._removal.done()


def _files_are_left() -> bool:
    """Tell whether the process may open more; of why a file cannot be opened, SQLite says nothing."""
    opened: list[int] = []
    try:
        for _ in range(_FILES):
            opened.append(os.open("/", os.O_PATH | os.O_CLOEXEC))  # noqa: PERF401 - those before the failure are closed
    except OSError:
        return False
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True


def storage(path: Path) -> int:
    """Bytes of a database file and its WAL."""
    return _size(path) + _size(_wal_of(path))


def _wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
