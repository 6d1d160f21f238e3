"""A stream: one client's session with a database, over as many HTTP requests as its batons connect.

A stream owns a connection from its first statement on, its stored SQL texts, and possibly the database's turn to write.
State and rules only; `dataplane.worker` decides when things happen, `dataplane.execution` runs statements.
"""

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from dataplane.connection import Connection
from dataplane.errors import SqlError, amount
from dataplane.formats import JSON
from dataplane.limits import Limits
from dataplane.stored_sql import StoredSql

if TYPE_CHECKING:
    from dataplane.database import Database

_MOST_TOLD = 1_000
SLOW_SECONDS = 0.002
"""What takes longer goes on aside, where it holds up nobody else."""


class Pace(Protocol):
    """Told by the SQL thread how work goes, so that slow work does not hold up the rest."""

    def statement_is_slow(self, stream: "Stream") -> bool:
        """A statement runs; called some thousand steps apart. Returns whether it runs aside from now on."""

    def pause_due(self, stream: "Stream", now: float) -> bool:
        """Return whether the work of `stream` is to wait until others had their turn; asked between two pieces, at
        `now` (monotonic).
        """

    def step_aside(self, stream: "Stream") -> None:
        """What the stream does next may take long."""


class Suspended(Protocol):
    """Work that stopped between two steps."""

    def close(self) -> None:
        """End it. May take long."""


class Stream:
    """One session."""

    __slots__ = (
        "_deadline",
        "_pace",
        "_stored",
        "answer_bytes",
        "attached",
        "calls",
        "closing",
        "committing",
        "connection",
        "database",
        "ending",
        "epoch",
        "format",
        "has_turn",
        "last_used",
        "left",
        "limits",
        "number",
        "piece_began",
        "queries",
        "read_only",
        "rows_read",
        "rows_written",
        "sequence",
        "stop",
        "taken",
        "transaction_began",
        "unsynced",
    )

    def __init__(
        self,
        number: int,
        database: "Database",
        *,
        epoch: int,
        read_only: bool,
        limits: Limits,
        pace: "Pace",
    ) -> None:
        self.number = number
        self.database = database
        self.epoch = epoch
        self.read_only = read_only
        self.sequence = 0
        self.format = JSON
        """How the request that is being answered was written, and its answer will be."""
        self.attached = False
        """It belongs to a WebSocket and lives as long."""
        self.connection: Connection | None = None
        self.has_turn = False
        """It may write: it is the holder in `database.writers`."""
        self.unsynced = False
        """It has committed something that is not on the disk yet: nothing may be answered before."""
        self.committing = 0
        """Calls that wait for the disk: what comes after them is not answered before them."""
        self.calls = 0
        """Requests that are being answered: one, and of a WebSocket those before it that wait for the disk."""
        self.closing = False
        """To be closed when what is being answered is done."""
        self.left: list[Suspended] = []
        """What nobody waits for any more, to be ended before it is closed."""
        self.ending = False
        """That is under way (`dataplane.endings`), and not to be ended itself."""
        self.last_used = 0.0
        self.taken: str | None = None
        """Its transaction was taken away: why. Statements fail with it until the client ends the transaction."""
        self.transaction_began = math.inf
        """Monotonic time at which its last transaction began, over or not."""
        self.stop: str | None = None
        """The statement that is compiled or runs is to be ended: why."""
        self.rows_read = self.rows_written = self.queries = 0
        self.answer_bytes = 0
        self.limits = limits
        self.piece_began = 0.0
        """Monotonic time at which the running piece of work began, kept by `dataplane.lead`."""
        self._deadline = 0.0
        """Monotonic time by which the statement that is compiled or runs has to end; 0 before the first one."""
        self._stored: StoredSql | None = None
        self._pace = pace

    def __repr__(self) -> str:
        state = "busy" if self.busy else "idle"
        turn = ", has the turn" if self.has_turn else ""
        return f"<Stream {self.number} of {self.database.database_id} [{state}{turn}]>"

    @property
    def busy(self) -> bool:
        """A request is being answered; only then may the connection be used by another thread than the leader."""
        return self.calls > 0

    @property
    def leaves_something(self) -> bool:
        """It has something, beyond an idle connection, that has to be ended before it is closed."""
        connection = self.connection
        return bool(self.left) or (
            connection is not None and not self.ending and not connection.pristine and not connection.autocommit
        )

    @property
    def unfinished(self) -> bool:
        """It is in a transaction, or a cursor of a WebSocket waits on it to be read."""
        connection = self.connection
        return connection is not None and (
            not connection.autocommit or (self.attached and connection.statements.in_use)
        )

    @property
    def memory(self) -> int:
        """What the engine keeps for it, in bytes, except for what a running statement needs."""
        return self.connection.memory if self.connection is not None else 0

    @property
    def stored(self) -> StoredSql:
        """The SQL texts that the client has stored on it."""
        if self._stored is None:
            self._stored = StoredSql(self.database.stored_sql)
        return self._stored

    def take_room(self, size: int) -> None:
        """Count so many bytes of the answer. Raises `SqlError` instead if it would get too large by them."""
        limit = self.limits.max_answer_bytes
        if self.answer_bytes + size > limit:
            message = f"The answer exceeds {amount(limit)}: select less, or read it through a cursor"
            raise SqlError("RESPONSE_TOO_LARGE", message)
        self.answer_bytes += size

    def forget_stored(self) -> None:
        """Let go of those texts: the stream is over."""
        if self._stored is not None:
            self._stored.clear()

    def open(self) -> Connection:
        """Return the stream's connection, made or taken from the database's pool on first use."""
        if self.connection is None:
            self.connection = self.database.take(read_only=self.read_only)
            self.connection.hook = self._on_progress
            self.connection.on_commit = self._on_commit
            self.connection.on_compile = self._start_clock
            self.connection.why_ended = self.stopped
        return self.connection

    def begin_statement(self) -> float:
        """Start the clock of a statement; return the monotonic time."""
        self.queries += 1
        return self._start_clock()

    def _start_clock(self) -> float:
        now = time.monotonic()
        self._deadline = now + self.limits.statement_seconds
        if self.stop is not None and self.taken is None and not self.closing:
            self.stop = None  # meant the one before, which came to its end in the same moment
        return now

    def restart_clock(self) -> None:
        """Give the running statement its full time again."""
        self._deadline = time.monotonic() + self.limits.statement_seconds

    def _on_progress(self) -> bool:
        """Called within a statement; True ends it."""
        if self.stop is None and time.monotonic() >= self._deadline:
            self.stop = self._too_slow()
        if self._pace.statement_is_slow(self) and self.connection is not None:
            self.connection.give_way()  # `enforce` looks after it from now on
        return self.stop is not None

    def _on_commit(self, frames: int) -> None:
        """Called at the end of a statement that has committed, with the frames that the WAL has."""
        assert self.connection is not None
        self.database.checkpoints.committed(self.connection, frames, self.step_aside)

    def step_aside(self) -> None:
        """Call before what may take long: nobody else is to wait for it."""
        self._pace.step_aside(self)

    def enforce(self, now: float) -> None:
        """From the leader, at `now` (monotonic), while a statement runs aside: end it if it has to end."""
        if self.ending:
            return
        if self.stop is None and 0 < self._deadline <= now:
            self.stop = self._too_slow()
        if self.stop is not None and self.connection is not None:
            self.connection.interrupt()

    def came_back(self) -> None:
        """The work does not run aside any more."""
        if self.connection is not None:
            self.connection.resume_reports()

    def out_of_control(self, now: float) -> bool:
        """A statement should have ended itself well before `now` (monotonic) and did not."""
        limit = self.limits.statement_seconds
        return self._deadline > 0 and self._deadline + max(1.0, limit / 5) < now

    def _too_slow(self) -> str:
        return f"The statement was ended after {self.limits.statement_seconds:g} s, the limit for one statement"

    def check_clock(self, now: float) -> None:
        """Between rows, at `now` (monotonic): raise `SqlError` if the statement has to end."""
        if self.stop is None and now >= self._deadline:
            self.stop = self._too_slow()
        if self.stop is not None:
            raise self.stopped()

    def pause_due(self, now: float) -> bool:
        """Between pieces of work, at `now` (monotonic): return whether to let others go first."""
        return self._pace.pause_due(self, now)

    def stopped(self) -> SqlError:
        """Return the error of a statement that was ended because of `stop`, which is cleared."""
        if self.taken is not None:
            self.stop = None
            return SqlError("TRANSACTION_TIMEOUT", self.taken)
        reason, self.stop = self.stop, None
        return SqlError("SQLITE_INTERRUPT", reason or "The statement was interrupted")

    def take_transaction(self, seconds: float) -> None:
        """Note that the transaction is lost because it outstayed a limit of `seconds`."""
        why = " while another writer waited" if seconds < self.limits.transaction_seconds else ""
        self.taken = (
            f"The transaction was open for {seconds:g} s{why}, the limit, and was rolled back; "
            "roll back and run it again"
        )

    def expires_at(self) -> float:
        """Return the monotonic time at which the idle stream dies."""
        if self.attached:
            return math.inf
        waited_for = self.has_turn and self.database.writers.contended
        return self.last_used + (self.limits.idle_writer_seconds if waited_for else self.limits.idle_seconds)


class Streams:
    """The streams of one worker by number."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}
        self._told: dict[int, str] = {}
        """Why some of those that were closed are gone."""
        self._next = 1

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(list(self._streams.values()))

    def __repr__(self) -> str:
        return f"<Streams [{sum(s.busy for s in self)} busy, {sum(not s.busy for s in self)} idle]>"

    def next_number(self) -> int:
        """Return a number that was never used."""
        self._next += 1
        return self._next - 1

    def add(self, stream: Stream) -> None:
        self._streams[stream.number] = stream

    def get(self, number: int) -> Stream | None:
        return self._streams.get(number)

    def remove(self, stream: Stream) -> None:
        self._streams.pop(stream.number, None)

    def tell(self, stream: Stream, why: str) -> None:
        """Remember for a while why `stream` is closed, for who comes back to it."""
        self._told[stream.number] = why
        if len(self._told) > _MOST_TOLD:
            del self._told[next(iter(self._told))]

    def why_gone(self, number: int) -> str:
        """Return what to say of a stream that there is no more."""
        return self._told.get(number, "The stream has expired due to inactivity")

    def of(self, database: "Database") -> list[Stream]:
        """Return the streams of one database."""
        return [stream for stream in self._streams.values() if stream.database is database]

    def expired(self, now: float) -> list[Stream]:
        """Return idle streams whose time is over at `now` (monotonic)."""
        return [stream for stream in self._streams.values() if not stream.busy and stream.expires_at() <= now]
