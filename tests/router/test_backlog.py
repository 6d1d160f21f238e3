"""What floods bring is worked off in turns that stay short, and others come in between."""

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest
import uvloop

from router.backlog import TURN_SECONDS, Backlog

PORTIONS = 5


def burn() -> None:
    """Take all of a turn."""
    until = monotonic() + TURN_SECONDS
    while monotonic() < until:
        pass


async def work_off(names: str, cost: Callable[[], None]) -> list[str]:
    """Have each name say itself a few times, in portions, beside somebody who says `.` once per turn of the loop."""
    loop, said, done = asyncio.get_running_loop(), list[str](), asyncio.Event()
    backlog = Backlog.here()

    def portion(name: str, left: int) -> None:
        said.append(name)
        cost()
        if left > 1:
            backlog.add(lambda: portion(name, left - 1))
        elif said.count(names[0]) == said.count(names[-1]) == PORTIONS:
            done.set()

    def tick() -> None:
        said.append(".")
        if not done.is_set():
            loop.call_soon(tick)

    for name in names:
        backlog.add(lambda name=name: portion(name, PORTIONS))  # type: ignore[misc]
    loop.call_soon(tick)
    await done.wait()
    return said


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_others_come_between_any_two_long_portions(runner: Callable[..., list[str]]) -> None:
    said = "".join(runner(work_off("ab", burn)))
    assert said.replace(".", "") == "ab" * PORTIONS
    assert [portion for portion in said.split(".") if portion] == list("ab" * PORTIONS)


def test_somebody_alone_has_one_portion_per_turn() -> None:
    said = "".join(uvloop.run(work_off("a", lambda: None)))
    assert [portion for portion in said.split(".") if portion] == ["a"] * PORTIONS


def test_the_next_portion_of_the_same_is_for_the_next_turn() -> None:
    said = "".join(uvloop.run(work_off("abc", lambda: None)))
    assert said.replace(".", "") == "abc" * PORTIONS
    assert all(len(set(turn)) == len(turn) for turn in said.split("."))


async def fail_before_another() -> list[str]:
    loop, complaints = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _loop, context: complaints.append(str(context["exception"])))
    done = asyncio.Event()

    def fail() -> None:
        raise ValueError("a mistake of ours")

    Backlog.here().add(fail)
    Backlog.here().add(done.set)
    await asyncio.wait_for(done.wait(), 20)
    return complaints


def test_the_others_go_on_after_an_exception() -> None:
    assert uvloop.run(fail_before_another()) == ["a mistake of ours"]
