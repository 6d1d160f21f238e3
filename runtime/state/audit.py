"""The audit log: who changed what, and which tokens were handed out. Never a value, a token or a secret.

An entry is written in the transaction of the change that it tells of. Filled through `runtime.control.audit`, read by
the control API.
"""

import sqlite3
from typing import Any

import msgspec

PRUNE_EVERY = 100
"""Entries between two looks for ones that are too old: finding them costs more than writing one."""
TOKENS = "database.query-token"
"""Kept apart: a control plane may issue tokens all day, which must not push out who deleted what."""


class Subject(msgspec.Struct, frozen=True):
    """What an entry is about, by the names it had then. Things that were deleted stay here."""

    project: str
    app: str | None = None
    app_id: str | None = None
    database: str | None = None
    database_id: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """One entry. `at` is in seconds since the epoch."""

    at: float
    action: str
    by: str
    """Who the caller said it acts for; `operator` if it said nothing, `node` for what the node does by itself."""
    client: str
    """Address and program of the caller."""
    subject: Subject
    detail: dict[str, Any]
    number: int = 0
    """Grows with every entry of the node; given when it is written."""


class Filter(msgspec.Struct, frozen=True):
    """Which entries are wanted; None is any."""

    project: str | None = None
    app: str | None = None
    database: str | None = None
    action: str | None = None
    before: int | None = None
    """Only entries with a smaller number."""
    after: int | None = None
    """Only entries with a larger number, the oldest first instead of the newest."""


_COLUMNS = "at, action, actor, client, project, app, app_id, database, database_id, detail"


def add(connection: sqlite3.Connection, entry: Entry, keep: int) -> None:
    """Write an entry; of query tokens, and of all other actions, about the newest `keep` stay."""
    subject = entry.subject
    detail = msgspec.json.encode(entry.detail).decode()
    number = connection.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 constants
        (entry.at, entry.action, entry.by, entry.client, *msgspec.structs.astuple(subject), detail),
    ).lastrowid
    assert number is not None
    if number % PRUNE_EVERY == 0:
        prune(connection, keep)


def prune(connection: sqlite3.Connection, keep: int) -> None:
    """Forget all but the newest `keep` query tokens, and the newest `keep` of everything else."""
    for sign in ("=", "<>"):
        connection.execute(
            f"DELETE FROM audit WHERE action {sign} ?1 AND number <= "  # noqa: S608 constants
            f"(SELECT number FROM audit WHERE action {sign} ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            (TOKENS, keep),
        )


def find(connection: sqlite3.Connection, wanted: Filter, limit: int) -> list[Entry]:
    """The newest entries that are wanted, newest first; with `after`, those after it, oldest first."""
    conditions = {
        "project = ?": wanted.project,
        "? IN (app, app_id)": wanted.app,
        "? IN (database, database_id)": wanted.database,
        # A prefix finds a family: `database` is every action on databases.
        "? IN (action, substr(action, 1, instr(action, '.') - 1))": wanted.action,
        "number < ?": wanted.before,
        "number > ?": wanted.after,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    where = f"WHERE {' AND '.join(given)} " if given else ""
    order = "DESC" if wanted.after is None else "ASC"
    rows = connection.execute(
        f"SELECT {_COLUMNS}, number FROM audit {where}ORDER BY number {order} LIMIT ?",  # noqa: S608 constants
        (*given.values(), limit),
    )
    return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> Entry:
    at, action, actor, client, *subject, detail, number = row
    return Entry(at, action, actor, client, Subject(*subject), msgspec.json.decode(detail), number)
