"""What the supervisor asks of databases: to be closed, deleted, replaced by another file, or to end for good.

Called by `dataplane.worker` on the leading thread.
"""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from dataplane import snapshots
from dataplane.messages import FILE_NAME
from dataplane.service import GOING_AWAY, Service
from dataplane.sessions import VIOLATION


class Steering:
    """Carries out messages about databases of a service whose files are in `directory`."""

    def __init__(self, service: Service, directory: Path) -> None:
        self._service = service
        self._directory = directory

    def __repr__(self) -> str:
        return f"<Steering of {self._service!r}>"

    def replace(self, database_id: str, replacement: str, kept: str, done: Callable[[str | None], None]) -> None:
        """Close every stream of a database and swap its file; then call `done` with what went wrong, or None."""
        path = self._directory / database_id / FILE_NAME
        self.drop(database_id, delete=False, done=lambda: done(snapshots.swap(path, Path(replacement), Path(kept))))

    def drop(self, database_id: str, *, delete: bool, done: Callable[[], None], catalog: int = 0) -> None:
        """Close every stream of a database, delete its files if asked to, then call `done`.

        What a catalog before version `catalog` has let through is refused from now on.
        """
        if delete:
            self._service.admission.deleted.add(database_id)
        elif catalog:
            self._service.admission.withdrawn[database_id] = catalog
        database = self._service.databases.get(database_id) or self._service.admission.database(database_id)

        earlier = database.on_closed

        def closed(*, at_once: bool = False) -> None:
            nonlocal earlier
            is_open = database_id in self._service.databases
            if is_open and not at_once and not delete and not database.can_close():
                return  # `dataplane.enforcement` calls again
            if earlier is not None:
                earlier(at_once=True)
                earlier = None
            self._service.databases.pop(database_id, None)
            database.close(for_good=delete)
            if delete:
                self._service.admission.usage.pop(database_id, None)
                if not database.remove(at_once=at_once):
                    self._service.databases[database_id] = database
                    return  # it calls again here, too
            done()

        database.on_closed = closed
        database.closing_since = min(database.closing_since, monotonic())
        if not database.streams:
            closed()
            return
        for session in list(self._service.sessions):
            if session.head.database_id == database_id:
                session.fail(VIOLATION, "The database was closed, or its tokens were replaced")
        for call in list(self._service.running):
            if call.stream is not None and call.stream.database is database and not call.cancelled:
                self._service.abort(call)
        for stream in self._service.streams.of(database):
            if not stream.busy:
                self._service.close_stream(stream)

    def drain(self) -> None:
        """Take no new calls; idle streams are rolled back at once."""
        self._service.admission.draining = True
        for session in list(self._service.sessions):
            session.fail(GOING_AWAY, "The database is restarting; try again")
        for stream in self._service.streams:
            if not stream.busy:
                self._service.close_stream(stream)

    def close(self) -> None:
        """Close every database that no statement is running on."""
        busy = {stream.database for stream in self._service.streams if stream.busy}
        for database in self._service.databases.values():
            if database not in busy:
                database.close()
