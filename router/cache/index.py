"""The index of everything cached: an SQLite file, and how entries are found in it.

`Lookup` reads, on the event loop: with a write-ahead log nothing that is written keeps it waiting. What writes is in
`router.cache.changes`. Entries are found by hashes of their URLs, so that long ones cost the index nothing.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from router.cache.calls import DEFAULT, Call, pairs, without_fragment, without_search
from router.cache.matching import varies

PAGE = 64
"""Entries looked at in one go."""

LOG_BYTES = 64 << 20
"""What the write-ahead log may keep of the disk when it is not needed."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE caches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL, name BLOB NOT NULL, gone INTEGER NOT NULL);
CREATE UNIQUE INDEX caches_name ON caches (app, name) WHERE gone = 0;
CREATE INDEX caches_gone ON caches (id) WHERE gone = 1;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, cache INTEGER NOT NULL, app TEXT NOT NULL,
    key INTEGER NOT NULL, bare INTEGER NOT NULL, expires REAL, used REAL NOT NULL, charge INTEGER NOT NULL,
    size INTEGER NOT NULL, status INTEGER NOT NULL, file TEXT, vary BLOB NOT NULL, url BLOB NOT NULL,
    request BLOB NOT NULL, response BLOB NOT NULL, body BLOB);
CREATE INDEX entries_cache ON entries (cache);
CREATE INDEX entries_key ON entries (cache, key);
CREATE INDEX entries_bare ON entries (cache, bare);
CREATE INDEX entries_used ON entries (app, used, charge);
CREATE INDEX entries_expires ON entries (expires) WHERE expires IS NOT NULL;
CREATE INDEX entries_file ON entries (file) WHERE file IS NOT NULL;
"""
_COLUMNS = "e.id, e.cache, e.used, e.size, e.status, e.file, e.vary, e.url, e.request, e.response, e.body"
_ONE_CACHE = "SELECT id FROM caches WHERE app = ? AND gone = 0 AND name = ?"
_NAMED_CACHES = "SELECT id FROM caches WHERE app = ? AND gone = 0 AND name <> ? ORDER BY id"
_FRESH = "(e.expires IS NULL OR e.expires > ?)"

_EXACT = (
    f"SELECT {_COLUMNS} FROM entries e WHERE e.cache = ({_ONE_CACHE}) AND e.key = ? "  # noqa: S608
    f"AND {_FRESH} ORDER BY e.id LIMIT {2 * PAGE}"
)


class Entry(NamedTuple):
    """One row. `request` and `response` are heads (`router.cache.calls`); `body` is None when it is a file."""

    id: int
    cache: int
    used: float
    size: int
    status: int
    file: str | None
    vary: bytes
    url: bytes
    request: bytes
    response: bytes
    body: bytes | None


class Listed(NamedTuple):
    """What `Lookup.page` gives of an entry."""

    id: int
    vary: bytes
    url: bytes
    request: bytes


class Unusable(Exception):
    """The file is not an index of this version, or broken."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the index, made if it is not there. Raises `Unusable`."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        # What a power cut takes are the last entries; without it, nothing that was answered is lost.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise Unusable(f"version {version}")
    except (sqlite3.DatabaseError, Unusable) as error:
        connection.close()
        raise Unusable(str(error)) from None
    return connection


def key_of(url: bytes) -> int:
    """Return the number under which a URL is found."""
    return int.from_bytes(hashlib.blake2b(url, digest_size=8).digest(), "big", signed=True)


class Lookup:
    """Finds entries. Of an app's own caches only, whatever a call says."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5)
        self._connection.execute("PRAGMA query_only = 1")

    def __repr__(self) -> str:
        return "<Lookup>"

    def match(self, app_id: str, call: Call, now: float) -> Iterator[Entry | None]:
        """Look for the first entry that answers a call: gives None after each page without one, then ends."""
        column, url, key = _column(call)
        if column == "key" and call.cache:
            # The usual call: few entries, found with one query.
            for row in self._connection.execute(_EXACT, (app_id, call.cache, key, now)).fetchall():
                entry = Entry._make(row)
                if _is_match(call, url, entry):
                    yield entry
            return
        for cache in self.caches(app_id, call):
            after = 0
            while True:
                rows = self._connection.execute(
                    f"SELECT {_COLUMNS} FROM entries e WHERE e.cache = ? AND e.{column} = ? AND e.id > ? "  # noqa: S608
                    f"AND {_FRESH} ORDER BY e.id LIMIT {PAGE}",
                    (cache, key, after, now),
                ).fetchall()
                for row in rows:
                    entry = Entry._make(row)
                    if _is_match(call, url, entry):
                        yield entry
                        return
                yield None
                if len(rows) < PAGE:
                    break
                after = rows[-1][0]

    def page(self, cache: int, call: Call, now: float, after: int) -> tuple[int | None, list[Listed]]:
        """Return those of the next entries behind the id `after` that a call asks for, and the last one's id.

        That id is None when there are no more.
        """
        column, url, key = _column(call)
        condition = f"AND e.{column} = ?" if url else ""
        rows = self._connection.execute(
            "SELECT e.id, e.vary, e.url, e.request FROM entries e WHERE e.cache = ? AND e.id > ? "  # noqa: S608
            f"{condition} AND {_FRESH} ORDER BY e.id LIMIT {PAGE}",
            (cache, after, *([key] if url else []), now),
        ).fetchall()
        listed = [Listed._make(row) for row in rows]
        last = listed[-1].id if len(listed) == PAGE else None
        return last, [entry for entry in listed if not url or _is_match(call, url, entry)]

    def caches(self, app_id: str, call: Call) -> list[int]:
        """Return the ids of the caches that a call is for: the one that it names, or all that have a name."""
        rows = self._connection.execute(_ONE_CACHE if call.cache else _NAMED_CACHES, (app_id, call.cache or DEFAULT))
        return [cache for (cache,) in rows.fetchall()]

    def get(self, app_id: str, entry_id: int, now: float) -> Entry | None:
        """Return the entry of that id, if it is the app's."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries e JOIN caches c ON c.id = e.cache "  # noqa: S608
            f"WHERE e.id = ? AND e.app = ? AND c.gone = 0 AND {_FRESH}",
            (entry_id, app_id, now),
        ).fetchone()
        return None if row is None else Entry._make(row)

    def has(self, app_id: str, name: bytes) -> bool:
        """Tell whether the app has a cache of that name."""
        found = self._connection.execute("SELECT 1 FROM caches WHERE app = ? AND name = ? AND gone = 0", (app_id, name))
        return found.fetchone() is not None

    def names(self, app_id: str) -> list[bytes]:
        """Return the names of the app's caches but the default one, oldest first."""
        rows = self._connection.execute(
            "SELECT name FROM caches WHERE app = ? AND gone = 0 AND name <> ? ORDER BY id", (app_id, DEFAULT)
        )
        return [name for (name,) in rows.fetchall()]

    def is_kept(self, file: str) -> bool:
        """Tell whether an entry has its body in that file."""
        return self._connection.execute("SELECT 1 FROM entries WHERE file = ?", (file,)).fetchone() is not None

    def close(self) -> None:
        self._connection.close()


def _column(call: Call) -> tuple[str, bytes, int]:
    if call.ignores_search:
        url = without_search(call.url)
        return "bare", url, key_of(url)
    url = without_fragment(call.url)
    return "key", url, key_of(url)


def _is_match(call: Call, url: bytes, entry: Entry | Listed) -> bool:
    if (without_search if call.ignores_search else without_fragment)(entry.url) != url:
        return False
    if call.ignores_vary or not entry.vary:
        return True
    return not varies(entry.vary, call.asked, pairs(entry.request.split(b"\n") if entry.request else []))
