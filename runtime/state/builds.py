"""Builds: packages that were deployed successfully. A row appears in the transaction that first makes it active."""

import sqlite3

import msgspec

from isolates.messages import Limits
from runtime.state import ids
from runtime.state.errors import Conflict, NotFound


class Build(msgspec.Struct, frozen=True):
    """One build of an app."""

    number: int
    """Grows with every deploy of the node."""
    build_id: str
    app_id: str
    digest: str
    """Content address of the package (`artifacts.store`)."""
    env_ref: str
    """The caller's own mark for the configuration it deployed with; kept and given back, never interpreted."""
    limits: Limits
    size: int
    """Bytes of the package as uploaded."""
    created: float


_SELECT = "SELECT number, build_id, app_id, digest, env_ref, limits, size, created FROM builds "

_BEFORE = """
    WHERE app_id = ? AND number < (SELECT number FROM builds WHERE build_id = ?)
    ORDER BY number DESC LIMIT 1
"""


def _record(row: tuple[int, str, str, str, str, str, int, float]) -> Build:
    return Build(*row[:5], msgspec.json.decode(row[5], type=Limits), *row[6:])


def get(connection: sqlite3.Connection, app_id: str, build_id: str) -> Build:
    """One build of an app. Raises `NotFound`."""
    row = connection.execute(_SELECT + "WHERE app_id = ? AND build_id = ?", (app_id, build_id)).fetchone()
    if row is None:
        raise NotFound(f"The app has no build {build_id!r}.")
    return _record(row)


def of_app(connection: sqlite3.Connection, app_id: str) -> list[Build]:
    """All builds of an app, newest first."""
    return [_record(row) for row in connection.execute(_SELECT + "WHERE app_id = ? ORDER BY number DESC", (app_id,))]


def active(connection: sqlite3.Connection) -> list[Build]:
    """The active build of every app."""
    rows = connection.execute(_SELECT + "WHERE build_id IN (SELECT active_build FROM apps)")  # noqa: S608 constants
    return [_record(row) for row in rows]


def before(connection: sqlite3.Connection, app_id: str, build_id: str | None) -> Build:
    """The build deployed before `build_id`: what a rollback goes to. Raises `Conflict`."""
    row = connection.execute(
        _SELECT + _BEFORE,
        (app_id, build_id),
    ).fetchone()
    if row is None:
        raise Conflict("The app has no build before the active one; name a build to switch to.")
    return _record(row)


def add_active(connection: sqlite3.Connection, build: Build) -> None:
    """Record a new build and make it the active one; its `number` is given here."""
    connection.execute(
        "INSERT INTO builds (build_id, app_id, digest, env_ref, limits, size, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            build.build_id,
            build.app_id,
            build.digest,
            build.env_ref,
            msgspec.json.encode(build.limits).decode(),
            build.size,
            build.created,
        ),
    )
    activate(connection, build.app_id, build.build_id)


def prune(connection: sqlite3.Connection, app_id: str, keep: int) -> None:
    """Forget all but the newest `keep` builds of an app and its active one."""
    connection.execute(
        "DELETE FROM builds WHERE app_id = ?1 AND build_id IS NOT (SELECT active_build FROM apps WHERE app_id = ?1)"
        " AND number NOT IN (SELECT number FROM builds WHERE app_id = ?1 ORDER BY number DESC LIMIT ?2)",
        (app_id, keep),
    )


def activate(connection: sqlite3.Connection, app_id: str, build_id: str) -> None:
    """Make a known build the active one."""
    connection.execute("UPDATE apps SET active_build = ? WHERE app_id = ?", (build_id, app_id))


def digests(connection: sqlite3.Connection) -> set[str]:
    """Every package that some build refers to."""
    return {digest for (digest,) in connection.execute("SELECT DISTINCT digest FROM builds")}


def new_id() -> str:
    """An identifier for a build that is being deployed."""
    return ids.new("bld")
