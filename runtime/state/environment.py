"""Environment variables of apps. Plain values: the node is no vault, and says so to who asks for secrets."""

import sqlite3
from collections import defaultdict

import msgspec


class Variable(msgspec.Struct, frozen=True):
    """One variable of one app."""

    key: str
    value: str
    updated: float


def of_app(connection: sqlite3.Connection, app_id: str) -> list[Variable]:
    """All variables of an app by key."""
    rows = connection.execute("SELECT key, value, updated FROM environment WHERE app_id = ? ORDER BY key", (app_id,))
    return [Variable(*row) for row in rows]


def every(connection: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Variables of all apps, by app id."""
    table: dict[str, dict[str, str]] = defaultdict(dict)
    for app_id, key, value in connection.execute("SELECT app_id, key, value FROM environment"):
        table[app_id][key] = value
    return table


def put(connection: sqlite3.Connection, app_id: str, key: str, value: str, now: float) -> None:
    """Set a variable."""
    connection.execute(
        "INSERT INTO environment VALUES (?, ?, ?, ?) "
        "ON CONFLICT (app_id, key) DO UPDATE SET value = excluded.value, updated = excluded.updated",
        (app_id, key, value, now),
    )


def remove(connection: sqlite3.Connection, app_id: str, key: str) -> bool:
    """Unset a variable; False if it was not set."""
    return connection.execute("DELETE FROM environment WHERE app_id = ? AND key = ?", (app_id, key)).rowcount > 0
