"""Writes down what databases use, so that it outlives the node: sums of the workers' reports, by day."""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime

from runtime.state import usage
from runtime.state.store import Store
from runtime.state.usage import Day
from runtime.telemetry.reports import Reports

SECONDS = 10.0
"""Between two writes: what a crash of the node may lose of the count."""
_COUNTERS = ("rows_read", "rows_written", "queries", "received_bytes", "sent_bytes")
log = logging.getLogger("brrrd.control")


def _grown(before: int, now: int) -> int:
    """How much a counter grew; one that is smaller than before began anew."""
    return now - before if now >= before else now


class UsageRecord:
    """The difference between what was reported and what is written down."""

    def __init__(self, store: Store, reports: Reports) -> None:
        self._store = store
        self._reports = reports
        self._written: dict[str, dict[str, int]] = {}

    def __repr__(self) -> str:
        return f"<UsageRecord {len(self._written)} databases>"

    def since_last(
        self, sums: Mapping[str, Mapping[str, float]], storage: Mapping[str, int], day: str
    ) -> dict[str, Day]:
        """Return what was used beyond the last call's sums, by database id; unused ones are left out."""
        used: dict[str, Day] = {}
        for key, counted in sums.items():
            now = {name: int(counted.get(name, 0)) for name in _COUNTERS}
            before = self._written.get(key, {})
            grown = {name: _grown(before.get(name, 0), count) for name, count in now.items()}
            self._written[key] = now
            if any(grown.values()):
                used[key] = Day(day, **grown, storage_bytes=storage.get(key, 0))
        return used

    async def write(self) -> None:
        """Write down what came since the last time."""
        day = datetime.now(UTC).date().isoformat()
        used = self.since_last(self._reports.usage.sums(), self._reports.storage, day)
        if used:
            await self._store.write(usage.add, used)

    async def run(self) -> None:
        """Write again and again, for ever."""
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self.write()
            except sqlite3.Error as error:
                log.error("the usage of databases cannot be written down: %s", error)
