"""The two encodings of Hrana behind one interface, so that running a request does not depend on how it was written.

Used by `dataplane.execution`, `dataplane.answers`, `dataplane.cursors`, `dataplane.service` and `dataplane.sessions`.
Answers are plain dictionaries in both; only rows are encoded as soon as some are read, because there may be many.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from dataplane import hrana, json_answers, paced, protobuf_answers, protobuf_requests
from dataplane.blocks import Body
from dataplane.cells import PLAIN, Form
from dataplane.decoding import LARGE_BYTES, LARGE_PROTOBUF_BYTES
from dataplane.protobuf import ProtobufError
from dataplane.values import WIRE

DECODE_ERRORS = (msgspec.MsgspecError, ProtobufError, RecursionError)
"""What decoders raise for a body that is no request; the last for JSON that is nested too deep."""


class Format(NamedTuple):
    """One encoding. Decoders raise `DECODE_ERRORS`."""

    decode_client_message: Callable[[bytes], hrana.ClientMessage]
    decode_large_message: Callable[[bytes], hrana.ClientMessage]
    """The same, which `dataplane.decoding` can stop."""
    large_bytes: int
    """A longer message is decoded so."""
    form: Form
    """What rows are read as."""
    block: Callable[[list[Any]], bytes]
    """Encode some rows of a result, one at least."""
    result_rows: Callable[[list[bytes]], Any]
    """Make a result's rows of its blocks."""
    row_entry: Callable[[Any], Any]
    """Make a cursor's entry of a row."""
    pack: Callable[[list[Any]], Any]
    """Encode many results of a pipeline: return one item that stands for them where they are encoded with others."""
    pack_steps: Callable[[int, list[Any], list[Any]], tuple[Any, Any]]
    """The same of a batch: takes the first step's number, results and errors, and returns an item of either."""
    pipeline: Callable[[str | None, list[Any]], Body]
    entries: Callable[[list[Any]], bytes]
    """Encode the head and entries of a cursor's answer."""
    server_message: Callable[[dict[str, Any]], Body]


class RowEntry(msgspec.Struct, tag_field="type", tag="row", frozen=True):
    """A cursor's entry."""

    row: Any


JSON = Format(
    decode_client_message=hrana.decode_client_message,
    decode_large_message=paced.decode_client_message,
    large_bytes=LARGE_BYTES,
    form=WIRE,
    block=json_answers.block,
    result_rows=json_answers.rows,
    row_entry=RowEntry,
    pack=json_answers.pack,
    pack_steps=json_answers.pack_steps,
    pipeline=json_answers.pipeline,
    entries=hrana.encode_lines,
    server_message=json_answers.encode,
)
LEGACY = JSON._replace(form=PLAIN, block=json_answers.plain_block)
"""The first protocol, whose rows are plain JSON."""

PROTOBUF = Format(
    decode_client_message=protobuf_requests.decode_client_message,
    decode_large_message=protobuf_requests.decode_client_message,
    large_bytes=LARGE_PROTOBUF_BYTES,
    form=protobuf_answers.CELLS,
    block=protobuf_answers.encode_rows,
    result_rows=protobuf_answers.rows,
    row_entry=b"".join,
    pack=protobuf_answers.pack,
    pack_steps=protobuf_answers.pack_steps,
    pipeline=protobuf_answers.encode_pipeline,
    entries=protobuf_answers.encode_entries,
    server_message=protobuf_answers.encode_server_message,
)
