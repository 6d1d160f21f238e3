"""Whose turn it is to write to a database: a first-in, first-out queue, and when a transaction is taken away.

SQLite lets one connection write at a time and answers SQLITE_BUSY to the others. Since one worker process has every
connection of a database, the order can be kept here instead: a stream asks for its turn before its first writing
statement and gives it back when its transaction ends. Pure state; the worker does what the answers say.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from dataplane.limits import Limits

Stream = TypeVar("Stream", bound=Hashable)


class Writers(Generic[Stream]):
    """The turn of one database. A stream is anything hashable."""

    def __init__(self, limits: Limits) -> None:
        self.holder: Stream | None = None
        self._limits = limits
        self.since = 0.0
        """Monotonic time at which the holder got its turn."""
        self._waiting: deque[Stream] = deque()

    def __repr__(self) -> str:
        return f"<Writers [holder: {self.holder!r} | {len(self._waiting)} waiting]>"

    @property
    def contended(self) -> bool:
        """Somebody waits."""
        return bool(self._waiting)

    def ask(self, stream: Stream, now: float) -> bool:
        """Return True if `stream` has the turn now; otherwise it waits in the queue."""
        if self.holder is None:
            self.holder, self.since = stream, now
            return True
        if self.holder == stream:
            return True
        self._waiting.append(stream)
        return False

    def give_back(self, stream: Stream, now: float) -> Stream | None:
        """End the turn of `stream`, or its waiting; return the stream whose turn begins with that, if one does."""
        if self.holder != stream:
            if stream in self._waiting:
                self._waiting.remove(stream)
            return None
        self.holder = self._waiting.popleft() if self._waiting else None
        self.since = now
        return self.holder

    def overdue(self, now: float, *, batch: bool) -> float | None:
        """Return the limit (seconds) that the holder has outstayed, or None.

        `batch`: the holder is at work on the one request that got the turn. It is not interrupted for the sake of
        another writer, or large imports would fail whenever anybody else writes; the longest age bounds it all the
        same. A client that talks, request by request, loses its transaction whether one is running or not.
        """
        if self.holder is None:
            return None
        age = now - self.since
        longest, contended = self._limits.transaction_seconds, self._limits.contended_transaction_seconds
        if age >= longest:
            return longest
        return contended if self._waiting and not batch and age >= contended else None
