"""Who waits for room for a request body, and who does not."""

import asyncio

import pytest

from dataplane.bodies import Room


async def waiting(room: Room, database_id: str, size: int) -> "asyncio.Task[None]":
    """Ask for room; the task is done if there is some."""
    task = asyncio.create_task(room.take(database_id, size))
    await asyncio.sleep(0)
    return task


async def test_bodies_of_a_database_wait_in_their_order_and_others_do_not() -> None:
    room = Room(100)
    await room.take("a", 60)
    large, small = await waiting(room, "a", 50), await waiting(room, "a", 10)
    assert (await waiting(room, "b", 100)).done()
    assert not large.done() and not small.done()
    assert repr(room) == "<Room [160 bytes taken, 2 bodies waiting]>"
    room.give_back("a", 60)
    await asyncio.gather(large, small)
    room.give_back("a", 50)
    room.give_back("a", 10)
    room.give_back("b", 100)
    assert repr(room) == "<Room [0 bytes taken, 0 bodies waiting]>"


async def test_a_body_larger_than_the_room_has_it_alone() -> None:
    room = Room(100)
    await room.take("a", 500)
    other = await waiting(room, "a", 1)
    assert not other.done()
    room.give_back("a", 500)
    await other


@pytest.mark.parametrize("granted", [False, True])
async def test_who_leaves_while_waiting_takes_nothing(granted: bool) -> None:
    room = Room(100)
    await room.take("a", 100)
    leaving = await waiting(room, "a", 80)
    following = await waiting(room, "a", 100)
    if granted:
        room.give_back("a", 100)  # it is told in the next turn of the loop, and leaves in this one
    leaving.cancel()
    if not granted:
        await asyncio.sleep(0)
        room.give_back("a", 100)
    await following
    assert leaving.cancelled()
    room.give_back("a", 100)
    assert repr(room) == "<Room [0 bytes taken, 0 bodies waiting]>"
