"""When a thread that is busy without a rest yields."""

import os
import threading
import time

from runtime import priority
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


def test_an_abandoned_thread_has_what_is_left_and_one_that_has_ended_is_no_error() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert thread.native_id is not None
    priority.abandon(thread.native_id)
    assert os.sched_getscheduler(thread.native_id) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    end.set()
    thread.join()
    priority.abandon(thread.native_id)
