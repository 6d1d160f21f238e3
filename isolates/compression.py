"""Compression and decompression for JavaScript's CompressionStream and DecompressionStream, over zlib and brotli.

`isolates/operations.py` calls `Streams.run` for operations from `FIRST` on. A stream is opened by its first chunk and
known by a number. What a chunk gives may be larger than the buffer: it is made and handed out piece by piece, so that a
small input that inflates to gigabytes never is in this process's memory.
"""

import zlib
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

import brotli

FIRST = 64
MAX_STREAMS = 256
"""Open at a time; zlib keeps up to 256 KiB for each."""
MAX_BROTLI_STREAMS = 32
"""Of these; brotli keeps some 2 MiB for each to compress, and to decompress up to 16 MiB, as the input asks."""

_BROTLI = 4
_BROTLI_QUALITY = 5
"""Of 0 to 11: packs better than zlib's default in about the same time; the higher ones take tens of MiB."""

_WINDOW_BITS = {1: 31, 2: 15, 3: -15}
"""By format: gzip, deflate (RFC 1950), deflate-raw (RFC 1951). `_BROTLI` is RFC 7932."""


class CompressionOp(IntEnum):
    """`n` bytes of data; results after the arrow. `more` is 1 while there is more to READ."""

    OPEN = 64
    """(format, 1 to decompress) → (stream)"""
    WRITE = 65
    """(stream, n) of data → (m, more), data: m bytes of output"""
    READ = 66
    """(stream) → (m, more), data: m bytes of output"""
    FINISH = 67
    """(stream) → (m, more), data: m bytes of output; a compressed input that is not complete is refused"""
    CLOSE = 68
    """(stream)"""


_ON_A_STREAM = (CompressionOp.WRITE, CompressionOp.READ, CompressionOp.FINISH)


class Refusal(IntEnum):
    """Negative results."""

    BAD_DATA = -32
    """What was to be decompressed is damaged, incomplete, or goes on after its end."""
    TOO_MANY = -33


class _Stream(Protocol):
    def write(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def read(self, room: int) -> tuple[bytes, bool]: ...


class _Compressor:
    def __init__(self, compress: Callable[[bytes], bytes], flush: Callable[[], bytes]) -> None:
        self._compress = compress
        self._flush = flush
        self._output = b""

    def write(self, data: bytes) -> None:
        self._output += self._compress(data)

    def finish(self) -> None:
        self._output += self._flush()

    def read(self, room: int) -> tuple[bytes, bool]:
        piece, self._output = self._output[:room], self._output[room:]
        return piece, bool(self._output)


class _Decompressor:
    def __init__(self, window_bits: int) -> None:
        self._zlib = zlib.decompressobj(wbits=window_bits)
        self._input = b""
        self._finished = False

    def write(self, data: bytes) -> None:
        self._input += data

    def finish(self) -> None:
        self._finished = True

    def read(self, room: int) -> tuple[bytes, bool]:
        """Raises zlib.error for bad data, once the output before it was given."""
        stream = self._zlib
        if not stream.eof:
            piece = stream.decompress(self._input, room)
            self._input = stream.unused_data if stream.eof else stream.unconsumed_tail
            if piece:
                return piece, len(piece) == room or bool(self._input) or (self._finished and not stream.eof)
        if self._input:
            raise zlib.error("there is data after the end")
        if self._finished and not stream.eof:
            raise zlib.error("the data ends too early")
        return b"", False


class _BrotliDecompressor:
    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()
        self._input = b""
        self._output = b""
        self._finished = False

    def write(self, data: bytes) -> None:
        self._input += data

    def finish(self) -> None:
        self._finished = True

    def read(self, room: int) -> tuple[bytes, bool]:
        """Raises brotli.error for bad data, which includes data after the end."""
        stream = self._brotli
        if not self._output and (self._input or not stream.is_finished()):
            data = b""
            if stream.can_accept_more_data():
                data, self._input = self._input, b""
            # The bound is on the buffer before it grows for the last time, so there may be some more.
            self._output = stream.process(data, output_buffer_limit=room)
        piece, self._output = self._output[:room], self._output[room:]
        more = bool(self._output or self._input) or not stream.can_accept_more_data()
        if self._finished and not more and not stream.is_finished():
            raise brotli.error("the data ends too early")
        return piece, more


def _make(format_: int, decompress: bool) -> _Stream:
    if format_ == _BROTLI:
        if decompress:
            return _BrotliDecompressor()
        stream = brotli.Compressor(quality=_BROTLI_QUALITY)
        return _Compressor(stream.process, stream.finish)
    window_bits = _WINDOW_BITS[format_]
    if decompress:
        return _Decompressor(window_bits)
    packer = zlib.compressobj(wbits=window_bits)
    return _Compressor(packer.compress, packer.flush)


class Streams:
    """The streams of one isolate; `data` is the buffer for what goes in and comes out."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._streams: dict[int, _Stream] = {}
        self._brotli: set[int] = set()
        """Those of `_streams` that are brotli's."""
        self._last = 0

    def __repr__(self) -> str:
        return f"<Streams {len(self._streams)} open of {self._last}>"

    def run(self, op: int, first: int, second: int) -> tuple[int, int, int]:
        """Do one operation; return the words 0, 1 and 2 of the answer.

        Raises:
            KeyError: there is no such stream or format.
            ValueError: the data does not fit the buffer.
            NotImplementedError: there is no such operation.
        """
        if op == CompressionOp.OPEN:
            return self._open(first, second)
        if op == CompressionOp.CLOSE:
            self._forget(first)
            return 0, 0, 0
        if op not in _ON_A_STREAM:
            raise NotImplementedError(f"operation {op}")
        stream = self._streams[first]
        if op == CompressionOp.WRITE:
            if not 0 <= second <= len(self._data):
                raise ValueError(second)
            stream.write(bytes(self._data[:second]))
        elif op == CompressionOp.FINISH:
            stream.finish()
        try:
            piece, more = stream.read(len(self._data))
        except (zlib.error, brotli.error):
            self._forget(first)
            return Refusal.BAD_DATA, 0, 0
        self._data[: len(piece)] = piece
        return 0, len(piece), int(more)

    def _open(self, format_: int, decompress: int) -> tuple[int, int, int]:
        if len(self._streams) >= MAX_STREAMS or (format_ == _BROTLI and len(self._brotli) >= MAX_BROTLI_STREAMS):
            return Refusal.TOO_MANY, 0, 0
        self._last += 1
        self._streams[self._last] = _make(format_, bool(decompress))
        if format_ == _BROTLI:
            self._brotli.add(self._last)
        return 0, self._last, 0

    def _forget(self, stream: int) -> None:
        self._streams.pop(stream, None)
        self._brotli.discard(stream)
