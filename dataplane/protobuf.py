"""Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding/), as much as Hrana needs of it.

Used by `dataplane.protobuf_requests` and `dataplane.protobuf_answers`. Written by hand because the messages go straight
from and to the structs and rows that the JSON form uses: the `protobuf` package would build a second tree of objects
for every row. Knows nothing of Hrana. Decoders take the last of a field that is given twice and pass over unknown
fields, as the format asks for.
"""

import struct
from collections.abc import Iterator
from typing import TypeAlias

from dataplane.decoding import point

Data: TypeAlias = bytes | memoryview
VARINT = 0
FIXED64 = 1
BYTES = 2
_FIXED32 = 5
_DOUBLE = struct.Struct("<d")
_COPIED_BYTES = 1 << 20
"""Of a field. Messages are within others, and to copy a large one for each of these would take long."""
_BETWEEN_POINTS = 64
"""Fields of a message for one point: not all of them are made something of."""
_MASK64 = (1 << 64) - 1


class ProtobufError(ValueError):
    """The bytes are not a message of the expected form; the text says why, after "cannot decode", to the client."""


def varint(number: int) -> bytes:
    """Return an unsigned integer of up to 64 bits."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def uint(field: int, number: int) -> bytes:
    """Return an int32, uint32, uint64 or bool field; negative numbers as 64-bit two's complement."""
    return varint(field << 3) + varint(number & _MASK64)


def sint(field: int, number: int) -> bytes:
    """Return a sint64 field (zigzag)."""
    return varint(field << 3) + varint((number << 1 ^ number >> 63) & _MASK64)


def double(field: int, number: float) -> bytes:
    """Return a double field."""
    return varint(field << 3 | FIXED64) + _DOUBLE.pack(number)


def message_head(field: int, size: int) -> bytes:
    """Return what precedes the content of a bytes or message field, of so many bytes."""
    return varint(field << 3 | BYTES) + varint(size)


def message(field: int, data: bytes) -> bytes:
    """Return a bytes or message field."""
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def string(field: int, text: str) -> bytes:
    """Return a string field."""
    return message(field, text.encode("utf-8", "replace"))


def unzigzag(number: int) -> int:
    """Return what a sint64's varint stands for."""
    return number >> 1 ^ -(number & 1)


def as_int32(number: int) -> int:
    """Return what an int32's varint stands for."""
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def fields(data: Data) -> Iterator[tuple[int, int | Data]]:
    """Yield number and value of each field: an int for a varint, bytes else, or a view of them if they are very many.
    Raises `ProtobufError`.
    """
    viewed = isinstance(data, memoryview)
    position, end = 0, len(data)
    count = 0
    while position < end:
        if count % _BETWEEN_POINTS == 0:
            point()
        count += 1
        tag, position = _read_varint(data, position)
        kind = tag & 7
        value: int | Data
        if kind == VARINT:
            value, position = _read_varint(data, position)
        else:
            if kind == BYTES:
                size, position = _read_varint(data, position)
            elif kind in (FIXED64, _FIXED32):
                size = 8 if kind == FIXED64 else 4
            else:
                raise ProtobufError(f"wire type {kind} is not known")
            if position + size > end:
                raise ProtobufError("it ends within a field")
            if size > _COPIED_BYTES:
                value = memoryview(data)[position : position + size]
            elif viewed:
                value = bytes(data[position : position + size])
            else:
                value = data[position : position + size]
            position += size
        yield tag >> 3, value


def _read_varint(data: Data, position: int) -> tuple[int, int]:
    number = shift = 0
    try:
        while True:
            byte = data[position]
            position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number & _MASK64, position
            shift += 7
            if shift > 63:
                raise ProtobufError("a number has more than 64 bits")
    except IndexError:
        raise ProtobufError("it ends within a number") from None


def to_data(value: int | Data) -> Data:
    """Return the value of a message field. Raises `ProtobufError` if it is a number."""
    if isinstance(value, int):
        raise ProtobufError("a number where bytes are expected")
    return value


def to_bytes(value: int | Data) -> bytes:
    """Return the value of a bytes field. Raises `ProtobufError` if it is a number."""
    return bytes(to_data(value))


def to_int(value: int | Data) -> int:
    """Return the value of a varint field. Raises `ProtobufError` if it is none."""
    if isinstance(value, int):
        return value
    raise ProtobufError("bytes where a number is expected")


def to_text(value: int | Data) -> str:
    """Return the value of a string field. Raises `ProtobufError` if it is not UTF-8."""
    try:
        return str(to_data(value), "utf-8")
    except UnicodeDecodeError:
        raise ProtobufError("a string is not UTF-8") from None


def to_double(value: int | Data) -> float:
    """Return the value of a double field. Raises `ProtobufError` if it is none."""
    data = to_data(value)
    if len(data) != _DOUBLE.size:
        raise ProtobufError("a double has 8 bytes")
    return float(_DOUBLE.unpack(data)[0])
