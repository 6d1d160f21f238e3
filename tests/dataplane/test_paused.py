"""Whose slice is next."""

from typing import Any, cast

import msgspec

from dataplane.calls import Call
from dataplane.paused import QUANTUM, Paused
from dataplane.wire import CallHead
from tests.dataplane.caller import Caller
from tests.dataplane.plane import MAIN, OTHER, Plane

COMMITS = 10_000


def call(database_id: str, number: int) -> Call:
    return Call(cast(Any, None), number, 0, CallHead(database_id, 1))


def test_databases_take_turns_and_a_call_keeps_its_databases_turn_for_its_quantum() -> None:
    paused = Paused()
    first, second, other = call("a", 1), call("a", 2), call("b", 3)
    for waiting in (first, second, other):
        paused.add(waiting)
    order = []
    for _ in range(2 * QUANTUM + 4):
        following = paused.next()
        order.append(following.number)
        paused.add(following)
    assert order[: 2 * QUANTUM] == [1, 3] * QUANTUM
    assert order[2 * QUANTUM :] == [2, 3, 2, 3]


def test_a_call_that_ended_is_forgotten() -> None:
    paused = Paused()
    only = call("a", 1)
    paused.add(only)
    assert paused and paused.remove(only)
    assert not paused and not paused.remove(only)


async def test_others_are_served_between_the_commits_of_a_batch(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    caller = await Caller.connect(plane)
    steps = [{"stmt": {"sql": "INSERT INTO t VALUES (1)"}}] * COMMITS
    body = {"requests": [{"type": "batch", "batch": {"steps": steps}}, {"type": "close"}]}
    large = caller.call(MAIN, msgspec.json.encode(body))
    _, served = await caller.served_beside(large, OTHER)
    assert served >= COMMITS // 50
    caller.close()
