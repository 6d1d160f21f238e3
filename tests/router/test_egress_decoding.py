"""Content codings, whole and in pieces, damaged and hostile."""

import gzip
import os
import zlib

import brotli
import pytest
import zstandard

from router.egress.decoding import Decoder, decoder
from router.egress.errors import EgressError

TEXT = b"".join(b"line %d of a text that packs well\n" % number for number in range(5000)) + os.urandom(3000)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODED = {
    "gzip": (["gzip"], gzip.compress(TEXT)),
    "x-gzip": (["x-gzip"], gzip.compress(TEXT)),
    "gzip in members": (["gzip"], b"".join(gzip.compress(TEXT[at : at + 9000]) for at in range(0, len(TEXT), 9000))),
    "gzip with padding": (["gzip"], gzip.compress(TEXT) + bytes(100)),
    "deflate": (["deflate"], zlib.compress(TEXT)),
    "deflate, raw": (["deflate"], raw_deflate(TEXT)),
    "brotli": (["br"], brotli.compress(TEXT)),
    "zstd": (["zstd"], zstandard.compress(TEXT)),
    "zstd in frames": (["zstd"], zstandard.compress(TEXT[:9000]) + zstandard.compress(TEXT[9000:])),
    "gzip, then brotli": (["gzip", "br"], brotli.compress(gzip.compress(TEXT))),
    "three": (["br", "deflate", "gzip"], gzip.compress(zlib.compress(brotli.compress(TEXT)))),
}


def decoded(made: Decoder, data: bytes, piece: int, size: int = 1 << 16) -> bytes:
    content = b""
    for start in range(0, len(data), piece):
        made.push(data[start : start + piece])
        while part := made.pull(size):
            assert len(part) <= max(size, 1 << 16)
            content += part
    made.finish()
    return content


@pytest.mark.parametrize("piece", [1 << 20, 1000, 7])
@pytest.mark.parametrize("name", CODED)
def test_body_is_decoded_however_it_arrives(name: str, piece: int) -> None:
    codings, data = CODED[name]
    made = decoder(codings)
    assert made is not None
    assert decoded(made, data, piece) == TEXT


@pytest.mark.parametrize("codings", [[], ["compress"], ["gzip", "unknown"], ["gzip"] * 5])
def test_unknown_coding_is_left_alone(codings: list[str]) -> None:
    assert decoder(codings) is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_body_cut_off_is_an_error(coding: str) -> None:
    _, data = CODED[{"br": "brotli"}.get(coding, coding)]
    made = decoder([coding])
    assert made is not None
    with pytest.raises(EgressError, match="cut off"):
        decoded(made, data[:-20], 1000)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_garbage_is_an_error(coding: str) -> None:
    made = decoder([coding])
    assert made is not None
    with pytest.raises(EgressError, match="not valid"):
        decoded(made, b"this is not compressed at all" * 10, 1000)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_empty_body_is_empty(coding: str) -> None:
    made = decoder([coding])
    assert made is not None
    assert decoded(made, b"", 1) == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_bomb_comes_out_in_bounded_pieces(coding: str) -> None:
    zeros = bytes(64 << 20)
    bomb = {"gzip": gzip.compress, "br": lambda data: brotli.compress(data, quality=5), "zstd": zstandard.compress}[
        coding
    ](zeros)
    made = decoder([coding])
    assert made is not None
    made.push(bomb)
    total = 0
    while part := made.pull(1 << 16):
        assert len(part) <= 1 << 16
        total += len(part)
    assert total == len(zeros)
