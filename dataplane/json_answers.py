"""Hrana answers in JSON. What is long of one is encoded as it comes, and stays in blocks from then on.

Used by `dataplane.formats`. An item of a document may be `Blocks`: the text of what stands there, of one value or of
several that follow each other in an array.
"""

from typing import Any

import msgspec

from dataplane import hrana
from dataplane.blocks import FEW_BYTES, Blocks, Body
from dataplane.values import to_plain

_NO_ROWS = msgspec.Raw(b"[]")
_HOLE = b"\0"
"""Stands for blocks while what is around them is encoded. JSON has no such byte: in a string it is escaped."""


class _HasBlocks(Exception):
    """A document cannot be encoded in one piece."""


def _refuse(_: Any) -> None:
    raise _HasBlocks


_encode_short = msgspec.json.Encoder(enc_hook=_refuse).encode


def encode(document: Any) -> Body:
    """Return the text of `document`."""
    try:
        return _encode_short(document)
    except _HasBlocks:  # which is rare: others are not to pay for it
        pass
    found: list[Blocks] = []

    def leave_out(value: Blocks) -> msgspec.Raw:
        found.append(value)
        return msgspec.Raw(_HOLE)

    first, *following = msgspec.json.encode(document, enc_hook=leave_out).split(_HOLE)
    text: list[bytes | memoryview] = [first]
    for value, after in zip(found, following, strict=True):
        text += value.blocks
        text.append(after)
    return Blocks(text)


block = hrana.encode
"""Encode some rows of a result, given as `values.WIRE`."""


def plain_block(rows: list[Any]) -> bytes:
    """The same for the first protocol, of plain values."""
    return hrana.encode([[to_plain(value) for value in row] for row in rows])


def rows(blocks: list[bytes]) -> msgspec.Raw | Blocks:
    """Make a result's rows of its blocks, of which each is an array; most results are one of few rows."""
    if not blocks:
        return _NO_ROWS
    if len(blocks) == 1 and len(blocks[0]) <= FEW_BYTES:
        return msgspec.Raw(blocks[0])
    text: list[bytes | memoryview] = []
    for one in blocks:
        text += (b"," if text else b"[", memoryview(one)[1:-1])
    text.append(b"]")
    return Blocks(text)


def pack(results: list[Any]) -> Blocks:
    """Make one item of many results, which stands for them in the array of all."""
    body = encode(results)
    if isinstance(body, bytes):
        return Blocks([body[1:-1]])
    first, *between, last = body.blocks
    return Blocks([first[1:], *between, last[:-1]])


def pack_steps(_: int, results: list[Any], errors: list[Any]) -> tuple[Blocks, Blocks]:
    """The same with the results and the errors of steps."""
    return pack(results), pack(errors)


def pipeline(baton: str | None, results: list[Any]) -> Body:
    """Return a pipeline's answer."""
    return encode({"baton": baton, "base_url": None, "results": results})
