"""The cursor endpoint: newline-delimited JSON, streamed at constant memory."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dataplane.plane import MAIN, Plane, execute, serve_plane
from tests.dataplane.test_websocket import greeted

NUMBERS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i, 'text of row ' || i FROM n"
)


def body(*statements: Any) -> dict[str, Any]:
    steps = [stmt if "stmt" in stmt else {"stmt": stmt} for stmt in statements]
    return {"batch": {"steps": steps}}


async def entries(plane: Plane, document: dict[str, Any]) -> list[dict[str, Any]]:
    response = await plane.post("v3/cursor", document)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_a_batch_comes_as_entries_in_order(plane: Plane) -> None:
    lines = await entries(
        plane,
        body(
            {"sql": "CREATE TABLE t (a TEXT)"},
            {"sql": "INSERT INTO t VALUES ('x')"},
            {"sql": "SELECT a FROM t"},
            {"sql": "SELECT nope"},
            {"stmt": {"sql": "SELECT 'skipped'"}, "condition": {"type": "ok", "step": 3}},
        ),
    )
    assert lines[0]["base_url"] is None
    assert [line.get("type") for line in lines[1:]] == [
        *("step_begin", "step_end", "step_begin", "step_end", "step_begin", "row", "step_end"),
        *("step_error", "replication_index"),
    ]
    assert lines[4]["affected_row_count"] == 1
    assert lines[5] == {"type": "step_begin", "step": 2, "cols": [{"name": "a", "decltype": "TEXT"}]}
    assert lines[6] == {"type": "row", "row": [{"type": "text", "value": "x"}]}
    assert (lines[8]["step"], lines[8]["error"]["code"]) == (3, "SQLITE_ERROR")
    follow_up = await plane.requests(execute("SELECT 1"), {"type": "close"}, baton=lines[0]["baton"])
    assert follow_up["results"][0]["type"] == "ok"


async def test_a_large_result_streams_at_constant_memory(plane: Plane) -> None:
    await entries(plane, body({"sql": NUMBERS.format(1000)}))
    before = peak_memory(plane.worker.process.pid)
    lines = 0
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
    document = body({"sql": NUMBERS.format(200_000)})
    async with plane.http.stream("POST", f"/v1/{MAIN}/v3/cursor", json=document, headers=headers) as response:
        async for chunk in response.aiter_bytes():
            lines += chunk.count(b"\n")
    assert lines == 200_000 + 4
    assert peak_memory(plane.worker.process.pid) - before < 20_000


async def test_a_client_that_does_not_read_holds_up_nobody_and_leaving_frees_the_stream(plane: Plane) -> None:
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
    document = body({"sql": NUMBERS.format(100_000_000)})
    client = httpx.AsyncClient(timeout=30)
    async with client.stream("POST", f"{plane.url()}/v3/cursor", json=document, headers=headers) as response:
        assert response.status_code == 200
        await asyncio.sleep(0.3)
        await plane.execute("CREATE TABLE t (a)")
        assert (await plane.worker.stats(lambda stats: stats.streams >= 1)).streams
    await client.aclose()
    await plane.execute("SELECT 1")
    await plane.worker.stats(lambda stats: stats.streams == 0)


async def test_malformed_arguments_are_told_in_band(plane: Plane) -> None:
    lines = await entries(plane, body({"sql": "SELECT ?", "args": [{"type": "integer", "value": "x"}]}))
    assert lines[-1]["type"] == "error"


def peak_memory(pid: int) -> int:
    """Return the most memory a process has held, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


async def grow(plane: Plane, times: int) -> int:
    """Write some megabytes a few times; return the size of the WAL then."""
    for _ in range(times):
        await plane.execute("UPDATE t SET a = randomblob(100000)")
    return (plane.worker.directory / MAIN / "data.db-wal").stat().st_size


@pytest.mark.parametrize("socket", [False, True])
async def test_a_cursor_that_is_read_slowly_does_not_let_the_wal_grow_for_ever(socket: bool) -> None:
    async with serve_plane(max_held_wal_bytes=8 << 20) as plane, AsyncExitStack() as stack:
        await plane.execute("CREATE TABLE t (a)")
        await plane.execute("INSERT INTO t SELECT zeroblob(100000) FROM generate_series(1, 30)")
        batch = {"steps": [{"stmt": {"sql": "SELECT a FROM t, generate_series(1, 1000)"}}]}
        if socket:
            client = await stack.enter_async_context(greeted(plane))
            client.request(1, "open_stream", stream_id=1)
            client.request(2, "open_cursor", stream_id=1, cursor_id=1, batch=batch)
            client.request(3, "fetch_cursor", cursor_id=1, max_count=1)
            assert [(await client.answer())["type"] for _ in range(3)] == ["response_ok"] * 3
        else:
            request = plane.http.build_request(
                "POST",
                f"{plane.url()}/v3/cursor",
                json={"batch": batch},
                headers={"authorization": f"Bearer {plane.tokens[MAIN]}"},
            )
            response = await plane.http.send(request, stream=True)
            stack.push_async_callback(response.aclose)
        held = await grow(plane, 6)
        assert held > 8 << 20
        while not plane.worker.messages.empty():
            plane.worker.messages.get_nowait()  # of before
        # Writing goes on: at the last write the cursor may have been at work still, and not waiting for its reader.
        over = asyncio.ensure_future(plane.worker.stats(lambda stats: stats.streams == 0))
        while not over.done():
            held = await grow(plane, 1)
        await over
        assert await grow(plane, 12) < held + (12 << 20)
        if socket:
            code, reason = await client.closed()
            assert code == 1008 and "held up 8 MiB" in reason
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                await response.aread()
