"""Running what a request asks for, on a stream.

Everything here is a generator, because a call may have to wait: for the database's turn to write, or for the client to
read what was sent. It yields what it needs next (`Need`, or bytes of the answer's body) and is resumed when it has it.
Between two yields it runs SQL and may be on any thread, so it touches nothing but its stream.
"""

from collections.abc import Callable, Generator
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any, TypeAlias, TypeVar

from dataplane import hrana
from dataplane.cells import Value
from dataplane.connection import Connection, NeedsTurn
from dataplane.errors import HttpError, SqlError
from dataplane.statement import Statement
from dataplane.streams import Stream
from dataplane.values import from_wire

T = TypeVar("T")
_BEGINS = frozenset({"BEGIN", "SAVEPOINT"})
_COMMITS = frozenset({"COMMIT", "END"})
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
NextBaton: TypeAlias = Callable[[Stream], str]
"""Makes the baton for the next use of a stream."""
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


def run(stream: Stream, connection: Connection, statement: Statement, values: list[Value], sink: Sink | None) -> Work:
    """Run `statement`, passing its rows to `sink` and yielding what that returns; return the counters of the result."""
    readonly = statement.readonly
    if (not readonly or stream.taken is not None) and not (yield from _enter(stream, connection, statement)):
        return dict(_NULL_RESULT, query_duration_ms=0.0)
    commits = connection.autocommit if not readonly else stream.has_turn and statement.keyword in _COMMITS
    if commits:
        stream.before_commit()
    started = stream.begin_statement()
    if not statement.plain:
        connection.pristine = False
        if statement.keyword in _BEGINS and connection.autocommit:
            stream.transaction_began = started
    changes = 0 if readonly else connection.total_changes
    statement.in_use = True
    try:
        connection.begin(statement)
        if values:
            statement.bind(values)
        more = statement.step()
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
        statement.reset()
        statement.in_use = False
    read, written = statement.counters()
    stream.rows_read += read
    stream.rows_written += written
    now = monotonic()
    seconds = now - started
    if commits:
        stream.after_commit(seconds)
    changed = not readonly and connection.total_changes != changes
    result = {
        "affected_row_count": connection.changes if changed else 0,
        "last_insert_rowid": "0" if connection.pristine else str(connection.last_insert_rowid),
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
        values: list[Value] = [None] * len(params)
        missing = set(range(1, len(params) + 1))
        for arg in stmt.named_args:
            # Names that the statement does not use are passed over: clients send whole objects.
            for position in statement.positions_of(arg.name):
                values[position - 1] = from_wire(arg.value)
                missing.discard(position)
        if missing:
            position = min(missing)
            raise SqlError("ARGS_INVALID", f"No value for parameter {params[position - 1] or position}")
        return values
    args = stmt.args or []
    if len(args) != len(params):
        raise SqlError("ARGS_INVALID", f"The statement has {len(params)} parameters, but {len(args)} values were given")
    return [from_wire(value) for value in args]


def prepare(stream: Stream, stmt: hrana.Stmt) -> tuple[Connection, Statement, list[Value]]:
    """Return the stream's connection, the statement compiled, and its arguments. Raises `SqlError`, `ValueError`."""
    sql = stmt.sql
    if sql is None or stmt.sql_id is not None:
        sql = hrana.statement_sql(sql, stmt.sql_id, stream.stored.texts)
    connection = stream.connection or stream.open()
    statement = connection.prepare(sql)
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
    connection.may_write = True
    try:
        return compile()
    except (SqlError, ValueError):
        if connection.autocommit:
            stream.unsynced = True
            yield Need.NO_TURN
        raise
    finally:
        connection.may_write = False


def _execute(stream: Stream, stmt: hrana.Stmt) -> Work:
    """Run one statement and return the protocol's StmtResult."""
    try:
        connection, statement, values = prepare(stream, stmt)
    except NeedsTurn:
        connection, statement, values = yield from in_turn(stream, partial(prepare, stream, stmt))
    blocks: list[bytes] = []
    limit = stream.limits.max_answer_bytes
    form = stream.format

    def keep(rows: list[Any], _: int) -> None:
        block = form.block(rows)
        blocks.append(block)
        stream.answer_bytes += len(block)
        if stream.answer_bytes > limit:
            raise SqlError(
                "RESPONSE_TOO_LARGE",
                f"The answer exceeds {limit >> 20} MiB: select less, or read it through a cursor",
            )

    sink = None if stmt.want_rows is False else keep
    result = yield from run(stream, connection, statement, values, sink)
    return {"cols": statement.columns, "rows": form.result_rows(blocks), **result}


def holds(condition: hrana.Condition | None, ok: list[bool], failed: list[bool], connection: Connection) -> bool:
    """Return whether a batch step is to run, given which earlier steps ran and which failed."""
    match condition:
        case None:
            return True
        case hrana.IfOk(step):
            return ok[step]
        case hrana.IfError(step):
            return failed[step]
        case hrana.IfNot(cond):
            return not holds(cond, ok, failed, connection)
        case hrana.IfAnd(conds):
            return all(holds(cond, ok, failed, connection) for cond in conds)
        case hrana.IfOr(conds):
            return any(holds(cond, ok, failed, connection) for cond in conds)
        case _:
            return connection.autocommit


def _batch(stream: Stream, batch: hrana.Batch) -> Work:
    connection = stream.open()
    ok: list[bool] = []
    failed: list[bool] = []
    results: list[Any] = []
    errors: list[Any] = []
    for step in batch.steps:
        result = error = None
        if holds(step.condition, ok, failed, connection):
            try:
                result = yield from _execute(stream, step.stmt)
            except SqlError as problem:
                error = problem.document()
        ok.append(result is not None)
        failed.append(error is not None)
        results.append(result)
        errors.append(error)
    return {"step_results": results, "step_errors": errors, "replication_index": None}


def _sequence(stream: Stream, sql: str) -> Work:
    """Run all statements of a text, without their rows; the first error ends it."""
    connection = stream.open()
    text = connection.encode(sql)
    position = 0
    while True:
        try:
            statement, position = connection.prepare_next(text, position)
        except NeedsTurn:
            statement, position = yield from in_turn(stream, partial(connection.prepare_next, text, position))
        if statement is None:
            return None
        try:
            yield from run(stream, connection, statement, [], None)
        finally:
            connection.discard(statement)


def _describe(stream: Stream, sql: str) -> dict[str, Any]:
    try:
        statement = stream.open().prepare(sql)
    except NeedsTurn:
        return {"params": [], "cols": [], "is_explain": False, "is_readonly": False}
    return {
        "params": [{"name": name} for name in statement.params],
        "cols": statement.columns,
        "is_explain": statement.is_explain,
        "is_readonly": statement.readonly,
    }


def _answer(stream: Stream, request: hrana.Request, version: int) -> Work:
    """Run one request of a pipeline and return its response. `SqlError` is for it, `ValueError` for the whole call."""
    match request:
        case hrana.Execute(stmt):
            return {"type": "execute", "result": (yield from _execute(stream, stmt))}
        case hrana.RunBatch(batch):
            hrana.check_conditions(batch, version=version)
            return {"type": "batch", "result": (yield from _batch(stream, batch))}
        case hrana.Sequence(sql, sql_id):
            yield from _sequence(stream, hrana.statement_sql(sql, sql_id, stream.stored.texts))
            return {"type": "sequence"}
        case hrana.Describe(sql, sql_id):
            result = _describe(stream, hrana.statement_sql(sql, sql_id, stream.stored.texts))
            return {"type": "describe", "result": result}
        case hrana.StoreSql(number, text):
            stream.stored.add(number, text)
            return {"type": "store_sql"}
        case hrana.CloseSql(number):
            stream.stored.remove(number)
            return {"type": "close_sql"}
        case hrana.GetAutocommit():
            if version < 3:
                raise ValueError("get_autocommit is only known in version 3")
            return {"type": "get_autocommit", "is_autocommit": stream.open().autocommit}
        case hrana.Close():
            stream.closing = True
            return {"type": "close"}


def pipeline(stream: Stream, body: hrana.Pipeline, version: int, next_baton: NextBaton, blocked: str | None) -> Work:
    """Run a pipeline; returns the body of the answer. Raises `HttpError`."""
    results: list[dict[str, Any]] = []
    for request in body.requests:
        try:
            if stream.closing:
                raise ValueError("The stream was closed by an earlier request of this pipeline")
            if blocked is not None and not isinstance(request, hrana.Close):
                raise SqlError("BLOCKED", f"The database is suspended: {blocked}")
            response = yield from _answer(stream, request, version)
        except SqlError as error:
            results.append({"type": "error", "error": error.document()})
        except ValueError as error:
            raise HttpError(400, "PROTOCOL_ERROR", str(error)) from None
        else:
            results.append({"type": "ok", "response": response})
    baton = None if stream.closing else next_baton(stream)
    return stream.format.pipeline(baton, results)


def one_shot(stream: Stream, body: hrana.ExecuteV1 | hrana.BatchV1, blocked: str | None) -> Work:
    """Run the old stateless execute or batch; returns the body of the answer. Raises `HttpError`."""
    stream.closing = True
    try:
        if blocked is not None:
            raise SqlError("BLOCKED", f"The database is suspended: {blocked}")
        if isinstance(body, hrana.ExecuteV1):
            result = yield from _execute(stream, body.stmt)
        else:
            hrana.check_conditions(body.batch, version=2)
            result = yield from _batch(stream, body.batch)
    except SqlError as error:
        busy = error.code in ("TRANSACTION_TIMEOUT", "SQLITE_BUSY")
        status = 503 if busy else 400 if error.code.startswith(("SQL_", "ARGS_", "BLOCKED")) else 500
        if error.code == "ARGS_BOTH_POSITIONAL_AND_NAMED":
            status = 501
        raise HttpError(status, error.code, str(error)) from None
    except ValueError as error:
        raise HttpError(400, "PROTOCOL_ERROR", str(error)) from None
    return hrana.encode({"result": result})


def legacy(stream: Stream, body: hrana.Legacy, blocked: str | None) -> Work:
    """Run the first protocol's statements; returns the body of the answer. Raises `HttpError`.

    As with libsql-server, the first failure ends it and rolls an open transaction back; what follows is null.
    """
    stream.closing = True
    answers: list[Any] = [None] * len(body.statements)
    for number, given in enumerate(body.statements):
        try:
            if blocked is not None:
                raise SqlError("BLOCKED", f"The database is suspended: {blocked}")
            result = yield from _execute(stream, hrana.legacy_stmt(given))
        except SqlError as error:
            answers[number] = {"error": error.document()}
            break
        except ValueError as error:
            raise HttpError(400, "PROTOCOL_ERROR", str(error)) from None
        columns = [column.name for column in result.pop("cols")]
        counts = {name: result[name] for name in ("rows_read", "rows_written", "query_duration_ms")}
        answers[number] = {"results": {"columns": columns, "rows": result["rows"], **counts}}
    return hrana.encode(answers)


def socket_answer(stream: Stream, message: hrana.SocketMessage, version: int, blocked: str | None) -> Work:
    """Run one request of a WebSocket; returns the encoded server message."""
    document: dict[str, Any]
    try:
        if blocked is not None:
            raise SqlError("BLOCKED", f"The database is suspended: {blocked}")
        response = yield from _answer(stream, hrana.without_stream(message.request), version)
    except SqlError as error:
        document = {"type": "response_error", "request_id": message.request_id, "error": error.document()}
    except ValueError as error:
        problem = {"message": str(error), "code": "PROTOCOL_ERROR"}
        document = {"type": "response_error", "request_id": message.request_id, "error": problem}
    else:
        document = {"type": "response_ok", "request_id": message.request_id, "response": response}
    return stream.format.server_message(document)
