"""A strict reader of tar archives (POSIX ustar and pax, and GNU long names) that come from anybody.

Called by `artifacts.unpack`. It reads forward only, holds one header at a time, and refuses whatever it does not fully
understand. The standard library's reader is not used because it is made to be lenient: it takes a broken header for
the end of the archive, ignores what follows the end, rebuilds sparse files, and reads extended headers of any size into
memory.

Only regular files and directories come out. Owners, modes (set-user-id bits with them) and times are not even parsed.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from artifacts.errors import unsafe
from artifacts.paths import quoted

BLOCK_BYTES = 512
CHUNK_BYTES = 256 << 10
MAX_EXTENDED_BYTES = 64 << 10
"""Largest pax header or GNU long name that is read."""

MAX_PADDING_BYTES = 1 << 20
"""Zeros after the end of the archive; tar fills up its last record, 10 KiB unless told otherwise."""

_ZEROS = bytes(BLOCK_BYTES)
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"D": "a GNU dump directory",
    b"K": "a link",
    b"M": "a part of a multi-volume archive",
    b"S": "a sparse file",
    b"V": "a volume label",
}


class Entry(NamedTuple):
    """One file or directory, its name as the archive gives it (checked by `artifacts.paths`)."""

    name: str
    is_directory: bool
    size: int
    """Bytes of content; 0 for a directory."""


class TarReader:
    """Entries of an archive in order. `read(n)` gives n bytes, or fewer at the end of the stream only."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._left = 0
        self._padding = 0

    def next(self) -> Entry | None:
        """Return the next entry, or None at the end of the archive. Raises `PackageError`.

        Content of the entry before that was not taken is skipped.
        """
        for _ in self.content():
            pass
        pax: dict[str, str] = {}
        long_name: str | None = None
        while True:
            block = self._exactly(BLOCK_BYTES, "a header")
            if block == _ZEROS:
                if pax or long_name is not None:
                    raise unsafe("the archive ends after an extended header")
                self._check_end()
                return None
            _check_sum(block)
            kind = block[156:157]
            size = _number(block[124:136])
            if kind == b"x":
                if pax:
                    raise unsafe("the archive has two extended headers for one entry")
                pax = _pax_records(self._extended(size))
            elif kind == b"g":
                _check_global(_pax_records(self._extended(size)))
            elif kind == b"L":
                if long_name is not None:
                    raise unsafe("the archive has two long names for one entry")
                long_name = _text(self._extended(size).rstrip(b"\0"))
            else:
                return self._entry(block, kind, size, pax, long_name)

    def content(self) -> Iterator[bytes]:
        """Yield the content of the current entry in chunks. Raises `PackageError` if the archive is cut off."""
        while self._left:
            chunk = self._exactly(min(self._left, CHUNK_BYTES), "a file")
            self._left -= len(chunk)
            yield chunk
        if self._padding:
            self._exactly(self._padding, "a file")
            self._padding = 0

    def _entry(self, block: bytes, kind: bytes, size: int, pax: dict[str, str], long_name: str | None) -> Entry:
        name = pax.get("path") or long_name or _header_name(block)
        if kind in _REFUSED:
            raise unsafe(f"{quoted(name)} is {_REFUSED[kind]}; a package holds regular files and directories only")
        if kind not in (b"0", b"\0", b"5", b"7"):
            raise unsafe(f"{quoted(name)} has the unknown entry type {quoted(kind.decode('latin-1'))}")
        if "size" in pax:
            if not pax["size"].isascii() or not pax["size"].isdigit() or len(pax["size"]) > 20:
                raise unsafe(f"{quoted(name)} has a bad size in its extended header")
            size = int(pax["size"])
        # The first tar had no type for directories: a trailing slash is how it marked them.
        is_directory = kind == b"5" or (kind == b"\0" and name.endswith("/"))
        if is_directory and size:
            raise unsafe(f"the directory {quoted(name)} has content")
        self._left = size
        self._padding = -size % BLOCK_BYTES
        return Entry(name, is_directory, size)

    def _extended(self, size: int) -> bytes:
        if size > MAX_EXTENDED_BYTES:
            raise unsafe(f"the archive has an extended header of {size:,} bytes; {MAX_EXTENDED_BYTES:,} are the most")
        data = self._exactly(size + -size % BLOCK_BYTES, "an extended header")
        return data[:size]

    def _exactly(self, size: int, where: str) -> bytes:
        data = self._read(size)
        if len(data) != size:
            raise unsafe(f"the archive is cut off in the middle of {where}")
        return data

    def _check_end(self) -> None:
        """Two zero blocks end an archive, and only zeros may follow (POSIX.1-2017, pax, "ustar Interchange Format")."""
        seen = 0
        while chunk := self._read(CHUNK_BYTES):
            seen += len(chunk)
            if chunk.count(0) != len(chunk):
                raise unsafe("data follows the end of the archive")
            if seen > MAX_PADDING_BYTES:
                raise unsafe(f"more than {MAX_PADDING_BYTES:,} zeros follow the end of the archive")
        if seen < BLOCK_BYTES:
            raise unsafe("the archive is cut off: its end mark is missing")


def _check_sum(block: bytes) -> None:
    expected = _number(block[148:156])
    if sum(block[:148]) + sum(block[156:]) + 8 * ord(" ") != expected:
        raise unsafe("not a tar archive, or a broken one: a header's checksum is wrong")


def _number(field: bytes) -> int:
    """Decode a number: octal digits, or base 256 when the first byte is 0x80 (GNU, for sizes from 8 GiB on)."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise unsafe("not a tar archive, or a broken one: a header has a bad number")
    return int(digits, 8)


def _header_name(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0]
    # GNU's old format ("ustar  \0") keeps times where ustar keeps the prefix.
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    return _text(name)


def _pax_records(data: bytes) -> dict[str, str]:
    """Decode "length key=value\\n" records; the last one of a key counts, as POSIX has it."""
    records: dict[str, str] = {}
    start = 0
    while start < len(data):
        digits, separator, _ = data[start : start + 8].partition(b" ")
        if not separator or not digits.isdigit():
            raise unsafe("the archive has a broken extended header")
        end = start + int(digits)
        record = data[start + len(digits) + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if end > len(data) or record[-1:] != b"\n" or not equals:
            raise unsafe("the archive has a broken extended header")
        name = key.decode("utf-8", "replace")
        if name.startswith("GNU.sparse"):
            raise unsafe("the archive has a sparse file; pack it without --sparse")
        if name in ("path", "size"):
            records[name] = _text(value)
        elif name == "hdrcharset" and value not in (b"", b"ISO-IR 10646 2000 UTF-8"):
            raise unsafe("the archive has names that are not UTF-8")
        start = end
    return records


def _check_global(records: dict[str, str]) -> None:
    """Refuse global headers that would rename every entry; `git archive` writes harmless ones with a comment."""
    if records:
        raise unsafe("the archive has a global extended header that sets " + " and ".join(sorted(records)))


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise unsafe(f"the name {quoted(name.decode('latin-1'))} is not UTF-8") from None
