"""What one tenant may use of a database worker, and how a refusal names the limit."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.dataplane.plane import OTHER, Plane, execute, serve_plane
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
