"""Hrana answers in Protobuf, from the plain dictionaries that are encoded as JSON otherwise.

Used by `dataplane.formats`. Rows are encoded one by one as they come, and stay in blocks if they are many. Field
numbers are those of libSQL's HRANA_3_SPEC.md and, where it has none (rows_read and so on), of libsql-server.
"""

import struct
from typing import Any, NamedTuple

from dataplane import cells
from dataplane import protobuf as pb
from dataplane.blocks import FEW_BYTES, Blocks, Body, joined, of
from dataplane.cells import Value
from dataplane.statement import Column


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


def rows(blocks: list[bytes]) -> Body:
    """Make a result's rows of its blocks; most results are one of few rows."""
    if not blocks:
        return b""
    return blocks[0] if len(blocks) == 1 and len(blocks[0]) <= FEW_BYTES else Blocks(blocks)


def _message(field: int, data: Body) -> Body:
    """Return a message field that may be long."""
    if isinstance(data, bytes):
        return pb.message(field, data)
    return joined([pb.message_head(field, len(data)), data])


def _error(document: dict[str, Any]) -> bytes:
    return pb.string(1, document["message"]) + pb.string(2, document["code"])


def _column(column: Column) -> bytes:
    return pb.string(1, column.name) + (pb.string(2, column.decltype) if column.decltype is not None else b"")


def _stmt_result(result: dict[str, Any]) -> Body:
    parts: list[Body] = [pb.message(1, _column(column)) for column in result.get("cols", ())]
    parts.append(result.get("rows", b""))
    parts.append(pb.uint(3, result["affected_row_count"]))
    if result["last_insert_rowid"] is not None:
        parts.append(pb.sint(4, int(result["last_insert_rowid"])))
    parts += [pb.uint(6, result["rows_read"]), pb.uint(7, result["rows_written"])]
    parts.append(pb.double(8, result["query_duration_ms"]))
    return joined(parts)


class _Steps(NamedTuple):
    """Results and errors of many steps of a batch."""

    number: int
    encoded: Blocks


def _steps(first: int, results: list[Any], errors: list[Any]) -> Body:
    parts = []
    for step, (done, error) in enumerate(zip(results, errors, strict=True), first):
        if done is not None:
            parts.append(_message(1, joined([pb.uint(1, step), _message(2, _stmt_result(done))])))
        elif error is not None:
            parts.append(pb.message(2, pb.uint(1, step) + pb.message(2, _error(error))))
    return joined(parts)


def pack_steps(first: int, results: list[Any], errors: list[Any]) -> tuple[_Steps, None]:
    """Make one item of the results and errors of many steps, of which the first has that number."""
    return _Steps(len(results), Blocks(of(_steps(first, results, errors)))), None


def _batch_result(result: dict[str, Any]) -> Body:
    results, errors = result["step_results"], result["step_errors"]
    packed = [item for item in results if isinstance(item, _Steps)]
    last = _steps(sum(item.number for item in packed), results[len(packed) :], errors[len(packed) :])
    return joined([*(item.encoded for item in packed), last]) if packed else last


def _describe_result(result: dict[str, Any]) -> bytes:
    names = [param["name"] for param in result["params"]]
    parts = [pb.message(1, pb.string(1, name) if name is not None else b"") for name in names]
    parts += [pb.message(2, _column(column)) for column in result["cols"]]
    parts += [pb.uint(3, result["is_explain"]), pb.uint(4, result["is_readonly"])]
    return b"".join(parts)


def _response(response: dict[str, Any]) -> Body:
    """Return the content of an …Resp message."""
    kind = response["type"]
    if kind == "execute":
        return _message(1, _stmt_result(response["result"]))
    if kind == "batch":
        return _message(1, _batch_result(response["result"]))
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


def _results(results: list[Any]) -> Body:
    parts: list[Body] = []
    for result in results:
        if result["type"] == "ok":
            response = result["response"]
            part = _message(1, _message(_PIPELINE_FIELDS[response["type"]], _response(response)))
        else:
            part = pb.message(2, _error(result["error"]))
        parts.append(_message(3, part))
    return joined(parts)


def pack(results: list[Any]) -> Blocks:
    """Make one item of many results."""
    return Blocks(of(_results(results)))


def encode_pipeline(baton: str | None, results: list[Any]) -> Body:
    """Return a PipelineRespBody. `results` may begin with items of many."""
    packed = [item for item in results if isinstance(item, Blocks)]
    head = pb.string(1, baton) if baton is not None else b""
    return joined([head, *packed, _results(results[len(packed) :])])


def encode_server_message(document: dict[str, Any]) -> Body:
    """Return a ServerMsg."""
    match document["type"]:
        case "hello_ok":
            return pb.message(1, b"")
        case "hello_error":
            return pb.message(2, pb.message(1, _error(document["error"])))
        case "response_ok":
            response = document["response"]
            part = _message(_SOCKET_FIELDS[response["type"]], _response(response))
            return _message(3, joined([pb.uint(1, document["request_id"]), part]))
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
