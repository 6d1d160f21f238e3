"""Frames of a host, in portions."""

import asyncio
from collections.abc import Callable

from isolates.wire import Frame, Type, encode
from router.inbox import FRAMES_PER_TURN, Inbox

ONE = encode(1, Type.DATA)


class Reading(asyncio.Transport):
    """Knows only whether it is read."""

    paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def opened(on_turn: Callable[[], None]) -> tuple[Inbox, Reading]:
    inbox, reading = Inbox(on_turn), Reading()
    inbox.open(reading)
    return inbox, reading


def frames(first: int, count: int) -> bytes:
    return b"".join(encode(stream, Type.DATA) for stream in range(first, first + count))


def streams(portion: list[Frame]) -> list[int]:
    return [frame[0] for frame in portion]


async def test_few_frames_are_for_the_turn_in_which_they_came() -> None:
    inbox, reading = opened(lambda: None)
    assert streams(inbox.feed(frames(1, FRAMES_PER_TURN))) == list(range(1, FRAMES_PER_TURN + 1))
    assert not reading.paused


async def test_of_many_the_rest_is_for_later_turns_in_order_and_nothing_is_read_before() -> None:
    turn = asyncio.Event()
    inbox, reading = opened(turn.set)
    seen = streams(inbox.feed(frames(1, 2 * FRAMES_PER_TURN)))
    assert reading.paused
    assert inbox.feed(frames(2 * FRAMES_PER_TURN + 1, 1)) == []  # was read before the pause
    while len(seen) <= 2 * FRAMES_PER_TURN:
        await asyncio.wait_for(turn.wait(), 10)
        turn.clear()
        assert reading.paused
        seen += streams(inbox.next())
    assert seen == list(range(1, 2 * FRAMES_PER_TURN + 2))
    assert not reading.paused


async def test_what_is_put_off_comes_before_what_was_left() -> None:
    turn = asyncio.Event()
    inbox, reading = opened(turn.set)
    portion = inbox.feed(frames(1, FRAMES_PER_TURN + 1))
    inbox.put_off(portion[2:])
    assert reading.paused
    await asyncio.wait_for(turn.wait(), 10)
    assert streams(inbox.next()) == list(range(3, FRAMES_PER_TURN + 2))
    assert not reading.paused


async def test_nothing_is_put_off_where_nothing_is_left() -> None:
    inbox, reading = opened(lambda: None)
    inbox.put_off(inbox.feed(ONE)[1:])
    assert not reading.paused


async def test_nothing_is_left_of_a_connection_that_is_gone() -> None:
    turn = asyncio.Event()
    inbox, _ = opened(turn.set)
    inbox.feed(frames(1, FRAMES_PER_TURN + 1))
    inbox.close()
    await asyncio.wait_for(turn.wait(), 10)
    assert inbox.next() == []
