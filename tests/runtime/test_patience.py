"""For how long to look before sleeping, by how waits went before."""

from itertools import pairwise

import pytest

from runtime.patience import (
    CHEAP_SECONDS,
    CROWD_SECONDS,
    CROWDED_SECONDS,
    FEW,
    LOOK_SECONDS,
    MOST_CROWD_SECONDS,
    MOST_SKIPPED,
    PROMISING_SECONDS,
    Patience,
    longest_look,
)

SHORT = LOOK_SECONDS / 4
LATE = LOOK_SECONDS * 2
LONG = PROMISING_SECONDS * 5


class Waits:
    """A clock, and waits one after another."""

    def __init__(self, longest: float = LOOK_SECONDS) -> None:
        self.patience = Patience(longest)
        self.now = 1000.0

    def one(self, took: float, under_way: int = 1) -> float:
        """Wait for so many seconds; return for how many it was to be looked."""
        until = self.patience.begins(self.now, under_way)
        looked = until - self.now
        self.now += took
        self.patience.ends(self.now)
        return looked

    def crowded(self) -> None:
        """Wait, and lose the processor to others meanwhile."""
        began = self.now
        self.patience.begins(began)
        self.now += LOOK_SECONDS + CROWDED_SECONDS
        self.patience.gave_way(began, self.now)
        self.patience.ends(self.now)

    def looks(self, count: int, took: float) -> int:
        return sum(self.one(took) > 0 for _ in range(count))


def test_the_first_wait_is_not_looked_for() -> None:
    assert Waits().one(SHORT) == 0


def test_a_short_wait_makes_the_next_one_looked_for() -> None:
    waits = Waits()
    waits.one(SHORT)
    assert waits.one(SHORT) == pytest.approx(LOOK_SECONDS)


def test_a_wait_that_is_long_for_its_wake_ups_alone_is_looked_for() -> None:
    waits = Waits()
    waits.one(PROMISING_SECONDS * 0.9)
    assert waits.one(SHORT) > 0
    assert waits.looks(100, SHORT) == 100


def test_long_waits_are_never_looked_for() -> None:
    assert Waits().looks(1000, LONG) == 0


def test_after_a_long_wait_the_process_sleeps_at_once() -> None:
    waits = Waits()
    waits.looks(10, SHORT)
    assert waits.one(LONG) > 0
    assert waits.one(LONG) == 0


@pytest.mark.parametrize("took", [LATE, PROMISING_SECONDS * 0.9])
def test_looks_in_vain_become_rare(took: float) -> None:
    waits = Waits()
    waits.one(took)
    assert waits.looks(200, took) <= 8
    assert waits.looks(10 * (MOST_SKIPPED + 1), took) == 10


def test_one_look_that_pays_restores_all() -> None:
    waits = Waits()
    waits.looks(5000, LATE)
    waits.looks(MOST_SKIPPED + 1, SHORT)
    assert waits.looks(100, SHORT) == 100


def test_a_look_that_hardly_ever_pays_stays_rare() -> None:
    waits = Waits()
    waits.one(LATE)
    looked = sum(waits.one(SHORT if number % 4 == 0 else LATE) > 0 for number in range(8000))
    assert looked < 8000 / 4


def test_who_has_to_share_the_processor_does_not_look_for_a_while() -> None:
    waits = Waits()
    waits.looks(10, SHORT)
    waits.crowded()
    quiet = int(CROWD_SECONDS / SHORT)
    assert waits.looks(quiet - 1, SHORT) == 0
    assert waits.looks(quiet, SHORT) >= quiet - 5


def test_who_has_to_share_the_processor_again_and_again_looks_ever_more_rarely() -> None:
    waits = Waits()
    waits.looks(10, SHORT)
    times = []
    for _ in range(8):
        waits.crowded()
        times.append(waits.now)
        while not waits.one(SHORT):
            pass
    pauses = [later - earlier for earlier, later in pairwise(times)]
    expected = [min(CROWD_SECONDS * 2**number, MOST_CROWD_SECONDS) for number in range(7)]
    assert pauses == pytest.approx(expected, abs=10 * LOOK_SECONDS)
    waits.looks(int(MOST_CROWD_SECONDS / SHORT), SHORT)
    waits.crowded()
    assert waits.looks(int(CROWD_SECONDS / SHORT) + 5, SHORT) > 0


def test_others_that_need_the_processor_for_a_moment_are_no_crowd() -> None:
    waits = Waits()
    waits.looks(10, SHORT)
    waits.patience.begins(waits.now)
    waits.patience.gave_way(waits.now, waits.now + CROWDED_SECONDS / 2)
    waits.patience.ends(waits.now + SHORT)
    assert waits.looks(100, SHORT) == 100


def test_several_short_moments_are_no_crowd_even_where_the_look_was_in_vain() -> None:
    waits = Waits()
    waits.looks(10, SHORT)
    waits.patience.begins(waits.now)
    for _ in range(4):
        since = waits.now
        waits.now += CROWDED_SECONDS * 0.9
        waits.patience.gave_way(since, waits.now)
    waits.patience.ends(waits.now)
    waits.one(SHORT)  # the one that is skipped after a look in vain
    assert waits.one(SHORT) > 0


def test_with_many_requests_under_way_a_look_is_as_short_as_it_is_cheap() -> None:
    waits = Waits()
    waits.one(CHEAP_SECONDS / 2)
    assert waits.one(CHEAP_SECONDS / 2, FEW + 1) == pytest.approx(CHEAP_SECONDS)
    assert waits.one(CHEAP_SECONDS / 2, FEW) == pytest.approx(LOOK_SECONDS)
    assert Waits(0.0).one(CHEAP_SECONDS / 2, FEW + 1) == 0


def test_with_one_core_nothing_is_looked_for() -> None:
    assert longest_look(1) == 0
    assert longest_look(2) == LOOK_SECONDS
    assert Waits(longest_look(1)).looks(100, SHORT) == 0


def test_what_is_known_can_be_read() -> None:
    waits = Waits()
    waits.one(0.000_05)
    assert repr(waits.patience) == "<Patience, last wait 50 us, 0 of 0 to skip>"
