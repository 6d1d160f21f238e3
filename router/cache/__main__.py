"""`python -m router.cache`: the cache process. Started by the supervisor with a control channel as descriptor 3.

What was answered is stored when it exits (`router.host_service`), even at once.
"""

import asyncio
import logging
import sys
from pathlib import Path

from router.cache.budget import Limits
from router.cache.calls import CallError
from router.cache.connection import Counters, HostConnection
from router.cache.store import Store
from router.host_service import HostService
from router.messages import AppCacheStats, CacheEmptied, CacheSettings, CacheStats, EmptyCache, ToCache
from runtime import child

STATS_SECONDS = 1.0


class CacheProcess(HostService[CacheSettings | EmptyCache, HostConnection]):
    """The process: the store, and what the supervisor asks of it."""

    log = logging.getLogger("router.cache")
    messages = ToCache

    def __init__(self) -> None:
        super().__init__()
        self._store: Store | None = None
        self._counters: dict[str, Counters] = {}
        self._reported: dict[str, AppCacheStats] = {}

    def on_message(self, message: CacheSettings | EmptyCache) -> None:
        if isinstance(message, CacheSettings):
            self.spawn(self._serve(message))
        else:
            self.spawn(self._empty(message))

    def on_drained(self) -> None:
        if self._store is not None:
            self._store.close()

    async def _serve(self, settings: CacheSettings) -> None:
        limits = Limits(settings.app_bytes, settings.total_bytes, settings.entry_bytes)
        store = self._store = Store(Path(settings.directory), limits, settings.app_ids)
        await self.listen(
            settings.listen_fd,
            lambda: HostConnection(store, settings.ticket_key, self._counters_of, self.connections.discard),
        )
        while True:
            await asyncio.sleep(STATS_SECONDS)
            self._send_stats(store)

    def _counters_of(self, app_id: str) -> Counters:
        return self._counters.setdefault(app_id, Counters())

    def _send_stats(self, store: Store) -> None:
        stored, evicted = store.stored, store.evicted
        stats: dict[str, AppCacheStats] = {}
        # An app that was deleted is in none of these.
        for app_id in {*self._counters, *self._reported, *(app for app, (entries, _) in stored.items() if entries)}:
            counters = self._counters.get(app_id) or Counters()
            entries, size = stored.get(app_id, (0, 0))
            stats[app_id] = AppCacheStats(
                hits=counters.hits,
                misses=counters.misses,
                stores=counters.stores,
                refused=counters.refused,
                evicted=evicted[app_id],
                entries=entries,
                bytes=size,
            )
        changed = {app_id: figures for app_id, figures in stats.items() if self._reported.get(app_id) != figures}
        if changed:
            self._reported.update(changed)
            self.send(CacheStats(changed))

    async def _empty(self, message: EmptyCache) -> None:
        assert self._store is not None
        try:
            entries, size = await self._store.forget(message.app_id, for_good=message.for_good)
        except CallError as error:
            self.log.error("the cache of %s could not be emptied: %s", message.app_id, error.detail)
            entries = size = -1
        if message.for_good:
            self._counters.pop(message.app_id, None)
            self._reported.pop(message.app_id, None)
        self.send(CacheEmptied(message.number, entries, size))


def main() -> None:
    """Run until drained, or until the supervisor is gone."""
    # A short interval: the loop lets go of the interpreter's lock at every system call and SQL statement, and would
    # wait that long each time for the writer's thread while another app stores without end.
    sys.setswitchinterval(0.0001)
    child.raise_open_files()
    CacheProcess().start()


if __name__ == "__main__":
    main()
