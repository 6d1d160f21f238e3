"""The end of a stream that leaves something behind: statements that somebody reads no more, or a transaction.

To let go of what a statement has sorted, or to commit or roll back what it has written, may take as long as running it
did. So it is a call like any other, which goes on aside when it takes long (`dataplane.lead`); nobody waits for its
answer. Made by `dataplane.service`.
"""

from typing import Any, cast

from dataplane.calls import Call
from dataplane.errors import HttpError
from dataplane.execution import Work
from dataplane.streams import Stream
from dataplane.wire import CallHead


class Ending(Call):
    """Ends what is left on `stream`, on which nothing is being answered any more."""

    __slots__ = ()

    def __init__(self, stream: Stream) -> None:
        head = CallHead(stream.database.database_id, stream.epoch, stream.read_only)
        super().__init__(cast(Any, None), 0, 0, head)  # nobody has made it
        self.stream = stream
        self.work = _end(stream)

    def finish(self, answer: Any) -> None:
        """There is nobody to tell."""

    def refuse(self, error: HttpError) -> None:
        """It was logged."""

    def abort(self) -> None:
        """It goes on."""

    def ended(self) -> None:
        """There is nobody to tell."""


def _end(stream: Stream) -> Work:
    while stream.left:
        stream.left.pop().close()
    if stream.connection is not None:
        stream.connection.rollback()
    yield from ()
