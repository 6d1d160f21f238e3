"""Hrana in Protocol Buffers: version 3's other encoding, over HTTP (`v3-protobuf/…`) and WebSocket (hrana3-protobuf).

Requests become the structs of `dataplane.hrana`, answers are made from the same plain dictionaries that are encoded
as JSON otherwise, except for rows, which are encoded one by one as they come. Field numbers are those of libSQL's
HRANA_3_SPEC.md and, where it has none (rows_read and so on), of libsql-server.
"""

import struct
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

from dataplane import cells, hrana
from dataplane import protobuf as pb
from dataplane.cells import Value
from dataplane.hrana import Condition, NamedArg, Stmt
from dataplane.statement import Column
from dataplane.values import FloatValue, NullValue, PlainValue, TextValue, WireValue

T = TypeVar("T")
Raw: TypeAlias = int | bytes

MAX_DEPTH = 100
"""Of conditions within conditions."""


# Requests


def _value(data: bytes) -> WireValue:
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


def _named_arg(data: bytes) -> NamedArg:
    name, value = "", b""
    for number, raw in pb.fields(data):
        if number == 1:
            name = pb.to_text(raw)
        elif number == 2:
            value = pb.to_bytes(raw)
    return NamedArg(name, _value(value))


def _stmt(data: bytes) -> Stmt:
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
            args.append(_value(pb.to_bytes(raw)))
        elif number == 4:
            named.append(_named_arg(pb.to_bytes(raw)))
        elif number == 5:
            want_rows = bool(pb.to_int(raw))
    return Stmt(sql, sql_id, args, named, want_rows)


def _conditions(data: bytes, depth: int) -> list[Condition]:
    return [_condition(pb.to_bytes(raw), depth) for number, raw in pb.fields(data) if number == 1]


def _condition(data: bytes, depth: int = 0) -> Condition:
    if depth > MAX_DEPTH:
        raise pb.ProtobufError(f"Conditions are nested more than {MAX_DEPTH} deep")
    condition: Condition | None = None
    for number, raw in pb.fields(data):
        if number == 1:
            condition = hrana.IfOk(pb.to_int(raw))
        elif number == 2:
            condition = hrana.IfError(pb.to_int(raw))
        elif number == 3:
            condition = hrana.IfNot(_condition(pb.to_bytes(raw), depth + 1))
        elif number == 4:
            condition = hrana.IfAnd(_conditions(pb.to_bytes(raw), depth + 1))
        elif number == 5:
            condition = hrana.IfOr(_conditions(pb.to_bytes(raw), depth + 1))
        elif number == 6:
            condition = hrana.IfAutocommit()
    if condition is None:
        raise pb.ProtobufError("A condition of a batch step is empty")
    return condition


def _step(data: bytes) -> hrana.Step:
    condition: Condition | None = None
    stmt = b""
    for number, raw in pb.fields(data):
        if number == 1:
            condition = _condition(pb.to_bytes(raw))
        elif number == 2:
            stmt = pb.to_bytes(raw)
    return hrana.Step(_stmt(stmt), condition)


def _batch(data: bytes) -> hrana.Batch:
    return hrana.Batch([_step(pb.to_bytes(raw)) for number, raw in pb.fields(data) if number == 1])


def _last(data: bytes, wanted: int) -> bytes:
    """Return the last value of a message field, empty if it is missing."""
    found = b""
    for number, raw in pb.fields(data):
        if number == wanted:
            found = pb.to_bytes(raw)
    return found


def _sql_or_id(data: bytes, first: int) -> tuple[str | None, int | None]:
    sql: str | None = None
    sql_id: int | None = None
    for number, raw in pb.fields(data):
        if number == first:
            sql = pb.to_text(raw)
        elif number == first + 1:
            sql_id = pb.as_int32(pb.to_int(raw))
    return sql, sql_id


def _number_at(data: bytes, wanted: int) -> int:
    found = 0
    for number, raw in pb.fields(data):
        if number == wanted:
            found = pb.as_int32(pb.to_int(raw))
    return found


def _store_sql(data: bytes) -> hrana.StoreSql:
    sql = _last(data, 2)
    return hrana.StoreSql(_number_at(data, 1), pb.to_text(sql))


# By field of StreamRequest (HTTP).
_PIPELINE_REQUESTS: dict[int, Callable[[bytes], hrana.Request]] = {
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
_SOCKET_REQUESTS: dict[int, Callable[[bytes], hrana.SocketRequest]] = {
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


def _chosen(data: bytes, kinds: dict[int, Callable[[bytes], T]]) -> T:
    """Return the one of several messages that is given."""
    found: T | None = None
    for number, raw in pb.fields(data):
        if number in kinds:
            found = kinds[number](pb.to_bytes(raw))
    if found is None:
        raise pb.ProtobufError("A request is of no known type")
    return found


def _text_or_none(data: bytes, wanted: int) -> str | None:
    found: str | None = None
    for number, raw in pb.fields(data):
        if number == wanted:
            found = pb.to_text(raw)
    return found


def decode_pipeline(body: bytes) -> hrana.Pipeline:
    """Return a PipelineReqBody. Raises `ProtobufError`."""
    requests = [_chosen(pb.to_bytes(raw), _PIPELINE_REQUESTS) for number, raw in pb.fields(body) if number == 2]
    return hrana.Pipeline(requests, _text_or_none(body, 1))


def decode_cursor(body: bytes) -> hrana.Cursor:
    """Return a CursorReqBody. Raises `ProtobufError`."""
    return hrana.Cursor(_batch(_last(body, 2)), _text_or_none(body, 1))


def decode_client_message(body: bytes) -> hrana.ClientMessage:
    """Return a ClientMsg. Raises `ProtobufError`."""
    message: hrana.ClientMessage | None = None
    for number, raw in pb.fields(body):
        data = pb.to_bytes(raw)
        if number == 1:
            message = hrana.Hello(_text_or_none(data, 1))
        elif number == 2:
            message = hrana.SocketMessage(_number_at(data, 1), _chosen(data, _SOCKET_REQUESTS))
    if message is None:
        raise pb.ProtobufError("A message is of no known type")
    return message


# Answers


def encode_value(value: Value) -> bytes:
    """Return the content of a Value."""
    if value is None:
        return b"\x0a\x00"
    if type(value) is int:
        return pb.sint(2, value)
    if type(value) is str:
        return pb.string(4, value)
    if type(value) is float:
        return pb.double(3, value)
    assert isinstance(value, bytes)
    return pb.message(5, value)


def _cell(value: Value) -> bytes:
    return pb.message(1, encode_value(value))


def _integer(number: int) -> bytes:
    data = pb.varint((number << 1 ^ number >> 63) & 0xFFFFFFFFFFFFFFFF)
    return _PREFIX[len(data) + 1] + b"\x10" + data


def _text(data: bytes) -> bytes:
    if not data.isascii():
        data = data.decode("utf-8", "replace").encode()
    size = len(data)
    return b"\n%c\x22%c%b" % (size + 2, size, data) if size < 126 else pb.message(1, pb.message(4, data))


_PREFIX = [bytes((0x0A, size)) for size in range(128)]
_DOUBLE = struct.Struct("<3sd").pack

CELLS = cells.Form(
    "protobuf",
    {
        cells.INTEGER: "integer({u})",
        cells.FLOAT: "double(b'\\n\\t\\x19', {u})",
        cells.TEXT: "text({bytes})",
        cells.BLOB: "message(1, message(5, {bytes}))",
        cells.NULL: repr(_cell(None)),
    },
    {"integer": _integer, "double": _DOUBLE, "text": _text, "message": pb.message},
    _cell,
)
"""Rows as tuples of the fields of a Row."""


def encode_rows(rows: list[tuple[bytes, ...]]) -> bytes:
    """Return the rows of a StmtResult, given as `CELLS`."""
    return b"".join([pb.message(2, b"".join(row)) for row in rows])


def _error(document: dict[str, Any]) -> bytes:
    return pb.string(1, document["message"]) + pb.string(2, document["code"])


def _column(column: Column) -> bytes:
    return pb.string(1, column.name) + (pb.string(2, column.decltype) if column.decltype is not None else b"")


def _stmt_result(result: dict[str, Any]) -> bytes:
    parts = [pb.message(1, _column(column)) for column in result.get("cols", ())]
    parts.append(result.get("rows", b""))
    parts.append(pb.uint(3, result["affected_row_count"]))
    if result["last_insert_rowid"] is not None:
        parts.append(pb.sint(4, int(result["last_insert_rowid"])))
    parts += [pb.uint(6, result["rows_read"]), pb.uint(7, result["rows_written"])]
    parts.append(pb.double(8, result["query_duration_ms"]))
    return b"".join(parts)


def _batch_result(result: dict[str, Any]) -> bytes:
    parts = []
    for step, (done, error) in enumerate(zip(result["step_results"], result["step_errors"], strict=True)):
        if done is not None:
            parts.append(pb.message(1, pb.uint(1, step) + pb.message(2, _stmt_result(done))))
        elif error is not None:
            parts.append(pb.message(2, pb.uint(1, step) + pb.message(2, _error(error))))
    return b"".join(parts)


def _describe_result(result: dict[str, Any]) -> bytes:
    names = [param["name"] for param in result["params"]]
    parts = [pb.message(1, pb.string(1, name) if name is not None else b"") for name in names]
    parts += [pb.message(2, _column(column)) for column in result["cols"]]
    parts += [pb.uint(3, result["is_explain"]), pb.uint(4, result["is_readonly"])]
    return b"".join(parts)


def _response(response: dict[str, Any]) -> bytes:
    """Return the content of an …Resp message."""
    kind = response["type"]
    if kind == "execute":
        return pb.message(1, _stmt_result(response["result"]))
    if kind == "batch":
        return pb.message(1, _batch_result(response["result"]))
    if kind == "describe":
        return pb.message(1, _describe_result(response["result"]))
    if kind == "get_autocommit":
        return pb.uint(1, response["is_autocommit"])
    if kind == "fetch_cursor":
        return b"".join(pb.message(1, _entry(entry)) for entry in response["entries"]) + pb.uint(2, response["done"])
    return b""


_PIPELINE_FIELDS = {
    "close": 1,
    "execute": 2,
    "batch": 3,
    "sequence": 4,
    "describe": 5,
    "store_sql": 6,
    "close_sql": 7,
    "get_autocommit": 8,
}
_SOCKET_FIELDS = {
    "open_stream": 2,
    "close_stream": 3,
    "execute": 4,
    "batch": 5,
    "open_cursor": 6,
    "close_cursor": 7,
    "fetch_cursor": 8,
    "sequence": 9,
    "describe": 10,
    "store_sql": 11,
    "close_sql": 12,
    "get_autocommit": 13,
}


def encode_pipeline(baton: str | None, results: list[dict[str, Any]]) -> bytes:
    """Return a PipelineRespBody."""
    parts = [pb.string(1, baton)] if baton is not None else []
    for result in results:
        if result["type"] == "ok":
            response = result["response"]
            part = pb.message(1, pb.message(_PIPELINE_FIELDS[response["type"]], _response(response)))
        else:
            part = pb.message(2, _error(result["error"]))
        parts.append(pb.message(3, part))
    return b"".join(parts)


def encode_server_message(document: dict[str, Any]) -> bytes:
    """Return a ServerMsg."""
    match document["type"]:
        case "hello_ok":
            return pb.message(1, b"")
        case "hello_error":
            return pb.message(2, pb.message(1, _error(document["error"])))
        case "response_ok":
            response = document["response"]
            part = pb.message(_SOCKET_FIELDS[response["type"]], _response(response))
            return pb.message(3, pb.uint(1, document["request_id"]) + part)
        case _:
            return pb.message(4, pb.uint(1, document["request_id"]) + pb.message(2, _error(document["error"])))


def _entry(entry: Any) -> bytes:
    """Return the content of a CursorEntry; rows come as bytes of a Row."""
    if isinstance(entry, bytes):
        return pb.message(4, entry)
    match entry["type"]:
        case "step_begin":
            cols = b"".join(pb.message(2, _column(column)) for column in entry["cols"])
            return pb.message(1, pb.uint(1, entry["step"]) + cols)
        case "step_end":
            # The specification says sint64, but the one shipped client that reads this, hrana-client, takes it for
            # uint64, and would report twice the number.
            rowid = entry["last_insert_rowid"]
            last = pb.uint(2, int(rowid)) if rowid is not None else b""
            return pb.message(2, pb.uint(1, entry["affected_row_count"]) + last)
        case "step_error":
            return pb.message(3, pb.uint(1, entry["step"]) + pb.message(2, _error(entry["error"])))
        case "error":
            return pb.message(5, _error(entry["error"]))
        case _:
            return b""


def encode_entries(entries: list[Any]) -> bytes:
    """Return the head of a cursor's answer and CursorEntry messages, each behind its length."""
    parts = []
    for entry in entries:
        if isinstance(entry, dict) and "type" not in entry:
            data = pb.string(1, entry["baton"]) if entry["baton"] is not None else b""
        elif isinstance(entry, dict) and entry["type"] == "replication_index":
            continue  # has no form here
        else:
            data = _entry(entry)
        parts += [pb.varint(len(data)), data]
    return b"".join(parts)
