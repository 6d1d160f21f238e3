"""`python -m router.cache`: the cache process. Started by the supervisor with a control channel as descriptor 3.

It exits 0 after `Drain`, and at once when the supervisor is gone; what was answered is stored then.
"""

import asyncio
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import uvloop

from router.cache.budget import Limits
from router.cache.calls import CallError
from router.cache.connection import Counters, HostConnection
from router.cache.store import Store
from router.messages import AppCacheStats, CacheEmptied, CacheSettings, CacheStats, Drain, EmptyCache, Ready, ToCache
from runtime.channel import Channel, inherited_socket

log = logging.getLogger("router.cache")

STATS_SECONDS = 1.0
DRAIN_STEP_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1


class CacheProcess:
    """The process: its listening socket, the store, and the connections of isolate hosts."""

    def __init__(self) -> None:
        self._channel: Channel[ToCache] | None = None
        self._server: asyncio.Server | None = None
        self._store: Store | None = None
        self._connections: set[HostConnection] = set()
        self._counters: dict[str, Counters] = {}
        self._reported: dict[str, AppCacheStats] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<CacheProcess [{len(self._connections)} hosts, {self._in_flight()} in flight]>"

    async def open(self, control: socket.socket) -> None:
        """Attach to the control channel; everything else begins with `CacheSettings`."""
        self._channel = await Channel.open(control, ToCache, self._on_message, lambda: os._exit(0))

    def _on_message(self, message: ToCache) -> None:
        match message:
            case CacheSettings():
                self._spawn(self._serve(message))
            case EmptyCache():
                self._spawn(self._empty(message))
            case Drain(grace_ms=grace_ms):
                self._spawn(self._drain(grace_ms / 1000))

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Half a process helps nobody; the supervisor starts a whole one.
            log.critical("the cache process cannot go on", exc_info=error)
            os._exit(1)

    async def _serve(self, settings: CacheSettings) -> None:
        _allow_many_files()
        limits = Limits(settings.app_bytes, settings.total_bytes, settings.entry_bytes)
        store = self._store = Store(Path(settings.directory), limits, settings.app_ids)

        def connect() -> HostConnection:
            connection = HostConnection(store, settings.ticket_key, self._counters_of, self._connections.discard)
            self._connections.add(connection)
            return connection

        listening = socket.socket(fileno=settings.listen_fd)
        listening.setblocking(False)
        self._server = await asyncio.get_running_loop().create_unix_server(connect, sock=listening)
        assert self._channel is not None
        self._channel.send(Ready())
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
        if changed and self._channel is not None:
            self._reported.update(changed)
            self._channel.send(CacheStats(changed))

    async def _empty(self, message: EmptyCache) -> None:
        assert self._store is not None
        try:
            entries, size = await self._store.forget(message.app_id, for_good=message.for_good)
        except CallError as error:
            log.error("the cache of %s could not be emptied: %s", message.app_id, error.detail)
            entries = size = -1
        if message.for_good:
            self._counters.pop(message.app_id, None)
            self._reported.pop(message.app_id, None)
        if self._channel is not None:
            self._channel.send(CacheEmptied(message.number, entries, size))

    async def _drain(self, grace: float) -> None:
        if self._server is not None:
            self._server.close()
        try:
            async with asyncio.timeout(grace):
                while self._in_flight():  # noqa: ASYNC110 - once in a process's life, for seconds
                    await asyncio.sleep(DRAIN_STEP_SECONDS)
        except TimeoutError:
            log.warning("%d calls to the cache were cut off at the end of the drain", self._in_flight())
        for connection in list(self._connections):
            connection.close()
        if self._store is not None:
            self._store.close()
        if self._channel is not None:
            # What is queued leaves first; then the channel's end ends the process.
            self._channel.close()

    def _in_flight(self) -> int:
        return sum(connection.in_flight for connection in self._connections)


def _allow_many_files() -> None:
    """Raise this process's own limit of open files to what it may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _main() -> None:
    process = CacheProcess()
    await process.open(inherited_socket())
    await asyncio.Event().wait()


def main() -> None:
    """Run until drained (`CacheProcess._drain`), or until the supervisor is gone."""
    # A short interval: the loop lets go of the interpreter's lock at every system call and SQL statement, and would
    # wait that long each time for the writer's thread while another app stores without end.
    sys.setswitchinterval(0.0001)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    uvloop.run(_main())


if __name__ == "__main__":
    main()
