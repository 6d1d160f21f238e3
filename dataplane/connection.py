"""One connection to a database file: opening, limits, hooks, errors, transactions.

Used by the database worker, by one thread at a time; `dataplane.statements` compiles for it. Must never know of HTTP,
Hrana or streams. Settings that every connection has: WAL, foreign keys on, schema not trusted, defensive mode, and the
authorizer of `dataplane.guard`. A commit writes the WAL but does not wait for the disk (`synchronous=NORMAL`): before
it is acknowledged, `dataplane.commits` syncs the WAL, once for all commits that wait for it.
"""

import ctypes as c
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataplane import functions, memory
from dataplane.engine import AUTHORIZER, PROGRESS, WAL_HOOK, Engine, load
from dataplane.errors import SqlError, amount, code_names
from dataplane.statements import Statements
from runtime import priority

_OPEN_READWRITE_CREATE = 0x6
_DBCONFIG_NO_CHECKPOINT, _DBCONFIG_DEFENSIVE = 1006, 1010
_DBCONFIG_DQS_DML, _DBCONFIG_DQS_DDL = 1013, 1014
"""Text in double quotes that is no name is a string, as in libsql-server and in SQLite by default, which applications
rely on. The engine's package has it off."""
_ERROR = 1
_BUSY = 5
_AUTH = 23
_PASSIVE, _TRUNCATE = 0, 3

CHECKPOINT_FRAMES = 1000
"""A WAL of so many frames is due for a checkpoint, as SQLite has it."""
_MOST_PAGES = 0xFFFFFFFE
PROGRESS_STEPS = 20_000
"""Virtual machine steps between two calls of the progress hook: a fraction of a millisecond."""
YIELD_STEPS = 5_000
"""The same between two moments in which a statement that runs aside gives way: about a tenth of a millisecond."""
_YIELD = PROGRESS(priority.YIELD)

log = logging.getLogger("brrrd.dataplane")
_LIMIT_LENGTH, _LIMIT_SQL_LENGTH, _LIMIT_COLUMN, _LIMIT_WORKER_THREADS = 0, 1, 2, 11
_STATUS_PAGES, _STATUS_SCHEMA, _STATUS_STATEMENTS = 1, 2, 3
_STATUS_WRITTEN = 9
MAX_COLUMNS = 500
"""Of a table, view, index or result. SQLite counts the columns that an aggregate query uses in 16 bits and writes
beyond its memory after 32,767 (CVE-2025-6965); this many of each of the 64 tables that it joins at most are fewer."""

_SETTINGS = b"""
PRAGMA busy_timeout=1000;
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
PRAGMA foreign_keys=ON;
PRAGMA trusted_schema=OFF;
PRAGMA cache_size=-8000;
PRAGMA journal_size_limit=67108864;
PRAGMA temp.max_page_count=16384;
PRAGMA schema_version;
"""
"""The last one reads from the file, which opens the WAL and its index: what cannot be opened is told here, and not by
whatever statement is the first.
"""
_TEMP_MIB = 64
"""What that is for temporary tables and indexes of one connection, which are in memory."""
_FULL_BYTES = 1 << 20
"""A disk with less space is full."""


class Connection:
    """An open database file. `read_only` connections cannot change it, whatever the statement."""

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        max_bytes: int = 0,
        max_row_bytes: int = 128 << 20,
        max_sql_bytes: int = 16 << 20,
    ) -> None:
        self.engine: Engine = load()
        self.path = path
        self.hook: Callable[[], bool] | None = None
        """Called every `PROGRESS_STEPS` steps while a statement runs; True ends it with SQLITE_INTERRUPT."""
        self.on_commit: Callable[[int], None] | None = None
        """Called after each commit with the frames that the WAL has, to look after checkpoints."""
        self.on_compile: Callable[[], object] | None = None
        """Called before SQL is compiled, which may take as long as running it."""
        self.why_ended: Callable[[], SqlError] | None = None
        """Called for the error of what was ended with SQLITE_INTERRUPT."""
        self.session_changed = False
        """Settings or temporary objects of this connection differ from those of a new one."""
        self.pristine = True
        """Nothing but plain statements has run since it was given to its stream: no transaction, no last rowid."""
        self.limited_by: object = None
        """Whatever its user has the three limits from."""
        self._bounded = False
        """The engine knows of a largest size."""
        self._max_bytes = max_bytes
        self._max_row_bytes = max_row_bytes
        self.max_sql_bytes = max_sql_bytes
        """Of one text."""
        self.statements = Statements(self)
        self._progress = PROGRESS(self._on_progress)
        self._committed = WAL_HOOK(self._on_committed)
        self._reports = True
        self._written, self._unused = c.c_int(), c.c_int()
        handle = c.c_void_p()
        code = self.engine.open_v2(os.fsencode(path), c.byref(handle), _OPEN_READWRITE_CREATE, None)
        self.handle: int | None = handle.value
        try:
            if code:
                raise self.error(code)
            self._configure(read_only)
        except SqlError:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Connection {self.path} [{len(self.statements)} statements]>"

    def _configure(self, read_only: bool) -> None:
        engine, handle = self.engine, self.handle
        engine.limit(handle, _LIMIT_COLUMN, MAX_COLUMNS)
        engine.limit(handle, _LIMIT_WORKER_THREADS, 0)
        self.run(_SETTINGS)
        self._set_limits()
        if read_only:
            self.run(b"PRAGMA query_only=ON")
        for option in (_DBCONFIG_DEFENSIVE, _DBCONFIG_DQS_DML, _DBCONFIG_DQS_DDL):
            engine.db_config(handle, option, 1, None)
        functions.install(handle)
        engine.set_authorizer(handle, self.statements.authorizer, None)
        engine.wal_hook(handle, self._committed, None)
        self._report()
        self.pristine = True

    def limit(self, max_bytes: int, max_row_bytes: int, max_sql_bytes: int) -> None:
        """Set other limits than those that it was opened with. Raises `SqlError`."""
        self._max_bytes, self._max_row_bytes, self.max_sql_bytes = max_bytes, max_row_bytes, max_sql_bytes
        pristine = self.pristine
        self.engine.set_authorizer(self.handle, AUTHORIZER(), None)  # it refuses this pragma
        try:
            self._set_limits()
        finally:
            self.engine.set_authorizer(self.handle, self.statements.authorizer, None)
            self.pristine = pristine

    def _set_limits(self) -> None:
        engine, handle = self.engine, self.handle
        engine.limit(handle, _LIMIT_LENGTH, self._max_row_bytes)
        # It counts the final NUL, which `Statements.encode` does not.
        engine.limit(handle, _LIMIT_SQL_LENGTH, self.max_sql_bytes + 1)
        if self._max_bytes or self._bounded:
            pages = max(1, self._max_bytes // self._page_size()) if self._max_bytes else _MOST_PAGES
            self.run(b"PRAGMA max_page_count=%d" % pages)
            self._bounded = bool(self._max_bytes)

    def _page_size(self) -> int:
        statement = self.statements.prepare("PRAGMA page_size")
        try:
            statement.step()
            (size,) = statement.row(1)
        finally:
            statement.reset()
        assert isinstance(size, int)
        return size

    def _report(self) -> None:
        self._reports = True
        self.engine.progress_handler(self.handle, PROGRESS_STEPS, self._progress, None)

    def give_way(self) -> None:
        """Call `hook` no more until `resume_reports`, but let whoever wants the processor have it every now and then.

        Somebody else ends the statement, by `interrupt`. A thread of low priority must not ask for the interpreter
        again and again: whoever waits for it to give that back waits for its turn on a busy processor.
        """
        self._reports = False
        self.engine.progress_handler(self.handle, YIELD_STEPS, _YIELD, None)

    def resume_reports(self) -> None:
        """Call `hook` again. Between two statements or steps only."""
        if not self._reports:
            self._report()

    def interrupt(self) -> None:
        """End the running statement with SQLITE_INTERRUPT, from any thread. It may just have ended: see again later."""
        if self.handle is not None:
            self.engine.interrupt(self.handle)

    def _on_progress(self, _: Any) -> int:
        return 1 if self.hook is not None and self.hook() else 0

    def _on_committed(self, _: Any, _handle: Any, _name: bytes, frames: int) -> int:
        try:
            if self.on_commit is not None:
                self.on_commit(frames)
            elif frames >= CHECKPOINT_FRAMES:
                self.checkpoint()
        except SqlError as error:
            # The commit stands, and the next one will try again.
            log.error("a checkpoint of %s failed: %s", self.path, error)
        return 0

    def checkpoint(self, *, truncate: bool = False) -> tuple[int, int]:
        """Copy what the WAL has into the database file, waiting for nobody; return its frames, and how many of them
        the file has now. `truncate`: also empty the WAL, if nobody uses it. Raises `SqlError`.
        """
        everything, copied = c.c_int(), c.c_int()
        mode = _TRUNCATE if truncate else _PASSIVE
        code = self.engine.wal_checkpoint_v2(self.handle, b"main", mode, c.byref(everything), c.byref(copied))
        if code and code & 0xFF != _BUSY:
            raise self.error(code)
        return everything.value, copied.value

    def error(self, code: int) -> SqlError:
        """Return the connection's last error, whose result code was `code`."""
        engine, handle = self.engine, self.handle
        if handle is None:
            return SqlError("SQLITE_NOMEM", "SQLite error: out of memory")
        primary, extended = code_names(engine.extended_errcode(handle) if code & 0xFF == code else code)
        refusal = self.statements.take_refusal()
        outdated = self.statements.take_outdated()
        if outdated is not None:
            return outdated
        if code & 0xFF in (_AUTH, _ERROR) and refusal:  # a function that is refused makes the latter
            return SqlError("SQL_PARSE_ERROR", f"SQL not allowed: {refusal}", "SQLITE_AUTH")
        if primary == "SQLITE_INTERRUPT" and self.why_ended is not None:
            return self.why_ended()
        message = engine.errmsg(handle).decode("utf-8", "replace")
        offset = engine.error_offset(handle)
        where = f" (at offset {offset})" if offset >= 0 else ""
        if message.endswith((": syntax error", "incomplete input")) or message.startswith("unrecognized token"):
            return SqlError("SQL_PARSE_ERROR", f"SQL string could not be parsed: {message}{where}", extended)
        if primary == "SQLITE_TOOBIG":
            where = f" (the limit of one value or row is {self._max_row_bytes:,} bytes)"
        if primary == "SQLITE_FULL":
            where = f" ({self._why_full()})"
        if primary == "SQLITE_NOMEM":
            where = f" (the limit of all databases of a worker together is {memory.HEAP_BYTES >> 20:,} MiB)"
        return SqlError(primary, f"SQLite error: {message}{where}", extended)

    def _why_full(self) -> str:
        """Return what may have been full; the engine says the same of all."""
        try:
            disk = os.statvfs(self.path.parent)
        except FileNotFoundError:  # deleted meanwhile
            pass
        else:
            if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
                return "the disk of the node has no space left"
        database = f"of one database is {amount(self._max_bytes)}, " if self._max_bytes else ""
        return f"the limit {database}of the temporary tables of one stream {_TEMP_MIB} MiB"

    def run(self, sql: bytes) -> None:
        """Run statements without parameters and drop their rows. Raises `SqlError`."""
        self.pristine = False
        code = self.engine.exec(self.handle, sql, None, None, None)
        if code:
            raise self.error(code)

    @property
    def autocommit(self) -> bool:
        """False within a transaction."""
        return bool(self.engine.get_autocommit(self.handle))

    @property
    def last_insert_rowid(self) -> int:
        return int(self.engine.last_insert_rowid(self.handle))

    @property
    def total_changes(self) -> int:
        """Rows changed since the connection was opened."""
        return int(self.engine.total_changes64(self.handle))

    @property
    def changes(self) -> int:
        """Rows changed by the last INSERT, UPDATE or DELETE, triggers not counted."""
        return int(self.engine.changes64(self.handle))

    def take_pages_written(self) -> int:
        """Return how many pages were written to the WAL since the last call, be it by what was rolled back."""
        self.engine.db_status(self.handle, _STATUS_WRITTEN, self._written, self._unused, 1)
        return self._written.value

    def rollback(self) -> None:
        """End an open transaction, if there is one."""
        if not self.autocommit:
            self.run(b"ROLLBACK")

    def recycle(self) -> bool:
        """Make the connection as good as new for another stream; False if it has to be closed instead."""
        if self.session_changed:
            return False
        self.hook = self.on_commit = self.on_compile = self.why_ended = None
        if not self.pristine:
            self.rollback()
            if self.last_insert_rowid:
                self.engine.set_last_insert_rowid(self.handle, 0)
            self.pristine = True
        self.statements.forget_large()
        return True

    @property
    def memory(self) -> int:
        """What the engine keeps for it: pages, temporary tables, the schema, statements. What those take while they
        run, to sort above all, is counted nowhere. Not while one does.
        """
        status, current, highest = self.engine.db_status, c.c_int(), c.c_int()
        total = 0
        for kind in (_STATUS_PAGES, _STATUS_SCHEMA, _STATUS_STATEMENTS):
            status(self.handle, kind, c.byref(current), c.byref(highest), 0)
            total += current.value
        return total

    def spare_memory(self) -> None:
        """Give back what is only kept to be faster the next time. Not while a statement runs."""
        self.statements.forget()
        self.engine.db_release_memory(self.handle)

    def close(self, *, for_good: bool = False) -> None:
        """Roll back, free everything, close the file; `for_good`: it is to be deleted, and needs no checkpoint."""
        if self.handle is None:
            return
        self.statements.clear()
        if for_good:
            self.engine.db_config(self.handle, _DBCONFIG_NO_CHECKPOINT, 1, None)
        self.engine.close_v2(self.handle)
        self.handle = None
