"""Running one statement on a stream.

For `dataplane.answers` and `dataplane.cursors`, whose requests consist of statements. `run` and what waits with it are
generators, because a statement may have to wait: for the database's turn to write, or for the client to read what was
sent. It yields what it needs next (`Need`, or bytes of the answer's body) and is resumed when it has it. Between two
yields it runs SQL and may be on any thread, so it touches nothing but its stream. Must never know which request, or
which version of the protocol, a statement is of.
"""

from collections.abc import Callable, Generator, Sequence
from enum import Enum
from functools import partial
from time import monotonic, thread_time
from typing import Any, TypeAlias, TypeVar

from dataplane import hrana
from dataplane.cells import Value
from dataplane.connection import Connection
from dataplane.errors import SqlError
from dataplane.statement import Statement
from dataplane.statements import NeedsTurn
from dataplane.streams import SLOW_SECONDS, Stream
from dataplane.values import from_wire

T = TypeVar("T")
_BEGINS = frozenset({"BEGIN", "SAVEPOINT"})
_NULL_RESULT: dict[str, Any] = {"affected_row_count": 0, "last_insert_rowid": None, "rows_read": 0, "rows_written": 0}


class Need(Enum):
    """What a generator waits for."""

    TURN = 1
    """To write: resumed when the stream has the turn."""
    NO_TURN = 2
    """The turn may go to the next writer; resumed at once."""
    PAUSE = 3
    """It has kept others waiting long enough: resumed when they had their turn."""


Work: TypeAlias = Generator[Need | bytes | list[Any], None, Any]
Sink: TypeAlias = Callable[[list[Any], int], list[Any] | None]
"""Takes rows in the stream's format and the bytes of their texts and blobs; may return entries of a cursor that are to
be sent."""


def _enter(stream: Stream, connection: Connection, statement: Statement) -> Generator[Need, None, bool]:
    """Make sure that `statement`, which writes or follows a transaction that was taken away, may run now; False if it
    has nothing to do. Raises `SqlError`.
    """
    if stream.taken is not None:
        yield from _abandon(stream, connection)
        taken, stream.stop = stream.taken, None
        if statement.keyword in ("ROLLBACK", "COMMIT", "END", "BEGIN"):
            stream.taken = None
        if statement.keyword == "ROLLBACK":
            return False
        if statement.keyword != "BEGIN":
            raise SqlError("TRANSACTION_TIMEOUT", taken)
    if not statement.readonly:
        if stream.read_only:
            raise SqlError("SQLITE_READONLY", "This token may only read, and the statement would write")
        if not stream.has_turn:
            yield Need.TURN
    return True


def _abandon(stream: Stream, connection: Connection) -> Generator[Need, None, None]:
    """Roll back a transaction that was taken away while the stream was at work."""
    connection.rollback()
    if stream.has_turn:
        yield Need.NO_TURN


def _failed(stream: Stream, error: SqlError) -> SqlError:
    """Return the error to report for `error` of the running statement."""
    if error.code == "SQLITE_INTERRUPT" and stream.stop is not None:
        return stream.stopped()
    if error.extended_code == "SQLITE_BUSY_SNAPSHOT":
        return SqlError(
            error.code,
            f"{error}: another writer has changed what this transaction read before; "
            "roll back, and begin it with BEGIN IMMEDIATE",
            error.extended_code,
        )
    return error


def _first_step(stream: Stream, statement: Statement, started: float) -> bool:
    """Step `statement`, which began at `started` (monotonic), aside if it is known to be slow; False: there is no row.

    Where many others want the processor anything takes long, but not by the time that it had the processor itself. That
    is not asked for each time, since it is a system call. Raises `SqlError`.
    """
    suspect = statement.suspect
    cpu_began = thread_time() if suspect else 0.0
    if statement.slow:
        stream.step_aside()
    try:
        return statement.step()
    finally:
        if suspect:
            statement.suspect = statement.slow = thread_time() - cpu_began >= SLOW_SECONDS
        else:
            statement.suspect = monotonic() - started >= SLOW_SECONDS


def run(stream: Stream, connection: Connection, statement: Statement, values: list[Value], sink: Sink | None) -> Work:
    """Run `statement`, passing its rows to `sink` and yielding what that returns; return the counters of the result.

    Longer than a function should be: every statement of every client passes here, and parts of it would be generators
    of their own, with the state that it keeps in local variables as arguments.
    """
    readonly = statement.readonly
    if (not readonly or stream.taken is not None) and not (yield from _enter(stream, connection, statement)):
        return dict(_NULL_RESULT, query_duration_ms=0.0)
    started = stream.begin_statement()
    if not statement.plain:
        connection.pristine = False
        if statement.keyword in _BEGINS and connection.autocommit:
            stream.transaction_began = started
    changes = 0 if readonly else connection.total_changes
    statement.in_use = True
    try:
        connection.statements.begin(statement)
        if values:
            statement.bind(values)
        more = _first_step(stream, statement, started)
        while more:
            rows: list[Any] = []
            more = statement.fill(rows, stream.format.form) if sink is not None else statement.skip()
            if sink is not None and (chunk := sink(rows, statement.filled)) is not None:
                yield chunk
                stream.restart_clock()  # how fast the client reads is not the statement's fault
            if more:
                now = monotonic()
                stream.check_clock(now)
                if stream.pause_due(now):
                    yield Need.PAUSE
        if stream.taken is not None and not connection.autocommit:
            raise stream.stopped()  # the transaction was taken away in the moment in which the statement ended
    except SqlError as error:
        failure = _failed(stream, error)
        statement.failed = True
        statement.reset()
        if stream.taken is not None:
            yield from _abandon(stream, connection)
        elif stream.has_turn and connection.autocommit:
            # A failed statement may keep what it did before (ON CONFLICT FAIL).
            stream.unsynced = True
            yield Need.NO_TURN
        try:
            raise failure from None
        finally:
            del failure  # its traceback holds this frame, which would hold it
    finally:
        # Whatever came of it: what it read is used, and is not the next run's.
        read, written = statement.counters()
        stream.rows_read += read
        stream.rows_written += written
        statement.reset()
        statement.in_use = False
    now = monotonic()
    seconds = now - started
    changed = not readonly and connection.total_changes != changes
    result = {
        "affected_row_count": connection.changes if changed else 0,
        # As libsql-server: clients in Rust and Python take any number for that of a row which was inserted.
        "last_insert_rowid": str(connection.last_insert_rowid) if statement.inserts else None,
        "replication_index": None,
        "rows_read": read,
        "rows_written": written,
        "query_duration_ms": int(seconds * 1_000_000) / 1000,  # a fifth of what `round` takes
    }
    if stream.has_turn and connection.autocommit:
        stream.unsynced = stream.unsynced or statement.keyword != "ROLLBACK"
        yield Need.NO_TURN
    if stream.pause_due(now):
        yield Need.PAUSE
    return result


def _arguments(statement: Statement, stmt: hrana.Stmt) -> list[Value]:
    """Return the values for parameters 1, 2, …. Raises `SqlError` (ARGS_*), `ValueError` for a malformed value."""
    params = statement.params
    if not params and not stmt.args and not stmt.named_args:
        return []
    if stmt.named_args:
        if stmt.args:
            raise SqlError(
                "ARGS_BOTH_POSITIONAL_AND_NAMED", "Positional and named arguments cannot be used in one statement"
            )
        return _named_values(statement, stmt.named_args)
    args = stmt.args or ()
    if len(args) != len(params) and (args or not statement.is_explain):
        raise SqlError("ARGS_INVALID", f"The statement has {len(params)} parameters, but {len(args)} values were given")
    return [from_wire(value) for value in args]


def _named_values(statement: Statement, args: Sequence[hrana.NamedArg]) -> list[Value]:
    """Return the same from named arguments.

    A name has its prefix, or stands for all parameters that are called so with any. With another prefix than the
    parameter's it is taken as well, if there is nothing better: Turso's Python client writes `:` before every name.
    Names that the statement does not use are passed over: clients send whole objects.
    """
    params = statement.params
    values: list[Value] = [None] * len(params)
    missing = set(range(1, len(params) + 1))
    for arg in args:
        for position in statement.positions_of(arg.name):
            values[position - 1] = from_wire(arg.value)
            missing.discard(position)
    if missing:
        for arg in args:
            for position in missing.intersection(statement.positions_of(arg.name.lstrip(":@$"))):
                values[position - 1] = from_wire(arg.value)
                missing.discard(position)
    if missing and not statement.is_explain:
        position = min(missing)
        raise SqlError("ARGS_INVALID", f"No value for parameter {params[position - 1] or position}")
    return values


def prepare(stream: Stream, stmt: hrana.Stmt) -> tuple[Connection, Statement, list[Value]]:
    """Return the stream's connection, the statement compiled, and its arguments. Raises `SqlError`, `ValueError`."""
    sql = stmt.sql
    if sql is None or stmt.sql_id is not None:
        sql = hrana.statement_sql(sql, stmt.sql_id, stream.stored.texts)
    connection = stream.connection or stream.open()
    statement = connection.statements.prepare(sql)
    return connection, statement, _arguments(statement, stmt)


def in_turn(stream: Stream, compile: Callable[[], T]) -> Generator[Need, None, T]:
    """Return what `compile` does, in the stream's turn to write. Raises what it raises, and `SqlError`."""
    connection = stream.open()
    if stream.taken is not None:
        raise SqlError("TRANSACTION_TIMEOUT", stream.taken)
    if stream.read_only:
        raise SqlError("SQLITE_READONLY", "This token may only read, and the statement would write")
    if not stream.has_turn:
        yield Need.TURN
    connection.statements.may_write = True
    try:
        return compile()
    except (SqlError, ValueError):
        if connection.autocommit:
            stream.unsynced = True
            yield Need.NO_TURN
        raise
    finally:
        connection.statements.may_write = False


def execute(stream: Stream, stmt: hrana.Stmt) -> Work:
    """Run one statement and return the protocol's StmtResult."""
    try:
        connection, statement, values = prepare(stream, stmt)
    except NeedsTurn:
        connection, statement, values = yield from in_turn(stream, partial(prepare, stream, stmt))
    blocks: list[bytes] = []
    form = stream.format

    def keep(rows: list[Any], _: int) -> None:
        block = form.block(rows)
        blocks.append(block)
        stream.take_room(len(block))

    sink = None if stmt.want_rows is False else keep
    before = stream.answer_bytes
    try:
        stream.take_room(statement.columns_bytes)
        result = yield from run(stream, connection, statement, values, sink)
    except SqlError:
        stream.answer_bytes = before  # nothing of it is told
        raise
    return {"cols": statement.columns, "rows": form.result_rows(blocks), **result}
