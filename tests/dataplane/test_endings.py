"""What a stream leaves when its client goes: ending it may take long, and holds up no other database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import msgspec
import pytest

from tests.dataplane.plane import MAIN, OTHER, Plane
from tests.dataplane.test_websocket import greeted

Leave: TypeAlias = Callable[[], Awaitable[None]]
BEGIN = {"sql": "BEGIN IMMEDIATE"}
SORTED = {
    "sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1500000) "
    "SELECT i, hex(randomblob(40)) AS x FROM n ORDER BY x"
}
WRITTEN = {
    "sql": "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) "
    "SELECT randomblob(1000) FROM n RETURNING a"
}


@asynccontextmanager
async def read_on_a_socket(plane: Plane, batch: Any) -> AsyncIterator[Leave]:
    """Read the first row of a batch's last statement; yields what ends its stream."""
    async with greeted(plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "open_cursor", stream_id=1, cursor_id=1, batch=batch)
        client.request(3, "fetch_cursor", cursor_id=1, max_count=10)
        assert [(await client.answer())["type"] for _ in range(3)] == ["response_ok"] * 3

        async def close_stream() -> None:
            client.request(4, "close_stream", stream_id=1)

        yield close_stream


@asynccontextmanager
async def read_over_http(plane: Plane, batch: Any) -> AsyncIterator[Leave]:
    """The same by a client whose departure is seen at once."""
    begun = asyncio.Event()
    bodies = [msgspec.json.encode({"batch": batch})]

    async def receive() -> dict[str, Any]:
        if not bodies:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            begun.set()
            await asyncio.Event().wait()

    async def leave() -> None:
        reading.cancel()
        await asyncio.wait([reading])

    headers = [(b"host", b"x"), (b"authorization", f"Bearer {plane.tokens[MAIN]}".encode())]
    scope = {"type": "http", "method": "POST", "path": f"/v1/{MAIN}/v3/cursor", "query_string": b"", "headers": headers}
    reading = asyncio.create_task(plane.app(scope, receive, send))
    await begun.wait()
    yield leave
    await leave()


@pytest.mark.parametrize("statement", [SORTED, WRITTEN], ids=["sorted", "written"])
@pytest.mark.parametrize("read", [read_on_a_socket, read_over_http])
async def test_ending_a_cursor_that_is_not_read_holds_up_no_other_database(
    patient_plane: Plane, read: Callable[[Plane, Any], AbstractAsyncContextManager[Leave]], statement: Any
) -> None:
    plane = patient_plane
    await plane.execute("CREATE TABLE t (a)")
    async with read(plane, {"steps": [{"stmt": BEGIN}, {"stmt": statement}]}) as leave:
        waiting = asyncio.create_task(plane.execute("INSERT INTO t VALUES (1)"))  # until that is over
        await plane.worker.stats(lambda stats: stats.streams == 2)
        await plane.execute("SELECT 1", database_id=OTHER)
        await leave()
        waits = await plane.waits_beside(waiting)
    assert max(waits) < sum(waits) / 2
