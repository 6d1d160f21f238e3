"""The two encodings of Hrana behind one interface, so that running a request does not depend on how it was written.

Used by `dataplane.execution`, `dataplane.service` and `dataplane.sessions`. Answers are plain dictionaries in both;
only a row is encoded as soon as it is read, because there may be many.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from dataplane import hrana, hrana_protobuf
from dataplane.statement import Value


class Format(NamedTuple):
    """One encoding. Decoders raise `msgspec.MsgspecError` or `ProtobufError` (a `ValueError`)."""

    decode_pipeline: Callable[[bytes], hrana.Pipeline]
    decode_cursor: Callable[[bytes], hrana.Cursor]
    decode_client_message: Callable[[bytes], hrana.ClientMessage]
    row: Callable[[list[Value]], bytes]
    """Encode a row of a result."""
    result_row: Callable[[bytes], Any]
    """Put an encoded row into a result."""
    row_entry: Callable[[list[Value]], Any]
    """Make a cursor's entry of a row."""
    pipeline: Callable[[str | None, list[dict[str, Any]]], bytes]
    entries: Callable[[list[Any]], bytes]
    """Encode the head and entries of a cursor's answer."""
    server_message: Callable[[dict[str, Any]], bytes]


def _json_row(values: list[Value]) -> bytes:
    return hrana.encode([hrana.to_wire(value) for value in values])


def _json_row_entry(values: list[Value]) -> dict[str, Any]:
    return {"type": "row", "row": [hrana.to_wire(value) for value in values]}


def _json_pipeline(baton: str | None, results: list[dict[str, Any]]) -> bytes:
    return hrana.encode({"baton": baton, "base_url": None, "results": results})


JSON = Format(
    decode_pipeline=hrana.decode_pipeline,
    decode_cursor=hrana.decode_cursor,
    decode_client_message=hrana.decode_client_message,
    row=_json_row,
    result_row=msgspec.Raw,
    row_entry=_json_row_entry,
    pipeline=_json_pipeline,
    entries=hrana.encode_lines,
    server_message=hrana.encode,
)


def _plain_row(values: list[Value]) -> bytes:
    return hrana.encode([hrana.to_plain(value) for value in values])


LEGACY = JSON._replace(row=_plain_row)
"""The first protocol, whose rows are plain JSON."""

PROTOBUF = Format(
    decode_pipeline=hrana_protobuf.decode_pipeline,
    decode_cursor=hrana_protobuf.decode_cursor,
    decode_client_message=hrana_protobuf.decode_client_message,
    row=hrana_protobuf.encode_row,
    result_row=bytes,
    row_entry=hrana_protobuf.encode_row,
    pipeline=hrana_protobuf.encode_pipeline,
    entries=hrana_protobuf.encode_entries,
    server_message=hrana_protobuf.encode_server_message,
)
