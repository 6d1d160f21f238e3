"""Sends an import's pieces in chunks, each one transaction that also notes how far the import is.

The note is the row of a table in the database itself, written with the chunk it is about: whatever breaks in between,
what the note says is what is there. It takes the place of the note before, or the chunk fails: so no statement runs
twice, though a request be repeated that was not lost, or the same import run twice at once. The table goes at the end.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from runtime.cli.errors import CommandError
from runtime.cli.hrana import ConnectionLost, DatabaseRefused, Remote, SqlFailed, to_wire
from runtime.cli.import_rows import joined
from runtime.cli.import_rules import is_refusal
from runtime.cli.import_source import Piece, Source
from runtime.cli.tables import size

NOTE = "_brrrd_import"
_NOTE_TABLE = (
    f'CREATE TABLE "{NOTE}" '
    "(one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER, digest TEXT, memory TEXT, source TEXT)"
)
"""A second row would be number 2."""
CHUNK_BYTES = 1 << 20
CHUNK_PIECES = 2000
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.25
SHOWN_CHARACTERS = 200
TOO_LARGE = 413
_FOREIGN_KEYS_OFF = {"type": "sequence", "sql": "PRAGMA foreign_keys=OFF"}


class Note(NamedTuple):
    """How far an import is."""

    position: int
    digest: str
    memory: str
    source: str


class Overtaken(Exception):
    """The note is another one than the chunk is to come after."""


class Loaded(NamedTuple):
    """What an import did."""

    statements: int
    """Of this run."""
    resumed_at: int
    """Position at which it began; 0 for a new import."""
    violations: int
    """Rows that refer to nothing, which is checked afterwards because foreign keys are off meanwhile."""


class Load:
    """One import into one database."""

    def __init__(self, remote: Remote, source: Source, on_progress: Callable[[int], None]) -> None:
        self._remote = remote
        self._source = source
        self._on_progress = on_progress
        self._noted = False
        """The note's table is there."""
        self._position = 0
        """That of the note."""

    def __repr__(self) -> str:
        return f"<Load of {self._source!r} into {self._remote!r}>"

    def run(self, *, restart: bool = False) -> Loaded:
        """Import everything that is not there yet. Raises `CommandError`."""
        begun = self._begun(restart)
        self._position = begun.position
        statements = 0
        for chunk in self._chunks(begun):
            statements += self._send(chunk)
            self._position = chunk[-1].position
            self._on_progress(chunk[-1].position)
        for sql in self._source.finish():
            self._repeat(partial(self._finish, sql))
        if self._noted:
            self._repeat(lambda: self._remote.pipeline(_sequence(f'DROP TABLE IF EXISTS "{NOTE}"')))
        return Loaded(statements, begun.position, len(self._remote.rows("PRAGMA foreign_key_check")))

    def _finish(self, sql: str) -> None:
        try:
            self._remote.pipeline(_sequence(sql))
        except SqlFailed as error:
            raise CommandError(f"{self._source.path} is imported, but for: {sql}: {error}") from None

    def _begun(self, restart: bool) -> Note:
        """Where to begin: an import of this very file that was stopped goes on."""
        note = self._note()
        if note is None or restart:
            if note is not None:
                self._remote.pipeline(_sequence(f'DROP TABLE "{NOTE}"'))
                self._noted = False
            self._source.check(0)
            return Note(0, "", "", self._source.path.name)
        if self._source.check(note.position) != note.digest:
            raise CommandError(
                f"the database holds an unfinished import of {note.source}, and {self._source.path} is not that file, "
                "or what was imported of it has changed. Import the same file to go on, or give the old import up with "
                "--restart, which keeps what it has written."
            )
        return note

    def _note(self) -> Note | None:
        known = self._repeat(
            lambda: self._remote.rows("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", NOTE)
        )
        self._noted = bool(known)
        if not known:
            return None
        rows = self._repeat(lambda: self._remote.rows(f'SELECT position, digest, memory, source FROM "{NOTE}"'))  # noqa: S608
        return Note(*rows[0]) if rows else None

    def _chunks(self, begun: Note) -> Iterator[list[Piece]]:
        chunk: list[Piece] = []
        size = 0
        for piece in self._source.pieces(begun.position, begun.memory):
            chunk.append(piece)
            size += piece.size
            # The digest is that of the piece taken last, so a chunk must end with it.
            if size >= CHUNK_BYTES or len(chunk) >= CHUNK_PIECES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _send(self, chunk: list[Piece]) -> int:
        """Run one chunk; what the server refuses is left out. Returns how many statements ran."""
        digest, memory = self._source.mark()
        note = Note(chunk[-1].position, digest, memory, self._source.path.name)
        pieces = [piece for piece in chunk if piece.sql is not None]
        try:
            failed = self._run(joined(pieces), note)
        except DatabaseRefused as refusal:
            if refusal.status != TOO_LARGE:
                raise
            largest = max(pieces, key=lambda piece: piece.size)
            raise CommandError(f"{largest.place}: {size(largest.size)} cannot be sent: {refusal}") from None
        if failed is None:
            return len(pieces)
        # One by one, to learn which it is.
        while True:
            failed = self._run(pieces, note)
            if failed is None:
                return len(pieces)
            number, error = failed
            if not is_refusal(error):
                raise CommandError(self._failure(pieces[number], error))
            self._source.left_out["refused"] += 1
            del pieces[number]

    def _run(self, pieces: list[Piece], note: Note) -> tuple[int, SqlFailed] | None:
        """Run the pieces in one transaction, once; None, or the number of the piece that failed. Then none has run."""
        try:
            failed: tuple[int, SqlFailed] | None = self._repeat(lambda: self._commit(pieces, note), note)
        except Overtaken:
            there = self._note()
            if there == note:
                return None  # a request of which the answer was lost had taken effect after all
            raise CommandError(
                "another import into this database came in between and has ended, or the database was restored: "
                "look at what is there before you import again."
                if there is None
                else "another import into this database is under way, or the database was restored meanwhile. "
                "If nothing else imports into it any more, this command goes on where that was."
            ) from None
        return failed

    def _commit(self, pieces: list[Piece], note: Note) -> tuple[int, SqlFailed] | None:
        """As `_run`, but `Overtaken` if the note is not the one before these pieces."""
        steps: list[dict[str, Any]] = [{"stmt": {"sql": "BEGIN IMMEDIATE"}}]
        if not self._noted:
            steps.append(_after(steps, {"sql": _NOTE_TABLE}))
        before = to_wire(self._position)
        steps.append(_after(steps, {"sql": f'DELETE FROM "{NOTE}" WHERE position = ?', "args": [before]}))  # noqa: S608
        values = [to_wire(value) for value in note]
        insert = f'INSERT INTO "{NOTE}" (position, digest, memory, source) VALUES (?, ?, ?, ?)'  # noqa: S608
        steps.append(_after(steps, {"sql": insert, "args": values}))
        first = len(steps)
        for piece in pieces:
            stmt = {"sql": piece.sql, "args": [to_wire(value) for value in piece.args], "want_rows": False}
            steps.append(_after(steps, stmt))
        steps.append(_after(steps, {"sql": "COMMIT"}))
        result = self._remote.pipeline(_FOREIGN_KEYS_OFF, {"type": "batch", "batch": {"steps": steps}})[1]["result"]
        for number, error in enumerate(result["step_errors"]):
            if error is None:
                continue
            failure = SqlFailed(error)
            if first <= number < first + len(pieces):
                return number - first, failure
            if number < first and (failure.code == "SQLITE_CONSTRAINT" or NOTE in str(failure)):
                raise Overtaken
            raise failure
        self._noted = True
        return None

    def _repeat(self, work: Callable[[], Any], note: Note | None = None) -> Any:
        """Do `work` again when the connection broke; with `note`, not if the database says that it took effect."""
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(ATTEMPTS):
            try:
                return work()
            except (ConnectionLost, DatabaseRefused) as error:
                passing = isinstance(error, ConnectionLost) or error.status in (429, 502, 503, 504)
                if not passing or attempt == ATTEMPTS - 1:
                    raise
            time.sleep(pause)
            pause *= 2
            if note is not None and (there := self._note()) is not None and there.position == note.position:
                return None
        raise AssertionError

    def _failure(self, piece: Piece, error: SqlFailed) -> str:
        sql = " ".join((piece.sql or "").split())
        if len(sql) > SHOWN_CHARACTERS:
            sql = sql[:SHOWN_CHARACTERS] + "…"
        return (
            f"{piece.place}: {error}\n  {sql}\n"
            "What came before in the file may be in the database already. Repair this place and run the import again: "
            "it goes on where it stopped."
        )


def _after(steps: list[dict[str, Any]], stmt: dict[str, Any]) -> dict[str, Any]:
    return {"stmt": stmt, "condition": {"type": "ok", "step": len(steps) - 1}}


def _sequence(sql: str) -> dict[str, Any]:
    return {"type": "sequence", "sql": sql}
