"""Frames that a socket tears anywhere."""

import random

import pytest

from isolates.wire import FrameError, Type, decode, encode
from router.frames import FrameReader


@pytest.mark.parametrize("seed", range(20))
def test_frames_come_out_as_they_went_in(seed: int) -> None:
    chance = random.Random(seed)
    sizes = [chance.choice([0, 5, 9_000, 60_000]) for _ in range(20)]
    stream = b"".join(encode(chance.randrange(9), Type.DATA, data=chance.randbytes(size)) for size in sizes)
    reader, found, at = FrameReader(), [], 0
    while at < len(stream):
        piece = stream[at : at + chance.choice([1, 3, 10, 5_000, 9_000, 70_000, 200_000])]
        found += reader.feed(piece)
        at += len(piece)
    assert found == decode(stream)[0]


def test_a_length_that_cannot_be_is_an_error() -> None:
    reader = FrameReader()
    assert reader.feed(b"\xff\xff\xff\x7f") == []
    with pytest.raises(FrameError):
        reader.feed(b"x" * 20_000)
