"""Answers that wait for the disk, and what does not wait with them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.dataplane.plane import ENDLESS, MAIN, OTHER, Plane, serve_plane
from tests.dataplane.slow_disk import SYNC_SECONDS
from tests.dataplane.test_websocket import Socket, greeted

INSERT = "INSERT INTO t VALUES (1)"


@pytest.fixture
async def slow_plane() -> AsyncIterator[Plane]:
    async with serve_plane("tests.dataplane.slow_disk", statement_ms=1500) as served:
        await served.execute("CREATE TABLE t (a)")
        yield served


@contextlib.asynccontextmanager
async def opened(plane: Plane) -> AsyncIterator[Socket]:
    """A WebSocket with stream 1."""
    async with greeted(plane) as client:
        client.request(0, "open_stream", stream_id=1)
        await client.answer()
        yield client


async def _commits(plane: Plane, queries: int) -> tuple[int, int]:
    """Return the commits and the waits for the disk when so many statements have run."""
    stats = (await plane.worker.stats(lambda stats: stats.databases[MAIN].queries >= queries)).databases[MAIN]
    return stats.commits, stats.syncs


def _execute(client: Socket, number: int, sql: str, stream: int = 1) -> None:
    client.request(number, "execute", stream_id=stream, stmt={"sql": sql})


def _value(answer: Any) -> Any:
    assert answer["type"] == "response_ok", answer
    return answer["response"]["result"]["rows"][0][0]["value"]


async def test_an_answer_waits_for_the_disk_and_other_databases_do_not(slow_plane: Plane) -> None:
    began = time.monotonic()
    writing = asyncio.create_task(slow_plane.execute(INSERT))
    await asyncio.sleep(SYNC_SECONDS / 3)
    assert await slow_plane.values("SELECT 1", database_id=OTHER) == [[1]]
    assert not writing.done()
    await writing
    assert time.monotonic() - began >= SYNC_SECONDS


async def test_requests_of_one_stream_share_a_wait_for_the_disk(slow_plane: Plane) -> None:
    before = await _commits(slow_plane, 1)
    async with opened(slow_plane) as client:
        began = time.monotonic()
        for number in range(1, 21):
            _execute(client, number, INSERT)
        _execute(client, 21, "SELECT count(*) FROM t")
        answers = [await client.answer() for _ in range(21)]
        took = time.monotonic() - began
    assert [answer["request_id"] for answer in answers] == list(range(1, 22))
    assert _value(answers[-1]) == "20"
    assert SYNC_SECONDS <= took < 10 * SYNC_SECONDS
    after = await _commits(slow_plane, 22)
    assert after[0] - before[0] == 20
    assert after[1] - before[1] <= 3


async def test_what_follows_a_commit_is_not_answered_before_it(slow_plane: Plane) -> None:
    async with opened(slow_plane) as client:
        began = time.monotonic()
        _execute(client, 1, INSERT)
        _execute(client, 2, "SELECT nonsense")
        _execute(client, 3, "BEGIN IMMEDIATE")
        _execute(client, 4, INSERT)
        _execute(client, 5, "SELECT count(*) FROM t")
        _execute(client, 6, "ROLLBACK")
        _execute(client, 7, "SELECT count(*) FROM t")
        answers = [await client.answer() for _ in range(7)]
        assert time.monotonic() - began >= SYNC_SECONDS
    assert [answer["request_id"] for answer in answers] == [1, 2, 3, 4, 5, 6, 7]
    assert answers[1]["error"]["code"] == "SQLITE_ERROR"
    assert [_value(answers[4]), _value(answers[6])] == ["2", "1"]


async def test_a_slow_statement_does_not_hold_up_the_answer_before_it(slow_plane: Plane) -> None:
    async with opened(slow_plane) as client:
        began = time.monotonic()
        _execute(client, 1, INSERT)
        _execute(client, 2, ENDLESS)
        _execute(client, 3, INSERT)
        assert (await client.answer())["type"] == "response_ok"
        assert time.monotonic() - began < 1.2
        assert (await client.answer())["error"]["code"] == "SQLITE_INTERRUPT"
        assert (await client.answer())["type"] == "response_ok"


async def test_a_stream_is_closed_when_its_last_commit_is_on_the_disk(slow_plane: Plane) -> None:
    async with opened(slow_plane) as client:
        for number in range(1, 6):
            _execute(client, number, INSERT)
        client.request(6, "close_stream", stream_id=1)
        _execute(client, 7, "SELECT 1")
        answers = [await client.answer() for _ in range(7)]
        assert [answer["request_id"] for answer in answers] == [1, 2, 3, 4, 5, 6, 7]
        assert answers[6]["error"]["code"] == "STREAM_CLOSED"
        assert (await slow_plane.worker.stats(lambda stats: stats.databases[MAIN].queries >= 6)).streams == 0


@pytest.mark.parametrize("last", [INSERT, ENDLESS, "BEGIN IMMEDIATE"])
async def test_a_connection_that_ends_while_commits_wait_leaves_nothing_behind(slow_plane: Plane, last: str) -> None:
    for _ in range(3):
        async with greeted(slow_plane) as client:
            for stream in (1, 2):
                client.request(0, "open_stream", stream_id=stream)
                await client.answer()
            for number in range(1, 11):
                for stream in (1, 2):
                    _execute(client, number, INSERT, stream)
            for stream in (1, 2):
                _execute(client, 11, last, stream)
            await asyncio.sleep(SYNC_SECONDS / 2)
    async with asyncio.timeout(20):
        await slow_plane.execute(INSERT)
        await slow_plane.worker.stats(lambda stats: stats.streams == 0)


async def test_a_database_is_closed_while_commits_wait(slow_plane: Plane) -> None:
    async with opened(slow_plane) as client:
        # While this runs, the others come.
        _execute(client, 1, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT 1")
        for number in range(2, 12):
            _execute(client, number, INSERT)
        await client.answer()
        await asyncio.sleep(SYNC_SECONDS / 2)
        await slow_plane.worker.drop(MAIN, delete=False)
        assert (await client.closed())[0] == 1008
    assert await slow_plane.values("SELECT count(*) FROM t") == [[10]]
