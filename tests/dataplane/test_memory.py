"""The memory of the engine is shared by all databases: who has most is ended, others get what they need."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from dataplane.connection import Connection
from dataplane.memory import Growth, Holder, greediest
from dataplane.statements import CACHED_BYTES, CACHED_STATEMENTS
from tests.dataplane.plane import MAIN, OTHER, Plane, execute, serve_plane
from tests.dataplane.small_heap import MOST_MIB
from tests.dataplane.test_websocket import greeted

CLOSE = {"type": "close"}
SORT = "SELECT r FROM (SELECT randomblob(1000) AS r FROM generate_series(1, ?)) ORDER BY r"
REASON = f"More than {MOST_MIB} MiB of memory was in use"


@pytest.fixture
async def small_plane() -> AsyncIterator[Plane]:
    async with serve_plane("tests.dataplane.small_heap") as plane:
        await plane.execute("CREATE TABLE t (a)", database_id=OTHER)
        yield plane


@contextlib.asynccontextmanager
async def unharmed(plane: Plane) -> AsyncIterator[None]:
    """The other database answers all the time meanwhile."""
    over = asyncio.Event()

    async def use() -> None:
        while not over.is_set():
            await plane.execute("INSERT INTO t SELECT randomblob(1000) FROM generate_series(1, 10)", database_id=OTHER)
            assert await plane.values("SELECT count(*) FROM t ORDER BY 1", database_id=OTHER)

    using = asyncio.create_task(use())
    try:
        yield
    finally:
        over.set()
        await using


async def test_pages_of_idle_streams_are_given_back(small_plane: Plane) -> None:
    plane = small_plane
    await plane.execute("CREATE TABLE big AS SELECT randomblob(3000) AS a FROM generate_series(1, 3000)")
    async with unharmed(plane):
        batons = []
        for _ in range(100):
            answer = await plane.requests(execute("SELECT sum(length(a)) FROM big"))
            assert answer["results"][0]["type"] == "ok", answer
            batons.append(answer["baton"])
        for baton in batons:
            assert (await plane.requests(execute("SELECT 1"), CLOSE, baton=baton))["results"][0]["type"] == "ok"


async def test_streams_with_too_many_temporary_tables_are_ended(small_plane: Plane) -> None:
    plane = small_plane
    fill = "CREATE TEMP TABLE x AS SELECT randomblob(1000000) AS a FROM generate_series(1, 30)"
    async with unharmed(plane):
        batons = [(await plane.requests(execute(fill)))["baton"] for _ in range(20)]

        async def ended() -> Any:
            for baton in batons:
                answer = await plane.post("v3/pipeline", {"baton": baton, "requests": [execute("SELECT 1")]})
                if answer.status_code != 200:
                    return answer.json()
            return None

        error = await ended()
    assert error is not None and error["code"] == "STREAM_EXPIRED" and REASON in error["message"]


async def test_a_statement_that_takes_too_much_is_ended(small_plane: Plane) -> None:
    async with unharmed(small_plane):
        error = await small_plane.failure(f"SELECT count(*) FROM ({SORT} LIMIT -1)", 2_000_000)
    assert error["code"] == "SQLITE_INTERRUPT" and REASON in error["message"]


async def test_a_transaction_whose_savepoints_keep_too_much_is_ended(small_plane: Plane) -> None:
    plane = small_plane
    await plane.execute("CREATE TABLE big AS SELECT randomblob(3000) AS a FROM generate_series(1, 12000)")
    step = [execute("SAVEPOINT s"), execute("UPDATE big SET a = randomblob(3000)")]
    baton = error = None
    async with unharmed(plane):
        while error is None:
            answer = await plane.post("v3/pipeline", {"baton": baton, "requests": step})
            document = answer.json()
            if answer.status_code != 200:
                error = document
            else:
                baton, error = document["baton"], document["results"][1].get("error")
    assert error["code"] in ("STREAM_EXPIRED", "SQLITE_INTERRUPT") and REASON in error["message"]
    assert await plane.values("SELECT count(*) FROM big") == [[12000]]


async def test_cursors_that_are_not_read_are_ended(small_plane: Plane) -> None:
    plane = small_plane
    async with unharmed(plane), greeted(plane) as client:
        step = {"stmt": {"sql": SORT, "args": [{"type": "integer", "value": "60000"}]}}
        closed = None
        for number in itertools.count(1):
            client.request(number, "open_stream", stream_id=number)
            client.request(number, "open_cursor", stream_id=number, cursor_id=number, batch={"steps": [step]})
            client.request(number, "fetch_cursor", cursor_id=number, max_count=1)
            for _ in range(3):
                closed = closed or await client.message_or_close()
            if closed is not None:
                break
    assert closed is not None and closed.code == 1008 and REASON in (closed.reason or "")


def test_a_connection_keeps_few_large_statements(tmp_path: Any) -> None:
    connection = Connection(tmp_path / "data.db")
    for number in range(10):
        connection.statements.prepare(f"SELECT '{number}{'x' * (1 << 20)}'")
    assert connection.memory < CACHED_BYTES + (4 << 20) and len(connection.statements) < 5
    connection.statements.prepare(f"SELECT '{'x' * (8 << 20)}'")
    assert len(connection.statements) == 1 and connection.memory > 16 << 20
    assert connection.recycle() and len(connection.statements) == 0 and connection.memory < 1 << 20
    for number in range(CACHED_STATEMENTS + 10):
        connection.statements.prepare(f"SELECT {number}")
    assert len(connection.statements) == CACHED_STATEMENTS
    connection.close()


class OfDatabase:
    """What stands for a stream here."""

    def __init__(self, database_id: str) -> None:
        self.database = SimpleNamespace(database_id=database_id)


def holder(database_id: str, size: int) -> Any:
    stream: Any = OfDatabase(database_id)
    return Holder(stream, size)


def test_the_largest_of_the_database_that_has_most_ends_first() -> None:
    one, two, three = holder(MAIN, 30), holder(MAIN, 40), holder(OTHER, 50)
    held = [one, two, three]
    assert list(greediest(held, 0)) == []
    assert list(greediest(held, 10)) == [two.stream]
    assert list(greediest(held, 60)) == [two.stream, three.stream]
    assert list(greediest(held, 1000)) == [two.stream, three.stream, one.stream]
    assert list(greediest([holder(MAIN, 0)], 10)) == []


def test_growth_is_of_those_that_ran() -> None:
    growth = Growth()
    one, two = holder(MAIN, 0).stream, holder(OTHER, 0).stream
    growth.see(100, [one, two], [one])
    growth.see(160, [one, two], [one, two])
    growth.see(130, [one, two], [one])
    assert (growth.of(one), growth.of(two)) == (130, 30)
    growth.see(150, [two], [])
    assert (growth.of(one), growth.of(two)) == (0, 30)
