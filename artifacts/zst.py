"""Reading a zstd stream from an untrusted file in bounded memory.

Called by `artifacts.unpack`, in a thread. `zstandard`'s own stream reader takes a truncated file for a short one and
hides what follows the last frame, so this goes one level lower: every frame must be complete, and nothing else may
follow.
"""

from typing import BinaryIO

import zstandard

from artifacts.errors import unsafe

PIECE_BYTES = 1024
"""Compressed bytes handed to the decoder at once. A block has at least 4 bytes and becomes at most 128 KiB (RFC 8878
section 3.1.1.2), so that one call returns 32 MiB at the very most."""

READ_BYTES = 256 << 10
MAX_WINDOW_BYTES = 128 << 20
"""What the decoder may allocate; `zstd --ultra -22` asks for this much, only `--long=28` and above for more."""

RATIO_FROM_BYTES = 32 << 20
"""Below this no ratio counts: a small file of zeros is no bomb."""

MAX_FRAMES = 100_000
"""Parallel compressors write one frame per chunk; millions of empty ones would only keep the decoder busy."""


class ZstdSource:
    """Decompressed bytes of a whole .zst file, read in order.

    `max_bytes` bounds the content; `max_ratio` how many times its packed size it may have once it is over
    `RATIO_FROM_BYTES`. Every method raises `PackageError` for data that is not a complete zstd stream, or over a bound.
    """

    def __init__(self, file: BinaryIO, *, max_bytes: int, max_ratio: int) -> None:
        self._file = file
        self._max_ratio = max_ratio
        self._max_bytes = max_bytes
        self._context = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self._frame = self._context.decompressobj()
        self._frame_started = False
        self._frames = 0
        self._packed = b""
        self._packed_start = 0
        self._ready = bytearray()
        self.bytes_in = 0
        self.bytes_out = 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of the stream only."""
        while len(self._ready) < size and self._fill():
            pass
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def _fill(self) -> bool:
        """Decode one more piece; False at the end of the file."""
        piece = self._next_piece()
        if not piece:
            if self._frame_started:
                raise unsafe("the upload is cut off: its zstd stream ends in the middle of a frame")
            return False
        self._frame_started = True
        try:
            content = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise unsafe(f"not a zstd stream ({_reason(error)}); a package is a tar archive packed with zstd") from None
        self._ready += content
        self.bytes_in += len(piece)
        self.bytes_out += len(content)
        if self.bytes_out > self._max_bytes:
            raise unsafe(f"its content is over the limit of {self._max_bytes:,} bytes")
        if self.bytes_out > RATIO_FROM_BYTES and self.bytes_out > self.bytes_in * self._max_ratio:
            raise unsafe(f"its content is more than {self._max_ratio} times larger than the upload")
        if self._frame.eof:
            self._next_frame()
        return True

    def _next_piece(self) -> bytes:
        if self._packed_start >= len(self._packed):
            self._packed = self._file.read(READ_BYTES)
            self._packed_start = 0
        piece = self._packed[self._packed_start : self._packed_start + PIECE_BYTES]
        self._packed_start += len(piece)
        return piece

    def _next_frame(self) -> None:
        unused = len(self._frame.unused_data)
        self._packed_start -= unused
        self.bytes_in -= unused
        self._frame = self._context.decompressobj()
        self._frame_started = False
        self._frames += 1
        if self._frames > MAX_FRAMES:
            raise unsafe(f"its zstd stream has more than {MAX_FRAMES:,} frames")


def _reason(error: zstandard.ZstdError) -> str:
    return str(error).rpartition(": ")[2].lower()
