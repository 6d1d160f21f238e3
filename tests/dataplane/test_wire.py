"""The format between edge and database worker: golden bytes and torn input."""

import pytest

from dataplane import wire


def test_golden_frame() -> None:
    frame = wire.encode(7, wire.Type.CALL, flags=wire.END, code=wire.Route.PIPELINE_V3, head=b"hh", data=b"ddd")
    assert frame == bytes.fromhex("15000000 07000000 01 01 0200 02000000") + b"hhddd"


def test_frames_survive_any_cut() -> None:
    data = wire.encode_body(1, wire.Type.ANSWER, b"x" * 600_000, flags=wire.END | wire.MESSAGE, code=200)
    data += wire.encode_window(2, 99)
    whole = wire.Decoder().feed(data)
    assert [frame.type for frame in whole] == [wire.Type.ANSWER, wire.Type.DATA, wire.Type.DATA, wire.Type.WINDOW]
    assert [frame.flags & wire.END for frame in whole[:3]] == [0, 0, wire.END]
    assert b"".join(frame.data for frame in whole[:3]) == b"x" * 600_000
    assert wire.window_bytes(whole[3]) == 99
    decoder = wire.Decoder()
    pieces = [frame for start in range(0, len(data), 70_001) for frame in decoder.feed(data[start : start + 70_001])]
    assert pieces == whole


def test_impossible_lengths_are_errors() -> None:
    for header in ((15, 0), (1 << 30, 0), (20, 5)):
        with pytest.raises(wire.FrameError):
            wire.Decoder().feed(wire.HEADER.pack(header[0], 1, 1, 0, 0, header[1]) + bytes(20))
