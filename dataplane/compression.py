"""Compression of answers, for clients that accept it (RFC 9110 §12.5.3). Used by `dataplane.front`."""

import zlib
from collections.abc import Iterable
from typing import Protocol

import zstandard

MIN_BYTES = 1 << 10
"""Shorter answers leave as they are."""
ASIDE_BYTES = 64 << 10
"""Longer pieces are compressed off the event loop; both libraries release the GIL."""
_GZIP = 31
_FLUSH_BLOCK = zstandard.COMPRESSOBJ_FLUSH_BLOCK


class Compressor(Protocol):
    """One answer's compression."""

    def compress(self, data: bytes, *, last: bool) -> bytes:
        """Return bytes from which everything given so far can be read."""


class _Gzip:
    def __init__(self) -> None:
        # Level 1: a result set shrinks to a tenth already, at a third of the default's time.
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP)

    def compress(self, data: bytes, *, last: bool) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class _Zstd:
    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1).compressobj()

    def compress(self, data: bytes, *, last: bool) -> bytes:
        body = self._compressor.compress(data)
        return body + (self._compressor.flush() if last else self._compressor.flush(_FLUSH_BLOCK))


def accepted(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, Compressor] | None:
    """Return the coding to use and a compressor for one answer, or None if the client takes neither."""
    weights: dict[str, float] = {}
    for name, value in headers:
        if name == b"accept-encoding":
            for part in value.decode("latin-1").split(","):
                coding, _, parameter = part.partition(";")
                weights[coding.strip().lower()] = _weight(parameter)
    for coding, make in (("zstd", _Zstd), ("gzip", _Gzip)):
        if weights.get(coding, weights.get("*", 0.0)) > 0:
            return coding.encode(), make()
    return None


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
