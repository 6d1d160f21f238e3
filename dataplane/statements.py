"""The statements of one connection: compiled, looked at by its authorizer, kept for the next time.

Made by `dataplane.connection`, one for each; used by `dataplane.execution`, `dataplane.answers` and `dataplane.dump`,
by the thread that has the connection. `dataplane.compilation` says what may be compiled. Must never run what a client
asked for, nor begin or end a transaction.
"""

import ctypes as c
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dataplane import guard, vectors
from dataplane.cells import Value
from dataplane.compilation import Compilation, Running
from dataplane.engine import AUTHORIZER
from dataplane.errors import SqlError
from dataplane.statement import Statement, first_word, second_word

if TYPE_CHECKING:
    from dataplane.connection import Connection

_PREPARE_PERSISTENT = 1
_ERROR = 1

CACHED_STATEMENTS = 100
CACHED_BYTES = 4 << 20
"""What these may take of the engine's memory, which all databases of the worker share, except for the last one."""
_WRITES_NO_ROWS = frozenset({"BEGIN", "DROP"})


class NeedsTurn(SqlError):
    """The statement changes the file while it is compiled: `Statements.may_write` has to be set meanwhile."""

    def __init__(self) -> None:
        super().__init__("SQLITE_BUSY", "The statement has to be compiled in its turn to write")


class Statements:
    """Those of `connection`, which opens its file when it has this."""

    def __init__(self, connection: "Connection") -> None:
        self.may_write = True
        """What changes the file while it is compiled may be compiled: its stream, if it has one, has the turn."""
        self.authorizer = AUTHORIZER(self._on_authorize)
        """For the engine, once the connection is set up."""
        self._connection = connection
        self._engine = connection.engine
        self._running = Running()
        self._compilation: Compilation = self._running
        self._statements: OrderedDict[str, Statement] = OrderedDict()
        self._kept_bytes = 0
        """Of those."""
        self._let_gone: list[Statement] = []
        """No longer among those, but in use."""
        self._looks_for_unique = False
        """The file may have a vector index that is unique."""

    def __repr__(self) -> str:
        return f"<Statements, {len(self._statements)} kept, {len(self._let_gone)} let go in use>"

    def __len__(self) -> int:
        return len(self._statements)

    def _on_authorize(self, _: Any, action: int, first: bytes, second: bytes, _database: bytes, trigger: bytes) -> int:
        compilation = self._compilation
        answer = compilation.see(
            action,
            first.decode("utf-8", "replace") if first is not None else None,
            second.decode("utf-8", "replace") if second is not None else None,
            in_trigger=trigger is not None,
        )
        if compilation.changes_session:
            self._connection.session_changed = True
        return answer

    def take_refusal(self) -> str | None:
        """Return why what was compiled last was denied, if it was; it is told once."""
        refusal, self._compilation.refusal = self._compilation.refusal, None
        return refusal

    def take_outdated(self) -> SqlError | None:
        """Return the error of a statement that would do what was not looked at when it was compiled, if it is that."""
        table, self._running.outdated = self._running.outdated, None
        if table is None:
            return None
        self.forget()
        message = f"SQLite error: there is a trigger now that changes {table}: run the statement again"
        return SqlError("SQLITE_SCHEMA", message)

    def look_at_file(self) -> None:
        """Call when the file was opened to be written to by clients, who cannot make what is looked for here."""
        with suppress(SqlError):  # what cannot read the schema cannot write by it
            self._looks_for_unique = self._first(vectors.unique_index()) is not None

    @property
    def in_use(self) -> bool:
        """One of them runs, or waits between two of its rows."""
        return any(statement.in_use for statement in (*self._statements.values(), *self._let_gone))

    def begin(self, statement: Statement) -> None:
        """Call before `statement` runs, in the turn to write if it writes. Raises `SqlError`."""
        if self._looks_for_unique and not statement.readonly and statement.keyword not in _WRITES_NO_ROWS:
            # It may have been dropped meanwhile, and come back with a rollback.
            index = self._first(vectors.unique_index())
            if isinstance(index, str):
                message = f"SQL not allowed: {index} is a unique vector index, which cannot be written to: drop it"
                raise SqlError("SQL_PARSE_ERROR", message, "SQLITE_AUTH")
        for table in statement.shadows:
            if self._finds(vectors.is_kept_by_index(table)):
                message = f"SQL not allowed: a vector index keeps itself in {table}"
                raise SqlError("SQL_PARSE_ERROR", message, "SQLITE_AUTH")
        self._running.begin(statement.shadows)

    def prepare(self, sql: str) -> Statement:
        """Return the one statement in `sql`, compiled, from the cache if possible. Raises `SqlError`."""
        statement = self._statements.get(sql)
        if statement is not None:
            # What was seen of a CREATE when it was compiled does not hold any more. What could not be compiled anew the
            # last time has expired; SQLite would try again by the schema of that time.
            expired = statement.failed and self._engine.expired(statement.handle)
            if statement.keyword != "CREATE" and not statement.in_use and not expired:
                self._statements.move_to_end(sql)
                return statement
            self._forget(sql)
        text = self.encode(sql)
        statement, end = self._compile(text, 0)
        if statement is None:
            raise SqlError("SQL_NO_STATEMENT", "The SQL text contains no statement")
        if text[end:].strip(b" \t\r\n;"):
            try:
                more, _ = self.prepare_next(text, end)
            except SqlError:
                more = statement
            if more is not None:
                self.discard(statement)
                if more is not statement:
                    self.discard(more)
                raise SqlError("SQL_MANY_STATEMENTS", "The SQL text contains more than one statement")
        self._statements[sql] = statement
        statement.measure()
        self._kept_bytes += statement.kept_bytes
        while len(self._statements) > CACHED_STATEMENTS or (
            self._kept_bytes > CACHED_BYTES and len(self._statements) > 1
        ):
            self._forget(next(iter(self._statements)))
        return statement

    def prepare_anew(self, sql: str) -> Statement:
        """The same by the schema of this moment, for who asks what a statement is like: SQLite notices only when it
        runs that another connection has changed the schema. Within a transaction the schema is that of its first
        statement, which is not to be this. Raises `SqlError`.
        """
        if sql in self._statements:
            self._forget(sql)
        if self._connection.autocommit:
            self._read_schema()
        return self.prepare(sql)

    def _read_schema(self) -> None:
        """Look into the file, which makes SQLite read the schema again if another connection has changed it."""
        self._engine.exec(self._connection.handle, b"SELECT 1 FROM main.sqlite_schema LIMIT 1", None, None, None)

    def forget(self) -> None:
        """Keep none of them for the next time."""
        while self._statements:
            self._forget(next(iter(self._statements)))

    def forget_large(self) -> None:
        """Do not keep what is too large to be kept: nobody else is to pay for what the last one used."""
        if self._kept_bytes > CACHED_BYTES:
            self.forget()

    def _forget(self, sql: str) -> None:
        statement = self._statements.pop(sql)
        self._kept_bytes -= statement.kept_bytes
        self._let_go(statement)

    def _let_go(self, statement: Statement) -> None:
        """Free a statement as soon as it is not in use."""
        self._let_gone.append(statement)
        for other in self._let_gone:
            if not other.in_use:
                self.discard(other)
        self._let_gone = [other for other in self._let_gone if other.in_use]

    def prepare_next(self, text: bytes, start: int) -> tuple[Statement | None, int]:
        """Compile the next statement of a text of many, from byte `start`; return it and where the rest begins.

        None: only blanks and comments were left. The statement is the caller's: pass it to `discard` when done.
        """
        statement: Statement | None = None
        while statement is None and start < len(text):
            statement, start = self._compile(text, start)
        return statement, start

    def discard(self, statement: Statement) -> None:
        """Free a statement."""
        self._engine.finalize(statement.handle)

    def encode(self, sql: str) -> bytes:
        """Return `sql` as `prepare_next` wants it. Raises `SqlError` if it is too long or SQLite would cut it short."""
        text = sql.encode("utf-8", "surrogatepass")
        if len(text) > self._connection.max_sql_bytes:
            limit = self._connection.max_sql_bytes
            raise SqlError(
                "SQL_INPUT_ERROR", f"The SQL text has {len(text):,} bytes, the limit is {limit:,}: bind values"
            )
        if b"\0" in text:
            raise SqlError(
                "SQL_PARSE_ERROR", f"The SQL text contains a NUL (at offset {text.index(0)}): bind the value"
            )
        return text

    def _compile(self, text: bytes, start: int) -> tuple[Statement | None, int]:
        if self._connection.on_compile is not None:
            self._connection.on_compile()
        try:
            return self._compile_and_see(text, start)
        finally:
            self._compilation = self._running

    def _compile_and_see(self, text: bytes, start: int) -> tuple[Statement | None, int]:
        handle, tail = c.c_void_p(), c.c_void_p()
        buffer = c.c_char_p(text)
        address = c.cast(buffer, c.c_void_p).value
        assert address is not None
        keyword = first_word(text, start)
        what = second_word(text, start) if keyword in ("CREATE", "DROP") else ""
        # The length includes the final NUL of the bytes object, which spares SQLite a copy.
        arguments = (address + start, len(text) - start + 1, _PREPARE_PERSISTENT, c.byref(handle), c.byref(tail))

        def attempt(*, may_write: bool = False) -> int:
            self._compilation = Compilation(keyword, what, may_write=may_write)
            return int(self._engine.prepare_v3(self._connection.handle, *arguments))

        code = attempt()
        if code == _ERROR and not self._compilation.writes_at_once:
            # SQLite compiles by the schema it has read last, and notices for a few errors only that another
            # connection has changed it since.
            self._read_schema()
            code = attempt()
        if code and self._compilation.writes_at_once:
            self._make_way(self._compilation.vector_index, explained=keyword == "EXPLAIN")
            code = attempt(may_write=True)
        compilation = self._compilation
        if code:
            raise self._connection.error(code)
        end = (tail.value or address + len(text)) - address
        if handle.value is None:
            return None, end
        if compilation.tells_path:
            self._engine.finalize(handle)
            hidden = guard.LIST_WITHOUT_PATHS
            self._engine.prepare_v3(
                self._connection.handle, hidden, len(hidden), _PREPARE_PERSISTENT, c.byref(handle), None
            )
            keyword = "SELECT"
            assert handle.value is not None
        return Statement(self._connection, handle.value, keyword, compilation), end

    def _make_way(self, index: str | None, *, explained: bool) -> None:
        """See to it that a vector index may go, or come (`index`) and starts from nothing. Raises `SqlError`."""
        if explained:
            raise SqlError("SQL_PARSE_ERROR", "SQL not allowed: vector indexes that come or go cannot be explained")
        if not self.may_write:
            raise NeedsTurn
        if index is not None:
            vectors.make_way(index, self._finds, self._connection.run)

    def _finds(self, sql: str) -> bool:
        """Return whether a query has a row. Raises `SqlError`."""
        return self._first(sql) is not None

    def _first(self, sql: str) -> Value:
        """Return the first value of a query, which is never NULL, or None if it has no row. Raises `SqlError`."""
        statement, _ = self._compile(self.encode(sql), 0)
        assert statement is not None
        try:
            return statement.row(1)[0] if statement.step() else None
        finally:
            self.discard(statement)

    def clear(self) -> None:
        """Free all of them, before the connection is closed."""
        for statement in (*self._statements.values(), *self._let_gone):
            self.discard(statement)
        self._statements.clear()
        self._let_gone.clear()
        self._kept_bytes = 0
