"""One connection to a database file and its prepared statements: libSQL as Python objects.

Used by the database worker, by one thread at a time (only `interrupt` may come from another). Must never know of HTTP,
Hrana or streams. Settings that every connection has: WAL with `synchronous=FULL` (an acknowledged commit survives a
power cut), foreign keys on, schema not trusted, defensive mode, and the authorizer of `dataplane.guard`.
"""

import ctypes as c
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dataplane import guard
from dataplane.engine import AUTHORIZER, PROGRESS, Engine, load
from dataplane.errors import SqlError, code_names

Value = int | float | str | bytes | None

_ROW = 100
_DONE = 101
_OPEN_READWRITE_CREATE = 0x6
_PREPARE_PERSISTENT = 1
_TRANSIENT = c.c_void_p(-1)
_DBCONFIG_DEFENSIVE = 1010
_STATUS_REPREPARE = 5
_STATUS_ROWS_READ = 1025  # libSQL's own counters
_STATUS_ROWS_WRITTEN = 1026
_TXN_WRITE = 2
_AUTH = 23
_DENY = 1

CACHED_STATEMENTS = 100
PROGRESS_STEPS = 20_000
"""Virtual machine steps between two calls of the progress hook: a fraction of a millisecond."""

_LIMITS = {0: 128 << 20, 1: 16 << 20, 11: 0}  # value and row bytes, SQL bytes, helper threads

_SETTINGS = b"""
PRAGMA busy_timeout=1000;
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA foreign_keys=ON;
PRAGMA trusted_schema=OFF;
PRAGMA cache_size=-8000;
PRAGMA journal_size_limit=67108864;
"""


class Column(msgspec.Struct, frozen=True):
    """Name and declared type of a result column, as the protocol's Col object."""

    name: str
    decltype: str | None


class Statement:
    """A compiled statement; `bind`, `step` until False, then `reset`. Owned by its `Connection`."""

    __slots__ = (
        "_columns",
        "_connection",
        "_engine",
        "_index",
        "handle",
        "is_explain",
        "keyword",
        "params",
        "readonly",
    )

    def __init__(self, connection: "Connection", handle: int, keyword: str) -> None:
        engine = connection.engine
        self._connection = connection
        self._engine = engine
        self.handle = handle
        self.keyword = keyword
        """First word of the text, in capitals."""
        self.readonly = bool(engine.stmt_readonly(handle))
        self.is_explain = bool(engine.stmt_isexplain(handle))
        count = engine.bind_parameter_count(handle)
        names = [engine.bind_parameter_name(handle, i) for i in range(1, count + 1)]
        self.params: list[str | None] = [name and name.decode() for name in names]
        """Names with their prefix, None for a bare `?`; position 0 is parameter 1."""
        self._index: dict[str, int] | None = None
        self._columns: list[Column] | None = None

    @property
    def columns(self) -> list[Column]:
        """Result columns; empty for a statement that returns no rows."""
        engine, handle = self._engine, self.handle
        if self._columns is None or engine.stmt_status(handle, _STATUS_REPREPARE, 1):
            decltype = engine.column_decltype
            self._columns = [
                Column(
                    (engine.column_name(handle, i) or b"").decode("utf-8", "replace"),
                    (declared := decltype(handle, i)) and declared.decode("utf-8", "replace"),
                )
                for i in range(engine.column_count(handle))
            ]
        return self._columns

    def index_of(self, name: str) -> int | None:
        """Return the position (from 1) of a named parameter, given with or without its prefix."""
        if self._index is None:
            self._index = {}
            for position, known in enumerate(self.params, 1):
                if known is not None:
                    self._index.setdefault(known, position)
                    self._index.setdefault(known[1:], position)
        return self._index.get(name)

    def bind(self, values: Sequence[Value]) -> None:
        """Bind `values` to parameters 1, 2, …; integers must fit 64 bits."""
        engine, handle = self._engine, self.handle
        for position, value in enumerate(values, 1):
            if value is None:
                code = engine.bind_null(handle, position)
            elif type(value) is int:
                code = engine.bind_int64(handle, position, value)
            elif type(value) is float:
                code = engine.bind_double(handle, position, value)
            elif type(value) is str:
                text = value.encode("utf-8", "surrogatepass")
                code = engine.bind_text(handle, position, text, len(text), _TRANSIENT)
            elif type(value) is bytes:
                # A null pointer would bind NULL, and an empty bytes object is not one, but be explicit.
                if value:
                    code = engine.bind_blob(handle, position, value, len(value), _TRANSIENT)
                else:
                    code = engine.bind_zeroblob(handle, position, 0)
            else:
                raise TypeError(f"cannot bind {type(value).__name__}")
            if code:
                raise self._connection.error(code)

    def step(self) -> bool:
        """Run to the next row; True if there is one. Raises `SqlError`; the caller resets either way."""
        code = self._engine.step(self.handle)
        if code == _ROW:
            return True
        if code == _DONE:
            return False
        raise self._connection.error(code)

    @property
    def width(self) -> int:
        """Number of columns of the current row."""
        return int(self._engine.column_count(self.handle))

    def row(self, width: int) -> list[Value]:
        """Return the current row's values."""
        engine, handle = self._engine, self.handle
        column_type, column_bytes = engine.column_type, engine.column_bytes
        values: list[Value] = []
        for i in range(width):
            kind = column_type(handle, i)
            if kind == 1:
                values.append(engine.column_int64(handle, i))
            elif kind == 3:
                pointer = engine.column_text(handle, i)
                values.append(c.string_at(pointer, column_bytes(handle, i)).decode("utf-8", "replace"))
            elif kind == 2:
                values.append(engine.column_double(handle, i))
            elif kind == 4:
                pointer = engine.column_blob(handle, i)
                values.append(c.string_at(pointer, column_bytes(handle, i)) if pointer else b"")
            else:
                values.append(None)
        return values

    def counters(self) -> tuple[int, int]:
        """Return rows read and rows written since the last call."""
        status = self._engine.stmt_status
        return status(self.handle, _STATUS_ROWS_READ, 1), status(self.handle, _STATUS_ROWS_WRITTEN, 1)

    def reset(self) -> None:
        """Make the statement ready for another run and let go of its parameters."""
        self._engine.reset(self.handle)
        if self.params:
            self._engine.clear_bindings(self.handle)


class Connection:
    """An open database file. `read_only` connections cannot change it, whatever the statement."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.engine: Engine = load()
        self.path = path
        self.hook: Callable[[], bool] | None = None
        """Called every `PROGRESS_STEPS` steps while a statement runs; True ends it with SQLITE_INTERRUPT."""
        self.session_changed = False
        """Settings or temporary objects of this connection differ from those of a new one."""
        self._refusal: str | None = None
        self._vacuum = False
        self._statements: OrderedDict[str, Statement] = OrderedDict()
        self._authorize = AUTHORIZER(self._on_authorize)
        self._progress = PROGRESS(self._on_progress)
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
        return f"<Connection {self.path} [{len(self._statements)} statements]>"

    def _configure(self, read_only: bool) -> None:
        engine, handle = self.engine, self.handle
        for limit, value in _LIMITS.items():
            engine.limit(handle, limit, value)
        self.run(_SETTINGS)
        if read_only:
            self.run(b"PRAGMA query_only=ON")
        engine.db_config(handle, _DBCONFIG_DEFENSIVE, 1, None)
        engine.set_authorizer(handle, self._authorize, None)
        engine.progress_handler(handle, PROGRESS_STEPS, self._progress, None)

    def _on_authorize(self, _: Any, action: int, first: bytes, second: bytes, *_more: bytes) -> int:
        verdict = guard.decide(
            action,
            first.decode("utf-8", "replace") if first is not None else None,
            second.decode("utf-8", "replace") if second is not None else None,
            vacuum=self._vacuum,
        )
        if verdict.changes_session:
            self.session_changed = True
        if verdict.refusal is None:
            return 0
        self._refusal = verdict.refusal
        return _DENY

    def _on_progress(self, _: Any) -> int:
        return 1 if self.hook is not None and self.hook() else 0

    def error(self, code: int) -> SqlError:
        """Return the connection's last error, whose result code was `code`."""
        engine, handle = self.engine, self.handle
        if handle is None:
            return SqlError("SQLITE_NOMEM", "SQLite error: out of memory")
        primary, extended = code_names(engine.extended_errcode(handle) if code & 0xFF == code else code)
        if code & 0xFF == _AUTH and self._refusal:
            return SqlError("SQL_PARSE_ERROR", f"SQL not allowed: {self._refusal}", "SQLITE_AUTH")
        message = engine.errmsg(handle).decode("utf-8", "replace")
        offset = engine.error_offset(handle)
        where = f" (at offset {offset})" if offset >= 0 else ""
        if message.endswith((": syntax error", "incomplete input")) or message.startswith("unrecognized token"):
            return SqlError("SQL_PARSE_ERROR", f"SQL string could not be parsed: {message}{where}", extended)
        return SqlError(primary, f"SQLite error: {message}{where}", extended)

    def prepare(self, sql: str) -> Statement:
        """Return the one statement in `sql`, compiled, from the cache if possible. Raises `SqlError`."""
        statement = self._statements.get(sql)
        if statement is not None:
            self._statements.move_to_end(sql)
            return statement
        text = self._text(sql)
        statement, end = self._compile(text, 0)
        if statement is None:
            raise SqlError("SQL_NO_STATEMENT", "The SQL text contains no statement")
        if text[end:].strip(b" \t\r\n;"):
            try:
                more, _ = self._compile_next(text, end)
            except SqlError:
                more = statement
            if more is not None:
                self._finalize(statement)
                if more is not statement:
                    self._finalize(more)
                raise SqlError("SQL_MANY_STATEMENTS", "The SQL text contains more than one statement")
        self._statements[sql] = statement
        if len(self._statements) > CACHED_STATEMENTS:
            _, oldest = self._statements.popitem(last=False)
            self._finalize(oldest)
        return statement

    def prepare_next(self, sql: bytes, start: int) -> tuple[Statement | None, int]:
        """Compile the next statement of a text of many, from byte `start`; return it and where the rest begins.

        None: only blanks and comments were left. The statement is the caller's: pass it to `discard` when done.
        """
        return self._compile_next(sql, start)

    def discard(self, statement: Statement) -> None:
        """Free a statement made by `prepare_next`."""
        self._finalize(statement)

    @staticmethod
    def _text(sql: str) -> bytes:
        text = sql.encode("utf-8", "surrogatepass")
        if b"\0" in text:
            raise SqlError(
                "SQL_PARSE_ERROR", f"The SQL text contains a NUL (at offset {text.index(0)}): bind the value"
            )
        return text

    @classmethod
    def encode(cls, sql: str) -> bytes:
        """Return `sql` as `prepare_next` wants it. Raises `SqlError` for a text that SQLite would cut short."""
        return cls._text(sql)

    def _compile_next(self, text: bytes, start: int) -> tuple[Statement | None, int]:
        statement: Statement | None = None
        while statement is None and start < len(text):
            statement, start = self._compile(text, start)
        return statement, start

    def _compile(self, text: bytes, start: int) -> tuple[Statement | None, int]:
        handle, tail = c.c_void_p(), c.c_void_p()
        buffer = c.c_char_p(text)
        address = c.cast(buffer, c.c_void_p).value
        assert address is not None
        keyword = _first_word(text, start)
        self._refusal = None
        self._vacuum = keyword == "VACUUM"
        # The length includes the final NUL of the bytes object, which spares SQLite a copy.
        code = self.engine.prepare_v3(
            self.handle, address + start, len(text) - start + 1, _PREPARE_PERSISTENT, c.byref(handle), c.byref(tail)
        )
        if code:
            raise self.error(code)
        end = (tail.value or address + len(text)) - address
        return (None if handle.value is None else Statement(self, handle.value, keyword)), end

    def _finalize(self, statement: Statement) -> None:
        self.engine.finalize(statement.handle)

    def run(self, sql: bytes) -> None:
        """Run statements without parameters and drop their rows. Raises `SqlError`."""
        code = self.engine.exec(self.handle, sql, None, None, None)
        if code:
            raise self.error(code)

    @property
    def autocommit(self) -> bool:
        """False within a transaction."""
        return bool(self.engine.get_autocommit(self.handle))

    @property
    def writing(self) -> bool:
        """A write transaction is open."""
        return bool(self.engine.txn_state(self.handle, None) == _TXN_WRITE)

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

    def interrupt(self) -> None:
        """End the running statement with SQLITE_INTERRUPT; any thread may call."""
        if self.handle is not None:
            self.engine.interrupt(self.handle)

    def rollback(self) -> None:
        """End an open transaction, if there is one."""
        if not self.autocommit:
            self.run(b"ROLLBACK")

    def recycle(self) -> bool:
        """Make the connection as good as new for another stream; False if it has to be closed instead."""
        if self.session_changed:
            return False
        self.hook = None
        self.rollback()
        if self.last_insert_rowid:
            self.engine.set_last_insert_rowid(self.handle, 0)
        return True

    def close(self) -> None:
        """Roll back, free everything, close the file."""
        if self.handle is None:
            return
        for statement in self._statements.values():
            self._finalize(statement)
        self._statements.clear()
        self.engine.close_v2(self.handle)
        self.handle = None


def _first_word(text: bytes, start: int) -> str:
    """Return the first word of a statement in capitals, past blanks, semicolons and comments, or an empty string."""
    position, end = start, len(text)
    while position < end:
        byte = text[position]
        if byte in b" \t\r\n\f;":
            position += 1
        elif text.startswith(b"--", position):
            position = (text.find(b"\n", position) + 1) or end
        elif text.startswith(b"/*", position):
            position = (text.find(b"*/", position + 2) + 2) if b"*/" in text[position + 2 :] else end
        else:
            break
    stop = position
    while stop < end and (text[stop : stop + 1].isalpha()):
        stop += 1
    return text[position:stop].decode("ascii").upper()
