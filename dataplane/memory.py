"""The engine's memory, which all databases of a worker share: who gives way before there is none left for the others.

A request for memory beyond `HEAP_BYTES` fails, whoever has the rest. So caches are given back long before, and over
`MOST_BYTES` whatever has most of it ends, of the database that has most. What an idle stream has can be asked for; what
a running statement has, to sort above all, and what savepoints keep, is counted nowhere: it is taken for what all have
grown by while it ran.
Used by `dataplane.enforcement`, some times a second.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dataplane.streams import Stream

CACHES_BYTES = 512 << 20
"""Over that nothing is kept only to be faster the next time, and growth is watched."""
MOST_BYTES = 2 << 30
HEAP_BYTES = MOST_BYTES + (512 << 20)
"""Bound on all of it: a statement that wants more fails with SQLITE_NOMEM, the worker lives."""


def over() -> str:
    """Return what clients are told."""
    limit = f"{MOST_BYTES >> 20} MiB of memory"
    return f"More than {limit} was in use, the limit of a worker's databases, and this stream had most of it"


class Holder(NamedTuple):
    """A stream and what it has."""

    stream: "Stream"
    bytes: int


def greediest(holders: list[Holder], excess: int) -> Iterator["Stream"]:
    """Yield the streams that have to end for there to be `excess` bytes less."""
    databases: dict[str, list[Holder]] = {}
    for holder in sorted(holders, key=lambda holder: holder.bytes):
        databases.setdefault(holder.stream.database.database_id, []).append(holder)
    totals = {name: sum(holder.bytes for holder in of_database) for name, of_database in databases.items()}
    while excess > 0 and any(totals.values()):
        name = max(totals, key=totals.__getitem__)
        largest = databases[name].pop()
        totals[name] -= largest.bytes
        excess -= largest.bytes
        yield largest.stream


class Growth:
    """What all memory has grown by while statements ran, by their streams, in equal parts."""

    def __init__(self) -> None:
        self._used = 0
        self._of: dict[Stream, int] = {}

    def __repr__(self) -> str:
        return f"<Growth of {len(self._of)} streams [{self._used} bytes used]>"

    def see(self, used: int, running: Collection["Stream"], ran: Collection["Stream"]) -> None:
        """There are `used` bytes now. `running`: streams with a statement or a transaction that has not come to its
        end; `ran`: those of them that did not wait all the time since the last look.
        """
        grown, self._used = max(0, used - self._used), used
        self._of = {stream: self._of.get(stream, 0) for stream in running}
        for stream in ran:
            self._of[stream] += grown // len(ran)

    def of(self, stream: "Stream") -> int:
        return self._of.get(stream, 0)
