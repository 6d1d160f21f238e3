"""The order of writers and when a turn ends, as tables over pure state."""

import pytest

from dataplane.limits import Limits
from dataplane.messages import WorkerSettings
from dataplane.writers import Writers

LIMITS = Limits.of(WorkerSettings(index=0, listen_fd=0, directory="/"))


def writers() -> Writers[str]:
    return Writers(LIMITS)


def test_turns_go_round_in_the_order_of_asking() -> None:
    queue = writers()
    assert queue.ask("a", 0)
    assert not queue.ask("b", 1)
    assert not queue.ask("c", 2)
    assert queue.give_back("a", 3) == "b"
    assert queue.give_back("b", 4) == "c"
    assert queue.give_back("c", 5) is None
    assert queue.holder is None


def test_who_leaves_the_queue_is_passed_over() -> None:
    queue = writers()
    queue.ask("a", 0)
    queue.ask("b", 0)
    queue.ask("c", 0)
    assert queue.give_back("b", 1) is None
    assert queue.give_back("a", 2) == "c"
    assert queue.give_back("stranger", 3) is None


@pytest.mark.parametrize(
    ("age", "waiting", "batch", "limit"),
    [
        (4.9, True, False, None),
        (5.0, True, False, 5.0),
        (5.0, False, False, None),
        (29.9, False, False, None),
        (29.9, True, True, None),
        (30.0, False, False, 30.0),
        (30.0, False, True, 30.0),
    ],
)
def test_a_turn_is_overdue(age: float, waiting: bool, batch: bool, limit: float | None) -> None:
    queue = writers()
    queue.ask("a", 100)
    if waiting:
        queue.ask("b", 100)
    assert queue.overdue(100 + age, batch=batch) == limit


def test_a_turn_that_was_passed_on_begins_anew() -> None:
    queue = writers()
    queue.ask("a", 0)
    queue.ask("b", 0)
    queue.give_back("a", 10)
    assert queue.overdue(39, batch=True) is None
    assert repr(queue) == "<Writers [holder: 'b' | 0 waiting]>"
