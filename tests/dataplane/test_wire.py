"""The format between edge and database worker: golden bytes and torn input."""

import pytest

from dataplane import wire


def test_golden_frame() -> None:
    frame = wire.encode(7, wire.Type.CALL, flags=wire.END, code=wire.Route.PIPELINE_V3, head=b"hh", data=b"ddd")
    assert frame == bytes.fromhex("15000000 07000000 01 01 0200 02000000") + b"hhddd"


def test_frames_survive_any_cut() -> None:
    body = wire.encode_body(1, wire.Type.DATA, b"x" * 150_000, flags=wire.END | wire.MESSAGE)
    data = b"".join((*body, wire.encode_window(2, 99)))
    whole = wire.Decoder().feed(data)
    assert [frame.type for frame in whole] == [wire.Type.DATA] * 3 + [wire.Type.WINDOW]
    assert [frame.flags for frame in whole[:3]] == [0, 0, wire.END | wire.MESSAGE]
    assert b"".join(frame.data for frame in whole[:3]) == b"x" * 150_000
    assert wire.window_bytes(whole[3]) == 99
    decoder = wire.Decoder()
    pieces = [frame for start in range(0, len(data), 70_001) for frame in decoder.feed(data[start : start + 70_001])]
    assert pieces == whole


@pytest.mark.parametrize("size", [0, 10, wire.MAX_DATA_BYTES, wire.MAX_DATA_BYTES + 1, 600_000])
def test_a_complete_answer_says_how_long_it_is(size: int) -> None:
    frames = wire.Decoder().feed(b"".join(wire.encode_answer(1, b"x" * size, 200)))
    assert wire.answer_bytes(frames[0]) == sum(len(frame.data) for frame in frames) == size
    assert frames[0].type == wire.Type.ANSWER and frames[-1].flags == wire.END


def test_an_answer_that_goes_on_does_not() -> None:
    (frame,) = wire.Decoder().feed(b"".join(wire.encode_body(1, wire.Type.ANSWER, b"some", code=200)))
    assert wire.answer_bytes(frame) is None


def test_impossible_lengths_are_errors() -> None:
    for header in ((15, 0), (1 << 30, 0), (20, 5)):
        with pytest.raises(wire.FrameError):
            wire.Decoder().feed(wire.HEADER.pack(header[0], 1, 1, 0, 0, header[1]) + bytes(20))
