"""Much of everything: writers that share commits, large batches, limits of size, a full disk."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dataplane.plane import MAIN, Plane, execute, serve_plane

CLOSE = {"type": "close"}


async def test_writers_that_wait_together_share_a_wait_for_the_disk(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    for number in range(10):
        await plane.execute("INSERT INTO t VALUES (?)", number)
    before = (await plane.worker.stats(lambda stats: stats.databases[MAIN].queries >= 11)).databases[MAIN]
    assert before.commits == before.syncs == 11

    async def write(writer: int) -> None:
        for number in range(10):
            await plane.execute("INSERT INTO t VALUES (?)", writer * 1000 + number)

    await asyncio.gather(*(write(writer) for writer in range(1, 17)))
    after = (await plane.worker.stats(lambda stats: stats.databases[MAIN].queries >= 171)).databases[MAIN]
    assert after.commits - before.commits == 160
    assert after.syncs - before.syncs < 160
    assert await plane.values("SELECT count(*) FROM t") == [[170]]


async def test_reads_commit_nothing(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute("SELECT * FROM t")
    await plane.requests(execute("BEGIN"), execute("SELECT * FROM t"), execute("COMMIT"), CLOSE)
    stats = await plane.worker.stats(lambda stats: stats.databases[MAIN].queries >= 5)
    assert stats.databases[MAIN].commits == 1


async def test_a_batch_of_100_000_statements(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    step = execute("INSERT INTO t (b) VALUES (?)", "some text of a usual length")["stmt"]
    steps = [{"stmt": {"sql": "BEGIN"}}, *({"stmt": step} for _ in range(100_000)), {"stmt": {"sql": "COMMIT"}}]
    answer = await plane.requests({"type": "batch", "batch": {"steps": steps}}, CLOSE)
    assert not any(answer["results"][0]["response"]["result"]["step_errors"])
    assert await plane.values("SELECT count(*) FROM t") == [[100_000]]


async def test_a_pipeline_of_50_megabytes(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    insert = execute("INSERT INTO t VALUES (?)", "x" * 1_000_000)
    answer = await plane.requests(*([insert] * 50), CLOSE)
    assert [result["type"] for result in answer["results"]] == ["ok"] * 51
    assert await plane.values("SELECT sum(length(a)) FROM t") == [[50_000_000]]


async def test_a_database_does_not_grow_beyond_its_limit() -> None:
    async with serve_plane(max_database_bytes=1 << 20) as plane:
        await plane.execute("CREATE TABLE t (a)")
        assert (await plane.execute("INSERT INTO t VALUES (zeroblob(500000))"))["affected_row_count"] == 1
        error = await plane.failure("INSERT INTO t VALUES (zeroblob(600000))")
        assert error["code"] == "SQLITE_FULL" and "the limit of one database is 1 MiB" in error["message"]
        await plane.execute("DELETE FROM t")
        await plane.execute("INSERT INTO t VALUES (zeroblob(600000))")
        # Deeper in a transaction, and with the limit raised by the tenant.
        assert (await plane.failure("PRAGMA max_page_count = 100000"))["code"] == "SQL_PARSE_ERROR"


async def test_a_full_disk_is_an_error_and_no_corruption(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute("INSERT INTO t VALUES ('kept')")
    pid = plane.worker.process.pid
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2 << 20, most))
    error = await plane.failure("INSERT INTO t VALUES (zeroblob(8000000))")
    assert error["code"] in ("SQLITE_FULL", "SQLITE_IOERR")
    assert await plane.values("SELECT a FROM t") == [["kept"]]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    await plane.execute("INSERT INTO t VALUES (zeroblob(8000000))")
    assert await plane.values("SELECT count(*) FROM t") == [[2]]
    assert await plane.values("PRAGMA integrity_check") == [["ok"]]


def test_a_full_disk_is_told_from_other_limits(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from dataplane.connection import Connection
from dataplane.errors import SqlError
connection = Connection(Path(sys.argv[1]) / "data.db")
for sql in (b"CREATE TEMP TABLE x AS SELECT zeroblob(70000000)", b"CREATE TABLE t AS SELECT zeroblob(3000000)"):
    try:
        connection.run(sql)
    except SqlError as error:
        print(error.code, str(error), sep=": ")
"""
    mounted = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, str(tmp_path)]
    python = [sys.executable, "-c", script, str(tmp_path)]
    run = subprocess.run([*command, *python], capture_output=True, text=True, check=False, timeout=60)
    if run.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {run.stderr}")
    temporary, disk = run.stdout.splitlines()
    assert temporary.startswith("SQLITE_FULL") and "temporary tables of one stream 64 MiB" in temporary
    assert disk.startswith("SQLITE_FULL") and "the disk of the node has no space left" in disk


async def test_a_client_that_keeps_talking_loses_its_transaction_to_a_waiting_writer(hasty_plane: Plane) -> None:
    await hasty_plane.execute("CREATE TABLE t (a)")
    baton = (await hasty_plane.requests(execute("BEGIN IMMEDIATE")))["baton"]
    waiting = asyncio.create_task(hasty_plane.execute("INSERT INTO t VALUES (1)"))
    busy = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT count(*) FROM n"
    error = None
    while error is None:
        answer = await hasty_plane.requests(execute(busy), baton=baton)
        baton = answer["baton"]
        error = answer["results"][0].get("error")
    assert error["code"] == "TRANSACTION_TIMEOUT"
    assert "0.5 s while another writer waited" in error["message"]
    await waiting
