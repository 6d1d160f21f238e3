"""Calls that have used up their slice of the leading thread, and whose turn it is to go on.

Work that Python does, such as encoding rows, gains nothing from a thread of its own: threads would only fight for the
interpreter's lock. So long answers are made in slices on the leading thread, between which short calls are served. One
slice at a time goes to each database in turn, however many calls it has. Within a database a call gets many slices
before the next one: if all got one at a time, all would end late. Pure state; used by `dataplane.service`.
"""

from collections import OrderedDict, deque

from dataplane.calls import Call
from dataplane.lead import SLICE_SECONDS

QUANTUM = round(0.05 / SLICE_SECONDS)
"""Slices that a call gets before another one of its database: 50 ms, within which most long answers are made."""


class Paused:
    """The waiting calls, by database."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Call]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __repr__(self) -> str:
        return f"<Paused [{sum(map(len, self._waiting.values()))} calls of {len(self._waiting)} databases]>"

    def add(self, call: Call) -> None:
        """Let `call` go on when it is its turn."""
        calls = self._waiting.setdefault(call.head.database_id, deque())
        if call.slices % QUANTUM:
            calls.appendleft(call)
        else:
            calls.append(call)
        call.slices += 1

    def next(self) -> Call:
        """Return the call that goes on now; there must be one. Its database comes last then."""
        database_id, calls = self._waiting.popitem(last=False)
        call = calls.popleft()
        if calls:
            self._waiting[database_id] = calls
        return call

    def remove(self, call: Call) -> bool:
        """Forget `call`; return whether it waited."""
        calls = self._waiting.get(call.head.database_id)
        if calls is None or call not in calls:
            return False
        calls.remove(call)
        if not calls:
            del self._waiting[call.head.database_id]
        return True
