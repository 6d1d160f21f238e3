"""Copies of database files that are in use, and the swap of a database's file by its worker."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane import snapshots
from dataplane.messages import FILE_NAME, FromSnapshot, Replace, Replaced, SnapshotFailed, SnapshotTaken
from runtime.framing import FD, Decoder
from tests.dataplane.plane import MAIN, OTHER, Plane, execute


def copy(work: str, source: Path, target: Path) -> FromSnapshot:
    """Run the snapshot process as the control API does."""
    ours, theirs = socket.socketpair()

    def place_control_channel() -> None:
        os.dup2(theirs.fileno(), FD, inheritable=True)

    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "dataplane.snapshots", work, str(source), str(target)],
            pass_fds=(theirs.fileno(), FD),
            preexec_fn=place_control_channel,
        )
        theirs.close()
        decoder: Decoder[FromSnapshot] = Decoder(FromSnapshot)
        (answer,) = decoder.feed(ours.recv(65536))
        ours.close()
        assert process.wait(20) == 0
    return answer


def main_file(plane: Plane) -> Path:
    return plane.worker.directory / MAIN / FILE_NAME


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def replace(plane: Plane, replacement: Path, kept: Path) -> str | None:
    plane.worker.channel.send(Replace(MAIN, str(replacement), str(kept)))
    return (await plane.worker.expect(Replaced)).error


async def test_a_copy_is_one_committed_moment_while_a_writer_goes_on(plane: Plane, tmp_path: Path) -> None:
    await plane.execute("CREATE TABLE t (n)")
    await plane.execute("CREATE TABLE twin (n)")
    done = asyncio.Event()
    written = 0

    async def write() -> None:
        nonlocal written
        while not done.is_set():
            written += 1
            await plane.requests(
                execute("BEGIN IMMEDIATE"),
                execute("INSERT INTO t VALUES (?)", written),
                execute("INSERT INTO twin VALUES (?)", written),
                execute("COMMIT"),
                {"type": "close"},
            )

    writer = asyncio.create_task(write())
    for number in range(3):
        at_start = written
        target = tmp_path / f"{number}.db"
        taken = await asyncio.to_thread(copy, "take", main_file(plane), target)
        assert isinstance(taken, SnapshotTaken)
        assert taken.size == target.stat().st_size
        (counts,) = rows(target, "SELECT count(*), (SELECT count(*) FROM twin), max(n) FROM t")
        assert counts[0] == counts[1] == counts[2]
        assert isinstance(counts[0], int)
        assert counts[0] >= at_start - 1
    done.set()
    await writer
    assert written > 3
    assert await plane.values("SELECT count(*) FROM t") == [[written]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.db", "1.db", "2.db"]


async def test_a_copy_has_vectors_and_full_text(plane: Plane, tmp_path: Path) -> None:
    for sql in (
        "CREATE VIRTUAL TABLE f USING fts5(x)",
        "INSERT INTO f VALUES ('tea')",
        "CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))",
        "CREATE INDEX ve ON v (libsql_vector_idx(e))",
        "INSERT INTO v VALUES (1, vector('[1,0]'))",
    ):
        await plane.execute(sql)
    assert isinstance(copy("take", main_file(plane), tmp_path / "copy.db"), SnapshotTaken)
    folder = plane.worker.directory / OTHER
    folder.mkdir()
    assert isinstance(copy("prepare", tmp_path / "copy.db", folder / FILE_NAME), SnapshotTaken)
    found = await plane.values(
        "SELECT (SELECT count(*) FROM f WHERE f MATCH 'tea'), id FROM vector_top_k('ve', vector('[1,0]'), 1)",
        database_id=OTHER,
    )
    assert found == [[1, 1]]


def test_a_database_without_a_file_gives_an_empty_one(tmp_path: Path) -> None:
    assert copy("take", tmp_path / "none.db", tmp_path / "copy.db") == SnapshotTaken(0)
    assert rows(tmp_path / "copy.db", "SELECT * FROM sqlite_schema") == []


def test_a_damaged_copy_gets_no_name(tmp_path: Path) -> None:
    bad = tmp_path / "bad.db"
    connection = sqlite3.connect(bad)
    connection.execute("CREATE TABLE t (n PRIMARY KEY)")
    connection.executemany("INSERT INTO t VALUES (?)", [(str(n) * 20,) for n in range(2000)])
    connection.commit()
    connection.close()
    with bad.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096)
    failed = copy("prepare", bad, tmp_path / "copy.db")
    assert isinstance(failed, SnapshotFailed)
    assert "damaged" in failed.message or "malformed" in failed.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.db"]


async def test_the_worker_swaps_the_file_and_keeps_the_one_before(plane: Plane, tmp_path: Path) -> None:
    await plane.execute("CREATE TABLE t (n)")
    await plane.execute("INSERT INTO t VALUES (1)")
    copy("take", main_file(plane), tmp_path / "first.db")
    await plane.execute("INSERT INTO t VALUES (2)")
    opened = await plane.requests(execute("BEGIN"), execute("INSERT INTO t VALUES (3)"))
    replacement = main_file(plane).with_name("restore.db")
    copy("prepare", tmp_path / "first.db", replacement)
    kept = plane.worker.directory / "kept.db"
    assert await replace(plane, replacement, kept) is None
    assert await plane.values("SELECT n FROM t") == [[1]]
    assert rows(kept, "SELECT n FROM t") == [(1,), (2,)]
    await plane.execute("INSERT INTO t VALUES (4)")
    assert await plane.values("SELECT n FROM t") == [[1], [4]]
    assert rows(kept, "PRAGMA integrity_check") == [("ok",)]
    stale = await plane.post("v3/pipeline", {"baton": opened["baton"], "requests": []})
    assert (stale.status_code, stale.json()["code"]) == (400, "STREAM_EXPIRED")


async def test_a_swap_that_fails_changes_nothing(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (n)")
    kept = plane.worker.directory / "kept.db"
    error = await replace(plane, main_file(plane).with_name("missing.db"), kept)
    assert error is not None
    assert "missing.db" in error
    assert not kept.exists()
    await plane.execute("INSERT INTO t VALUES (1)")


async def test_a_database_that_was_never_used_can_be_replaced(plane: Plane, tmp_path: Path) -> None:
    source = sqlite3.connect(tmp_path / "source.db")
    source.executescript("CREATE TABLE t (n); INSERT INTO t VALUES (5);")
    source.close()
    folder = main_file(plane).parent
    folder.mkdir()
    copy("prepare", tmp_path / "source.db", folder / "restore.db")
    assert await replace(plane, folder / "restore.db", plane.worker.directory / "kept.db") is None
    assert await plane.values("SELECT n FROM t") == [[5]]


class Cut(BaseException):
    """The machine stops here."""


def cut_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the swap's `step`th change of the file system be the last thing that did not happen."""
    count = 0

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def change(*arguments: object, **named: object) -> None:
            nonlocal count
            count += 1
            if count > step:
                raise Cut
            real(*arguments, **named)

        return change

    monkeypatch.setattr(os, "link", counted(os.link))
    for name in ("rename", "unlink"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))


@pytest.mark.parametrize("step", range(5))
def test_a_crash_at_any_step_of_a_swap_leaves_old_or_new(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, replacement, kept = (tmp_path / name for name in ("live.db", "new.db", "kept.db"))
    # As a worker that was killed leaves it: what is in the log only must not be lost.
    killed = f"""
import os, sqlite3
c = sqlite3.connect({str(live)!r}, isolation_level=None)
c.execute("PRAGMA journal_mode=WAL"); c.execute("CREATE TABLE t (n)"); c.execute("INSERT INTO t VALUES ('old')")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", killed], check=True, timeout=20)
    assert live.with_name("live.db-wal").stat().st_size
    fresh = sqlite3.connect(replacement)
    fresh.executescript("CREATE TABLE t (n); INSERT INTO t VALUES ('new');")
    fresh.close()
    with monkeypatch.context() as patched:
        cut_at(step, patched)
        try:
            finished = snapshots.swap(live, replacement, kept) is None
        except Cut:
            finished = False
    connection = sqlite3.connect(live)
    (state,) = connection.execute("SELECT n FROM t").fetchone()
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert state == ("new" if finished else "old")
    if state == "new":
        assert rows(kept, "SELECT n FROM t") == [("old",)]
    assert finished == (step == 4)
    assert snapshots.swap(live, replacement, kept) is None, "another process does not finish it"
    assert (rows(live, "SELECT n FROM t"), rows(kept, "SELECT n FROM t")) == ([("new",)], [("old",)])
