"""Content codings of responses, undone in bounded steps: gzip, deflate, br, zstd, and chains of them.

A decoder is given the coded bytes with `push` and asked for content with `pull`, which never returns more than asked
for, however well the body is packed.
"""

import zlib
from typing import Protocol

import brotli
import zstandard

from router.egress.errors import EgressError

MAX_CODINGS = 4
_ZSTD_PIECE_BYTES = 256
"""Becomes 8 MiB at the very most: a block has at least 4 bytes and makes at most 128 KiB."""

_ZSTD_MAX_WINDOW_BYTES = 8 << 20
"""RFC 9659: what a server may ask of any recipient."""


class Decoder(Protocol):
    """One content coding."""

    def push(self, data: bytes) -> None:
        """Take coded bytes. Only when `pull` has returned nothing."""

    def pull(self, size: int) -> bytes:
        """Return up to `size` bytes of content, none when more coded bytes are needed. Raises `EgressError`."""

    def finish(self) -> None:
        """Check that the coded data is complete. Raises `EgressError`."""


class Identity:
    """No coding at all."""

    def __init__(self) -> None:
        self._data = b""

    def push(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data

    def pull(self, size: int) -> bytes:
        data = self._data
        if len(data) <= size:
            self._data = b""
            return data
        self._data = data[size:]
        return data[:size]

    def finish(self) -> None:
        return


def decoder(codings: list[str]) -> Decoder | None:
    """Return the decoder for codings in the order they were applied, or None if there is none for them."""
    if not 0 < len(codings) <= MAX_CODINGS:
        return None
    made: Decoder | None = None
    for coding in reversed(codings):
        one = _one(coding)
        if one is None:
            return None
        made = one if made is None else Chain(made, one)
    return made


def _one(coding: str) -> Decoder | None:
    match coding:
        case "gzip" | "x-gzip":
            return Gzip()
        case "deflate":
            return Deflate()
        case "br":
            return Brotli()
        case "zstd":
            return Zstd()
    return None


def _broken(name: str) -> EgressError:
    return EgressError("protocol", f"the response's body is not valid {name}")


def _taken(content: bytearray, size: int) -> bytes:
    taken = bytes(content[:size])
    del content[:size]
    return taken


class _Zlib:
    """What gzip and deflate share."""

    name = ""

    def __init__(self, window_bits: int) -> None:
        self._zlib = zlib.decompressobj(window_bits)
        self._coded = b""
        self._started = False

    def push(self, data: bytes) -> None:
        self._coded += data
        self._started = self._started or bool(data)

    def pull(self, size: int) -> bytes:
        try:
            while self._started and not self._zlib.eof:
                # Without input too: the last of the output may still be inside zlib when all input has been taken.
                needs_more = not self._coded
                content = self._zlib.decompress(self._coded, size)
                self._coded = self._zlib.unconsumed_tail
                if self._zlib.eof:
                    self._coded = self._after(self._zlib.unused_data)
                if content or needs_more:
                    return content
        except zlib.error:
            raise _broken(self.name) from None
        return b""

    def finish(self) -> None:
        if self._started and not self._zlib.eof:
            raise _broken(f"{self.name}: it is cut off")

    def _after(self, rest: bytes) -> bytes:
        """Return what of the bytes after the end is still to be decoded: none."""
        return b""


class Gzip(_Zlib):
    """RFC 1952, several members included."""

    name = "gzip"

    def __init__(self) -> None:
        super().__init__(31)

    def push(self, data: bytes) -> None:
        if self._zlib.eof:
            data = self._after(self._coded + data)
            self._coded = b""
        super().push(data)

    def _after(self, rest: bytes) -> bytes:
        # Whatever else follows a member is padding, which gzip readers ignore.
        if not rest.startswith(b"\x1f"):
            return b""
        self._zlib = zlib.decompressobj(31)
        return rest


class Deflate(_Zlib):
    """RFC 9110 section 8.4.1.2 means zlib's format; many servers send raw deflate data, and browsers take both."""

    name = "deflate"

    def __init__(self) -> None:
        super().__init__(15)
        self._checked = False

    def pull(self, size: int) -> bytes:
        if not self._checked:
            if len(self._coded) < 2:
                return b""
            self._checked = True
            if self._coded[0] & 0x0F != 8 or int.from_bytes(self._coded[:2], "big") % 31:
                self._zlib = zlib.decompressobj(-15)
        return super().pull(size)


class Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()
        self._coded = b""
        self._content = bytearray()
        self._started = False

    def push(self, data: bytes) -> None:
        self._coded += data
        self._started = self._started or bool(data)

    def pull(self, size: int) -> bytes:
        # The library stops soon after its limit, not at it, and may hold output back although it takes input again.
        while not self._content and self._started and not self._brotli.is_finished():
            coded = b""
            if self._brotli.can_accept_more_data():
                coded, self._coded = self._coded, b""
            try:
                self._content += self._brotli.process(coded, output_buffer_limit=size)
            except brotli.error:
                raise _broken("brotli") from None
            if not coded and not self._content:
                break
        return _taken(self._content, size)

    def finish(self) -> None:
        if self._started and not self._brotli.is_finished():
            raise _broken("brotli: it is cut off")


class Zstd:
    """RFC 8878, several frames included."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES)
        self._frame = self._context.decompressobj()
        self._inside = False
        self._coded = b""
        self._content = bytearray()

    def push(self, data: bytes) -> None:
        self._coded += data

    def pull(self, size: int) -> bytes:
        while not self._content and self._coded:
            piece, self._coded = self._coded[:_ZSTD_PIECE_BYTES], self._coded[_ZSTD_PIECE_BYTES:]
            self._inside = True
            try:
                self._content += self._frame.decompress(piece)
            except zstandard.ZstdError:
                raise _broken("zstd") from None
            if self._frame.eof:
                self._coded = self._frame.unused_data + self._coded
                self._frame = self._context.decompressobj()
                self._inside = False
        return _taken(self._content, size)

    def finish(self) -> None:
        if self._inside:
            raise _broken("zstd: it is cut off")


class Chain:
    """Two codings: `outer` was applied last and is undone first."""

    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        self._outer = outer
        self._inner = inner

    def push(self, data: bytes) -> None:
        self._outer.push(data)

    def pull(self, size: int) -> bytes:
        while not (content := self._inner.pull(size)):
            coded = self._outer.pull(size)
            if not coded:
                return b""
            self._inner.push(coded)
        return content

    def finish(self) -> None:
        self._outer.finish()
        self._inner.finish()
