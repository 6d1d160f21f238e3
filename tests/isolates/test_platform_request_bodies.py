"""Bodies of requests as the platform takes them: whole or streamed, granted as the app consumes them."""

import struct

import pytest

from isolates import wire
from tests.isolates.platform_driver import Platform, cancel, data, handler, request


def test_a_binary_body_arrives_unchanged() -> None:
    body = bytes(range(256)) * 10
    with Platform(handler("return new Response(await request.arrayBuffer())")) as platform:
        assert platform.fetch(method="POST", body=body).body == body


def test_a_request_body_in_many_frames_is_granted_as_it_is_consumed() -> None:
    with Platform(handler("return new Response(String((await request.arrayBuffer()).byteLength))")) as platform:
        platform.turn(request(1, method="POST", body=b"x" * 60000, end=False))
        for _ in range(4):
            platform.turn(data(1, b"y" * 60000))
        granted = sum(struct.unpack("<I", frame.data)[0] for frame in platform.windows)
        assert 300000 - (64 << 10) <= granted <= 300000
        platform.turn(data(1, b"", end=True))
        assert platform.responses[1].body == b"300000"


@pytest.mark.parametrize("length", [None, "6", "3", "9", "0", "1000000000000", "word"])
def test_a_body_arrives_whole_whatever_its_length_is_said_to_be(length: str | None) -> None:
    headers = [("content-length", length)] if length else []
    with Platform(handler("return new Response(await request.arrayBuffer())")) as platform:
        platform.turn(request(1, method="POST", headers=headers, body=b"a", end=False))
        for piece in (b"bc", b"d", b"", b"e"):
            platform.turn(data(1, piece))
        platform.turn(data(1, b"f", end=True))
        assert platform.responses[1].body == b"abcdef"


COUNT = handler("return new Response(String((await request.arrayBuffer()).byteLength));")


def granted(platform: Platform, stream: int) -> int:
    return sum(struct.unpack("<I", frame.data)[0] for frame in platform.windows if frame.stream == stream)


def test_a_body_that_is_collected_is_granted_as_a_whole() -> None:
    length, first = 1_000_000, 60_000
    with Platform(COUNT) as platform:
        platform.turn(request(1, method="POST", headers=[("content-length", str(length))], end=False))
        assert granted(platform, 1) == length - wire.WINDOW_BYTES
        for at in range(0, length, first):
            platform.turn(data(1, b"x" * min(first, length - at), end=at + first >= length))
        assert len(platform.windows) == 1
        assert platform.responses[1].body == b"1000000"


def test_a_body_that_is_longer_than_it_was_said_to_be_does_not_stall() -> None:
    with Platform(COUNT) as platform:
        platform.turn(request(1, method="POST", headers=[("content-length", "300000")], end=False))
        left, sent = 2_000_000, 0
        while left:
            count = min(60_000, left, wire.WINDOW_BYTES + granted(platform, 1) - sent)
            assert count, "it waits for a window that does not come"
            left, sent = left - count, sent + count
            platform.turn(data(1, b"x" * count, end=not left))
        assert platform.responses[1].body == b"2000000"


def test_many_bodies_that_are_collected_are_granted_no_more_than_a_few_at_once() -> None:
    length = 1_000_000
    with Platform(COUNT) as platform:
        headers = [("content-length", str(length))]
        platform.turn(*(request(stream, method="POST", headers=headers, end=False) for stream in range(1, 51)))
        beyond = [granted(platform, stream) for stream in range(1, 51)]
        assert sum(beyond) == 4 << 20
        assert beyond[0] == length - wire.WINDOW_BYTES
        assert beyond[-1] == 0
        # What goes leaves its share to the next one, whether it was answered or not.
        platform.turn(*(cancel(stream) for stream in range(1, 51)))
        platform.turn(request(51, method="POST", headers=headers, end=False))
        assert granted(platform, 51) == length - wire.WINDOW_BYTES


def test_a_request_body_that_is_not_read_is_not_granted() -> None:
    with Platform(handler("await new Promise(() => {})")) as platform:
        platform.turn(request(1, method="POST", body=b"x" * 60000, end=False))
        platform.turn(data(1, b"y" * 60000))
        assert platform.windows == []


def test_a_request_body_is_streamed() -> None:
    app = handler(
        """const out = []; for await (const chunk of request.body) out.push(chunk.length);
        return Response.json(out)"""
    )
    with Platform(app) as platform:
        platform.turn(request(1, method="POST", body=b"abc", end=False))
        platform.turn(data(1, b"de"))
        platform.turn(data(1, b"", end=True))
        assert platform.responses[1].body == b"[3,2]"


def test_an_echo_streams_both_ways() -> None:
    with Platform(handler("return new Response(request.body)")) as platform:
        platform.turn(request(1, method="POST", end=False))
        for piece in (b"one", b"two"):
            platform.turn(data(1, piece))
            assert platform.responses[1].body.endswith(piece)
        platform.turn(data(1, b"", end=True))
        assert platform.responses[1].ended
