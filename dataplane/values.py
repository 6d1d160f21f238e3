"""SQL values as Hrana writes them: in JSON objects with a type, or in the plain JSON of the first protocol.

Used by `dataplane.hrana` and its encodings, and by `dataplane.execution` for arguments. An integer is a decimal string,
a float a JSON number, base64 comes with padding or without and leaves without.
"""

import base64
import binascii
import math
from typing import Any, TypeAlias

import msgspec

from dataplane import cells
from dataplane.cells import Value


class NullValue(msgspec.Struct, tag_field="type", tag="null", frozen=True, gc=False):
    """SQL NULL."""


class IntegerValue(msgspec.Struct, tag_field="type", tag="integer", frozen=True, gc=False):
    value: str


class FloatValue(msgspec.Struct, tag_field="type", tag="float", frozen=True, gc=False):
    value: float


class TextValue(msgspec.Struct, tag_field="type", tag="text", frozen=True, gc=False):
    value: str


class BlobValue(msgspec.Struct, tag_field="type", tag="blob", frozen=True, gc=False):
    base64: str


WireValue: TypeAlias = NullValue | IntegerValue | FloatValue | TextValue | BlobValue


class PlainValue(msgspec.Struct, frozen=True, gc=False):
    """An argument that needs no decoding: integers and blobs of the other encoding. Never read from JSON."""

    value: int | bytes


INT64 = range(-(1 << 63), 1 << 63)
_NULL = NullValue()
_NO_INFINITY = {math.inf: msgspec.Raw(b"1e999"), -math.inf: msgspec.Raw(b"-1e999")}
"""JSON has no infinity; a number beyond the range of a double is read as one by JavaScript, Python and others, where
null would be refused by hrana-client. NaN does not occur: SQLite stores it as NULL."""


def from_wire(value: WireValue | PlainValue) -> Value:
    """Return an argument as SQL value. Raises `ValueError`, with words for the client, if it is none."""
    if isinstance(value, (TextValue, FloatValue, PlainValue)):
        return value.value
    if isinstance(value, IntegerValue):
        # int() would take blanks, underscores and other scripts' digits as well.
        digits = value.value
        plain = len(digits) <= 20 and digits.isascii() and digits.removeprefix("-").isdigit()
        number = int(digits) if plain else None
        if number is None or number not in INT64:
            raise ValueError(f"Cannot decode the integer {digits[:40]!r}: a decimal string within 64 bits is expected")
        return number
    if isinstance(value, BlobValue):
        text = value.base64.rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("Cannot decode a blob: base64 is expected") from None
    return None


def to_wire(value: Value) -> WireValue | dict[str, Any]:
    """Return a SQL value as what is encoded as JSON; blobs without padding, as libsql-server does."""
    if value is None:
        return _NULL
    if type(value) is int:
        return IntegerValue(str(value))
    if type(value) is str:
        return TextValue(value)
    if type(value) is float:
        return {"type": "float", "value": _NO_INFINITY.get(value, value)}
    assert isinstance(value, bytes)
    return BlobValue(_blob_text(value))


def _blob_text(value: bytes) -> str:
    return base64.b64encode(value).rstrip(b"=").decode("ascii")


WIRE = cells.Form(
    "hrana",
    {
        cells.INTEGER: "integer(str({u}))",
        cells.FLOAT: "number({u}) if {u} - {u} == 0.0 else other({u})",
        cells.TEXT: "text({bytes}.decode('utf-8', 'replace'))",
        cells.BLOB: "blob(base64({bytes}))",
        cells.NULL: "null",
    },
    {
        "integer": IntegerValue,
        "number": FloatValue,
        "other": to_wire,
        "text": TextValue,
        "blob": BlobValue,
        "base64": _blob_text,
        "null": _NULL,
    },
    to_wire,
)
"""Rows as `to_wire` makes them."""


def to_plain(value: Value) -> Any:
    """Return a SQL value as the first protocol writes it: plain JSON, blobs as an object with base64."""
    if isinstance(value, bytes):
        return {"base64": _blob_text(value)}
    return _NO_INFINITY.get(value, value) if isinstance(value, float) else value
