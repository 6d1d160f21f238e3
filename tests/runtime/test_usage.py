"""Usage by day: the difference between reports, and what is kept of it."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from runtime.control.usage_record import UsageRecord
from runtime.state import databases, usage
from runtime.state.schema import migrate
from runtime.state.store import Store
from runtime.state.usage import Day
from runtime.telemetry.app_logs import AppLogs
from runtime.telemetry.reports import Reports


def test_only_what_came_since_the_last_time_is_written(tmp_path: Path) -> None:
    record = UsageRecord(Store(tmp_path / "state.db"), Reports(AppLogs(tmp_path)))
    sums: Mapping[str, Mapping[str, float]] = {"a": {"queries": 3, "rows_read": 5}, "idle": {}}
    assert record.since_last(sums, {"a": 4096}, "2026-11-22") == {"a": Day("2026-11-22", 5, 0, 3, 4096)}
    assert record.since_last(sums, {"a": 4096}, "2026-11-22") == {}
    more = {"a": {"queries": 4, "rows_read": 5}}
    assert record.since_last(more, {}, "2026-11-23") == {"a": Day("2026-11-23", 0, 0, 1, 0)}


def test_days_add_up_and_go_with_their_database() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    migrate(connection)
    database, _ = databases.create(connection, "default", "main", "db-aaaaaaaaaaaa", b"hash", 0.0)
    key = database.database_id
    usage.add(connection, {key: Day("2026-11-21", 1, 2, 3, 10), "db-gone": Day("2026-11-21", 1, 1, 1, 1)})
    usage.add(connection, {key: Day("2026-11-22", 1, 1, 1, 20)})
    usage.add(connection, {key: Day("2026-11-22", 4, 4, 4, 30)})
    assert usage.days(connection, key) == [Day("2026-11-22", 5, 5, 5, 30), Day("2026-11-21", 1, 2, 3, 10)]
    databases.delete(connection, key)
    assert usage.days(connection, key) == []
    connection.close()
