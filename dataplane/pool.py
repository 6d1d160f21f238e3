"""Idle connections of one database, kept for its next streams: to open one and read the schema takes longer than most
calls.

As many are kept as were in use at once, up to `MOST`. What nobody has needed for a while is closed, one at a time. Used
by `dataplane.database`; only the leader calls in here.
"""

import resource
from collections import deque

from dataplane.connection import Connection

MOST = 128
"""Of one kind, in one database."""
KEPT = 8
"""So many stay, needed or not."""
_FILES_PER_IDLE = 64
"""A process that may open few files keeps one idle connection, which has two, for so many of them."""


def most_idle(files: int) -> int:
    """Return how many a database may keep in a process that may open so many `files`; `RLIM_INFINITY`: any number."""
    return MOST if files == resource.RLIM_INFINITY else max(KEPT, min(MOST, files // _FILES_PER_IDLE))


class Pool:
    """Connections that are alike. The one that was used last is taken first: its pages are the freshest."""

    def __init__(self) -> None:
        self._idle: deque[Connection] = deque()
        self._most = most_idle(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._unneeded = 0
        """How many have been idle ever since `shrink` was called."""

    def __len__(self) -> int:
        return len(self._idle)

    def __repr__(self) -> str:
        return f"<Pool [{len(self._idle)} idle, {self._unneeded} unneeded]>"

    def take(self) -> Connection | None:
        """Take one out, if there is one."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        self._unneeded = min(self._unneeded, len(self._idle))
        return connection

    def put(self, connection: Connection) -> bool:
        """Keep a connection that is as good as new; False if there are enough."""
        if len(self._idle) >= self._most:
            return False
        self._idle.append(connection)
        return True

    def shrink(self) -> None:
        """Close one of those that nobody has needed since the last call, if there are many. To be called regularly."""
        if self._unneeded and len(self._idle) > KEPT:
            self._idle.popleft().close()
        self._unneeded = len(self._idle)

    def spare_memory(self) -> None:
        """Have all give back what they keep only to be faster."""
        for connection in self._idle:
            connection.spare_memory()

    def close(self, *, for_good: bool = False) -> None:
        """Close all; `for_good`: the file is to be deleted."""
        while self._idle:
            self._idle.pop().close(for_good=for_good)
        self._unneeded = 0
