"""An edge worker process: `python -m router.worker`, started and watched by the supervisor.

Descriptor 3 is the control channel (`router.messages`), the listening sockets are inherited and named in the first
message. The process ends at once when the channel does, on SIGTERM, and after `Drain` when what was in flight is done.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Protocol

import uvloop

from dataplane.messages import Catalog
from router.app import Edge, Receive, Scope, Send
from router.dispatch import Dispatcher
from router.messages import (
    Applied,
    Coming,
    Drain,
    EdgeSettings,
    EdgeStats,
    FromEdge,
    Ready,
    Routes,
    ToEdge,
)
from router.occupancy import Occupancy
from router.servers import Serving, serve
from router.stats import DatabaseCounters
from runtime import child, priority
from runtime.channel import Channel, inherited_socket
from runtime.malloc import keep_memory

STATS_SECONDS = 1.0


class DataPlane(Protocol):
    """The data plane's application (`dataplane.front.DataPlane`)."""

    def apply(self, catalog: Catalog) -> None: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def aclose(self) -> None: ...


MakeDataPlane = Callable[[str, bytes, Callable[[str, int, float], None]], DataPlane]


class Worker:
    """Carries out the supervisor's messages, in order."""

    def __init__(self, make_data_plane: MakeDataPlane) -> None:
        self._make_data_plane = make_data_plane
        self._inbox: asyncio.Queue[ToEdge] = asyncio.Queue()
        self._channel: Channel[ToEdge] | None = None
        self._databases = DatabaseCounters()

    async def run(self, control: socket.socket) -> None:
        """Serve until drained. `control` is this end of the control channel."""
        self._channel = await Channel.open(control, ToEdge, self._inbox.put_nowait, _supervisor_gone)
        settings = await self._inbox.get()
        if not isinstance(settings, EdgeSettings):
            raise TypeError(f"the first message was {type(settings).__name__}, not EdgeSettings")
        occupancy = Occupancy(settings.occupancy_fd, settings.index, settings.workers)
        dispatcher = Dispatcher(settings.db_hosts, self._tell, occupancy)
        data_plane = self._make_data_plane(settings.public_db_url, settings.token_key, self._databases.observe)
        edge = Edge(
            dispatcher,
            data_plane,
            trusted_proxies=settings.trusted_proxies,
            max_body_bytes=settings.max_body_bytes,
            max_head_bytes=settings.max_head_bytes,
        )
        if settings.tables_follow:
            for _ in range(2):
                await self._take(await self._inbox.get(), dispatcher, data_plane)
        serving = await serve(settings, edge)
        child.spare_the_collector()
        self._tell(Ready())
        stats = asyncio.create_task(self._report(dispatcher, serving))
        try:
            while not isinstance(message := await self._inbox.get(), Drain):
                await self._take(message, dispatcher, data_plane)
            await serving.drain(message.grace_ms / 1000)
        finally:
            stats.cancel()
            await dispatcher.aclose()
            await data_plane.aclose()

    async def _take(self, message: ToEdge, dispatcher: Dispatcher, data_plane: DataPlane) -> None:
        if isinstance(message, Routes):
            await dispatcher.apply(message)
            self._tell(Applied("routes", message.version))
        elif isinstance(message, Coming):
            dispatcher.expect(message)
        elif isinstance(message, Catalog):
            data_plane.apply(message)
            self._tell(Applied("catalog", message.version))

    def _tell(self, message: FromEdge) -> None:
        if self._channel is not None:
            self._channel.send(message)

    async def _report(self, dispatcher: Dispatcher, serving: Serving) -> None:
        before: EdgeStats | None = None
        while True:
            await asyncio.sleep(STATS_SECONDS)
            databases = self._databases.snapshot()
            stats = EdgeStats(serving.connections(), dispatcher.in_flight, dispatcher.stats(), databases)
            if stats != before:
                self._tell(stats)
                before = stats


def _supervisor_gone() -> None:
    os._exit(0)


def run(make_data_plane: MakeDataPlane) -> None:
    """Be an edge worker until drained."""
    child.follow_supervisor()
    child.end_on_sigterm()
    child.raise_open_files()
    child.log_to_stderr()
    keep_memory()
    priority.lower(0)
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(Worker(make_data_plane).run(inherited_socket()))


def main() -> None:
    """Entry point."""
    from dataplane.front import DataPlane

    run(DataPlane)


if __name__ == "__main__":
    main()
