"""Hrana in JSON: what clients send and what they get (libSQL's HRANA_3_SPEC.md; version 2 is a subset of it).

Requests are decoded into typed structs, with the strictness that shipped clients rely on: an integer is a decimal
string, a float a JSON number, base64 comes with padding or without. Answers are plain dictionaries, encoded once.
"""

import base64
import binascii
import math
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from dataplane.errors import SqlError
from dataplane.statement import Value


class NullValue(msgspec.Struct, tag_field="type", tag="null", frozen=True):
    """SQL NULL."""


class IntegerValue(msgspec.Struct, tag_field="type", tag="integer", frozen=True):
    value: str


class FloatValue(msgspec.Struct, tag_field="type", tag="float", frozen=True):
    value: float


class TextValue(msgspec.Struct, tag_field="type", tag="text", frozen=True):
    value: str


class BlobValue(msgspec.Struct, tag_field="type", tag="blob", frozen=True):
    base64: str


WireValue: TypeAlias = NullValue | IntegerValue | FloatValue | TextValue | BlobValue


class NamedArg(msgspec.Struct, frozen=True):
    name: str
    value: WireValue


class Stmt(msgspec.Struct, frozen=True):
    """A statement with its arguments; `sql` or `sql_id`."""

    sql: str | None = None
    sql_id: int | None = None
    args: list[WireValue] | None = None
    named_args: list[NamedArg] | None = None
    want_rows: bool | None = True


class IfOk(msgspec.Struct, tag_field="type", tag="ok", frozen=True):
    step: int


class IfError(msgspec.Struct, tag_field="type", tag="error", frozen=True):
    step: int


class IfNot(msgspec.Struct, tag_field="type", tag="not", frozen=True):
    cond: "Condition"


class IfAnd(msgspec.Struct, tag_field="type", tag="and", frozen=True):
    conds: list["Condition"]


class IfOr(msgspec.Struct, tag_field="type", tag="or", frozen=True):
    conds: list["Condition"]


class IfAutocommit(msgspec.Struct, tag_field="type", tag="is_autocommit", frozen=True):
    """True outside a transaction (version 3)."""


Condition: TypeAlias = IfOk | IfError | IfNot | IfAnd | IfOr | IfAutocommit


class Step(msgspec.Struct, frozen=True):
    stmt: Stmt
    condition: Condition | None = None


class Batch(msgspec.Struct, frozen=True):
    steps: list[Step]


class Execute(msgspec.Struct, tag_field="type", tag="execute", frozen=True):
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


class Close(msgspec.Struct, tag_field="type", tag="close", frozen=True):
    """Close the stream."""


Request: TypeAlias = Execute | RunBatch | Sequence | Describe | StoreSql | CloseSql | GetAutocommit | Close


class Pipeline(msgspec.Struct, frozen=True):
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


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
encode_lines = _encoder.encode_lines
decode_pipeline = msgspec.json.Decoder(Pipeline).decode
decode_cursor = msgspec.json.Decoder(Cursor).decode
decode_execute_v1 = msgspec.json.Decoder(ExecuteV1).decode
decode_batch_v1 = msgspec.json.Decoder(BatchV1).decode

_INT64 = range(-(1 << 63), 1 << 63)
_NULL = {"type": "null"}
_NO_INFINITY = {math.inf: msgspec.Raw(b"1e999"), -math.inf: msgspec.Raw(b"-1e999")}
"""JSON has no infinity; a number beyond the range of a double is read as one by JavaScript, Python and others, where
null would be refused by hrana-client. NaN does not occur: SQLite stores it as NULL."""


def from_wire(value: WireValue) -> Value:
    """Return an argument as SQL value. Raises `ValueError`, with words for the client, if it is none."""
    if isinstance(value, (TextValue, FloatValue)):
        return value.value
    if isinstance(value, IntegerValue):
        # int() would take blanks, underscores and other scripts' digits as well.
        digits = value.value
        plain = len(digits) <= 20 and digits.isascii() and digits.removeprefix("-").isdigit()
        number = int(digits) if plain else None
        if number is None or number not in _INT64:
            raise ValueError(f"Cannot decode the integer {digits[:40]!r}: a decimal string within 64 bits is expected")
        return number
    if isinstance(value, BlobValue):
        text = value.base64.rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("Cannot decode a blob: base64 is expected") from None
    return None


def to_wire(value: Value) -> dict[str, Any]:
    """Return a SQL value as JSON object; blobs without padding, as libsql-server does."""
    if value is None:
        return _NULL
    if type(value) is int:
        return {"type": "integer", "value": str(value)}
    if type(value) is str:
        return {"type": "text", "value": value}
    if type(value) is float:
        return {"type": "float", "value": _NO_INFINITY.get(value, value)}
    assert isinstance(value, bytes)
    return {"type": "blob", "base64": base64.b64encode(value).rstrip(b"=").decode("ascii")}


def wire_size(values: Iterable[Value]) -> int:
    """Return about how many bytes of JSON a row makes."""
    return sum(34 + (len(value) if isinstance(value, (str, bytes)) else 0) for value in values)


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


def check_conditions(batch: Batch, *, version: int) -> None:
    """Raise `ValueError` if a condition looks at its own or a later step, or is not of this protocol version."""
    for position, step in enumerate(batch.steps):
        pending = [step.condition] if step.condition is not None else []
        while pending:
            condition = pending.pop()
            if isinstance(condition, IfOk | IfError):
                if not 0 <= condition.step < position:
                    raise ValueError(
                        f"The condition of step {position} refers to step {condition.step}, not an earlier one"
                    )
            elif isinstance(condition, IfNot):
                pending.append(condition.cond)
            elif isinstance(condition, IfAnd | IfOr):
                pending.extend(condition.conds)
            elif version < 3:
                raise ValueError("The condition is_autocommit is only known in version 3")
