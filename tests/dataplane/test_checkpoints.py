"""Checkpoints beside the writers: when, and that the WAL is used anew and the file complete."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from dataplane.cells import PLAIN
from dataplane.checkpoints import MOST_FRAMES, REST_FRAMES, Checkpoints, Step, decide
from dataplane.connection import CHECKPOINT_FRAMES, Connection

ROWS = 6000
FRAME_BYTES = 4096 + 24


@pytest.mark.parametrize(
    ("frames", "copied", "running", "expected"),
    [
        (CHECKPOINT_FRAMES - 1, 0, False, Step.NOTHING),
        (CHECKPOINT_FRAMES, 0, False, Step.BESIDE),
        (CHECKPOINT_FRAMES + 1, 0, True, Step.NOTHING),
        (CHECKPOINT_FRAMES + REST_FRAMES, CHECKPOINT_FRAMES, False, Step.WITHIN),
        (CHECKPOINT_FRAMES + REST_FRAMES + 1, CHECKPOINT_FRAMES, False, Step.BESIDE),
        (MOST_FRAMES, 0, True, Step.WITHIN),
    ],
)
def test_a_long_wal_is_copied_beside_the_writers_and_its_rest_within_a_commit(
    frames: int, copied: int, running: bool, expected: Step
) -> None:
    assert decide(frames, due_at=CHECKPOINT_FRAMES, copied=copied, running=running) is expected


def test_nothing_is_tried_again_before_there_is_more_to_do() -> None:
    assert decide(1500, due_at=2000, copied=900, running=False) is Step.NOTHING


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """A connection to a database of many pages, whose commits are looked after."""
    opened = Connection(tmp_path / "data.db")
    opened.run(b"CREATE TABLE t (id INTEGER PRIMARY KEY, n, filler)")
    opened.run(
        b"WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < %d) "
        b"INSERT INTO t SELECT n, 0, printf('%%.1000c', 'x') FROM i" % ROWS
    )
    with ThreadPoolExecutor(1) as threads:
        checkpoints = Checkpoints(partial(Connection, opened.path), threads)
        opened.on_commit = lambda frames: checkpoints.committed(opened, frames, lambda: None)
        yield opened
        checkpoints.close()
    opened.close()


def change(connection: Connection, commits: int) -> int:
    """Commit changes of one page each, all over the table; return how many frames the WAL had at most."""
    most = 0
    on_commit = connection.on_commit
    assert on_commit is not None

    def watch(frames: int) -> None:
        nonlocal most
        most = max(most, frames)
        on_commit(frames)

    connection.on_commit = watch
    statement = connection.statements.prepare("UPDATE t SET n = n + 1 WHERE id = ?")
    for number in range(commits):
        statement.bind([number * 997 % ROWS + 1])
        statement.step()
        statement.reset()
    connection.on_commit = on_commit
    return most


def value(connection: Connection, sql: str) -> object:
    statement = connection.statements.prepare(sql)
    rows: list[tuple[object, ...]] = []
    statement.step()
    statement.fill(rows, PLAIN)
    statement.reset()
    return rows[0][0]


def test_the_wal_of_a_busy_writer_is_used_anew(connection: Connection) -> None:
    assert change(connection, 20_000) <= MOST_FRAMES
    wal = connection.path.with_name("data.db-wal")
    assert wal.stat().st_size <= 2 * MOST_FRAMES * FRAME_BYTES
    assert value(connection, "SELECT sum(n) FROM t") == 20_000
    assert value(connection, "PRAGMA integrity_check") == "ok"


def test_a_reader_keeps_what_it_reads_and_the_wal_is_used_anew_after_it(connection: Connection) -> None:
    reader = Connection(connection.path)
    reader.run(b"BEGIN")
    assert value(reader, "SELECT sum(n) FROM t") == 0
    assert change(connection, 3 * CHECKPOINT_FRAMES) >= 3 * CHECKPOINT_FRAMES
    assert value(reader, "SELECT sum(n) FROM t") == 0
    reader.run(b"COMMIT")
    commits = 4 * CHECKPOINT_FRAMES
    # What is copied beside the writer is done when it is: on a busy machine, after some thousand commits more.
    while change(connection, CHECKPOINT_FRAMES) >= 3 * CHECKPOINT_FRAMES:
        commits += CHECKPOINT_FRAMES
        assert commits <= 2 * MOST_FRAMES
    assert value(reader, "SELECT sum(n) FROM t") == commits
    reader.close()
