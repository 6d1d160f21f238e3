"""Hrana in JSON: what clients send and what they get (libSQL's HRANA_3_SPEC.md; version 2 is a subset of it).

Requests are decoded into typed structs, with the strictness that shipped clients rely on: an integer is a decimal
string, a float a JSON number, base64 comes with padding or without. Answers are plain dictionaries, encoded once.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from dataplane.decoding import point
from dataplane.errors import SqlError
from dataplane.leftovers import gradual
from dataplane.values import INT64, BlobValue, FloatValue, IntegerValue, NullValue, TextValue, WireValue


class NamedArg(msgspec.Struct, frozen=True, gc=False):
    name: str
    value: WireValue


class Stmt(msgspec.Struct, frozen=True, gc=False):
    """A statement with its arguments; `sql` or `sql_id`. These are tuples because the collector does not walk such
    tuples again and again, as it does lists.
    """

    sql: str | None = None
    sql_id: int | None = None
    args: tuple[WireValue, ...] | None = None
    named_args: tuple[NamedArg, ...] | None = None
    want_rows: bool | None = True


class IfOk(msgspec.Struct, tag_field="type", tag="ok", frozen=True, gc=False):
    step: int


class IfError(msgspec.Struct, tag_field="type", tag="error", frozen=True, gc=False):
    step: int


class IfNot(msgspec.Struct, tag_field="type", tag="not", frozen=True, gc=False):
    cond: "Condition"


class IfAnd(msgspec.Struct, tag_field="type", tag="and", frozen=True, gc=False):
    conds: tuple["Condition", ...]


class IfOr(msgspec.Struct, tag_field="type", tag="or", frozen=True, gc=False):
    conds: tuple["Condition", ...]


class IfAutocommit(msgspec.Struct, tag_field="type", tag="is_autocommit", frozen=True, gc=False):
    """True outside a transaction (version 3)."""


Condition: TypeAlias = IfOk | IfError | IfNot | IfAnd | IfOr | IfAutocommit


class Step(msgspec.Struct, frozen=True, gc=False):
    stmt: Stmt
    condition: Condition | None = None


class Batch(msgspec.Struct, frozen=True, gc=False):
    steps: list[Step]


class Execute(msgspec.Struct, tag_field="type", tag="execute", frozen=True, gc=False):
    stmt: Stmt


class RunBatch(msgspec.Struct, tag_field="type", tag="batch", frozen=True):
    batch: Batch


class Sequence(msgspec.Struct, tag_field="type", tag="sequence", frozen=True):
    sql: str | None = None
    sql_id: int | None = None


class Describe(msgspec.Struct, tag_field="type", tag="describe", frozen=True):
    sql: str | None = None
    sql_id: int | None = None


class StoreSql(msgspec.Struct, tag_field="type", tag="store_sql", frozen=True):
    sql_id: int
    sql: str


class CloseSql(msgspec.Struct, tag_field="type", tag="close_sql", frozen=True):
    sql_id: int


class GetAutocommit(msgspec.Struct, tag_field="type", tag="get_autocommit", frozen=True):
    """Version 3 only."""


class Close(msgspec.Struct, tag_field="type", tag="close", frozen=True, gc=False):
    """Close the stream."""


Request: TypeAlias = Execute | RunBatch | Sequence | Describe | StoreSql | CloseSql | GetAutocommit | Close


class Pipeline(msgspec.Struct, frozen=True, gc=False):
    requests: list[Request]
    baton: str | None = None


class Cursor(msgspec.Struct, frozen=True):
    batch: Batch
    baton: str | None = None


class ExecuteV1(msgspec.Struct, frozen=True):
    """Body of the old stateless POST /v1/execute."""

    stmt: Stmt


class BatchV1(msgspec.Struct, frozen=True):
    """Body of the old stateless POST /v1/batch."""

    batch: Batch


class LegacyStmt(msgspec.Struct, frozen=True):
    """A statement of the first protocol; parameters are plain JSON."""

    q: str
    params: list[Any] | dict[str, Any] = []


class Legacy(msgspec.Struct, frozen=True):
    """Body of the first protocol, POST to the root."""

    statements: list[str | LegacyStmt]


# Over WebSocket: the same requests, with the client's number of the stream, and a few more.


class OpenStream(msgspec.Struct, tag_field="type", tag="open_stream", frozen=True):
    stream_id: int


class CloseStream(msgspec.Struct, tag_field="type", tag="close_stream", frozen=True):
    stream_id: int


class StreamExecute(msgspec.Struct, tag_field="type", tag="execute", frozen=True):
    stream_id: int
    stmt: Stmt


class StreamBatch(msgspec.Struct, tag_field="type", tag="batch", frozen=True):
    stream_id: int
    batch: Batch


class StreamSequence(msgspec.Struct, tag_field="type", tag="sequence", frozen=True):
    stream_id: int
    sql: str | None = None
    sql_id: int | None = None


class StreamDescribe(msgspec.Struct, tag_field="type", tag="describe", frozen=True):
    stream_id: int
    sql: str | None = None
    sql_id: int | None = None


class StreamGetAutocommit(msgspec.Struct, tag_field="type", tag="get_autocommit", frozen=True):
    stream_id: int


class OpenCursor(msgspec.Struct, tag_field="type", tag="open_cursor", frozen=True):
    stream_id: int
    cursor_id: int
    batch: Batch


class FetchCursor(msgspec.Struct, tag_field="type", tag="fetch_cursor", frozen=True):
    cursor_id: int
    max_count: int


class CloseCursor(msgspec.Struct, tag_field="type", tag="close_cursor", frozen=True):
    cursor_id: int


SocketRequest: TypeAlias = (
    OpenStream
    | CloseStream
    | StreamExecute
    | StreamBatch
    | StreamSequence
    | StreamDescribe
    | StreamGetAutocommit
    | OpenCursor
    | FetchCursor
    | CloseCursor
    | StoreSql
    | CloseSql
)


class Hello(msgspec.Struct, tag_field="type", tag="hello", frozen=True):
    jwt: str | None = None


class SocketMessage(msgspec.Struct, tag_field="type", tag="request", frozen=True):
    request_id: int
    request: SocketRequest


ClientMessage: TypeAlias = Hello | SocketMessage


def without_stream(request: SocketRequest) -> Request:
    """Return a request of a WebSocket as the same one of a pipeline."""
    match request:
        case StreamExecute(_, stmt):
            return Execute(stmt)
        case StreamBatch(_, batch):
            return RunBatch(batch)
        case StreamSequence(_, sql, sql_id):
            return Sequence(sql, sql_id)
        case StreamDescribe(_, sql, sql_id):
            return Describe(sql, sql_id)
        case StreamGetAutocommit():
            return GetAutocommit()
        case _:
            raise ValueError(f"{type(request).__name__} is no request of a stream")


def legacy_stmt(given: str | LegacyStmt) -> Stmt:
    """Return a statement of the first protocol as today's. Raises `ValueError` for a parameter of no SQL type."""
    if isinstance(given, str):
        return Stmt(given)
    if isinstance(given.params, dict):
        named = tuple(NamedArg(name, _legacy_value(value)) for name, value in given.params.items())
        return Stmt(given.q, named_args=named)
    return Stmt(given.q, args=tuple(map(_legacy_value, given.params)))


def _legacy_value(value: Any) -> WireValue:
    if value is None:
        return NullValue()
    if isinstance(value, str):
        return TextValue(value)
    if isinstance(value, int) and (isinstance(value, bool) or value in INT64):
        return IntegerValue(str(int(value)))
    if isinstance(value, float):
        return FloatValue(value)
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        return BlobValue(value["base64"])
    raise ValueError("A parameter is null, a number, a text, or an object with base64")


def with_sql(request: SocketRequest, stored: dict[int, str]) -> SocketRequest:
    """Return the request with stored texts in place of their ids; an unknown id stays and fails when it is run.

    Done when the request arrives, because the client may close a text before the request's turn comes.
    """
    if not stored:
        return request
    match request:
        case StreamExecute(stream_id, stmt):
            return StreamExecute(stream_id, _stmt_with_sql(stmt, stored))
        case StreamBatch(stream_id, batch):
            return StreamBatch(stream_id, _batch_with_sql(batch, stored))
        case OpenCursor(stream_id, cursor_id, batch):
            return OpenCursor(stream_id, cursor_id, _batch_with_sql(batch, stored))
        case StreamSequence(_, None, int(sql_id)) | StreamDescribe(_, None, int(sql_id)) if sql_id in stored:
            return msgspec.structs.replace(request, sql=stored[sql_id], sql_id=None)
        case _:
            return request


def _batch_with_sql(batch: Batch, stored: dict[int, str]) -> Batch:
    return Batch(gradual([Step(_stmt_with_sql(step.stmt, stored), step.condition) for step in batch.steps]))


def _stmt_with_sql(stmt: Stmt, stored: dict[int, str]) -> Stmt:
    point()
    if stmt.sql is None and stmt.sql_id is not None and stmt.sql_id in stored:
        return msgspec.structs.replace(stmt, sql=stored[stmt.sql_id], sql_id=None)
    return stmt


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
encode_lines = _encoder.encode_lines
decode_pipeline = msgspec.json.Decoder(Pipeline).decode
decode_cursor = msgspec.json.Decoder(Cursor).decode
decode_execute_v1 = msgspec.json.Decoder(ExecuteV1).decode
decode_batch_v1 = msgspec.json.Decoder(BatchV1).decode
decode_legacy = msgspec.json.Decoder(Legacy).decode
decode_client_message = msgspec.json.Decoder(ClientMessage).decode


def statement_sql(sql: str | None, sql_id: int | None, stored: dict[int, str]) -> str:
    """Return the text that a request names. Raises `ValueError` if it names none or two, `SqlError` for an unknown
    id.
    """
    if sql is not None and sql_id is None:
        return sql
    if sql is None and sql_id is not None:
        text = stored.get(sql_id)
        if text is None:
            raise SqlError(
                "SQL_STORE_UNKNOWN", f"SQL text {sql_id} not found: store it on this stream first (store_sql)"
            )
        return text
    raise ValueError("Exactly one of sql and sql_id is expected")


MAX_CONDITION_DEPTH = 100
"""Of conditions within conditions."""
_CHECKED_AT_ONCE = 500
_OF_A_STEP = (IfOk, IfError)


def check_conditions(batch: Batch, *, version: int) -> Iterator[None]:
    """Raise `ValueError` if a condition looks at its own or a later step, is nested too deep, or is not of this
    protocol version. To be iterated to its end: it yields now and then where others may go first.
    """
    for position, step in enumerate(batch.steps):
        if position % _CHECKED_AT_ONCE == _CHECKED_AT_ONCE - 1:
            yield
        condition = step.condition
        if condition is None or (isinstance(condition, _OF_A_STEP) and 0 <= condition.step < position):
            continue  # as nearly all
        _check_condition(condition, position, version)


def _check_condition(outermost: Condition, position: int, version: int) -> None:
    pending = [(outermost, 0)]
    while pending:
        condition, depth = pending.pop()
        if depth > MAX_CONDITION_DEPTH:
            raise ValueError(f"Conditions are nested more than {MAX_CONDITION_DEPTH} deep")
        if isinstance(condition, _OF_A_STEP):
            if not 0 <= condition.step < position:
                raise ValueError(
                    f"The condition of step {position} refers to step {condition.step}, not an earlier one"
                )
        elif isinstance(condition, IfNot):
            pending.append((condition.cond, depth + 1))
        elif isinstance(condition, IfAnd | IfOr):
            pending.extend((cond, depth + 1) for cond in condition.conds)
        elif version < 3:
            raise ValueError("The condition is_autocommit is only known in version 3")
