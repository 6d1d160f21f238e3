"""Domains: host names bound to apps. A pending one is reserved and not yet served."""

import sqlite3

import msgspec

from runtime.state.errors import Conflict, NotFound


class Domain(msgspec.Struct, frozen=True):
    """One host name, in lower case A-label form, exact or `*.suffix`."""

    domain: str
    app_id: str
    dns_mode: str
    active: bool
    created: float


_SELECT = "SELECT domain, app_id, dns_mode, active, created FROM domains "


def _record(row: tuple[str, str, str, int, float]) -> Domain:
    return Domain(row[0], row[1], row[2], bool(row[3]), row[4])


def find(connection: sqlite3.Connection, domain: str) -> Domain | None:
    """Who has a host name."""
    row = connection.execute(_SELECT + "WHERE domain = ?", (domain,)).fetchone()
    return None if row is None else _record(row)


def of_app(connection: sqlite3.Connection, app_id: str) -> list[Domain]:
    """All host names of an app, in the order they were bound."""
    rows = connection.execute(_SELECT + "WHERE app_id = ? ORDER BY created, domain", (app_id,))
    return [_record(row) for row in rows]


def every_active(connection: sqlite3.Connection) -> dict[str, str]:
    """The host table: active names to app ids."""
    return dict(connection.execute("SELECT domain, app_id FROM domains WHERE active").fetchall())


def check_free(connection: sqlite3.Connection, app_id: str, names: list[str]) -> None:
    """Raises `Conflict` if another app has one of `names`."""
    for name in names:
        holder = find(connection, name)
        if holder is not None and holder.app_id != app_id:
            raise Conflict(f"The host name {name!r} belongs to another app; remove it there first.")


def attach(
    connection: sqlite3.Connection, app_id: str, domain: str, dns_mode: str, *, active: bool, now: float
) -> Domain:
    """Bind a name to an app; binding it again changes nothing but may activate it. Raises `Conflict`."""
    check_free(connection, app_id, [domain])
    connection.execute(
        "INSERT INTO domains VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (domain) DO UPDATE SET active = max(active, excluded.active)",
        (domain, app_id, dns_mode, active, now),
    )
    found = find(connection, domain)
    assert found is not None
    return found


def finalize(connection: sqlite3.Connection, app_id: str, domain: str) -> Domain:
    """Serve a pending name from now on. Raises `NotFound`."""
    found = find(connection, domain)
    if found is None or found.app_id != app_id:
        raise NotFound(f"The app has no domain {domain!r}.")
    connection.execute("UPDATE domains SET active = 1 WHERE domain = ?", (domain,))
    return msgspec.structs.replace(found, active=True)


def remove(connection: sqlite3.Connection, app_id: str, domain: str) -> bool:
    """Unbind a name; False if the app did not have it."""
    return connection.execute("DELETE FROM domains WHERE domain = ? AND app_id = ?", (domain, app_id)).rowcount > 0
