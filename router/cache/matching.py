"""Whether an entry is what a request asks for, and how much of it the request wants. Pure.

Vary: Service Workers section 5.4, "request matches cached item"; conditions and ranges: RFC 9110 sections 13 and 14.
"""

import re

import msgspec

from router.cache.fields import Fields, moment, value_of

_RANGE = re.compile(rb"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


def vary_names(fields: Fields) -> bytes:
    """Return the names that a response's Vary lists, in lower case, comma-separated; `*` if it is among them."""
    names = [part.strip().lower() for part in (value_of(fields, b"vary") or b"").split(b",")]
    return b"*" if b"*" in names else b",".join(name for name in names if name)


def varies(vary: bytes, asked: Fields, stored: Fields) -> bool:
    """Whether two requests differ in a field that the response depends on (`vary` as of `vary_names`)."""
    if not vary:
        return False
    return vary == b"*" or any(value_of(asked, name) != value_of(stored, name) for name in vary.split(b","))


class Part(msgspec.Struct, frozen=True):
    """What to answer with: `length` bytes of the body from `start` on."""

    status: int
    reason: bytes
    fields: Fields
    start: int
    length: int


def part(asked: Fields, status: int, reason: bytes, fields: Fields, size: int) -> Part:
    """Apply the request's conditions and range to a stored response with a body of `size` bytes."""
    whole = Part(status, reason, fields, 0, size)
    if status != 200 or not asked:
        return whole
    if _is_unchanged(asked, fields):
        kept = [field for field in fields if field[0] != b"content-length"]
        return Part(304, b"Not Modified", kept, 0, 0)
    wanted = value_of(asked, b"range")
    if wanted is None or not _still_applies(value_of(asked, b"if-range"), fields):
        return whole
    match = _RANGE.fullmatch(wanted)
    if match is None or match.groups() == (b"", b""):
        # Several ranges, or another unit: a server may answer with all of it.
        return whole
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    else:
        start, end = max(0, size - int(last)), size - 1
    rest = [field for field in fields if field[0] not in (b"content-length", b"content-range")]
    if first and last and int(last) < int(first):
        return whole
    if start >= size or end < start:
        return Part(416, b"Range Not Satisfiable", [*rest, (b"content-range", b"bytes */%d" % size)], 0, 0)
    length = end - start + 1
    rest += [(b"content-length", b"%d" % length), (b"content-range", b"bytes %d-%d/%d" % (start, end, size))]
    return Part(206, b"Partial Content", rest, start, length)


def _is_unchanged(asked: Fields, fields: Fields) -> bool:
    """RFC 9110 section 13.2.2: If-None-Match decides where it is there."""
    tags = value_of(asked, b"if-none-match")
    if tags is not None:
        mine = value_of(fields, b"etag")
        if mine is None:
            return False
        return tags.strip() == b"*" or mine.removeprefix(b"W/") in {
            tag.strip().removeprefix(b"W/") for tag in tags.split(b",")
        }
    since = moment(value_of(asked, b"if-modified-since") or b"")
    modified = moment(value_of(fields, b"last-modified") or b"")
    return since is not None and modified is not None and modified <= since


def _still_applies(condition: bytes | None, fields: Fields) -> bool:
    if condition is None:
        return True
    if condition.startswith((b'"', b"W/")):
        return not condition.startswith(b"W/") and condition == value_of(fields, b"etag")
    modified = moment(value_of(fields, b"last-modified") or b"")
    return modified is not None and modified == moment(condition)
