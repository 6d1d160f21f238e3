"""The limits of a database worker, in seconds and bytes."""

from typing import NamedTuple

import msgspec

from dataplane.messages import DatabaseLimits, WorkerSettings


class Limits(NamedTuple):
    """See `WorkerSettings` for what each means."""

    statement_seconds: float
    transaction_seconds: float
    contended_transaction_seconds: float
    idle_seconds: float
    idle_writer_seconds: float
    max_answer_bytes: int
    max_database_bytes: int = 0
    max_row_bytes: int = 128 << 20
    max_sql_bytes: int = 16 << 20
    max_streams: int = 1_000
    max_websockets: int = 1_000
    max_held_wal_bytes: int = 1 << 30

    @classmethod
    def of(cls, settings: WorkerSettings) -> "Limits":
        """Return what the supervisor has asked for."""
        return cls(
            settings.statement_ms / 1000,
            settings.transaction_ms / 1000,
            settings.contended_transaction_ms / 1000,
            settings.idle_ms / 1000,
            settings.idle_writer_ms / 1000,
            settings.max_answer_bytes,
            settings.max_database_bytes,
            settings.max_row_bytes,
            settings.max_sql_bytes,
            settings.max_streams,
            settings.max_websockets,
            settings.max_held_wal_bytes,
        )

    def with_own(self, own: DatabaseLimits | None) -> "Limits":
        """Return the limits of a database that has some of its own."""
        if own is None:
            return self
        given = msgspec.structs.asdict(own)
        return self._replace(**{name: value for name, value in given.items() if value is not None})
