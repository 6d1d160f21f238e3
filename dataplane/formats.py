"""The two encodings of Hrana behind one interface, so that running a request does not depend on how it was written.

Used by `dataplane.execution`, `dataplane.answers`, `dataplane.cursors`, `dataplane.service` and `dataplane.sessions`.
Answers are plain dictionaries in both; only rows are encoded as soon as some are read, because there may be many.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from dataplane import hrana, protobuf_answers, protobuf_requests
from dataplane.cells import PLAIN, Form
from dataplane.protobuf import ProtobufError
from dataplane.values import WIRE, to_plain

DECODE_ERRORS = (msgspec.MsgspecError, ProtobufError, RecursionError)
"""What decoders raise for a body that is no request; the last for JSON that is nested too deep."""


class Format(NamedTuple):
    """One encoding. Decoders raise `DECODE_ERRORS`."""

    decode_client_message: Callable[[bytes], hrana.ClientMessage]
    form: Form
    """What rows are read as."""
    block: Callable[[list[Any]], bytes]
    """Encode some rows of a result, one at least."""
    result_rows: Callable[[list[bytes]], Any]
    """Make a result's rows of its blocks."""
    row_entry: Callable[[Any], Any]
    """Make a cursor's entry of a row."""
    pack: Callable[[list[Any]], Any] | None
    """Make one item of many results, which stands for them where they are encoded together with others; None where
    encoding many together holds nobody up, since Python does it.
    """
    pipeline: Callable[[str | None, list[Any]], bytes]
    entries: Callable[[list[Any]], bytes]
    """Encode the head and entries of a cursor's answer."""
    server_message: Callable[[dict[str, Any]], bytes]


class RowEntry(msgspec.Struct, tag_field="type", tag="row", frozen=True):
    """A cursor's entry."""

    row: Any


def _json_rows(blocks: list[bytes]) -> msgspec.Raw:
    """Each block is an array of rows; most results are one of few rows."""
    if len(blocks) == 1:
        return msgspec.Raw(blocks[0])
    return msgspec.Raw(b"[%b]" % b",".join([block[1:-1] for block in blocks]))


def _json_pack(results: list[Any]) -> msgspec.Raw:
    return msgspec.Raw(hrana.encode(results)[1:-1])


def _json_pipeline(baton: str | None, results: list[Any]) -> bytes:
    return hrana.encode({"baton": baton, "base_url": None, "results": results})


JSON = Format(
    decode_client_message=hrana.decode_client_message,
    form=WIRE,
    block=hrana.encode,
    result_rows=_json_rows,
    row_entry=RowEntry,
    pack=_json_pack,
    pipeline=_json_pipeline,
    entries=hrana.encode_lines,
    server_message=hrana.encode,
)


def _plain_block(rows: list[Any]) -> bytes:
    return hrana.encode([[to_plain(value) for value in row] for row in rows])


LEGACY = JSON._replace(form=PLAIN, block=_plain_block)
"""The first protocol, whose rows are plain JSON."""

PROTOBUF = Format(
    decode_client_message=protobuf_requests.decode_client_message,
    form=protobuf_answers.CELLS,
    block=protobuf_answers.encode_rows,
    result_rows=b"".join,
    row_entry=b"".join,
    pack=None,
    pipeline=protobuf_answers.encode_pipeline,
    entries=protobuf_answers.encode_entries,
    server_message=protobuf_answers.encode_server_message,
)
