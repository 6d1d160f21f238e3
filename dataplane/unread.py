"""Answers whose clients do not read: an edge worker has them in memory, as the database worker has sent them.

Each has a limit, but there may be any number of clients: here is what the answers of one database may be together, and
all of them. Over that, the longest one ends. They are counted as messages of WebSockets are that wait for answers
(`dataplane.unanswered`). Used by `dataplane.front`.
"""

import logging
from types import TracebackType
from typing import Self

from dataplane.errors import HttpError
from dataplane.unanswered import Messages, Unanswered
from dataplane.upstream import Answer

MOST_OF_DATABASE = 256 << 20
MOST = 1 << 30
FEW_BYTES = 1 << 20
"""An answer that is not longer is not counted."""
_SAID = "Answers {whose} that were not read took over {most} MiB, this one most of all"
log = logging.getLogger("brrrd.dataplane")


def all_unread() -> Unanswered:
    """Return the account of all answers of an edge worker."""
    return Unanswered(MOST_OF_DATABASE, MOST, _SAID)


class Unread:
    """What has come of one answer and was not passed on, if that is much, for as long as this context lasts."""

    def __init__(self, all: Unanswered, database_id: str, answer: Answer) -> None:
        self._all = all
        self._database_id = database_id
        self._answer = answer
        self._counted: Messages | None = None

    def __repr__(self) -> str:
        return f"<Unread of {self._database_id} [{self._counted.held if self._counted else 0} bytes]>"

    def _hold(self, size: int) -> None:
        if self._counted is None:
            if size <= FEW_BYTES:
                return
            self._counted = self._all.open(self._database_id, self._end)
        for counted, why in self._all.hold(self._counted, size):
            log.warning("an answer of database %s was ended: %s", counted.database_id, why)
            counted.end(why)

    def _end(self, why: str) -> None:
        self._answer.drop(HttpError(503, "ANSWER_NOT_READ", why))

    def __enter__(self) -> Self:
        self._answer.watch(self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._answer.watch(None)
        if self._counted is not None:
            self._all.close(self._counted)
