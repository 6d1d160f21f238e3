"""Limits that pass while time does: who is ended when a transaction, a stream or a cursor takes too long or too much.

Called by `dataplane.worker` on the leading thread, some times a second. Statements end themselves
(`dataplane.streams`); here are those that run aside or cannot, and what is idle.
"""

import logging
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from time import monotonic

from dataplane import memory
from dataplane.calls import Call
from dataplane.database import Database
from dataplane.engine import load
from dataplane.errors import HttpError, amount
from dataplane.limits import Limits
from dataplane.memory import Growth, Holder, greediest
from dataplane.service import Service
from dataplane.sessions import VIOLATION, Session
from dataplane.streams import Stream
from runtime import priority

CLIENT_STALL_SECONDS = 30.0
"""A cursor whose client reads nothing for so long is ended: it holds a snapshot, and with it the WAL."""
IDLE_DATABASE_SECONDS = 120.0
CLOSING_SECONDS = 2.0
"""A statement that has not ended so long after its database was to be closed does not end by itself."""
log = logging.getLogger("brrrd.dataplane")


class Enforcement:
    """Looks after the calls, streams and databases of a service."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self._service = service
        self._limits = limits
        self._engine = load()
        self._growth = Growth()
        self._unanswered: list[Call] = []
        """Those that were given up, and not answered yet."""
        self._looked = 0.0
        """Monotonic time of the last look at the engine's memory."""

    def __repr__(self) -> str:
        return f"<Enforcement of {self._service!r}>"

    def tick(self, now: float) -> None:
        """Enforce limits that have passed at `now` (monotonic)."""
        service = self._service
        for database in list(service.databases.values()):
            self._check_transaction(database, now)
            if database.checkpoints.held_up(self._limits.max_held_wal_bytes):
                self._end_oldest_cursor(database)
            database.shrink_pools()
            if database.streams:
                continue
            if database.on_closed is not None:
                database.on_closed()
            elif now - database.last_used > IDLE_DATABASE_SECONDS and database.can_close():
                del service.databases[database.database_id]
                database.close()
        for stream in service.streams:
            self._check_reader(stream, now)
        for stream in service.streams.expired(now):
            service.close_stream(stream)
        for session in list(service.sessions):
            session.check(now)
            if session.closed:
                service.reports.count_session(session)
                service.reports.changed = True  # its streams are gone
                service.sessions.discard(session)
        for call in list(service.running):
            if call.aside and call.stream is not None:
                call.stream.enforce(now)
            if call.parked_since is not None and now - call.parked_since > CLIENT_STALL_SECONDS:
                service.abort(call)
        self._look_at_memory(now)

    def _look_at_memory(self, now: float) -> None:
        """See to it that there is some left of the engine's memory."""
        service, growth = self._service, self._growth
        used, looked, self._looked = self._engine.memory_used(), self._looked, now
        if used <= memory.CACHES_BYTES:
            growth.see(used, (), ())
            return
        aside = {call.stream for call in service.running if call.aside}
        began = {call.stream for call in service.running if call.started >= looked}
        running = [stream for stream in service.streams if stream.busy or stream.unfinished]
        growth.see(used, running, [s for s in running if s in aside or s in began or s.last_used >= looked])
        for stream in service.streams:
            if not stream.busy and stream.connection is not None:
                stream.connection.spare_memory()
        for database in service.databases.values():
            database.spare_memory()
        excess = self._engine.memory_used() - memory.MOST_BYTES
        if excess > 0:
            holders = [
                Holder(stream, growth.of(stream) + (0 if stream in aside else stream.memory))
                for stream in service.streams
            ]
            ending = [holder for holder in holders if holder.stream.stop is not None or holder.stream.ending]
            excess -= sum(holder.bytes for holder in ending)
            for stream in greediest([holder for holder in holders if holder not in ending], excess):
                self._end(stream, memory.over(), aside=stream in aside)

    def _end(self, stream: Stream, why: str, *, aside: bool) -> None:
        """End a stream, or what it is at if that runs on a thread of its own (`aside`)."""
        service = self._service
        if service.streams.get(stream.number) is None or stream.ending:
            return  # it was of a WebSocket that has just been ended
        log.warning("a stream of database %s is ended: %s", stream.database.database_id, why)
        call = next((call for call in service.running if call.stream is stream), None)
        if aside:
            stream.stop = why
            stream.enforce(monotonic())
        elif stream.attached:
            self._session_of(stream).fail(VIOLATION, why)
        elif call is not None:
            call.refuse(HttpError(503, "SQLITE_NOMEM", why))
            service.cancel(call)
        else:
            service.streams.tell(stream, why)
            service.close_stream(stream)

    def _check_transaction(self, database: Database, now: float) -> None:
        """Take the transaction of a writer away that has had it for too long."""
        holder = database.writers.holder
        if holder is None or holder.connection is None or holder.taken is not None or holder.ending:
            return
        calls = [call for call in self._service.running if call.stream is holder]
        stalled = next((call for call in calls if call.parked_since), None)
        # One request that brings its whole transaction is a batch at work, several are a client that talks.
        batch = any(call.began <= database.writers.since for call in calls)
        limit = database.writers.overdue(now, batch=batch and stalled is None)
        if limit is None:
            return
        if stalled is not None:
            self._service.abort(stalled)
        elif not holder.connection.autocommit:
            self._take_transaction(holder, limit)
        elif not calls and holder.attached:
            # One statement that writes and returns rows is done when the last of them has been fetched. While one runs,
            # it has a limit of its own.
            why = f"A cursor that writes was open for {limit:g} s, the limit, without having been read to its end"
            self._session_of(holder).fail(VIOLATION, why)

    def _end_oldest_cursor(self, database: Database) -> None:
        """End the cursor that waits for its client and was opened first: the WAL grows as long as it may be read."""
        service = self._service
        waiting: list[tuple[float, Callable[[], None]]] = [
            (call.began, partial(service.abort, call))
            for call in service.running
            if call.parked_since is not None and call.stream is not None and call.stream.database is database
        ]
        for session in service.sessions:
            opened = session.oldest_cursor()
            if opened is not None and session.head.database_id == database.database_id:
                why = f"An open cursor held up {amount(self._limits.max_held_wal_bytes)} of the log, the limit"
                waiting.append((opened, partial(session.fail, VIOLATION, why)))
        if waiting:
            log.info("a cursor on database %s was ended: it held up the WAL", database.database_id)
            min(waiting, key=itemgetter(0))[1]()

    def _session_of(self, stream: Stream) -> Session:
        """Return the WebSocket of a stream that is attached to one."""
        return next(session for session in self._service.sessions if session.has(stream))

    def _check_reader(self, stream: Stream, now: float) -> None:
        """Take a transaction away that has not written for too long: the WAL grows as long as it may read from it."""
        limit = self._limits.transaction_seconds
        if stream.busy or stream.has_turn or now - stream.transaction_began < limit:
            return
        if stream.connection is not None and not stream.connection.autocommit:
            self._take_transaction(stream, limit)

    def _take_transaction(self, stream: Stream, seconds: float) -> None:
        log.info("transaction on database %s taken away after %g s", stream.database.database_id, seconds)
        stream.take_transaction(seconds)
        if stream.busy:
            stream.stop = stream.taken  # its own thread rolls back
            return
        assert stream.connection is not None
        stream.connection.rollback()
        if stream.has_turn:
            self._service.turns.give_back(stream)

    def give_up(self, now: float) -> bool:
        """Give up a call whose statement does not end, if there is another one; the process has to end then.

        SQLite looks at the clock between two steps of its virtual machine only, and one step may take hours: LIKE on a
        large text, for example. Until that end nobody else has less of the processor for it.
        """
        for call in self._service.running:
            stream, database_id = call.stream, call.head.database_id
            if not call.aside or call.given_up or stream is None or stream.ending:
                continue
            if stream.out_of_control(now):
                seconds = self._limits.statement_seconds
                log.error("a statement on database %s did not end after %g s", database_id, seconds)
                self._unanswered.append(call)
            elif now - stream.database.closing_since > CLOSING_SECONDS:
                # Its caller was told when that began.
                log.error("a statement on database %s did not end when that was closed", database_id)
            else:
                continue
            call.given_up = True
            if call.thread is not None:
                priority.abandon(call.thread)
            return True
        return False

    def answer_given_up(self) -> None:
        """Answer the calls that were given up. Not sooner than the next call would go to another process: who tries the
        same again at once would have this one busy twice while it ends.
        """
        seconds = self._limits.statement_seconds
        message = f"The statement ran over {seconds:g} s, the limit for one statement, and had to be killed"
        for call in self._unanswered:
            if call in self._service.running:  # and not ended after all
                call.refuse(HttpError(503, "STATEMENT_TIMEOUT", message))
        self._unanswered.clear()
