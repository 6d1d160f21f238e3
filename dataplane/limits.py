"""The limits of a database worker, in seconds and bytes."""

from typing import NamedTuple

from dataplane.messages import WorkerSettings


class Limits(NamedTuple):
    """See `WorkerSettings` for what each means."""

    statement_seconds: float
    transaction_seconds: float
    contended_transaction_seconds: float
    idle_seconds: float
    idle_writer_seconds: float
    max_answer_bytes: int
    max_database_bytes: int = 0

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
        )
