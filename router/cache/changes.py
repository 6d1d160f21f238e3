"""Everything that changes the index: called on the writer's thread only, within a transaction of its own.

Keeps count of what each app has stored, and removes what is over its limit, least recently used first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from router.cache.budget import Limits, excess
from router.cache.calls import DEFAULT, Call, CallError, Stored, joined, pairs, without_fragment, without_search
from router.cache.fields import Fields
from router.cache.index import connect, key_of
from router.cache.matching import varies, vary_names

MOST_CACHES = 256
"""Of one app."""
MOST_VARIANTS = 64
"""Entries of one URL in one cache, which differ by Vary."""
ENTRY_OVERHEAD = 512
"""What an entry counts beside its bytes: its row and its places in the indices."""
BATCH = 500
"""Entries removed within one transaction."""

_Row = tuple[int, str, int, str | None]
"""Id, app, charge, file."""


class New(msgspec.Struct, frozen=True):
    """An entry to be. The body is in `body`, or in the file of that name."""

    cache: bytes
    url: bytes
    vary: bytes
    expires: float | None
    size: int
    status: int
    request: bytes
    response: bytes
    body: bytes | None
    file: str | None


def new_entry(
    asked: Call,
    brought: Stored,
    kept: Fields,
    expires: float | None,
    size: int,
    body: bytes | None,
    file: str | None,
) -> New:
    """Return the entry for what a put brought; `kept` are the header fields of its response that may be stored."""
    return New(
        cache=asked.cache,
        url=asked.url,
        vary=vary_names(kept),
        expires=expires,
        size=size,
        status=brought.status,
        request=joined(fields=brought.request),
        response=joined(brought.reason, brought.kind, brought.response_url, fields=kept),
        body=body,
        file=file,
    )


class Changes:
    """See the module. `writing` are the bytes of bodies under way, by app, which its owner keeps."""

    def __init__(self, path: Path, limits: Limits, writing: Mapping[str, int]) -> None:
        self._connection = connect(path)
        self._limits = limits
        self._writing = writing
        self.stored: Counter[str] = Counter()
        """Bytes by app."""
        self.entries: Counter[str] = Counter()
        self.evicted: Counter[str] = Counter()
        self.gone_files: list[str] = []
        """Bodies that no entry has any more once the transaction is committed."""
        self.count()

    def __repr__(self) -> str:
        return f"<Changes {self.entries.total()} entries, {self.stored.total()} bytes>"

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo all since `begin`; what was counted is counted again."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self.gone_files.clear()
        self.count()

    def count(self) -> None:
        self.stored.clear()
        self.entries.clear()
        for app_id, stored, entries in self._connection.execute(
            "SELECT app, SUM(charge), COUNT(*) FROM entries GROUP BY app"
        ):
            self.stored[app_id], self.entries[app_id] = stored, entries

    # What apps do

    def open(self, app_id: str, name: bytes) -> int:
        """Return the id of an app's cache, made if it is not there. Raises `CallError`."""
        run = self._connection.execute
        row = run("SELECT id FROM caches WHERE app = ? AND name = ? AND gone = 0", (app_id, name)).fetchone()
        if row is not None:
            return int(row[0])
        (count,) = run("SELECT COUNT(*) FROM caches WHERE app = ? AND gone = 0", (app_id,)).fetchone()
        if count >= MOST_CACHES and name != DEFAULT:
            raise CallError("quota", f"the app has {MOST_CACHES} caches, which is the limit; delete one first")
        made = run("INSERT INTO caches (app, name, gone) VALUES (?, ?, 0)", (app_id, name))
        assert made.lastrowid is not None
        return made.lastrowid

    def drop(self, app_id: str, name: bytes) -> bool:
        """Take a cache away; its entries go by and by (`reap`)."""
        done = self._connection.execute(
            "UPDATE caches SET gone = 1 WHERE app = ? AND name = ? AND gone = 0", (app_id, name)
        )
        return done.rowcount > 0

    def insert(self, app_id: str, new: New, now: float) -> bool:
        """Store an entry in the place of those that its request matches; True: call `trim` again.

        Raises `CallError`.
        """
        cache = self.open(app_id, new.cache)
        key = key_of(without_fragment(new.url))
        self._make_way(cache, key, new)
        charge = new.size + len(new.url) + len(new.request) + len(new.response) + ENTRY_OVERHEAD
        place = (cache, app_id, key, key_of(without_search(new.url)))
        figures = (new.expires, now, charge, new.size, new.status)
        content = (new.file, new.vary, new.url, new.request, new.response, new.body)
        self._connection.execute(
            "INSERT INTO entries (cache, app, key, bare, expires, used, charge, size, status, "
            "file, vary, url, request, response, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, *figures, *content),
        )
        self.stored[app_id] += charge
        self.entries[app_id] += 1
        return self.trim(app_id)

    def replace_nothing(self, app_id: str, cache: bytes, url: bytes, request: bytes) -> None:
        """A response came that must not be stored: what is there for its request is out of date."""
        row = self._connection.execute(
            "SELECT id FROM caches WHERE app = ? AND name = ? AND gone = 0", (app_id, cache)
        ).fetchone()
        if row is not None:
            self._make_way(
                row[0], key_of(without_fragment(url)), New(cache, url, b"", None, 0, 0, request, b"", None, None)
            )

    def delete(self, app_id: str, ids: Iterable[int]) -> None:
        """Remove entries of an app."""
        self._remove([row for entry_id in ids for row in self._rows("id = ? AND app = ?", (entry_id, app_id))])

    def used(self, entries: Mapping[int, float]) -> None:
        """Note when entries were last used."""
        self._connection.executemany(
            "UPDATE entries SET used = ? WHERE id = ?", [(now, entry_id) for entry_id, now in entries.items()]
        )

    # What time, room and the operator do

    def trim(self, app_id: str) -> bool:
        """Remove what is over the limits now that `app_id` has grown; True: there is more to remove."""
        over = excess(self.stored, self._writing, self._limits, app_id)
        if over is None:
            return False
        going, freed = [], 0
        for row in self._rows(f"app = ? ORDER BY used LIMIT {BATCH}", (over.app_id,)):
            if freed >= over.count:
                break
            going.append(row)
            freed += row[2]
        self._remove(going)
        self.evicted[over.app_id] += len(going)
        return freed < over.count and bool(going)

    def expire(self, now: float) -> bool:
        """Remove what has expired; True: there is more."""
        rows = self._rows(f"expires <= ? LIMIT {BATCH}", (now,))
        self._remove(rows)
        return len(rows) == BATCH

    def shrink(self) -> None:
        """Give back room in the file that has been free for a while: some of it, so that others need not wait."""
        run = self._connection.execute
        (free,), (pages,) = run("PRAGMA freelist_count").fetchone(), run("PRAGMA page_count").fetchone()
        if free > pages // 2:
            run("PRAGMA incremental_vacuum(1000)").fetchall()

    def forget(self, app_id: str) -> tuple[int, int]:
        """Take all caches of an app away. Returns how many entries and bytes will go (`reap`)."""
        self._connection.execute("UPDATE caches SET gone = 1 WHERE app = ? AND gone = 0", (app_id,))
        return self.entries[app_id], self.stored[app_id]

    def keep_apps(self, app_ids: Iterable[str]) -> None:
        """Take the caches of all other apps away: they were deleted while nobody was here to be told."""
        kept = set(app_ids)
        for (app_id,) in self._connection.execute("SELECT DISTINCT app FROM caches WHERE gone = 0").fetchall():
            if app_id not in kept:
                self.forget(app_id)

    def reap(self) -> bool:
        """Remove some of what was in caches that are gone; True: there is more."""
        row = self._connection.execute("SELECT id FROM caches WHERE gone = 1 LIMIT 1").fetchone()
        if row is None:
            return False
        rows = self._rows(f"cache = ? LIMIT {BATCH}", row)
        self._remove(rows)
        if len(rows) < BATCH:
            self._connection.execute("DELETE FROM caches WHERE id = ?", row)
        return True

    # Rows

    def _rows(self, where: str, values: tuple[object, ...]) -> list[_Row]:
        return self._connection.execute(
            f"SELECT id, app, charge, file FROM entries WHERE {where}",  # noqa: S608 a constant of this module
            values,
        ).fetchall()

    def _remove(self, rows: list[_Row]) -> None:
        self._connection.executemany("DELETE FROM entries WHERE id = ?", [(row[0],) for row in rows])
        for _, app_id, charge, file in rows:
            self.stored[app_id] -= charge
            self.entries[app_id] -= 1
            if file is not None:
                self.gone_files.append(file)

    def _make_way(self, cache: int, key: int, new: New) -> None:
        """Remove what the request of `new` matches, and the oldest of too many variants."""
        found = self._connection.execute(
            "SELECT id, app, charge, file, vary, url, request FROM entries WHERE cache = ? AND key = ? ORDER BY id",
            (cache, key),
        ).fetchall()
        asked = pairs(new.request.split(b"\n") if new.request else [])
        url = without_fragment(new.url)
        going: list[_Row] = []
        others: list[_Row] = []
        for row in found:
            stored = pairs(row[6].split(b"\n") if row[6] else [])
            same = without_fragment(row[5]) == url and not varies(row[4], asked, stored)
            (going if same else others).append(row[:4])
        self._remove(going + others[: max(0, len(others) - MOST_VARIANTS + 1)])
