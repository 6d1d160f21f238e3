"""Messages of WebSockets that are not answered yet: they are in memory, at the edge worker, where they may be on their
way in as well, or at the database worker.

Used by `dataplane.sockets`. One WebSocket may have so many bytes of them, and there may be many WebSockets: here is
what those of one database may have together, and those of all. Over that, the one that has most of them has to end, of
the database that has most, so that nobody pays for what others do. Pure.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

MOST_OF_SOCKET = 32 << 20
"""Nothing more is read from a WebSocket that has more."""
MOST_OF_DATABASE = 128 << 20
MOST = 512 << 20
_SAID = "WebSockets {whose} had over {most} MiB of unanswered messages, this one most of all"


class Messages:
    """Those of one WebSocket, which `end` ends with a reason."""

    def __init__(self, database_id: str, end: Callable[[str], None]) -> None:
        self.database_id = database_id
        self.end = end
        self.bytes = 0
        """Of those that were passed on."""
        self.held = 0
        """Of those that have not been, whole or in part."""
        self._sizes: list[int] = []

    def __repr__(self) -> str:
        return f"<Messages {len(self)} of {self.database_id} [{self.total} bytes]>"

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def total(self) -> int:
        return self.bytes + self.held

    def add(self, size: int) -> None:
        """One more was passed on."""
        heappush(self._sizes, size)
        self.bytes += size

    def answered(self) -> int:
        """One was answered; return its bytes. Which one is not known here: it counts as the smallest, so that what is
        counted is never less than what there is.
        """
        size = heappop(self._sizes)
        self.bytes -= size
        return size


class Unanswered:
    """Those of all WebSockets of the edge worker. `said` is what they are told who end."""

    def __init__(self, most_of_database: int = MOST_OF_DATABASE, most: int = MOST, said: str = _SAID) -> None:
        self._most_of_database = most_of_database
        self._most = most
        self._said = said
        self._open: dict[str, set[Messages]] = {}
        self._taken: dict[str, int] = {}
        self._total = 0
        """Of all in `_taken`, for every message is compared with it."""

    def __repr__(self) -> str:
        return f"<Unanswered [{self._total} bytes of {len(self._open)} databases]>"

    def open(self, database_id: str, end: Callable[[str], None]) -> Messages:
        """A WebSocket begins."""
        messages = Messages(database_id, end)
        self._open.setdefault(database_id, set()).add(messages)
        self._taken.setdefault(database_id, 0)
        return messages

    def close(self, messages: Messages) -> None:
        """It is over, or about to be; may be called again."""
        database_id = messages.database_id
        if self._is_open(messages):
            self._open[database_id].remove(messages)
            self._count(database_id, -messages.total)
            if not self._open[database_id]:
                del self._open[database_id], self._taken[database_id]

    def add(self, messages: Messages, size: int) -> Iterator[tuple[Messages, str]]:
        """Count one more message; yield who has to end because of it, and why. They count as closed from then on."""
        messages.add(size)
        if self._is_open(messages):
            self._count(messages.database_id, size)
        yield from self._greediest(messages.database_id)

    def hold(self, messages: Messages, size: int) -> Iterator[tuple[Messages, str]]:
        """So many bytes have come in now that were not passed on yet; yield as `add` does."""
        more, messages.held = size - messages.held, size
        if self._is_open(messages):
            self._count(messages.database_id, more)
        yield from self._greediest(messages.database_id)

    def _greediest(self, changed: str) -> Iterator[tuple[Messages, str]]:
        while (over := self._over(changed)) is not None:
            database_id, reason = over
            greediest = max(self._open[database_id], key=lambda one: one.total)
            self.close(greediest)
            yield greediest, reason

    def answered(self, messages: Messages) -> None:
        """One of them was answered."""
        size = messages.answered()
        if self._is_open(messages):
            self._count(messages.database_id, -size)

    def _count(self, database_id: str, size: int) -> None:
        self._taken[database_id] += size
        self._total += size

    def _is_open(self, messages: Messages) -> bool:
        return messages in self._open.get(messages.database_id, ())

    def _over(self, database_id: str) -> tuple[str, str] | None:
        """Return the database one of whose WebSockets has to end, and why, now that `database_id` has more."""
        if self._taken.get(database_id, 0) > self._most_of_database:
            most, whose = self._most_of_database, "of its database"
        elif self._total > self._most:
            most, whose = self._most, "of the node"
            database_id = max(self._taken, key=self._taken.__getitem__)
        else:
            return None
        return database_id, self._said.format(whose=whose, most=most >> 20)
