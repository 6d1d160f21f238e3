"""Turns to load apps."""

import asyncio

from runtime.supervisor.loads import Loads


async def test_as_many_load_at_once_as_may() -> None:
    loads = Loads(at_once=2, turn_seconds=60)
    loading = most = 0

    async def load() -> None:
        nonlocal loading, most
        async with loads.turn():
            loading += 1
            most = max(most, loading)
            await asyncio.sleep(0.001)
            loading -= 1

    await asyncio.gather(*(load() for _ in range(20)))
    assert most == 2


async def test_apps_that_take_long_hold_up_no_others() -> None:
    loads = Loads(at_once=2, turn_seconds=0.01)
    ended = asyncio.Event()

    async def load() -> None:
        async with loads.turn():
            await ended.wait()

    slow = [asyncio.create_task(load()) for _ in range(20)]
    async with asyncio.timeout(10), loads.turn():
        ended.set()
    await asyncio.gather(*slow)
    # Nobody gave a turn back twice.
    async with loads.turn(), loads.turn():
        assert "all taken" in repr(loads)
