"""Projects: a namespace for apps and databases."""

import sqlite3

import msgspec

from runtime.state import ids
from runtime.state.errors import NotFound


class Project(msgspec.Struct, frozen=True):
    """One project."""

    project_id: str
    name: str
    created: float


def _record(row: tuple[str, str, float]) -> Project:
    return Project(*row)


def find(connection: sqlite3.Connection, key: str) -> Project:
    """By name or id. Raises `NotFound`."""
    column = "project_id" if ids.is_id(key) else "name"
    row = connection.execute(f"SELECT project_id, name, created FROM projects WHERE {column} = ?", (key,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFound(f"There is no project {key!r}.")
    return _record(row)


def used(connection: sqlite3.Connection, key: str) -> Project | None:
    """By name or id; None for a name that was never used. Raises `NotFound` for an unknown id."""
    try:
        return find(connection, key)
    except NotFound:
        if ids.is_id(key):
            raise
        return None


def find_or_create(connection: sqlite3.Connection, key: str, now: float) -> Project:
    """By name or id; a name that is not there yet becomes a project. Raises `NotFound` for an unknown id."""
    known = used(connection, key)
    if known is not None:
        return known
    project = Project(ids.new("prj"), key, now)
    connection.execute("INSERT INTO projects VALUES (?, ?, ?)", (project.project_id, project.name, now))
    return project


def every(connection: sqlite3.Connection) -> list[Project]:
    """All projects by name."""
    return [_record(row) for row in connection.execute("SELECT project_id, name, created FROM projects ORDER BY name")]
