"""Databases: who owns them and which tokens open them. Their content lives in the data plane's files."""

import sqlite3

import msgspec

from dataplane.messages import DatabaseLimits
from runtime.state import ids, projects
from runtime.state.errors import NotFound


class Database(msgspec.Struct, frozen=True):
    """One database."""

    database_id: str
    project_id: str
    project: str
    name: str
    token_hash: bytes
    epoch: int
    """Grows with every rotation; tokens of another epoch are dead."""
    suspended: bool
    created: float
    suspend_reason: str = ""
    limits: DatabaseLimits = DatabaseLimits()
    """Those that it has of its own."""


_SELECT = """
    SELECT database_id, project_id, projects.name, databases.name, token_hash, epoch, suspended, databases.created,
        suspend_reason, limits
    FROM databases JOIN projects USING (project_id)
"""


def _record(row: tuple[str, str, str, str, bytes, int, int, float, str, str]) -> Database:
    return Database(*row[:6], bool(row[6]), *row[7:9], msgspec.json.decode(row[9], type=DatabaseLimits))


def find(connection: sqlite3.Connection, key: str) -> Database:
    """By id; a name works as long as only one project uses it. Raises `NotFound`."""
    column = "database_id" if ids.is_id(key) else "databases.name"
    rows = connection.execute(_SELECT + f"WHERE {column} = ?", (key,)).fetchall()
    if not rows:
        raise NotFound(f"There is no database {key!r}.")
    if len(rows) > 1:
        raise NotFound(f"Several projects have a database {key!r}; name it by its id.")
    return _record(rows[0])


def in_project(connection: sqlite3.Connection, project_id: str, name: str) -> Database | None:
    """By name within a project."""
    row = connection.execute(_SELECT + "WHERE project_id = ? AND databases.name = ?", (project_id, name)).fetchone()
    return None if row is None else _record(row)


def of_project(connection: sqlite3.Connection, project: str) -> list[Database]:
    """All databases of a project by name; none if the project has never been used."""
    used = projects.used(connection, project)
    if used is None:
        return []
    rows = connection.execute(_SELECT + "WHERE project_id = ? ORDER BY databases.name", (used.project_id,))
    return [_record(row) for row in rows]


def every(connection: sqlite3.Connection) -> list[Database]:
    """All databases of the node."""
    return [_record(row) for row in connection.execute(_SELECT)]


def create(
    connection: sqlite3.Connection, project: str, name: str, database_id: str, token_hash: bytes, now: float
) -> tuple[Database, bool]:
    """Create a database; one of that name that is already there is returned with False and stays as it is."""
    owner = projects.find_or_create(connection, project, now)
    found = in_project(connection, owner.project_id, name)
    if found is not None:
        return found, False
    connection.execute(
        "INSERT INTO databases (database_id, project_id, name, token_hash, epoch, suspended, created) "
        "VALUES (?, ?, ?, ?, 1, 0, ?)",
        (database_id, owner.project_id, name, token_hash, now),
    )
    return find(connection, database_id), True


def rotate(connection: sqlite3.Connection, database_id: str, token_hash: bytes) -> Database:
    """Replace the token and end everything issued before."""
    connection.execute(
        "UPDATE databases SET token_hash = ?, epoch = epoch + 1 WHERE database_id = ?", (token_hash, database_id)
    )
    return find(connection, database_id)


def suspend(connection: sqlite3.Connection, database_id: str, suspended: bool, reason: str = "") -> Database:
    """Refuse or allow use; the content stays."""
    connection.execute(
        "UPDATE databases SET suspended = ?, suspend_reason = ? WHERE database_id = ?", (suspended, reason, database_id)
    )
    return find(connection, database_id)


def limit(connection: sqlite3.Connection, database_id: str, limits: DatabaseLimits) -> Database:
    """Replace the limits that it has of its own."""
    text = msgspec.json.encode(limits).decode()
    connection.execute("UPDATE databases SET limits = ? WHERE database_id = ?", (text, database_id))
    return find(connection, database_id)


def delete(connection: sqlite3.Connection, database_id: str) -> None:
    """Forget a database and note that its files have to go."""
    connection.execute("DELETE FROM databases WHERE database_id = ?", (database_id,))
    connection.execute("INSERT OR IGNORE INTO dropped_databases VALUES (?)", (database_id,))


def dropped(connection: sqlite3.Connection) -> list[str]:
    """Deleted databases whose files may still be there."""
    return [key for (key,) in connection.execute("SELECT database_id FROM dropped_databases")]


def files_gone(connection: sqlite3.Connection, database_id: str) -> None:
    """The files of a deleted database were removed."""
    connection.execute("DELETE FROM dropped_databases WHERE database_id = ?", (database_id,))
