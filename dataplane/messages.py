"""Control messages of the data plane: what its callers know of databases, and how database workers are steered."""

import msgspec

FILE_NAME = "data.db"
"""Of a database, in the folder that is named after its id."""


class DatabaseLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits that one database has of its own, as `WorkerSettings` has those of all; None: as all."""

    max_database_bytes: int | None = None
    max_answer_bytes: int | None = None
    max_row_bytes: int | None = None
    max_sql_bytes: int | None = None
    max_streams: int | None = None
    max_websockets: int | None = None


class Database(msgspec.Struct, frozen=True):
    """One database as those need it who call its worker."""

    database_id: str
    token_hash: bytes
    """SHA-256 of the database token; the token itself is kept nowhere."""
    epoch: int
    """Grows with every rotation; query tokens and batons of another epoch are dead."""
    worker_socket: str
    """Path of the listening Unix socket of the database worker that holds it."""
    blocked: str | None = None
    """Why reads and writes are refused (suspended), or None."""
    limits: DatabaseLimits | None = None
    """Its own, if it has any."""


class Catalog(msgspec.Struct, tag="catalog", frozen=True):
    """All databases; replaces the catalog before in one step."""

    version: int
    databases: dict[str, Database]


class WorkerSettings(msgspec.Struct, tag="worker_settings", frozen=True):
    """First message to a database worker."""

    index: int
    listen_fd: int
    """Listening Unix socket that edge workers and the egress process connect to."""
    directory: str
    """Folder of database files, `<database_id>/…`, shared by all workers; a database belongs to one worker."""
    statement_ms: int = 30_000
    """Longest run of one statement."""
    transaction_ms: int = 30_000
    """Longest transaction."""
    contended_transaction_ms: int = 5_000
    """Age at which the transaction of an idle client is taken away because another writer waits."""
    idle_ms: int = 60_000
    """Idle expiry of a stream."""
    idle_writer_ms: int = 10_000
    """The same while its transaction keeps another writer waiting."""
    max_answer_bytes: int = 32 << 20
    """Of a pipeline or batch; a cursor has no limit."""
    max_database_bytes: int = 0
    """Size that a database may not exceed, 0 for none."""
    max_row_bytes: int = 128 << 20
    """Of one text, blob or row."""
    max_sql_bytes: int = 16 << 20
    """Of one statement's text."""
    max_streams: int = 1_000
    """Open at a time, for each database."""
    max_websockets: int = 1_000
    """The same."""
    max_held_wal_bytes: int = 1 << 30
    """Of the WAL that cannot be used anew because a cursor may still read what was there before. Then it is ended:
    a client that reads slowly must not fill the disk."""


class Drop(msgspec.Struct, tag="drop", frozen=True):
    """Close every stream of the database; with `delete`, remove its files. Answered by `Dropped`, unless a statement
    cannot be ended: then the process ends (`Stuck`), and the next one is to be asked.
    """

    database_id: str
    delete: bool
    catalog: int = 0
    """Calls that were let through by an older version of the catalog are refused from now on: some may be on their way
    when every edge worker has confirmed the new one.
    """


class Replace(msgspec.Struct, tag="replace", frozen=True):
    """Close every stream of the database and put another file in place of its own. Answered by `Replaced`,
    unless the process ends, as with `Drop`.
    """

    database_id: str
    replacement: str
    """Path of the new file, complete and synced, in the database's folder; it is renamed."""
    kept: str
    """Path that the file before gets, on the same file system."""


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Finish running statements, roll back open transactions, exit 0 within `grace_ms`."""

    grace_ms: int


class Leave(msgspec.Struct, tag="leave", frozen=True):
    """Another process takes the calls from now on: finish those under way, and exit."""


class Stuck(msgspec.Struct, tag="stuck", frozen=True):
    """A statement cannot be ended but with the process: start another one, then send `Leave`."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker accepts streams."""


class Dropped(msgspec.Struct, tag="dropped", frozen=True):
    database_id: str


class Replaced(msgspec.Struct, tag="replaced", frozen=True):
    database_id: str
    error: str | None
    """Why the database is as it was, or None: it is the replacement from now on."""


class SnapshotTaken(msgspec.Struct, tag="snapshot_taken", frozen=True):
    """Of a snapshot process: the copy is complete, checked and on the disk."""

    size: int
    """Bytes."""


class SnapshotFailed(msgspec.Struct, tag="snapshot_failed", frozen=True):
    message: str


class DatabaseStats(msgspec.Struct, frozen=True):
    """Counters of one database since its worker started."""

    rows_read: int
    rows_written: int
    queries: int
    received_bytes: int
    """Of requests: SQL and arguments as they came, without HTTP."""
    sent_bytes: int
    """Of answers, before compression and without HTTP."""
    storage_bytes: int
    commits: int = 0
    """Acknowledged requests that have committed something."""
    syncs: int = 0
    """Waits for the disk that made them durable: fewer, if several shared one."""


class WorkerStats(msgspec.Struct, tag="worker_stats", frozen=True):
    """Sent every second while something changed."""

    streams: int
    databases: dict[str, DatabaseStats]
    """Those that were used since the last report; what was said of the others still holds."""


ToWorker = WorkerSettings | Drop | Replace | Leave | Drain
FromSnapshot = SnapshotTaken | SnapshotFailed
FromWorker = Ready | Dropped | Replaced | Stuck | WorkerStats
