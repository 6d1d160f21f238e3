"""What is reported to the supervisor: counters of the databases that were used since the last report.

Kept by `dataplane.service`, taken by `dataplane.worker`; only the leader calls in here.
"""

from collections.abc import Iterable
from pathlib import Path

from dataplane.admission import Admission
from dataplane.database import Database, storage
from dataplane.messages import FILE_NAME, DatabaseStats, WorkerStats
from dataplane.sessions import Session
from dataplane.usage import Usage


class Reports:
    """Which databases were used, and what is to be said of them."""

    def __init__(self, directory: Path, admission: Admission) -> None:
        self.changed = False
        """Something happened since the last report."""
        self._directory = directory
        self._admission = admission
        self._used: set[str] = set()
        """Databases with calls that ended since the last report."""

    def __repr__(self) -> str:
        return f"<Reports [{len(self._used)} databases used]>"

    def use(self, database: Database) -> None:
        """A call of the database has ended; its counters are in `Database.usage`."""
        self._used.add(database.database_id)
        self.changed = True  # a report may have gone out since the call began

    def count_session(self, session: Session) -> None:
        """Add the messages of a WebSocket since the last call to what its database has used."""
        usage = self._admission.usage.get(session.head.database_id)
        if usage is not None and (session.received or session.sent):
            usage.received += session.received
            usage.sent += session.sent
            session.received = session.sent = 0
            self._used.add(session.head.database_id)

    def take(self, sessions: Iterable[Session]) -> WorkerStats | None:
        """Return the counters of databases that were used since the last call, None if nothing changed at all."""
        if not self.changed:
            return None
        self.changed = False
        for session in sessions:
            self.count_session(session)
        used, self._used = self._used, set()
        usages = self._admission.usage
        return WorkerStats(
            streams=len(self._admission.streams),
            databases={name: self._stats(name, usages[name]) for name in used if name in usages},
        )

    def _stats(self, database_id: str, usage: Usage) -> DatabaseStats:
        database = self._admission.databases.get(database_id)
        commits = database.commits if database is not None else None
        return DatabaseStats(
            rows_read=usage.rows_read,
            rows_written=usage.rows_written,
            queries=usage.queries,
            received_bytes=usage.received,
            sent_bytes=usage.sent,
            storage_bytes=storage(self._directory / database_id / FILE_NAME),
            commits=commits.commits if commits is not None else 0,
            syncs=commits.syncs if commits is not None else 0,
        )
