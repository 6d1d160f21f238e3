"""Counters that survive the processes that count: what ended ones had, plus what running ones report. Pure state.

A process counts from zero at its start and pushes its present figures; when it ends, its last report is kept.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

Source = TypeVar("Source", bound=Hashable)


class Totals(Generic[Source]):
    """Sums of named counters per key (an app, a database), over sources (worker processes) that come and go."""

    def __init__(self) -> None:
        self._ended: dict[str, dict[str, float]] = {}
        self._running: dict[Source, Mapping[str, Mapping[str, float]]] = {}

    def __repr__(self) -> str:
        return f"<Totals {len(self._running)} sources>"

    def report(self, source: Source, counters: Mapping[str, Mapping[str, float]]) -> None:
        """What `source` counted since its start: key to counter to value."""
        self._running[source] = counters

    def update(self, source: Source, counters: Mapping[str, Mapping[str, float]]) -> None:
        """As `report`, of some keys only: what `source` said of the others still holds."""
        self._running[source] = {**self._running.get(source, {}), **counters}

    def ended(self, source: Source) -> None:
        """`source` counts no more; its successor starts from zero."""
        _add(self._ended, self._running.pop(source, {}))

    def forget(self, key: str) -> None:
        """The app or database is gone. A worker that still reports it brings it back until it stops."""
        self._ended.pop(key, None)

    def sums(self, keys: Iterable[str] | None = None) -> dict[str, dict[str, float]]:
        """Key to counter to sum; only `keys`, if given."""
        total: dict[str, dict[str, float]] = {}
        _add(total, self._ended)
        for counters in self._running.values():
            _add(total, counters)
        return total if keys is None else {key: total.get(key, {}) for key in keys}


def _add(into: dict[str, dict[str, float]], counters: Mapping[str, Mapping[str, float]]) -> None:
    for key, values in counters.items():
        sums = into.setdefault(key, {})
        for name, value in values.items():
            sums[name] = sums.get(name, 0) + value
