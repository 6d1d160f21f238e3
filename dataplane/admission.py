"""Which stream a call gets: a new one, or the one that its baton names; and who is refused.

Used by `dataplane.service` and `dataplane.requests`; only the leader calls in here. Must never run SQL.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dataplane import wire
from dataplane.batons import Batons, ExpiredBaton, InvalidBaton
from dataplane.calls import Call
from dataplane.database import Database
from dataplane.errors import HttpError, SqlError
from dataplane.formats import JSON, Format
from dataplane.limits import Limits
from dataplane.stored_sql import StoredTotals
from dataplane.streams import Pace, Stream, Streams
from dataplane.usage import Usage

MAX_BESIDE = 4
"""Databases that are checkpointed beside their writers, or removed, at the same time."""


class Admission:
    """The open databases and streams of the worker."""

    def __init__(self, directory: Path, limits: Limits, pace: Pace) -> None:
        self.streams = Streams()
        self.databases: dict[str, Database] = {}
        self.deleted: set[str] = set()
        self.withdrawn: dict[str, int] = {}
        """Of databases that were rotated or suspended, by id: calls that an older catalog let through are refused."""
        self.draining = False
        """The process ends soon: nobody is admitted."""
        self.usage: dict[str, Usage] = {}
        self.stored_sql = StoredTotals()
        self._directory = directory
        self._limits = limits
        self._pace = pace
        self._batons = Batons()
        self._threads = ThreadPoolExecutor(MAX_BESIDE, thread_name_prefix="files")

    def __repr__(self) -> str:
        return f"<Admission [{len(self.databases)} databases, {self.streams!r}]>"

    def attach(self, call: Call, baton: str | None, form: Format = JSON) -> Stream:
        """Give the call its stream, new or named by `baton`. Raises `HttpError`."""
        head = call.head
        # The streams of a suspended database are gone, which is to be said with the reason: it answers nothing else.
        known = baton if head.blocked is None else None
        stream = self.open(head) if known is None else self._known_stream(head, known)
        stream.calls = 1
        stream.format = form
        stream.answer_bytes = 0
        stream.sequence += 1
        call.stream = stream
        return stream

    def next_baton(self, stream: Stream) -> str:
        """Return the baton for the next use of `stream`."""
        return self._batons.issue(stream.number, stream.sequence, stream.database.database_id, stream.epoch)

    def database(self, database_id: str) -> Database:
        """Return the state of a database that is not open, or not yet."""
        usage = self.usage.get(database_id)
        if usage is None:
            usage = self.usage[database_id] = Usage()
        return Database(
            self._directory,
            database_id,
            limits=self._limits,
            usage=usage,
            stored_sql=self.stored_sql.of(database_id),
            threads=self._threads,
        )

    def open(self, head: wire.CallHead) -> Stream:
        """Make a new stream. Raises `HttpError`."""
        database_id = head.database_id
        self._refuse_if_gone(head)
        database = self.databases.get(database_id)
        if database is None:
            database = self.databases[database_id] = self.database(database_id)
        if database.on_closed is not None:
            raise HttpError(503, "DATABASE_CLOSING", "The database is being closed; try again")
        database.limit(head.limits)
        if database.streams >= database.limits.max_streams:
            raise HttpError(
                429,
                "TOO_MANY_STREAMS",
                f"The database has {database.streams} open streams, the limit: close those not in use",
            )
        database.streams += 1
        stream = Stream(
            self.streams.next_number(),
            database,
            epoch=head.epoch,
            read_only=head.read_only,
            limits=database.limits,
            pace=self._pace,
        )
        self.streams.add(stream)
        return stream

    def _refuse_if_gone(self, head: wire.CallHead) -> None:
        if head.database_id in self.deleted:
            raise HttpError(404, "DATABASE_NOT_FOUND", "The database does not exist")
        if head.catalog < self.withdrawn.get(head.database_id, 0):
            raise HttpError(503, "DATABASE_CHANGED", "The database was changed while this request came; try again")
        if self.draining:
            raise HttpError(503, "WORKER_DRAINING", "The database is restarting; try again")

    def _known_stream(self, head: wire.CallHead, baton: str) -> Stream:
        self._refuse_if_gone(head)
        try:
            number, sequence = self._batons.read(baton, head.database_id, head.epoch)
        except InvalidBaton:
            raise HttpError(400, "BATON_INVALID", "Received an invalid baton") from None
        except ExpiredBaton:
            raise HttpError(
                400, "STREAM_EXPIRED", "The stream has expired: the database worker was restarted since"
            ) from None
        stream = self.streams.get(number)
        if stream is None:
            raise HttpError(400, "STREAM_EXPIRED", self.streams.why_gone(number))
        if stream.attached:
            raise HttpError(400, "BATON_INVALID", "Received an invalid baton")
        if stream.sequence != sequence:
            raise HttpError(400, "BATON_REUSED", "Received a baton that has already been used")
        if stream.closing:
            raise HttpError(400, "STREAM_EXPIRED", self.streams.why_gone(number))
        if stream.busy:
            raise HttpError(400, "STREAM_BUSY", "The stream is busy with a cursor: read it to its end first")
        if stream.read_only != head.read_only:
            raise HttpError(400, "BATON_INVALID", "The baton belongs to a token with other rights")
        stream.database.limit(head.limits)
        if stream.limits is not stream.database.limits:
            self._adopt(stream)
        return stream

    @staticmethod
    def _adopt(stream: Stream) -> None:
        try:
            stream.database.adopt(stream)
        except SqlError as error:
            raise HttpError(500, error.code, str(error)) from None
