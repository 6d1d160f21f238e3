"""What one tenant may use of a database worker, and how a refusal names the limit."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.dataplane.plane import MAIN, OTHER, Plane, execute, serve_plane
from tests.dataplane.test_websocket import greeted

CLOSE = {"type": "close"}


@pytest.fixture
async def small_plane() -> AsyncIterator[Plane]:
    async with serve_plane(max_row_bytes=100_000, max_sql_bytes=10_000, max_streams=3, max_websockets=2) as plane:
        yield plane


async def test_every_limit_of_size_and_number(small_plane: Plane) -> None:
    plane = small_plane
    await plane.execute("CREATE TABLE t (a)")

    assert (await plane.execute("INSERT INTO t VALUES (?)", "x" * 90_000))["affected_row_count"] == 1
    error = await plane.failure("INSERT INTO t VALUES (?)", "x" * 100_001)
    assert (error["code"], error["message"].split("(")[1]) == (
        "SQLITE_TOOBIG",
        "the limit of one value or row is 100,000 bytes)",
    )
    assert (await plane.failure("SELECT zeroblob(100001)"))["code"] == "SQLITE_TOOBIG"

    assert await plane.values("SELECT 1" + " " * 9_992) == [[1]]
    error = await plane.failure("SELECT 1" + " " * 9_993)
    assert error["code"] == "SQL_INPUT_ERROR" and "10,001 bytes, the limit is 10,000" in error["message"]

    batons = [(await plane.requests(execute("BEGIN")))["baton"] for _ in range(3)]
    refused = await plane.post("v3/pipeline", {"requests": [execute("SELECT 1")]})
    assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_STREAMS")
    assert "3 open streams, the limit" in refused.json()["message"]
    assert (await plane.execute("SELECT 1", database_id=OTHER))["rows"]
    await plane.requests(CLOSE, baton=batons[0])
    assert await plane.values("SELECT count(*) FROM t") == [[1]]

    async with AsyncExitStack() as sockets:
        for _ in range(2):
            await sockets.enter_async_context(greeted(plane))
        third = await sockets.enter_async_context(greeted(plane))
        code, reason = await third.closed()
        assert code == 1008 and "2 open WebSockets, the limit" in reason
        other = await sockets.enter_async_context(greeted(plane, plane.tokens[OTHER], f"/v1/{OTHER}"))
        other.request(1, "open_stream", stream_id=1)
        assert (await other.answer())["type"] == "response_ok"
    async with greeted(plane) as again:
        again.request(1, "open_stream", stream_id=1)
        assert (await again.answer())["type"] == "response_ok"


async def test_a_database_may_have_limits_of_its_own(plane: Plane) -> None:
    fill = "INSERT INTO t SELECT zeroblob(100000)"
    for database_id in (MAIN, OTHER):
        await plane.execute("CREATE TABLE t (a)", database_id=database_id)
    await plane.execute("SELECT 1")  # leaves a connection for the next stream
    session = await plane.requests(execute("CREATE TEMP TABLE x AS SELECT 1 AS a"))
    plane.limit(
        MAIN,
        max_database_bytes=300_000,
        max_answer_bytes=50_000,
        max_row_bytes=200_000,
        max_sql_bytes=1_000,
        max_streams=2,
        max_websockets=1,
    )
    assert [(await plane.execute(fill))["affected_row_count"] for _ in range(2)] == [1, 1]
    full = await plane.failure(fill)
    assert full["code"] == "SQLITE_FULL" and "the limit of one database is 300,000 bytes" in full["message"]
    large = await plane.failure("SELECT * FROM t")
    assert large["code"] == "RESPONSE_TOO_LARGE" and "exceeds 50,000 bytes" in large["message"]
    assert (await plane.failure("SELECT zeroblob(200001)"))["code"] == "SQLITE_TOOBIG"
    assert (await plane.failure("SELECT 1" + " " * 1_000))["code"] == "SQL_INPUT_ERROR"
    # A stream that was open keeps what it has, and is held to them from its next request on.
    answer = await plane.requests(
        execute(fill), execute("SELECT zeroblob(200001)"), execute("SELECT a FROM x"), baton=session["baton"]
    )
    codes = [result["error"]["code"] for result in answer["results"][:2]]
    assert codes == ["SQLITE_FULL", "SQLITE_TOOBIG"] and answer["results"][2]["type"] == "ok"
    second = await plane.requests(execute("SELECT 1"))
    refused = await plane.post("v3/pipeline", {"requests": []})
    assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_STREAMS")
    await plane.requests(CLOSE, baton=second["baton"])
    async with greeted(plane), greeted(plane) as surplus:
        assert "1 open WebSockets, the limit" in (await surplus.closed())[1]
    for _ in range(4):
        await plane.execute(fill, database_id=OTHER)

    plane.limit(MAIN)
    assert (await plane.execute(fill))["affected_row_count"] == 1
    await plane.requests(execute(fill), execute("SELECT zeroblob(200001)"), CLOSE, baton=answer["baton"])
    assert await plane.values("SELECT count(*) FROM t") == [[4]]
