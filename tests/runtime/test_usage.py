"""Usage by day: the difference between reports, and what is kept of it."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from dataplane.messages import DatabaseStats, WorkerStats
from runtime.control.usage_record import UsageRecord
from runtime.state import databases, usage
from runtime.state.schema import migrate
from runtime.state.store import Store
from runtime.state.usage import Day
from runtime.telemetry.app_logs import AppLogs
from runtime.telemetry.reports import Reports


def test_only_what_came_since_the_last_time_is_written(tmp_path: Path) -> None:
    record = UsageRecord(Store(tmp_path / "state.db"), Reports(AppLogs(tmp_path)))
    sums: Mapping[str, Mapping[str, float]] = {"a": {"queries": 3, "rows_read": 5, "sent_bytes": 9}, "idle": {}}
    assert record.since_last(sums, {"a": 4096}, "2026-11-22") == {"a": Day("2026-11-22", 5, 0, 3, 4096, 0, 9)}
    assert record.since_last(sums, {"a": 4096}, "2026-11-22") == {}
    more = {"a": {"queries": 4, "rows_read": 5, "sent_bytes": 9}}
    assert record.since_last(more, {}, "2026-11-23") == {"a": Day("2026-11-23", 0, 0, 1, 0)}
    anew = {"a": {"queries": 2, "rows_read": 1, "sent_bytes": 9}}
    assert record.since_last(anew, {}, "2026-11-23") == {"a": Day("2026-11-23", 1, 0, 2, 0)}


def test_a_worker_reports_only_what_was_used_and_keeps_what_it_said_before(tmp_path: Path) -> None:
    reports = Reports(AppLogs(tmp_path))
    ones, twos = DatabaseStats(1, 1, 1, 1, 1, 1), DatabaseStats(2, 2, 2, 2, 2, 2)
    reports.database_stats(0, WorkerStats(1, {"a": DatabaseStats(1, 2, 3, 4, 5, 6), "b": ones}))
    reports.database_stats(0, WorkerStats(0, {"b": twos}))
    assert reports.usage.sums()["a"] == {
        "rows_read": 1,
        "rows_written": 2,
        "queries": 3,
        "received_bytes": 4,
        "sent_bytes": 5,
    }
    reports.database_worker_restarted(0)
    reports.database_stats(0, WorkerStats(0, {"b": ones}))
    assert reports.usage.sums()["b"]["queries"] == 3
    assert reports.storage == {"a": 6, "b": 1}


def test_days_add_up_and_go_with_their_database() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    migrate(connection)
    database, _ = databases.create(connection, "default", "main", "db-aaaaaaaaaaaa", b"hash", 0.0)
    key = database.database_id
    usage.add(connection, {key: Day("2026-11-21", 1, 2, 3, 10, 7, 8), "db-gone": Day("2026-11-21", 1, 1, 1, 1)})
    usage.add(connection, {key: Day("2026-11-22", 1, 1, 1, 20)})
    usage.add(connection, {key: Day("2026-11-22", 4, 4, 4, 30)})
    assert usage.days(connection, key, 9) == [Day("2026-11-22", 5, 5, 5, 30), Day("2026-11-21", 1, 2, 3, 10, 7, 8)]
    assert [day.day for day in usage.days(connection, key, 1)] == ["2026-11-22"]
    databases.delete(connection, key)
    assert usage.days(connection, key, 9) == []
    connection.close()
