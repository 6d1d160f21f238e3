"""Long lists are freed some objects at a time, short ones as any."""

from itertools import pairwise

import pytest

from dataplane import leftovers
from dataplane.leftovers import FEW, Gradual, gradual


class Thing:
    """Counts those that exist."""

    living = 0

    def __init__(self) -> None:
        Thing.living += 1

    def __del__(self) -> None:
        Thing.living -= 1


def things(count: int) -> list[Thing]:
    return gradual([Thing() for _ in range(count)])


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    leftovers.free(60.0)
    assert not leftovers.left and not Thing.living


def test_a_long_list_is_freed_in_slices() -> None:
    kept = things(10 * FEW)
    assert isinstance(kept, Gradual)
    first = kept[0]
    del kept
    seen = [Thing.living]
    while leftovers.left:
        leftovers.free(0.0)
        seen.append(Thing.living)
    assert seen[0] == 10 * FEW and seen[-1] == 1
    assert max(before - after for before, after in pairwise(seen)) < FEW
    del first


def test_lists_in_lists_are_freed_in_slices_too() -> None:
    kept = gradual([things(2 * FEW) for _ in range(2 * FEW // 500)])
    assert not isinstance(kept, Gradual)
    del kept
    assert Thing.living == 2 * FEW // 500 * 2 * FEW
    slices = 0
    while leftovers.left:
        leftovers.free(0.0)
        slices += 1
    assert slices >= 2 * FEW // 500 * 2


def test_one_that_was_used_up_or_is_short_leaves_nothing() -> None:
    used_up = things(2 * FEW)
    while used_up:
        used_up.pop()
    del used_up
    short = things(FEW)
    del short
    assert not leftovers.left and not Thing.living
