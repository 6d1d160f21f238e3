"""Hosts that are being brought up, with work that does not end by itself."""

import asyncio
import logging

from runtime.supervisor.background import Background
from runtime.supervisor.starts import Starts

APP, OTHER = "app-1", "app-2"


def new_starts() -> Starts:
    return Starts(Background(logging.getLogger("tests.starts")))


async def test_an_app_is_there_until_its_start_is_done() -> None:
    starts, go_on = new_starts(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()

    starts.begin(APP, work())
    assert APP in starts and OTHER not in starts and len(starts) == 1
    go_on.set()
    await starts.over(APP)
    assert APP not in starts


async def test_a_later_start_takes_the_place_of_an_earlier_one() -> None:
    starts, ends, forever = new_starts(), list[str](), asyncio.Event()

    async def work(name: str) -> None:
        try:
            await forever.wait()
        except asyncio.CancelledError:
            ends.append(name)
            raise

    starts.begin(APP, work("first"))
    await asyncio.sleep(0)
    starts.begin(APP, work("second"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ends == ["first"]
    assert APP in starts  # the end of the first is not that of the second
    starts.forget_all()
    await asyncio.sleep(0)
    assert ends == ["first", "second"]
    assert not len(starts)


async def test_who_waits_for_a_start_waits_for_its_failure_too() -> None:
    starts = new_starts()

    async def fail() -> None:
        raise ValueError

    starts.begin(APP, fail())
    starts.begin(OTHER, asyncio.sleep(0))
    await starts.all_over()
    assert not len(starts)
    await starts.over(APP)  # at once: there is none
