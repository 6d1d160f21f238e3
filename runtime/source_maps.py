"""Source maps (ECMA-426): from a place in a built file back to the place in its source. Pure, no I/O.

Used by `runtime.telemetry.stack_traces`. The maps come out of packages, so they are as hostile as an app wants them to
be: every size is bounded here, and reading one ends with `SourceMapError` at a deadline. They are never fetched.

Our own decoder: the libraries that there are either make an object of every segment, or parse the built file too, with
a native parser whose stack a nested file exhausts; neither belongs into the supervisor's process.
"""

import base64
import binascii
import posixpath
import re
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

MAX_MAP_BYTES = 32 << 20
MAX_SEGMENTS = 2_000_000
MAX_SOURCES = 100_000
KNOWN_SEGMENTS = 10_000
LINES_PER_LOOK = 256
"""How many generated lines are read between two looks at the clock; a line with more segments has its own looks."""
SEGMENTS_PER_PIECE = 20_000

_DIGITS = {character: value for value, character in enumerate(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)}  # fmt: skip
_COMMENT = re.compile(rb"//[#@] ?sourceMappingURL=([^\s'\"`]+)[ \t]*(?:\r?\n(?:[ \t]*(?://[^\n]*)?(?:\r?\n|$))*)?$")
_COMMENT_START = b"sourceMappingURL="
_LAST_LINES = 4096
"""Comments may follow the one that names the map, but not further than this behind it."""


class SourceMapError(Exception):
    """A source map cannot be used; the message says why, for the app's owner."""


class Position(NamedTuple):
    """A place in a source. Line and column count from 1, as in stack traces."""

    file: str
    line: int
    column: int


class _Json(msgspec.Struct):
    version: int
    mappings: str = ""
    sources: list[str | None] = []
    source_root: str | None = msgspec.field(default=None, name="sourceRoot")
    sections: list["_Section"] | None = None


class _Offset(msgspec.Struct):
    line: int
    column: int


class _Section(msgspec.Struct):
    offset: _Offset
    map: _Json


class _Packed(msgspec.Struct, array_like=True):
    """A decoded map between processes of one machine."""

    sources: list[str]
    keys: bytes
    source: bytes
    line: bytes
    column: bytes


class SourceMap:
    """A decoded map. `find` is a binary search; 20 bytes are kept per segment."""

    def __init__(self, sources: list[str], segments: "_Segments") -> None:
        self._sources = sources
        self._segments = segments

    def __repr__(self) -> str:
        return f"<SourceMap {len(self._sources)} sources, {len(self._segments.keys)} segments>"

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly."""
        return 20 * len(self._segments.keys) + sum(100 + len(source) for source in self._sources)

    @classmethod
    def parse(cls, content: bytes, path: str, deadline: float) -> "SourceMap":
        """Decode the map whose file is `path` in the package, which its sources are relative to.

        `deadline` is on `time.monotonic`'s clock. Raises `SourceMapError`.
        """
        if len(content) > MAX_MAP_BYTES:
            raise SourceMapError(f"it is larger than {MAX_MAP_BYTES >> 20} MiB")
        try:
            # ECMA-426, ParseSourceMap: a line against JSON hijacking may go before the JSON.
            decoded = msgspec.json.decode(content.removeprefix(b")]}'"), type=_Json)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SourceMapError(f"it is no source map: {error}") from None
        reader = _Reader(deadline)
        sources: list[str] = []
        for section in _sections(decoded):
            if section.map.version != 3:
                raise SourceMapError(f"it has version {section.map.version}; 3 is expected")
            reader.read(section, len(sources))
            if len(sources) + len(section.map.sources) > MAX_SOURCES:
                raise SourceMapError(f"it has more than {MAX_SOURCES:,} sources")
            root = section.map.source_root or ""
            sources += [shown_source(source, root, path) for source in section.map.sources]
        return cls(sources, reader.segments.in_order())

    def packed(self) -> bytes:
        """Return it as bytes for `unpacked`, which is quick."""
        table = self._segments
        columns = [values.tobytes() for values in (table.keys, table.sources, table.lines, table.columns)]
        return msgspec.msgpack.encode(_Packed(self._sources, *columns))

    @classmethod
    def unpacked(cls, content: bytes) -> "SourceMap":
        """Return what `packed` made on this machine."""
        packed = msgspec.msgpack.decode(content, type=_Packed)
        table = _Segments()
        table.keys.frombytes(packed.keys)
        table.sources.frombytes(packed.source)
        table.lines.frombytes(packed.line)
        table.columns.frombytes(packed.column)
        return cls(packed.sources, table)

    def find(self, line: int, column: int) -> Position | None:
        """The source of a place in the built file; both count from 1. None: no source is known for it."""
        keys = self._segments.keys
        at = bisect_right(keys, _key(line - 1, column - 1)) - 1
        if at < 0 or keys[at] >> 32 != line - 1:
            return None
        source = self._segments.sources[at]
        if not 0 <= source < len(self._sources):
            return None
        return Position(self._sources[source], self._segments.lines[at] + 1, self._segments.columns[at] + 1)


def shown_source(source: str | None, root: str, map_path: str) -> str:
    """Return a source as people know it: relative to the package, or to where the package was built (`src/index.ts`).

    ECMA-426, DecodeSourceMapSources: `sourceRoot` goes before it, and both are relative to the map. What leads out of
    the package is where the build tool ran; the dots say nothing there.
    """
    if source is None:
        return "(unknown source)"
    joined = f"{root.rstrip('/')}/{source}" if root else source
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", joined) or joined.startswith("/"):
        return _one_line(joined)
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(map_path), joined))
    while resolved.startswith("../"):
        resolved = resolved[3:]
    return _one_line(resolved)


def map_reference(built: bytes) -> str | None:
    """Return the URL in the comment that ends a built file, which names its map (ECMA-426, section 11.1.2.1)."""
    start = built.rfind(_COMMENT_START)
    if start < 0:
        return None
    if len(built) - start > _LAST_LINES:
        # An inline map is long; what follows it must not be.
        end = built.find(b"\n", start)
        if 0 <= end < len(built) - _LAST_LINES:
            return None
    found = _COMMENT.match(built, built.rfind(b"//", max(0, start - 4), start)) if start >= 3 else None
    return found[1].decode("ascii", "replace") if found is not None else None


def inline_map(url: str) -> bytes | None:
    """Return the map in a `data:` URL (RFC 2397); None for another URL. Raises `SourceMapError`."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        raise SourceMapError("its data: URL has no data")
    if len(data) > 2 * MAX_MAP_BYTES:
        raise SourceMapError(f"it is larger than {MAX_MAP_BYTES >> 20} MiB")
    if not head.endswith(";base64"):
        return unquote_to_bytes(data)
    try:
        return base64.b64decode(data + "=" * (-len(data) % 4))
    except (binascii.Error, ValueError):
        raise SourceMapError("its data: URL is no base64") from None


def map_path(built_path: str, url: str | None) -> str:
    """Return where in the package the map of a built file is: what its comment says, if that is a path, else beside."""
    beside = built_path + ".map"
    if url is None:
        return beside
    parts = urlsplit(url)
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return beside
    decoded = unquote_to_bytes(parts.path).decode("utf-8", "replace")
    return posixpath.normpath(posixpath.join(posixpath.dirname(built_path), decoded))


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:1000])


def _sections(decoded: _Json) -> Iterator[_Section]:
    """A plain map is one section that begins where the file does. Sections hold no sections (ECMA-426)."""
    if decoded.sections is None:
        yield _Section(_Offset(0, 0), decoded)
    else:
        yield from decoded.sections


def _key(line: int, column: int) -> int:
    return line << 32 | column


class _Segments:
    """Columns of one table, in order of `keys`: generated line and column."""

    def __init__(self) -> None:
        self.keys = array("q")
        self.sources = array("i")
        self.lines = array("i")
        self.columns = array("i")

    def in_order(self) -> "_Segments":
        """Segments of a line may come in any order."""
        keys = self.keys
        if all(map(int.__le__, keys, keys[1:])):
            return self
        order = sorted(range(len(keys)), key=keys.__getitem__)
        ordered = _Segments()
        for name in ("keys", "sources", "lines", "columns"):
            values = getattr(self, name)
            getattr(ordered, name).extend(values[at] for at in order)
        return ordered


class _Reader:
    """Decodes `mappings` (ECMA-426, DecodeMappings) into segments."""

    def __init__(self, deadline: float) -> None:
        self.segments = _Segments()
        self._deadline = deadline
        self._left = MAX_SEGMENTS
        self._known: dict[str, tuple[int, ...]] = {}
        """Segments are differences, and the same few hundred make most of a map."""

    def read(self, section: _Section, first_source: int) -> None:
        offset = section.offset
        if offset.line < 0 or offset.column < 0:
            raise SourceMapError("a section begins before the file")
        mappings = section.map.mappings
        self._left -= mappings.count(",") + mappings.count(";") + 1
        if self._left < 0:
            raise SourceMapError(f"it has more than {MAX_SEGMENTS:,} segments")
        state = (first_source, 0, 0)
        try:
            for number, text in enumerate(mappings.split(";")):
                if number % LINES_PER_LOOK == 0:
                    self._look()
                if text:
                    state = self._line(offset.line + number, 0 if number else offset.column, text, state)
        except OverflowError:
            raise SourceMapError("a number in its mappings is out of range") from None

    def _line(self, line: int, column: int, text: str, state: tuple[int, int, int]) -> tuple[int, int, int]:
        """Decode one generated line; `state` is source, its line and column, which run on over lines."""
        source, source_line, source_column = state
        base = line << 32
        into, known = self.segments, self._known
        for count, segment in enumerate(text.split(",")):
            if count % SEGMENTS_PER_PIECE == SEGMENTS_PER_PIECE - 1:
                self._look()
            values = known.get(segment)
            if values is None:
                if not segment:
                    continue
                values = _values(segment)
                if len(known) < KNOWN_SEGMENTS:
                    known[segment] = values
            column += values[0]
            if column < 0:
                raise SourceMapError("a column in its mappings is negative")
            into.keys.append(base | column)
            if len(values) == 1:
                into.sources.append(-1)
            else:
                source += values[1]
                source_line += values[2]
                source_column += values[3]
                into.sources.append(source)
            into.lines.append(source_line)
            into.columns.append(source_column)
        return source, source_line, source_column

    def _look(self) -> None:
        if time.monotonic() > self._deadline:
            raise SourceMapError("reading it takes too long")


def _values(segment: str) -> tuple[int, ...]:
    """Decode the base64 VLQ numbers of one segment: 1, 4 or 5 of at most 32 bits."""
    values: list[int] = []
    value = shift = 0
    for character in segment:
        digit = _DIGITS.get(character, -1)
        if digit < 0 or shift > 30 or len(values) == 5:
            raise SourceMapError(f"its mappings have the segment {segment[:40]!r}")
        value |= (digit & 31) << shift
        if digit & 32:
            shift += 5
            continue
        values.append(-(value >> 1) if value & 1 else value >> 1)
        value = shift = 0
    if shift or len(values) not in (1, 4, 5):
        raise SourceMapError(f"its mappings have the segment {segment[:40]!r}")
    return tuple(values)
