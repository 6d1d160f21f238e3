"""What is read from a database's files from outside, beside what the engine says of itself."""

import os
import sqlite3
from pathlib import Path

from runtime.control.database_files import facts, index, written


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert facts(tmp_path / "nothing") == (0, 0, 0, 0, 0)


def test_frames_are_the_valid_ones_not_what_fits_into_the_file(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "data.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a)")
    for _ in range(20):
        connection.execute("INSERT INTO t VALUES (zeroblob(5000))")
    before = facts(tmp_path)
    stored = sum((tmp_path / name).stat().st_size for name in ("data.db", "data.db-wal"))
    assert before.storage_bytes == stored
    _, log, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert (before.frames, before.checkpointed, before.generation) == (log, 0, 0)
    after = facts(tmp_path)
    assert (after.frames, after.checkpointed) == (log, copied) == (log, log)
    connection.execute("INSERT INTO t VALUES (1)")  # the log begins anew, and its file stays as long
    restarted = facts(tmp_path)
    assert 0 < restarted.frames < 5
    assert (restarted.checkpointed, restarted.generation, restarted.page_bytes) == (0, 1, 4096)
    assert (tmp_path / "data.db-wal").stat().st_size > log * 4096
    connection.close()
    closed = facts(tmp_path)
    assert closed[1:] == (0, 0, 0, 0)
    assert closed.storage_bytes == (tmp_path / "data.db").stat().st_size


def test_reading_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    assert written(path) is None
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    os.utime(path, (100, 100))
    connection = sqlite3.connect(path)
    connection.execute("SELECT * FROM t").fetchall()
    assert (tmp_path / "data.db-wal").stat().st_mtime > 100
    assert written(path) == 100
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    os.utime(tmp_path / "data.db-wal", (200, 200))
    assert written(path) == 200
    connection.close()


def test_an_index_that_is_being_set_up() -> None:
    assert index(b"") == (0, 0)
    assert index(bytes(100)) == (0, 0)
