"""Snapshots through the control API of a whole node, and the rules of schedule, retention and recovery."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.control.snapshots import due, surplus
from runtime.state.snapshots import Kind, Snapshot
from tests.node_server import Node, eventually


def snapshot(node: Node, database: dict[str, Any]) -> dict[str, Any]:
    answer = node.control("POST", f"/v1/databases/{database['database_id']}/snapshots")
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["snapshot"]
    return made


def listed(node: Node, database: dict[str, Any]) -> list[dict[str, Any]]:
    answer = node.control("GET", f"/v1/databases/{database['database_id']}/snapshots")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["snapshots"]
    return found


def restore(node: Node, database: dict[str, Any], snapshot_id: str) -> httpx.Response:
    body = {"snapshot_id": snapshot_id}
    return node.control("POST", f"/v1/databases/{database['database_id']}/restore", json=body)


def values(node: Node, database: dict[str, Any], sql: str) -> list[list[str]]:
    (result,) = node.sql(database, sql)
    return [[value.get("value") for value in row] for row in result["rows"]]


def test_a_snapshot_is_restored_and_the_state_before_is_kept(node: Node) -> None:
    database = node.create_database("snapshots")
    node.sql(database, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
    first = snapshot(node, database)
    assert first["kind"] == "manual"
    assert first["size_bytes"] > 0
    node.sql(database, "INSERT INTO t VALUES (2)")
    answer = restore(node, database, first["snapshot_id"])
    assert answer.status_code == 200, answer.text
    assert values(node, database, "SELECT n FROM t") == [["1"]]
    kept = answer.json()["kept"]
    assert [one["snapshot_id"] for one in listed(node, database)] == [kept["snapshot_id"], first["snapshot_id"]]
    assert restore(node, database, kept["snapshot_id"]).status_code == 200
    assert values(node, database, "SELECT n FROM t") == [["1"], ["2"]]
    assert restore(node, database, "latest").status_code == 200
    assert values(node, database, "SELECT n FROM t") == [["1"]]


def test_a_snapshot_is_downloaded_as_a_database_file_and_deleted(node: Node, tmp_path: Path) -> None:
    database = node.create_database("downloaded")
    node.sql(database, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
    one = snapshot(node, database)
    path = f"/v1/databases/{database['database_id']}/snapshots/{one['snapshot_id']}"
    answer = node.control("GET", path)
    assert answer.headers["content-type"] == "application/vnd.sqlite3"
    (tmp_path / "copy.db").write_bytes(answer.content)
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT n FROM t").fetchall() == [(1,)]
    copy.close()
    assert node.control("DELETE", path).json() == {"snapshot_id": one["snapshot_id"], "deleted": True}
    assert node.control("GET", path).status_code == 404
    assert listed(node, database) == []


@pytest.mark.parametrize(
    ("snapshot_id", "status", "said"),
    [
        ("yesterday", 400, "no snapshot id"),
        ("snp-aaaaaaaaaaaa", 404, "has no snapshot"),
        ("latest", 404, "no snapshot"),
    ],
)
def test_what_cannot_be_restored_is_named(node: Node, snapshot_id: str, status: int, said: str) -> None:
    database = node.create_database("nothing")
    answer = restore(node, database, snapshot_id)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_the_snapshots_of_a_deleted_database_are_gone(node: Node) -> None:
    database = node.create_database("short-lived")
    snapshot(node, database)
    folder = node.data_dir / "snapshots" / database["database_id"]
    assert len(list(folder.iterdir())) == 1
    node.control("DELETE", f"/v1/databases/{database['database_id']}")
    assert not folder.exists()


def test_writers_see_no_error_from_a_snapshot_and_lose_nothing_to_a_restore(node: Node) -> None:
    database = node.create_database("busy")
    node.sql(database, "CREATE TABLE t (n INTEGER PRIMARY KEY)")
    stop = threading.Event()
    acknowledged: list[int] = []
    failed: list[str] = []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                node.sql(database, f"INSERT INTO t VALUES ({number})")
            except (AssertionError, httpx.TransportError) as error:
                failed.append(str(error))
                continue
            acknowledged.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(20, lambda: len(acknowledged) > 20)
        made = [snapshot(node, database) for _ in range(2)]
        assert failed == []
        assert len(acknowledged) > 20
        answer = restore(node, database, made[-1]["snapshot_id"])
        assert answer.status_code == 200, answer.text
        before = len(acknowledged)
        eventually(20, lambda: len(acknowledged) > before + 5)
    finally:
        stop.set()
        writer.join()
    # Every acknowledged row is in the state that was kept, or in the one that followed.
    kept = node.data_dir / "snapshots" / database["database_id"] / f"{answer.json()['kept']['snapshot_id']}.db"
    connection = sqlite3.connect(f"file:{kept}?immutable=1", uri=True)
    found = {number for (number,) in connection.execute("SELECT n FROM t")}
    connection.close()
    found |= {int(row[0]) for row in values(node, database, "SELECT n FROM t")}
    assert set(acknowledged) <= found


def test_a_schedule_takes_snapshots_of_what_changed_and_keeps_the_newest(start_node: Callable[..., Node]) -> None:
    node = start_node(
        "--workers", "1", "--database-workers", "1", "--snapshot-seconds", "1", "--keep-snapshots", "2"
    )  # fmt: skip
    database, idle = node.create_database("changing"), node.create_database("idle")
    node.sql(idle, "CREATE TABLE t (n)")
    node.sql(database, "CREATE TABLE t (n)")
    seen: set[str] = set()

    def changes() -> bool:
        node.sql(database, "INSERT INTO t VALUES (1)")
        seen.update(one["snapshot_id"] for one in listed(node, database) if one["kind"] == "scheduled")
        return len(seen) >= 4

    eventually(40, changes, every=0.2)
    assert len(listed(node, database)) <= 3  # one may have come before the one it replaces has gone
    assert len(listed(node, idle)) == 1
    files = list((node.data_dir / "snapshots" / idle["database_id"]).iterdir())
    assert [file.stem for file in files] == [listed(node, idle)[0]["snapshot_id"]]


def test_what_a_crash_left_is_made_consistent_at_start(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--database-workers", "1")
    database = node.create_database("crashed")
    node.sql(database, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
    good = snapshot(node, database)
    node.kill()
    key = database["database_id"]
    folder, live = node.data_dir / "snapshots" / key, node.data_dir / "databases" / key / "data.db"
    # In the middle of a copy, and of a swap: the state before is noted, its file is still the database's own.
    (folder / "snp-bbbbbbbbbbbb.db.partial").write_bytes(b"half")
    (live.parent / "restore-snp-cccccccccccc.db").write_bytes(b"")
    (folder / "snp-cccccccccccc.db").hardlink_to(live)
    state = sqlite3.connect(node.data_dir / "state.db")
    for lost in ("snp-cccccccccccc", "snp-dddddddddddd"):
        state.execute("INSERT INTO snapshots VALUES (?, ?, 'before-restore', 1, 0)", (lost, key))
    state.commit()
    state.close()
    node.start()
    assert [one["snapshot_id"] for one in listed(node, database)] == [good["snapshot_id"]]
    assert [file.name for file in folder.iterdir()] == [f"{good['snapshot_id']}.db"]
    assert values(node, database, "SELECT n FROM t") == [["1"]]
    assert not list(live.parent.glob("restore-*"))


def test_a_killed_node_has_the_old_or_the_restored_state(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--database-workers", "1")
    database = node.create_database("killed")
    node.sql(database, "CREATE TABLE t (n)", "INSERT INTO t VALUES ('snapshot')")
    made = snapshot(node, database)
    node.sql(database, "UPDATE t SET n = 'now'")
    expected = {"now", "snapshot"}
    for delay in (0.0, 0.05, 0.15, 0.25):
        thread = threading.Thread(target=_restore_quietly, args=(node, database, made["snapshot_id"]))
        thread.start()
        time.sleep(delay)  # the moment of the crash is what is varied
        node.kill()
        thread.join()
        node.start()
        ((state,),) = values(node, database, "SELECT n FROM t")
        assert state in expected
        assert values(node, database, "PRAGMA integrity_check") == [["ok"]]
        if state == "snapshot":
            kept = next(one for one in listed(node, database) if one["kind"] == "before-restore")
            assert restore(node, database, kept["snapshot_id"]).status_code == 200
            assert values(node, database, "SELECT n FROM t") == [["now"]]


def _restore_quietly(node: Node, database: dict[str, Any], snapshot_id: str) -> None:
    try:
        restore(node, database, snapshot_id)
    except httpx.TransportError:
        return


@pytest.mark.parametrize(
    ("newest", "changed", "now", "expected"),
    [
        ({}, {}, 100, []),
        ({}, {"a": 1}, 100, ["a"]),
        ({"a": 50}, {"a": 60}, 59, []),
        ({"a": 50}, {"a": 60}, 60, ["a"]),
        ({"a": 50}, {"a": 40}, 1000, []),
        ({"a": 50, "gone": 1}, {"a": 60, "b": 1}, 100, ["a", "b"]),
    ],
)
def test_due(newest: dict[str, float], changed: dict[str, float], now: float, expected: list[str]) -> None:
    assert due(newest, changed, now, 10) == expected


def test_surplus_looks_at_one_kind() -> None:
    def made(number: int, kind: Kind) -> Snapshot:
        return Snapshot(f"snp-{number}", "db", kind, 100 - number, 0)

    found = [made(1, "manual"), made(2, "scheduled"), made(3, "scheduled"), made(4, "manual"), made(5, "scheduled")]
    assert [one.snapshot_id for one in surplus(found, "scheduled", 1)] == ["snp-3", "snp-5"]
    assert surplus(found, "scheduled", 3) == []
