"""Turns to write: calls whose streams wait for theirs, and what follows when one ends.

Which stream of a database comes next is `dataplane.writers`. Used by `dataplane.service` and `dataplane.enforcement`;
only the leader calls in here.
"""

from collections.abc import Callable
from time import monotonic

from dataplane.calls import Call
from dataplane.streams import Stream


class Turns:
    """Of all databases. `go_on` is called with a call that has waited, once its stream has the turn."""

    def __init__(self, go_on: Callable[[Call], None]) -> None:
        self._go_on = go_on
        self._waiting: dict[Stream, Call] = {}

    def __repr__(self) -> str:
        return f"<Turns [{len(self._waiting)} calls waiting]>"

    def ask(self, call: Call) -> bool:
        """Give the stream of `call` the turn to write; False: the call waits for it."""
        stream = call.stream
        assert stream is not None
        if stream.database.writers.ask(stream, monotonic()):
            stream.has_turn = True
            return True
        self._waiting[stream] = call
        return False

    def waits(self, call: Call) -> bool:
        """Return whether it waits for a turn."""
        return call.stream is not None and self._waiting.get(call.stream) is call

    def leave(self, call: Call) -> None:
        """The call is over, and waits no more if it did."""
        stream = call.stream
        if stream is not None and self._waiting.get(stream) is call:
            del self._waiting[stream]
            self.give_back(stream)

    def give_back(self, stream: Stream) -> None:
        """End the turn of `stream`, or its waiting. Not while a statement runs on it."""
        stream.has_turn = False
        database = stream.database
        if stream.connection is not None:
            database.commits.pages += stream.connection.take_pages_written()
        following = database.writers.give_back(stream, monotonic())
        if following is not None:
            following.has_turn = True
            self._go_on(self._waiting.pop(following))
