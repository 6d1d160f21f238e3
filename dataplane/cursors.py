"""Cursors: a batch whose rows leave as entries while it runs, in chunks, so that no result is too large.

Generators as in `dataplane.execution`, for `dataplane.requests` (over HTTP) and `dataplane.sessions` (WebSocket).
"""

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from time import monotonic
from typing import Any

from dataplane import hrana
from dataplane.answers import NextBaton, holds
from dataplane.errors import SqlError, protocol_error, suspended
from dataplane.execution import Need, Work, in_turn, prepare, run
from dataplane.statements import NeedsTurn
from dataplane.streams import Stream

_CHUNK_BYTES = 64 << 10
_CELL_BYTES = 34
"""Of a value in JSON, beyond its text."""
_ENTRY_BYTES = 150
"""Of what begins and ends a step, beyond names and messages."""


def check_batch(batch: hrana.Batch) -> Iterator[None]:
    """Raise `HttpError` if the batch has conditions that cannot be; as `hrana.check_conditions`."""
    try:
        yield from hrana.check_conditions(batch, version=3)
    except ValueError as error:
        raise protocol_error(str(error)) from None


def cursor(stream: Stream, body: hrana.Cursor, next_baton: NextBaton, blocked: str | None) -> Work:
    """Run a batch; yields the answer's body, entry by entry. `HttpError` comes before anything else."""
    for _ in check_batch(body.batch):
        if stream.pause_due(monotonic()):
            yield Need.PAUSE
    head: list[Any] = [{"baton": next_baton(stream), "base_url": None}]
    encode = stream.format.entries
    work = cursor_entries(stream, body.batch, blocked)
    while True:
        try:
            outcome = next(work)
        except StopIteration as stop:
            return encode(head + stop.value)
        if isinstance(outcome, list):
            yield encode(head + outcome)
            head = []
        else:
            yield outcome


def cursor_entries(stream: Stream, batch: hrana.Batch, blocked: str | None) -> Work:
    """Run a batch; yields lists of cursor entries and returns the last ones."""
    entries = _Entries()
    if blocked is not None:
        return [{"type": "error", "error": suspended(blocked).document()}]
    try:
        connection = stream.open()
        ok: list[bool] = []
        steps = batch.steps
        steps.reverse()
        for number in range(len(steps)):
            step = steps.pop()  # and not kept, as in `dataplane.answers`
            done = False
            if holds(step.condition, ok, connection):
                try:
                    yield from _cursor_step(stream, number, step.stmt, entries)
                    done = True
                except SqlError as problem:
                    error = problem.document()
                    entries.add({"type": "step_error", "step": number, "error": error}, len(error["message"]))
                if (chunk := entries.full()) is not None:
                    yield chunk
            ok.append(done)
        entries.add({"type": "replication_index", "replication_index": None})
    except SqlError as problem:
        entries.add({"type": "error", "error": problem.document()})
    except ValueError as problem:
        # The head may have been sent: a malformed value can only be told in band.
        entries.add({"type": "error", "error": protocol_error(str(problem)).document()})
        stream.closing = True
    return entries.kept


class _Entries:
    """Those that are not sent yet."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self._bytes = 0

    def add(self, entry: Any, size: int = 0) -> None:
        """Keep an entry with texts of so many bytes."""
        self.kept.append(entry)
        self._bytes += _ENTRY_BYTES + size

    def add_rows(self, entries: Iterable[Any], size: int) -> None:
        """Keep the entries of rows that have so many bytes together."""
        self.kept.extend(entries)
        self._bytes += size

    def full(self) -> list[Any] | None:
        """Return them if they are enough to be sent; they are not kept any more then."""
        if self._bytes < _CHUNK_BYTES:
            return None
        full, self.kept, self._bytes = self.kept, [], 0
        return full


def _cursor_step(stream: Stream, number: int, stmt: hrana.Stmt, entries: _Entries) -> Work:
    try:
        connection, statement, values = prepare(stream, stmt)
    except NeedsTurn:
        connection, statement, values = yield from in_turn(stream, partial(prepare, stream, stmt))
    row_entry = stream.format.row_entry
    begun = False

    def begin() -> None:
        nonlocal begun
        if not begun:
            begun = True
            columns = statement.columns
            entries.add({"type": "step_begin", "step": number, "cols": columns}, statement.columns_bytes)

    def append(rows: list[Any], nbytes: int) -> list[Any] | None:
        begin()
        entries.add_rows(map(row_entry, rows), nbytes + _CELL_BYTES * len(rows) * len(statement.columns))
        return entries.full()

    sink = None if stmt.want_rows is False else append
    result = yield from run(stream, connection, statement, values, sink)
    begin()
    entries.add({"type": "step_end", "step": number, **result})


def _is_replication_index(entry: Any) -> bool:
    return isinstance(entry, dict) and entry["type"] == "replication_index"


class SocketCursor:
    """An open cursor: a batch that is run as far as entries are asked for."""

    def __init__(self, stream: Stream, batch: hrana.Batch, blocked: str | None) -> None:
        self.stream = stream
        self.opened = self.last_used = monotonic()
        self._work = cursor_entries(stream, batch, blocked)
        self._entries: list[Any] = []
        self._done = False

    def fetch(self, max_count: int) -> Generator[Need, None, dict[str, Any]]:
        """Return the response to fetch_cursor; at most `max_count` entries."""
        while not self._entries and not self._done:
            try:
                outcome = next(self._work)
            except StopIteration as stop:
                # hrana-client, the client that has these cursors, takes an entry that it does not know for an error.
                self._entries = [entry for entry in stop.value if not _is_replication_index(entry)]
                self._done = True
            else:
                if isinstance(outcome, list):
                    self._entries = outcome
                else:
                    assert isinstance(outcome, Need)
                    yield outcome
        # Entries are taken from the front: all at once unless the client asks for few.
        taken, self._entries = self._entries[: max(max_count, 1)], self._entries[max(max_count, 1) :]
        self.last_used = monotonic()
        return {"type": "fetch_cursor", "entries": taken, "done": self._done and not self._entries}

    def close(self) -> None:
        """End the statement that is being read."""
        self._work.close()
        self._done = True
        self._entries = []
