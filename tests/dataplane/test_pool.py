"""Idle connections of a database."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from dataplane.connection import Connection
from dataplane.pool import KEPT, MOST, Pool, most_idle
from tests.dataplane.plane import Plane, execute

Opener: TypeAlias = Callable[[], Connection]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens connections; those that are still open are closed in the end."""
    connections: list[Connection] = []

    def open_one() -> Connection:
        connections.append(Connection(tmp_path / "data.db"))
        return connections[-1]

    yield open_one
    for connection in connections:
        connection.close()


def is_open(connection: Connection) -> bool:
    return connection.handle is not None


def test_the_one_used_last_is_taken_first(opened: Opener) -> None:
    pool, first, second = Pool(), opened(), opened()
    assert pool.take() is None
    assert pool.put(first) and pool.put(second)
    assert [pool.take(), pool.take(), pool.take()] == [second, first, None]


def test_there_is_a_most(opened: Opener) -> None:
    pool = Pool()
    assert all(pool.put(opened()) for _ in range(MOST))
    assert not pool.put(opened())
    assert len(pool) == MOST


def test_a_process_that_may_open_few_files_keeps_fewer() -> None:
    assert most_idle(256) == KEPT
    assert most_idle(1 << 12) == 64
    assert most_idle(1 << 20) == most_idle(resource.RLIM_INFINITY) == MOST


def test_those_that_nobody_has_needed_are_closed_one_by_one_but_for_some(opened: Opener) -> None:
    pool = Pool()
    connections = [opened() for _ in range(KEPT + 3)]
    for connection in connections:
        pool.put(connection)
    pool.shrink()  # they may all have been in use up to now
    assert all(map(is_open, connections))
    for closed in (1, 2, 3, 3):
        pool.shrink()
        assert [is_open(connection) for connection in connections] == [False] * closed + [True] * (KEPT + 3 - closed)
    assert len(pool) == KEPT


def test_those_that_were_in_use_at_once_meanwhile_stay(opened: Opener) -> None:
    pool = Pool()
    for _ in range(KEPT + 3):
        pool.put(opened())
    for _ in range(5):
        pool.shrink()
        in_use = [pool.take() for _ in range(KEPT + 3)]
        for connection in in_use:
            assert connection is not None
            pool.put(connection)
    pool.shrink()
    assert len(pool) == KEPT + 3


def test_closing_closes_all(opened: Opener) -> None:
    pool, connection = Pool(), opened()
    pool.put(connection)
    pool.close()
    assert not is_open(connection)
    assert pool.take() is None


async def test_a_worker_keeps_the_connections_of_a_rush_for_a_while(plane: Plane) -> None:
    def connections() -> int:
        """How often the worker has the log open: once for each, and once to sync it."""
        folder = Path(f"/proc/{plane.worker.process.pid}/fd")
        return sum(entry.readlink().name == "data.db-wal" for entry in folder.iterdir()) - 1

    begun = [await plane.requests(execute("BEGIN"), execute("SELECT 1")) for _ in range(2 * KEPT)]
    assert connections() == 2 * KEPT
    for answer in begun:
        await plane.requests({"type": "close"}, baton=answer["baton"])
    assert connections() > KEPT
    while connections() > KEPT:  # for some seconds; the test's own limit ends it
        await plane.values("SELECT 1")
    assert connections() == KEPT
