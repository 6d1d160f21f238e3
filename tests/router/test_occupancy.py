"""One cap over several hosts and edge workers, and the choice among hosts."""

import os
from collections.abc import Iterator

import pytest

from router.dispatch import least_loaded
from router.occupancy import Occupancy, shared_memory


@pytest.fixture
def workers() -> Iterator[tuple[Occupancy, Occupancy]]:
    fd = shared_memory(2)
    first, second = Occupancy(fd, 0, 2), Occupancy(fd, 1, 2)
    os.close(fd)
    yield first, second
    first.close()
    second.close()


def test_the_cap_holds_over_all_workers(workers: tuple[Occupancy, Occupancy]) -> None:
    first, second = workers
    assert first.admit(5, 0, 3)
    assert first.admit(5, 1, 3)
    assert second.admit(5, 0, 3)
    assert not second.admit(5, 1, 3)
    assert not first.admit(5, 2, 3)


def test_a_refused_request_is_not_counted(workers: tuple[Occupancy, Occupancy]) -> None:
    first, second = workers
    first.publish(0, 2)
    assert not second.admit(0, 0, 2)
    first.publish(0, 1)
    assert second.admit(0, 0, 2)


def test_apps_are_counted_apart(workers: tuple[Occupancy, Occupancy]) -> None:
    first, second = workers
    first.publish(1, 100)
    assert second.admit(2, 0, 1)


def test_what_a_dead_worker_said_is_forgotten(workers: tuple[Occupancy, Occupancy]) -> None:
    first, second = workers
    first.publish(7, 9)
    second.publish(7, 1)
    first.clear(0)
    assert second.admit(7, 1, 2)


class Link:
    def __init__(self, requests: int, usable: bool = True) -> None:
        self.streams = dict.fromkeys(range(requests))
        self.usable = usable


@pytest.mark.parametrize(
    ("links", "chosen"),
    [
        ([(3, True), (2, True)], 1),
        ([(2, True), (2, True)], 0),
        ([(0, False), (9, True)], 1),
        ([(0, False)], None),
        ([], None),
    ],
)
def test_the_usable_host_with_the_fewest_requests_is_chosen(links: list[tuple[int, bool]], chosen: int | None) -> None:
    made = [Link(requests, usable) for requests, usable in links]
    assert least_loaded(made) is (None if chosen is None else made[chosen])  # type: ignore[arg-type, comparison-overlap]
