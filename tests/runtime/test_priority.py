"""When a thread that is busy without a rest yields."""

import time

from runtime.priority import YIELD_SECONDS, Yielding


def test_who_goes_on_for_long_yields_and_then_not_for_a_while() -> None:
    yielding = Yielding()
    now = time.monotonic()
    yielding.between_turns(now)
    due = yielding.due
    assert due >= now + YIELD_SECONDS
    yielding.between_turns(due - YIELD_SECONDS / 2)
    assert yielding.due == due, "too early"
    yielding.between_turns(due)
    assert yielding.due > due


def test_who_slept_has_time_again() -> None:
    yielding = Yielding()
    yielding.slept(100.0)
    assert yielding.due == 100.0 + YIELD_SECONDS
