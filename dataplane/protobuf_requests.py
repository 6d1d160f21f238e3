"""Hrana requests in Protobuf: bytes to the structs of `dataplane.hrana`.

Used by `dataplane.formats` and `dataplane.sockets`. Field numbers are those of libSQL's HRANA_3_SPEC.md. All of these
raise `ProtobufError` for bytes that are no such message.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from dataplane import hrana
from dataplane import protobuf as pb
from dataplane.decoding import keep
from dataplane.hrana import Condition, NamedArg, Stmt
from dataplane.leftovers import gradual
from dataplane.protobuf import Data
from dataplane.values import FloatValue, NullValue, PlainValue, TextValue, WireValue

T = TypeVar("T")


def _value(data: Data) -> WireValue:
    value: WireValue = NullValue()
    for number, raw in pb.fields(data):
        if number == 1:
            value = NullValue()
        elif number == 2:
            value = cast(WireValue, PlainValue(pb.unzigzag(pb.to_int(raw))))
        elif number == 3:
            value = FloatValue(pb.to_double(raw))
        elif number == 4:
            value = TextValue(pb.to_text(raw))
        elif number == 5:
            value = cast(WireValue, PlainValue(pb.to_bytes(raw)))
    return value


def _named_arg(data: Data) -> NamedArg:
    name = ""
    value: Data = b""
    for number, raw in pb.fields(data):
        if number == 1:
            name = pb.to_text(raw)
        elif number == 2:
            value = pb.to_data(raw)
    return NamedArg(name, _value(value))


def _stmt(data: Data) -> Stmt:
    sql: str | None = None
    sql_id: int | None = None
    args: list[WireValue] = []
    named: list[NamedArg] = []
    want_rows = True
    for number, raw in pb.fields(data):
        if number == 1:
            sql = pb.to_text(raw)
        elif number == 2:
            sql_id = pb.as_int32(pb.to_int(raw))
        elif number == 3:
            args.append(_value(pb.to_data(raw)))
        elif number == 4:
            named.append(_named_arg(pb.to_data(raw)))
        elif number == 5:
            want_rows = bool(pb.to_int(raw))
    return Stmt(sql, sql_id, tuple(args) or None, tuple(named) or None, want_rows)


def _conditions(data: Data, depth: int) -> tuple[Condition, ...]:
    return tuple([_condition(pb.to_data(raw), depth) for number, raw in pb.fields(data) if number == 1])


def _condition(data: Data, depth: int = 0) -> Condition:
    if depth > hrana.MAX_CONDITION_DEPTH:
        raise pb.ProtobufError(f"Conditions are nested more than {hrana.MAX_CONDITION_DEPTH} deep")
    condition: Condition | None = None
    for number, raw in pb.fields(data):
        if number == 1:
            condition = hrana.IfOk(pb.to_int(raw))
        elif number == 2:
            condition = hrana.IfError(pb.to_int(raw))
        elif number == 3:
            condition = hrana.IfNot(_condition(pb.to_data(raw), depth + 1))
        elif number == 4:
            condition = hrana.IfAnd(_conditions(pb.to_data(raw), depth + 1))
        elif number == 5:
            condition = hrana.IfOr(_conditions(pb.to_data(raw), depth + 1))
        elif number == 6:
            condition = hrana.IfAutocommit()
    if condition is None:
        raise pb.ProtobufError("A condition of a batch step is empty")
    return condition


def _step(data: Data) -> hrana.Step:
    condition: Condition | None = None
    stmt: Data = b""
    for number, raw in pb.fields(data):
        if number == 1:
            condition = _condition(pb.to_data(raw))
        elif number == 2:
            stmt = pb.to_data(raw)
    made = hrana.Step(_stmt(stmt), condition)
    keep(made)
    return made


def _batch(data: Data) -> hrana.Batch:
    return hrana.Batch(gradual([_step(pb.to_data(raw)) for number, raw in pb.fields(data) if number == 1]))


def _last(data: Data, wanted: int) -> Data:
    """Return the last value of a message field, empty if it is missing."""
    found: Data = b""
    for number, raw in pb.fields(data):
        if number == wanted:
            found = pb.to_data(raw)
    return found


def _sql_or_id(data: Data, first: int) -> tuple[str | None, int | None]:
    sql: str | None = None
    sql_id: int | None = None
    for number, raw in pb.fields(data):
        if number == first:
            sql = pb.to_text(raw)
        elif number == first + 1:
            sql_id = pb.as_int32(pb.to_int(raw))
    return sql, sql_id


def _number_at(data: Data, wanted: int) -> int:
    found = 0
    for number, raw in pb.fields(data):
        if number == wanted:
            found = pb.as_int32(pb.to_int(raw))
    return found


def _store_sql(data: Data) -> hrana.StoreSql:
    sql = _last(data, 2)
    return hrana.StoreSql(_number_at(data, 1), pb.to_text(sql))


# By field of StreamRequest (HTTP).
_PIPELINE_REQUESTS: dict[int, Callable[[Data], hrana.Request]] = {
    1: lambda data: hrana.Close(),
    2: lambda data: hrana.Execute(_stmt(_last(data, 1))),
    3: lambda data: hrana.RunBatch(_batch(_last(data, 1))),
    4: lambda data: hrana.Sequence(*_sql_or_id(data, 1)),
    5: lambda data: hrana.Describe(*_sql_or_id(data, 1)),
    6: _store_sql,
    7: lambda data: hrana.CloseSql(_number_at(data, 1)),
    8: lambda data: hrana.GetAutocommit(),
}

# By field of RequestMsg (WebSocket); field 1 of those with a stream is its id.
_SOCKET_REQUESTS: dict[int, Callable[[Data], hrana.SocketRequest]] = {
    2: lambda data: hrana.OpenStream(_number_at(data, 1)),
    3: lambda data: hrana.CloseStream(_number_at(data, 1)),
    4: lambda data: hrana.StreamExecute(_number_at(data, 1), _stmt(_last(data, 2))),
    5: lambda data: hrana.StreamBatch(_number_at(data, 1), _batch(_last(data, 2))),
    6: lambda data: hrana.OpenCursor(_number_at(data, 1), _number_at(data, 2), _batch(_last(data, 3))),
    7: lambda data: hrana.CloseCursor(_number_at(data, 1)),
    8: lambda data: hrana.FetchCursor(_number_at(data, 1), _number_at(data, 2)),
    9: lambda data: hrana.StreamSequence(_number_at(data, 1), *_sql_or_id(data, 2)),
    10: lambda data: hrana.StreamDescribe(_number_at(data, 1), *_sql_or_id(data, 2)),
    11: _store_sql,
    12: lambda data: hrana.CloseSql(_number_at(data, 1)),
    13: lambda data: hrana.StreamGetAutocommit(_number_at(data, 1)),
}


def _chosen(data: Data, kinds: dict[int, Callable[[Data], T]]) -> T:
    """Return the one of several messages that is given."""
    found: T | None = None
    for number, raw in pb.fields(data):
        if number in kinds:
            found = kinds[number](pb.to_data(raw))
    if found is None:
        raise pb.ProtobufError("A request is of no known type")
    keep(found)
    return found


def _text_or_none(data: Data, wanted: int) -> str | None:
    found: str | None = None
    for number, raw in pb.fields(data):
        if number == wanted:
            found = pb.to_text(raw)
    return found


def decode_pipeline(body: Data) -> hrana.Pipeline:
    """Return a PipelineReqBody. Raises `ProtobufError`."""
    requests: list[hrana.Request] = []
    baton: str | None = None
    for number, raw in pb.fields(body):
        if number == 1:
            baton = pb.to_text(raw)
        elif number == 2:
            requests.append(_chosen(pb.to_data(raw), _PIPELINE_REQUESTS))
    return hrana.Pipeline(gradual(requests), baton)


def decode_cursor(body: Data) -> hrana.Cursor:
    """Return a CursorReqBody. Raises `ProtobufError`."""
    return hrana.Cursor(_batch(_last(body, 2)), _text_or_none(body, 1))


def decode_client_message(body: Data) -> hrana.ClientMessage:
    """Return a ClientMsg. Raises `ProtobufError`."""
    message: hrana.ClientMessage | None = None
    for number, raw in pb.fields(body):
        data = pb.to_data(raw)
        if number == 1:
            message = hrana.Hello(_text_or_none(data, 1))
        elif number == 2:
            message = hrana.SocketMessage(_number_at(data, 1), _chosen(data, _SOCKET_REQUESTS))
    if message is None:
        raise pb.ProtobufError("A message is of no known type")
    return message
