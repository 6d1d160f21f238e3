"""Apps: a name in a project, with builds of which one may be active."""

import sqlite3

import msgspec

from runtime.state import ids, projects
from runtime.state.errors import Conflict, NotFound


class App(msgspec.Struct, frozen=True):
    """One app."""

    app_id: str
    project_id: str
    project: str
    name: str
    created: float
    active_build: str | None


_SELECT = """
    SELECT app_id, project_id, projects.name, apps.name, apps.created, active_build
    FROM apps JOIN projects USING (project_id)
"""


def find(connection: sqlite3.Connection, project: str, key: str) -> App:
    """By project and app, each name or id. Raises `NotFound`."""
    app = "app_id" if ids.is_id(key) else "apps.name"
    owner = "project_id" if ids.is_id(project) else "projects.name"
    row = connection.execute(_SELECT + f"WHERE {owner} = ? AND {app} = ?", (project, key)).fetchone()
    if row is None:
        raise NotFound(f"There is no app {key!r} in project {project!r}.")
    return App(*row)


def get(connection: sqlite3.Connection, app_id: str) -> App:
    """By id. Raises `NotFound`."""
    row = connection.execute(_SELECT + "WHERE app_id = ?", (app_id,)).fetchone()
    if row is None:
        raise NotFound(f"The app {app_id} was deleted.")
    return App(*row)


def of_project(connection: sqlite3.Connection, project: str) -> list[App]:
    """All apps of a project by name; none if the project has never been used. Raises `NotFound` for an unknown id."""
    used = projects.used(connection, project)
    if used is None:
        return []
    rows = connection.execute(_SELECT + "WHERE project_id = ? ORDER BY apps.name", (used.project_id,))
    return [App(*row) for row in rows]


def every(connection: sqlite3.Connection) -> list[App]:
    """All apps of the node."""
    return [App(*row) for row in connection.execute(_SELECT + "ORDER BY projects.name, apps.name")]


def create(connection: sqlite3.Connection, project: str, name: str, now: float) -> App:
    """Create an app, and its project if that is new. Raises `Conflict`."""
    owner = projects.find_or_create(connection, project, now)
    app_id = ids.new("app")
    try:
        connection.execute(
            "INSERT INTO apps (app_id, project_id, name, created) VALUES (?, ?, ?, ?)",
            (app_id, owner.project_id, name, now),
        )
    except sqlite3.IntegrityError:
        raise Conflict(f"There already is an app {name!r} in project {owner.name!r}.") from None
    return App(app_id, owner.project_id, owner.name, name, now, None)


def delete(connection: sqlite3.Connection, app_id: str) -> None:
    """Remove an app with its builds, environment and domains."""
    connection.execute("UPDATE apps SET active_build = NULL WHERE app_id = ?", (app_id,))
    connection.execute("DELETE FROM apps WHERE app_id = ?", (app_id,))
