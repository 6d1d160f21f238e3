"""What databases have used, by day in UTC. Filled by `runtime.control.usage_record`, read by the control API."""

import sqlite3
from collections.abc import Mapping

import msgspec


class Day(msgspec.Struct, frozen=True):
    """One database on one day."""

    day: str
    """As 2026-11-22."""
    rows_read: int
    rows_written: int
    queries: int
    storage_bytes: int
    """The last known size on that day."""
    received_bytes: int = 0
    """Of requests, without HTTP."""
    sent_bytes: int = 0
    """Of answers before compression, without HTTP."""


def add(connection: sqlite3.Connection, used: Mapping[str, Day]) -> None:
    """Add what databases (by id) have used since the last call; ids that are gone are passed over."""
    connection.executemany(
        """
        INSERT INTO database_usage
        SELECT database_id, :day, :rows_read, :rows_written, :queries, :storage_bytes, :received_bytes, :sent_bytes
        FROM databases WHERE database_id = :database_id
        ON CONFLICT (database_id, day) DO UPDATE SET
            rows_read = rows_read + excluded.rows_read,
            rows_written = rows_written + excluded.rows_written,
            queries = queries + excluded.queries,
            received_bytes = received_bytes + excluded.received_bytes,
            sent_bytes = sent_bytes + excluded.sent_bytes,
            storage_bytes = excluded.storage_bytes
        """,
        [{"database_id": key, **msgspec.structs.asdict(day)} for key, day in used.items()],
    )


def days(connection: sqlite3.Connection, database_id: str, most: int) -> list[Day]:
    """The newest days of a database, newest first."""
    rows = connection.execute(
        "SELECT day, rows_read, rows_written, queries, storage_bytes, received_bytes, sent_bytes FROM database_usage "
        "WHERE database_id = ? ORDER BY day DESC LIMIT ?",
        (database_id, most),
    )
    return [Day(*row) for row in rows]
