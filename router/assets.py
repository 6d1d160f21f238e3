"""Static files of a build: conditional requests, ranges, and reading without holding up the event loop.

`artifacts.index` says which file answers a path; this says how. Builds are unpacked into folders that never change, so
a file's ETag (from its content) is all the validation there is, and small files may stay in memory.
"""

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

from artifacts.index import Asset
from router.headers import Headers

READ_BYTES = 64 << 10
SMALL_BYTES = 64 << 10
CACHE_BYTES = 32 << 20
_RANGE = re.compile(rb"bytes=([0-9]{0,18})-([0-9]{0,18})")


class AssetAnswer(NamedTuple):
    """How to answer: the head, and which bytes of which file follow it (`length` 0: none)."""

    status: int
    fields: list[tuple[bytes, bytes]]
    path: str
    offset: int
    length: int


def answer(asset: Asset, directory: str, method: str, headers: Headers, query: bytes) -> AssetAnswer:
    """Decide the answer to a GET or HEAD request for `asset` of the build in `directory` (RFC 9110 §13, §14)."""
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in asset.headers]
    if not asset.file:
        return AssetAnswer(asset.status, _with_query(fields, query), "", 0, 0)
    path = f"{directory}/{asset.file}"
    etag = asset.etag.encode("latin-1")
    fields.append((b"etag", etag))
    conditions = {name: value for name, value in headers if name in (b"if-none-match", b"if-range", b"range")}
    if asset.status == 200 and _matches(conditions.get(b"if-none-match"), etag):
        return AssetAnswer(304, fields, path, 0, 0)
    fields += ((b"content-type", asset.content_type.encode("latin-1")), (b"accept-ranges", b"bytes"))
    status, offset, length = asset.status, 0, asset.size
    wanted = conditions.get(b"range")
    if wanted is not None and status == 200 and method == "GET" and conditions.get(b"if-range", etag) == etag:
        found = _range(wanted, asset.size)
        if found is not None:
            offset, length = found
            status = 206 if length else 416
            shown = b"%d-%d" % (offset, offset + length - 1) if length else b"*"
            fields.append((b"content-range", b"bytes %b/%d" % (shown, asset.size)))
    fields.append((b"content-length", b"%d" % length))
    return AssetAnswer(status, fields, path, offset, 0 if method == "HEAD" else length)


def _with_query(fields: list[tuple[bytes, bytes]], query: bytes) -> list[tuple[bytes, bytes]]:
    """Return a redirect's fields, its target extended by the request's query unless it has one."""
    extended = [
        (name, value + b"?" + query if name == b"location" and query and b"?" not in value else value)
        for name, value in fields
    ]
    return [*extended, (b"content-length", b"0")]


def _matches(condition: bytes | None, etag: bytes) -> bool:
    """Whether If-None-Match names `etag` (weak comparison, RFC 9110 §13.1.2)."""
    if condition is None:
        return False
    if condition == etag or condition.strip() == b"*":
        return True
    return any(candidate.strip().removeprefix(b"W/") == etag for candidate in condition.split(b","))


def _range(value: bytes, size: int) -> tuple[int, int] | None:
    """Return (offset, length) of a single byte range; length 0 if it cannot be satisfied; None to ignore the header.

    Several ranges are ignored, which RFC 9110 §14.2 allows.
    """
    match = _RANGE.fullmatch(value.strip())
    if match is None or match[0] == b"bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        length = min(int(last), size)
        return size - length, length
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    return (start, end - start + 1) if start < size else (0, 0)


class SmallFiles:
    """Contents of small files, the least recently used forgotten first, `limit` bytes in all."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def __repr__(self) -> str:
        return f"<SmallFiles {len(self._known)} files, {self._bytes} bytes>"

    def part(self, answer: AssetAnswer) -> bytes:
        """Return the bytes that follow an answer's head, for a small file. Raises `OSError`."""
        if not answer.length:
            return b""
        part = self.read(answer.path)[answer.offset : answer.offset + answer.length]
        if len(part) != answer.length:
            raise OSError(f"{answer.path} is shorter than its index says")
        return part

    def read(self, path: str) -> bytes:
        """Return the file's content, from memory if it is there. Raises `OSError`."""
        content = self._known.get(path)
        if content is not None:
            self._known.move_to_end(path)
            return content
        content = Path(path).read_bytes()
        self._known[path] = content
        self._bytes += len(content)
        while self._bytes > self._limit:
            _, dropped = self._known.popitem(last=False)
            self._bytes -= len(dropped)
        return content


async def chunks(path: str, offset: int, length: int) -> AsyncGenerator[bytes, None]:
    """Yield that part of a file in pieces of `READ_BYTES`, read in a thread. Raises `OSError`."""
    descriptor = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while length:
            piece = await asyncio.to_thread(os.pread, descriptor, min(READ_BYTES, length), offset)
            if not piece:
                raise OSError(f"{path} is shorter than its index says")
            yield piece
            offset += len(piece)
            length -= len(piece)
    finally:
        os.close(descriptor)
