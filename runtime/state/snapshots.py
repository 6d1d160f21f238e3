"""Snapshots of databases: which there are. Their files belong to `runtime.control.snapshots`."""

import sqlite3
from collections.abc import Sequence
from typing import Literal

import msgspec

from runtime.state.errors import NotFound

Kind = Literal["manual", "scheduled", "before-restore"]


class Snapshot(msgspec.Struct, frozen=True):
    """One snapshot. `created` is the moment whose state it holds, in seconds since the epoch."""

    snapshot_id: str
    database_id: str
    kind: Kind
    created: float
    size: int


_COLUMNS = "snapshot_id, database_id, kind, created, size"


def add(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Note a snapshot. Raises `NotFound` if its database was deleted meanwhile."""
    try:
        connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", msgspec.structs.astuple(snapshot))
    except sqlite3.IntegrityError:
        raise NotFound(f"There is no database {snapshot.database_id!r}.") from None


def set_size(connection: sqlite3.Connection, snapshot_id: str, size: int) -> None:
    """Note the size of a snapshot that was noted before its file was there."""
    connection.execute("UPDATE snapshots SET size = ? WHERE snapshot_id = ?", (size, snapshot_id))


def remove(connection: sqlite3.Connection, snapshot_id: str) -> None:
    """Forget a snapshot."""
    connection.execute("DELETE FROM snapshots WHERE snapshot_id = ?", (snapshot_id,))


def of_database(connection: sqlite3.Connection, database_id: str) -> list[Snapshot]:
    """All of a database, the newest first."""
    return _select(connection, "WHERE database_id = ? ORDER BY created DESC, snapshot_id", (database_id,))


def find(connection: sqlite3.Connection, database_id: str, snapshot_id: str) -> Snapshot:
    """One of a database. Raises `NotFound`."""
    found = _select(connection, "WHERE database_id = ? AND snapshot_id = ?", (database_id, snapshot_id))
    if not found:
        raise NotFound(f"Database {database_id} has no snapshot {snapshot_id!r}.")
    return found[0]


def every(connection: sqlite3.Connection) -> list[Snapshot]:
    """All of the node."""
    return _select(connection, "", ())


def newest(connection: sqlite3.Connection, kind: Kind) -> dict[str, float]:
    """When the newest snapshot of this kind was made, by database."""
    rows = connection.execute("SELECT database_id, max(created) FROM snapshots WHERE kind = ? GROUP BY 1", (kind,))
    return dict(rows.fetchall())


def _select(connection: sqlite3.Connection, condition: str, values: Sequence[str]) -> list[Snapshot]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM snapshots {condition}", values)  # noqa: S608 constants
    return [Snapshot(*row) for row in rows]
