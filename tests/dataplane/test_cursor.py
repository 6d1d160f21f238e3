"""The cursor endpoint: newline-delimited JSON, streamed at constant memory."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from dataplane.checkpoints import FRAME_BYTES, MOST_FRAMES
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


async def test_many_small_results_stream_at_constant_memory(plane: Plane) -> None:
    await entries(plane, body({"sql": NUMBERS.format(1000)}))
    before = peak_memory(plane.worker.process.pid)
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}", "accept-encoding": "identity"}
    document = body(*[{"sql": "SELECT hex(randomblob(20000))"}] * 3000)
    size = 0
    async with plane.http.stream("POST", f"/v1/{MAIN}/v3/cursor", json=document, headers=headers) as response:
        async for chunk in response.aiter_bytes():
            size += len(chunk)
    assert size > 120_000_000
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


async def test_the_stream_of_a_cursor_that_is_not_read_says_so_and_goes_on_when_it_is(plane: Plane) -> None:
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}", "accept-encoding": "identity"}
    document = body({"sql": NUMBERS.format(300_000)})
    async with plane.http.stream("POST", f"/v1/{MAIN}/v3/cursor", json=document, headers=headers) as response:
        lines = response.aiter_lines()
        baton = json.loads(await anext(lines))["baton"]
        refused = await plane.post("v3/pipeline", {"baton": baton, "requests": []})
        assert (refused.status_code, refused.json()["code"]) == (400, "STREAM_BUSY")
        async for _ in lines:
            pass
    answer = await plane.requests(execute("SELECT 1"), {"type": "close"}, baton=baton)
    assert answer["results"][0]["type"] == "ok"


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


async def open_slowly(plane: Plane, stack: AsyncExitStack, batch: Any) -> Callable[[], Awaitable[None]]:
    """Open a cursor over HTTP of which little is read; return what checks that it was ended."""
    request = plane.http.build_request(
        "POST",
        f"{plane.url()}/v3/cursor",
        json={"batch": batch},
        headers={"authorization": f"Bearer {plane.tokens[MAIN]}"},
    )
    response = await plane.http.send(request, stream=True)
    stack.push_async_callback(response.aclose)

    async def check() -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await response.aread()

    return check


async def open_slowly_on_a_socket(plane: Plane, stack: AsyncExitStack, batch: Any) -> Callable[[], Awaitable[None]]:
    """The same over a WebSocket."""
    client = await stack.enter_async_context(greeted(plane))
    client.request(1, "open_stream", stream_id=1)
    client.request(2, "open_cursor", stream_id=1, cursor_id=1, batch=batch)
    client.request(3, "fetch_cursor", cursor_id=1, max_count=1)
    assert [(await client.answer())["type"] for _ in range(3)] == ["response_ok"] * 3

    async def check() -> None:
        code, reason = await client.closed()
        assert code == 1008 and "held up 8 MiB" in reason

    return check


@pytest.mark.parametrize("open_one", [open_slowly, open_slowly_on_a_socket])
async def test_cursors_that_are_read_slowly_do_not_let_the_wal_grow_for_ever(open_one: Any) -> None:
    async with serve_plane(max_held_wal_bytes=8 << 20) as plane, AsyncExitStack() as stack:
        await plane.execute("CREATE TABLE t (a)")
        await plane.execute("INSERT INTO t SELECT zeroblob(100000) FROM generate_series(1, 30)")
        batch = {"steps": [{"stmt": {"sql": "SELECT a FROM t, generate_series(1, 1000)"}}]}
        checks = [await open_one(plane, stack, batch) for _ in range(2)]
        while not plane.worker.messages.empty():
            plane.worker.messages.get_nowait()  # of before
        assert await grow(plane, 6) > 8 << 20
        # Nobody writes any more, and they may only now begin to wait for their reader.
        await plane.worker.stats(lambda stats: stats.streams == 0)
        # Within this bound it is used anew, how far behind the copies may be; in all more is written.
        assert await grow(plane, 30) < MOST_FRAMES * FRAME_BYTES + (8 << 20)
        for check in checks:
            await check()


FILL = "INSERT INTO t SELECT hex(zeroblob(50000)) FROM generate_series(1, 200) RETURNING a"
"""Done as soon as its first row is there, but over with the last one only."""


async def test_a_writing_cursor_that_is_not_read_keeps_no_other_writer_waiting(hasty_plane: Plane) -> None:
    await hasty_plane.execute("CREATE TABLE t (a)")
    async with greeted(hasty_plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "open_cursor", stream_id=1, cursor_id=1, batch=body({"sql": FILL})["batch"])
        client.request(3, "fetch_cursor", cursor_id=1, max_count=1)
        for _ in range(3):
            assert (await client.answer())["type"] == "response_ok"
        await hasty_plane.execute("INSERT INTO t VALUES (1)")
        code, reason = await client.closed()
    assert code == 1008 and "A cursor that writes was open for 0.5 s, the limit" in reason
    headers = {"authorization": f"Bearer {hasty_plane.tokens[MAIN]}", "accept-encoding": "identity"}
    request = hasty_plane.http.build_request("POST", f"/v1/{MAIN}/v3/cursor", json=body({"sql": FILL}), headers=headers)
    response = await hasty_plane.http.send(request, stream=True)
    pieces = response.aiter_raw()
    await anext(pieces)
    await hasty_plane.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(httpx.RemoteProtocolError):
        async for _ in pieces:
            pass
    await response.aclose()
    assert await hasty_plane.values("SELECT count(*) FROM t") == [[402]]
