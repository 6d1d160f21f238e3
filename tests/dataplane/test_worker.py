"""The worker as a process: steering, counters, death, durability."""

import asyncio
import contextlib
import os
import random
import resource
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dataplane.front import DataPlane
from dataplane.messages import Drop
from runtime import interrupts, priority
from tests.dataplane.plane import ENDLESS, MAIN, OTHER, STUCK, Plane, execute, serve_plane
from tests.dataplane.test_websocket import greeted
from tests.node_server import eventually

CLOSE = {"type": "close"}
KILL_ROUNDS = int(os.environ.get("BRRRD_KILL_ROUNDS", "10"))
"""More by hand: `BRRRD_KILL_ROUNDS=200 pytest tests/dataplane/test_worker.py -k kill_9 --timeout 600`."""


async def test_counters_of_each_database_are_reported(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute("INSERT INTO t VALUES (1), (2)")
    await plane.execute("SELECT * FROM t")
    stats = await plane.worker.stats(lambda stats: stats.databases[MAIN].queries == 3)
    assert stats.databases[MAIN].rows_written >= 2
    assert stats.databases[MAIN].rows_read >= 2
    assert stats.databases[MAIN].storage_bytes > 0
    assert OTHER not in stats.databases


@pytest.fixture
async def terse_plane() -> AsyncIterator[Plane]:
    async with serve_plane(max_answer_bytes=1 << 20) as plane:
        yield plane


async def test_what_statements_used_is_counted_though_they_came_to_no_end(terse_plane: Plane) -> None:
    plane, fill = terse_plane, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute(fill + "INSERT INTO t SELECT printf('%.500c', 'x') FROM n")
    before = (await plane.worker.stats(lambda stats: stats.databases[MAIN].queries == 2)).databases[MAIN].rows_read

    # One that fails, and the same one again on the same connection.
    whole, counted = execute("SELECT a FROM t"), execute("SELECT a FROM t", want_rows=False)
    answer = await plane.requests(whole, counted, CLOSE)
    assert answer["results"][0]["error"]["code"] == "RESPONSE_TOO_LARGE"
    assert answer["results"][1]["response"]["result"]["rows_read"] == 20000
    stats = await plane.worker.stats(lambda stats: stats.databases[MAIN].queries == 4)
    failed = stats.databases[MAIN].rows_read - before - 20000
    assert 1000 < failed < 20000

    # Cursors that nobody reads to the end.
    before = stats.databases[MAIN].rows_read
    batch = {"steps": [{"stmt": {"sql": "SELECT x.a FROM t AS x, t AS y"}}]}
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
    async with plane.http.stream("POST", f"/v1/{MAIN}/v3/cursor", json={"batch": batch}, headers=headers) as response:
        await anext(response.aiter_bytes())
    stats = await plane.worker.stats(lambda stats: stats.databases[MAIN].queries == 5)
    assert stats.databases[MAIN].rows_read > before
    before = stats.databases[MAIN].rows_read
    async with greeted(plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "open_cursor", stream_id=1, cursor_id=1, batch=batch)
        client.request(3, "fetch_cursor", cursor_id=1, max_count=1)
        assert [(await client.answer())["type"] for _ in range(3)] == ["response_ok"] * 3
    stats = await plane.worker.stats(lambda stats: stats.databases[MAIN].queries == 6 and stats.streams == 0)
    assert stats.databases[MAIN].rows_read > before


async def test_bytes_are_counted_over_http_and_websockets(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute(f"INSERT INTO t VALUES ('{'x' * 10_000}')")
    await plane.execute("SELECT a, a FROM t")
    before = (await plane.worker.stats(lambda stats: stats.databases[MAIN].sent_bytes >= 20_000)).databases[MAIN]
    assert 10_000 <= before.received_bytes < 12_000
    assert before.sent_bytes < 22_000
    code = """
import asyncio, os, libsql_client
async def main():
    async with libsql_client.create_client(os.environ["URL"], auth_token=os.environ["TOKEN"]) as client:
        await client.execute("SELECT a, ? FROM t", ["y" * 5000])
asyncio.run(main())
"""
    environment = {"URL": plane.url().replace("http", "ws"), "TOKEN": plane.tokens[MAIN]}
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=environment)
    assert await client.wait() == 0
    sent, received = before.sent_bytes + 15_000, before.received_bytes + 5_000
    after = (await plane.worker.stats(lambda stats: stats.databases[MAIN].sent_bytes >= sent)).databases[MAIN]
    assert received <= after.received_bytes < received + 2_000


async def test_a_statement_that_outlasts_a_report_is_in_the_next_one(plane: Plane) -> None:
    series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000000)"
    await plane.values(f"{series} SELECT count(*) FROM n")
    await plane.worker.stats(lambda stats: stats.databases.get(MAIN) is not None)


async def test_counters_last_longer_than_the_open_database(plane: Plane) -> None:
    await plane.execute("SELECT 1")
    await plane.worker.drop(MAIN, delete=False)
    await plane.execute("SELECT 1")
    await plane.worker.stats(lambda stats: stats.databases[MAIN].queries == 2)


@pytest.mark.parametrize("delete", [False, True], ids=["kept", "deleted"])
async def test_closing_a_database_with_a_long_log_holds_up_no_other(plane: Plane, delete: bool) -> None:
    fill = "INSERT INTO t SELECT randomblob(100000) FROM generate_series(1, 1000)"
    await plane.execute("CREATE TABLE t (a)")
    reader = await plane.requests(execute("BEGIN"), execute("SELECT * FROM t"))  # keeps the log from being copied
    for _ in range(4):
        await plane.execute(fill)
    await plane.execute("SELECT 1", database_id=OTHER)
    dropping = asyncio.create_task(plane.worker.drop(MAIN, delete=delete))
    waits = await plane.waits_beside(dropping)
    assert len(waits) > 5
    assert max(waits) < sum(waits) / 2
    assert (plane.worker.directory / MAIN).exists() != delete
    gone = await plane.post("v3/pipeline", {"baton": reader["baton"], "requests": []})
    assert gone.status_code == (404 if delete else 400)
    if not delete:
        assert await plane.values("SELECT count(*) FROM t") == [[4000]]


async def test_drop_closes_streams_and_deletes_the_files(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute("CREATE TABLE t (a)", database_id=OTHER)
    held = await plane.requests(execute("BEGIN IMMEDIATE"))
    running = asyncio.create_task(plane.post("v3/pipeline", {"requests": [execute(ENDLESS)]}))
    await plane.worker.stats(lambda stats: stats.streams == 2)
    await plane.worker.drop(MAIN, delete=True)
    assert (await running).status_code == 503
    assert not (plane.worker.directory / MAIN).exists()
    answer = await plane.post("v3/pipeline", {"baton": held["baton"], "requests": [execute("SELECT 1")]})
    assert answer.status_code == 404
    assert not (plane.worker.directory / MAIN).exists()
    answer = await plane.requests(execute("SELECT count(*) FROM t"), CLOSE, database_id=OTHER)
    assert answer["results"][0]["type"] == "ok"


async def test_drop_of_a_database_whose_statement_cannot_be_ended_takes_the_process_with_it(plane: Plane) -> None:
    running = asyncio.create_task(plane.post("v3/pipeline", {"requests": [execute(STUCK)]}))
    await plane.worker.stats(lambda stats: stats.streams == 1)
    plane.worker.channel.send(Drop(MAIN, delete=True))
    # Long before the statement has had its 30 s.
    assert await plane.worker.succeed() == 75
    assert (await running).status_code == 503
    await plane.worker.drop(MAIN, delete=True)
    assert not (plane.worker.directory / MAIN).exists()
    assert await plane.values("SELECT 1", database_id=OTHER) == [[1]]


async def test_drop_without_delete_keeps_the_data(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.worker.drop(MAIN, delete=False)
    assert await plane.values("SELECT count(*) FROM t") == [[0]]


async def test_calls_on_their_way_when_rights_are_withdrawn_are_refused(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    # As if these calls had left the edge before it confirmed the next version of the catalog.
    await plane.worker.drop(MAIN, delete=False, catalog=plane.catalog.version + 1)
    late = await plane.post("v3/pipeline", {"requests": [execute("INSERT INTO t VALUES (1)"), CLOSE]})
    assert (late.status_code, late.json()["code"]) == (503, "DATABASE_CHANGED")
    assert await plane.values("SELECT 1", database_id=OTHER) == [[1]]
    plane.publish()
    assert await plane.values("SELECT count(*) FROM t") == [[0]]


async def test_drain_finishes_what_runs_rolls_back_the_rest_and_exits(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.requests(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t VALUES ('open')"), database_id=MAIN)
    # More than windows and sockets hold: it runs for as long as it is not read.
    long = {"batch": {"steps": [{"stmt": {"sql": "SELECT hex(zeroblob(50000)) FROM generate_series(1, 400)"}}]}}
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
    async with plane.http.stream("POST", f"/v1/{MAIN}/v3/cursor", json=long, headers=headers) as response:
        drained = asyncio.create_task(plane.worker.drain(60_000))
        await asyncio.sleep(0)  # it begins: the worker is told before anything more is read
        assert (await response.aread()).count(b'"type":"row"') == 400
    assert await drained == 0
    await plane.worker.restart()
    assert await plane.values("SELECT count(*) FROM t") == [[0]]


async def test_the_worker_leaves_with_the_supervisor_and_on_sigterm(plane: Plane) -> None:
    plane.worker.process.send_signal(signal.SIGINT)
    assert await plane.values("SELECT 1") == [[1]]
    plane.worker.process.send_signal(signal.SIGTERM)
    assert await plane.worker.exited() == 0
    plane.worker.channel.close()
    await plane.worker.restart()
    plane.worker.channel.close()
    assert await plane.worker.exited() == 0


async def test_a_dead_worker_costs_its_calls_a_503_and_the_next_one_waits_for_the_new(plane: Plane) -> None:
    running = asyncio.create_task(plane.post("v3/pipeline", {"requests": [execute(ENDLESS)]}))
    await plane.worker.stats(lambda stats: stats.streams == 1)
    await plane.worker.kill()
    response = await running
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["code"] == "WORKER_LOST"
    waiting = asyncio.create_task(plane.values("SELECT 1"))
    await asyncio.sleep(0.1)
    await plane.worker.restart()
    assert await waiting == [[1]]


async def test_a_statement_that_runs_aside_has_less_of_the_processor(plane: Plane) -> None:
    await plane.values("SELECT 1")
    usual = os.getpriority(os.PRIO_PROCESS, plane.worker.process.pid)

    def priorities() -> set[int]:
        found = set()
        for entry in Path(f"/proc/{plane.worker.process.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                found.add(os.getpriority(os.PRIO_PROCESS, int(entry.name)))
        return found

    async def become(expected: set[int]) -> None:
        await asyncio.to_thread(eventually, 20, lambda: priorities() == expected)

    await become({usual})  # opening the database may have taken long, which is done aside, too
    running = asyncio.create_task(plane.post("v3/pipeline", {"requests": [execute(ENDLESS)]}))
    await become({usual, min(19, usual + priority.NICE)})
    running.cancel()
    await become({usual})


def test_the_worker_is_prepared_for_interrupts(plane: Plane) -> None:
    status = Path(f"/proc/{plane.worker.process.pid}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), 16)
    assert caught & 1 << interrupts.SIGNAL - 1


async def test_any_edge_worker_takes_any_baton(plane: Plane) -> None:
    first = await plane.requests(execute("BEGIN"))
    other_edge = DataPlane("http://db.localhost", b"k" * 32)
    other_edge.apply(plane.catalog)
    document = {"baton": first["baton"], "requests": [execute("SELECT 1"), CLOSE]}
    status = await post_to(other_edge, f"/v1/{MAIN}/v3/pipeline", document, plane.tokens[MAIN])
    await other_edge.aclose()
    assert status == 200


@contextlib.contextmanager
def files_left(pid: int, count: int) -> Iterator[None]:
    """Let a process open so many files more."""
    used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    free = [number for number in range(len(used) + count + 1) if number not in used]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[count], hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("count", range(5))
async def test_a_database_that_cannot_be_opened_for_lack_of_files_can_be_later(plane: Plane, count: int) -> None:
    await plane.execute("CREATE TABLE t (a)")
    document = {"requests": [execute("CREATE TABLE t (a)"), CLOSE]}
    with files_left(plane.worker.process.pid, count):
        for path, body in (("v3/pipeline", document), ("v3/cursor", {"batch": {"steps": []}})):
            refused = await plane.post(path, body, database_id=OTHER)
            assert (refused.status_code, refused.json()["code"]) == (503, "TOO_MANY_OPEN_FILES")
        assert await plane.values("SELECT count(*) FROM t") == [[0]]
    await plane.execute("CREATE TABLE t (a)", database_id=OTHER)
    assert await plane.values("SELECT count(*) FROM t", database_id=OTHER) == [[0]]


async def test_a_connection_that_cannot_be_taken_for_lack_of_files_is_later(plane: Plane) -> None:
    await plane.execute("SELECT 1")
    other_edge = DataPlane("http://db.localhost", b"k" * 32)
    other_edge.apply(plane.catalog)
    document = {"requests": [execute("SELECT 1"), CLOSE]}
    with files_left(plane.worker.process.pid, 0):
        waiting = asyncio.create_task(post_to(other_edge, f"/v1/{MAIN}/v3/pipeline", document, plane.tokens[MAIN]))
        refused = await plane.post("v3/pipeline", document, database_id=OTHER)
        assert (refused.status_code, refused.json()["code"]) == (503, "TOO_MANY_OPEN_FILES")
        assert await plane.values("SELECT 1") == [[1]]
        assert not waiting.done()
    assert await waiting == 200
    await other_edge.aclose()


async def test_a_commit_opens_no_file_on_a_connection_that_was_there_before(plane: Plane) -> None:
    first = await plane.requests(execute("SELECT 1"))
    with files_left(plane.worker.process.pid, 0):
        document = {"requests": [execute("CREATE TABLE t (a)"), execute("INSERT INTO t VALUES (1)"), CLOSE]}
        written = await plane.post("v3/pipeline", document | {"baton": first["baton"]})
        assert (written.status_code, [result["type"] for result in written.json()["results"]]) == (200, ["ok"] * 3)
    await plane.worker.kill()
    await plane.worker.restart()
    assert await plane.values("SELECT a FROM t") == [[1]]


async def test_the_log_that_is_synced_is_the_one_that_was_begun_last(plane: Plane) -> None:
    log = plane.worker.directory / MAIN / "data.db-wal"
    # A connection with settings of its own is not kept, and the last one that closes removes the log.
    await plane.requests(execute("CREATE TABLE t (a)"), execute("PRAGMA recursive_triggers = ON"), CLOSE)
    assert not log.exists()
    await plane.execute("INSERT INTO t VALUES (1)")
    opened = [entry.readlink() for entry in Path(f"/proc/{plane.worker.process.pid}/fd").iterdir()]
    # By the connection, and to sync it; its folder was synced.
    names = sorted(path.name for path in opened if log.parent in (path, path.parent))
    assert names == ["data.db", "data.db-shm", "data.db-wal", "data.db-wal"]


async def test_acknowledged_commits_survive_kill_9(plane: Plane) -> None:
    """Writers insert pairs in transactions while the worker is killed over and over."""
    await plane.execute("CREATE TABLE t (writer, number, half, PRIMARY KEY (writer, number, half))")
    acknowledged: set[tuple[int, int]] = set()
    stop = asyncio.Event()
    enough = asyncio.Semaphore(0)

    async def write(writer: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            steps = [{"stmt": {"sql": "BEGIN IMMEDIATE"}}]
            steps += [
                {"stmt": execute("INSERT INTO t VALUES (?, ?, ?)", writer, number, half)["stmt"]} for half in (1, 2)
            ]
            steps.append({"stmt": {"sql": "COMMIT"}})
            document = {"requests": [{"type": "batch", "batch": {"steps": steps}}, CLOSE]}
            response = await plane.post("v3/pipeline", document)
            if response.status_code == 200 and not any(batch_errors(response.json())):
                acknowledged.add((writer, number))
                if len(acknowledged) % 3 == 0:
                    enough.release()
            elif response.status_code != 200:
                assert response.status_code == 503, response.text

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    chance = random.Random(7)
    for _ in range(KILL_ROUNDS):
        async with asyncio.timeout(20):
            await enough.acquire()
        await asyncio.sleep(chance.random() * 0.05)
        await plane.worker.kill()
        await plane.worker.restart()
    stop.set()
    await asyncio.gather(*writers)
    assert await plane.values("PRAGMA integrity_check") == [["ok"]]
    rows = await plane.values("SELECT writer, number, count(*) FROM t GROUP BY 1, 2")
    assert all(count == 2 for *_, count in rows)
    assert acknowledged <= {(writer, number) for writer, number, _ in rows}
    assert len(acknowledged) >= 3 * KILL_ROUNDS


def batch_errors(answer: Any) -> list[Any]:
    return [error for error in answer["results"][0]["response"]["result"]["step_errors"] if error]


async def post_to(app: DataPlane, path: str, document: Any, token: str) -> int:
    """Call an ASGI application without a server; return the status."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        response = await client.post(path, json=document, headers={"authorization": f"Bearer {token}"})
        return response.status_code
