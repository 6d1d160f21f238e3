"""The answers to the requests that are not cursors: pipelines, the old stateless calls, requests of a WebSocket.

Generators as in `dataplane.execution`, which runs their statements; called by `dataplane.requests` (over HTTP) and
`dataplane.sessions` (WebSocket). What fails within a request is told in its answer, what is wrong with a call ends it
with `HttpError`. Must never touch anything but its stream: between two yields it may be on any thread.
"""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

from dataplane import hrana, json_answers
from dataplane.connection import Connection
from dataplane.errors import HttpError, SqlError, protocol_error, suspended
from dataplane.execution import Need, Work, execute, in_turn, run
from dataplane.statements import NeedsTurn
from dataplane.streams import Stream

_PACKED = 100
"""Results that are encoded together before others follow, so that very many are not encoded, and freed, at once."""
NextBaton: TypeAlias = Callable[[Stream], str]
"""Makes the baton for the next use of a stream."""


def holds(condition: hrana.Condition | None, ok: list[bool], connection: Connection) -> bool:
    """Return whether a batch step is to run, given which earlier steps succeeded.

    `error` holds for a step that was skipped, too: not by HRANA_3_SPEC.md, but with libsql-server and by Turso's
    PROTOCOL.md, so that clients have a ROLLBACK depend on the error of a COMMIT that may have been skipped.
    """
    match condition:
        case None:
            return True
        case hrana.IfOk(step):
            return ok[step]
        case hrana.IfError(step):
            return not ok[step]
        case hrana.IfNot(cond):
            return not holds(cond, ok, connection)
        case hrana.IfAnd(conds):
            return all(holds(cond, ok, connection) for cond in conds)
        case hrana.IfOr(conds):
            return any(holds(cond, ok, connection) for cond in conds)
        case _:
            return connection.autocommit


def _told(stream: Stream, error: SqlError) -> dict[str, str]:
    """Return the protocol's Error object. An error may quote a long text, by which the answer gets too large."""
    try:
        stream.take_room(len(str(error)))
    except SqlError as too_large:
        return too_large.document()
    return error.document()


def _batch(stream: Stream, batch: hrana.Batch, version: int) -> Work:
    for _ in hrana.check_conditions(batch, version=version):
        if stream.pause_due(monotonic()):
            yield Need.PAUSE
    connection = stream.open()
    ok: list[bool] = []
    results: list[Any] = []
    errors: list[Any] = []
    packed_results: list[Any] = []
    packed_errors: list[Any] = []
    steps = batch.steps
    steps.reverse()
    while steps:
        step = steps.pop()  # and not kept: to let go of very many at once would hold up others
        result = error = None
        if holds(step.condition, ok, connection):
            try:
                result = yield from execute(stream, step.stmt)
            except SqlError as problem:
                error = _told(stream, problem)
        ok.append(result is not None)
        results.append(result)
        errors.append(error)
        if len(results) == _PACKED:
            some_results, some_errors = stream.format.pack_steps(len(ok) - _PACKED, results, errors)
            packed_results.append(some_results)
            packed_errors.append(some_errors)
            results, errors = [], []
    return {
        "step_results": packed_results + results,
        "step_errors": packed_errors + errors,
        "replication_index": None,
    }


def _sequence(stream: Stream, sql: str) -> Work:
    """Run all statements of a text, without their rows; the first error ends it."""
    connection = stream.open()
    statements = connection.statements
    text = statements.encode(sql)
    position = 0
    while True:
        try:
            statement, position = statements.prepare_next(text, position)
        except NeedsTurn:
            statement, position = yield from in_turn(stream, partial(statements.prepare_next, text, position))
        if statement is None:
            return None
        try:
            yield from run(stream, connection, statement, [], None)
        finally:
            statements.discard(statement)


def _describe(stream: Stream, sql: str) -> dict[str, Any]:
    try:
        statement = stream.open().statements.prepare_anew(sql)
    except NeedsTurn:
        return {"params": [], "cols": [], "is_explain": False, "is_readonly": False}
    stream.take_room(statement.columns_bytes + sum(len(name) for name in statement.params if name is not None))
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
            return {"type": "execute", "result": (yield from execute(stream, stmt))}
        case hrana.RunBatch(batch):
            return {"type": "batch", "result": (yield from _batch(stream, batch, version))}
    if stream.pause_due(monotonic()):
        yield Need.PAUSE
    match request:
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
    """Run a pipeline; returns the answer's `Body`. Raises `HttpError`."""
    results: list[Any] = []
    packed: list[Any] = []
    requests = body.requests
    requests.reverse()
    while requests:
        request = requests.pop()  # and not kept, as steps of a batch
        try:
            if stream.closing:
                raise ValueError("The stream was closed by an earlier request of this pipeline")
            if blocked is not None and not isinstance(request, hrana.Close):
                raise suspended(blocked)
            response = yield from _answer(stream, request, version)
        except SqlError as error:
            results.append({"type": "error", "error": _told(stream, error)})
        except ValueError as error:
            raise protocol_error(str(error)) from None
        else:
            results.append({"type": "ok", "response": response})
        if len(results) == _PACKED:
            packed.append(stream.format.pack(results))
            results = []
    baton = None if stream.closing else next_baton(stream)
    return stream.format.pipeline(baton, packed + results if packed else results)


def one_shot(stream: Stream, body: hrana.ExecuteV1 | hrana.BatchV1, blocked: str | None) -> Work:
    """Run the old stateless execute or batch; returns the body of the answer. Raises `HttpError`."""
    stream.closing = True
    try:
        if blocked is not None:
            raise suspended(blocked)
        if isinstance(body, hrana.ExecuteV1):
            result = yield from execute(stream, body.stmt)
        else:
            result = yield from _batch(stream, body.batch, 2)
    except SqlError as error:
        raise HttpError(
            _one_shot_status(error.code), error.code, str(error), extended_code=error.extended_code
        ) from None
    except ValueError as error:
        raise protocol_error(str(error)) from None
    return json_answers.encode({"result": result})


def _one_shot_status(code: str) -> int:
    """Return the status for an error, as libsql-server has it."""
    if code == "ARGS_BOTH_POSITIONAL_AND_NAMED":
        return 501
    if code in ("TRANSACTION_TIMEOUT", "SQLITE_BUSY"):
        return 503
    return 400 if code.startswith(("SQL_", "ARGS_", "BLOCKED", "RESPONSE_")) else 500


def legacy(stream: Stream, body: hrana.Legacy, blocked: str | None) -> Work:
    """Run the first protocol's statements; returns the body of the answer. Raises `HttpError`.

    As with libsql-server, the first failure ends it and rolls an open transaction back; what follows is null. One that
    is open at the end is refused, since it is rolled back as well.
    """
    stream.closing = True
    answers: list[Any] = []
    packed: list[Any] = []
    statements = body.statements
    statements.reverse()
    while statements:
        given = statements.pop()
        try:
            if blocked is not None:
                raise suspended(blocked)
            result = yield from execute(stream, hrana.legacy_stmt(given))
        except SqlError as error:
            answers.append({"error": error.document()})
            break
        except ValueError as error:
            raise protocol_error(str(error)) from None
        columns = [column.name for column in result.pop("cols")]
        counts = {name: result[name] for name in ("rows_read", "rows_written", "query_duration_ms")}
        answers.append({"results": {"columns": columns, "rows": result["rows"], **counts}})
        if len(answers) == _PACKED:
            packed.append(stream.format.pack(answers))
            answers = []
    else:
        if stream.connection is not None and not stream.connection.autocommit:
            raise protocol_error("The transaction was rolled back, since the statements do not end it: COMMIT it here")
    return json_answers.encode(packed + answers + [None] * len(statements))


def socket_answer(stream: Stream, message: hrana.SocketMessage, version: int, blocked: str | None) -> Work:
    """Run one request of a WebSocket; returns the encoded server message."""
    document: dict[str, Any]
    try:
        if blocked is not None:
            raise suspended(blocked)
        response = yield from _answer(stream, hrana.without_stream(message.request), version)
    except SqlError as error:
        document = {"type": "response_error", "request_id": message.request_id, "error": error.document()}
    except ValueError as error:
        problem = protocol_error(str(error)).document()
        document = {"type": "response_error", "request_id": message.request_id, "error": problem}
    else:
        document = {"type": "response_ok", "request_id": message.request_id, "response": response}
    return stream.format.server_message(document)
