"""`python -m router.egress`: the egress process. Started by the supervisor with a control channel as descriptor 3.

It exits 0 after `Drain`, when what was in flight is over or the time is, and at once when the supervisor is gone.
"""

import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
import socket

import uvloop

from router.egress.broadcast import Channels
from router.egress.client import ClientExchange
from router.egress.connection import Counters, HostConnection
from router.egress.destination import OwnNames
from router.egress.exchange import Exchange
from router.egress.headers import Request
from router.egress.local import LocalConnector
from router.egress.policy import AddressPolicy
from router.egress.pool import Pool
from router.egress.public import PublicConnector, tls_context
from router.egress.resolver import Resolver
from router.egress.share import Shares
from router.egress.sockets import Sockets
from router.egress.upgrade import SocketExchange
from router.hosts import ASSETS_HOST, assets_name
from router.messages import Drain, EgressSettings, EgressStats, LocalNames, Ready, ToEgress
from runtime.channel import Channel, inherited_socket

log = logging.getLogger("router.egress")

STATS_SECONDS = 1.0
SPARE_FILES = 256
"""Descriptors for hosts' connections, edge workers and all else that is not an outbound connection."""
MAX_SOCKETS = 8192
_PR_SET_PDEATHSIG = 1


class Egress:
    """The process: its listening socket, its pools, and the connections of isolate hosts."""

    def __init__(self) -> None:
        self._channel: Channel[ToEgress] | None = None
        self._server: asyncio.Server | None = None
        self._own: OwnNames | None = None
        self._names: list[str] = []
        self._connections: set[HostConnection] = set()
        self._counters = Counters()
        self._reported = EgressStats(0, 0, 0)
        self._sockets = Sockets(most_sockets())
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Egress [{len(self._connections)} hosts, {self._in_flight()} in flight]>"

    async def open(self, control: socket.socket) -> None:
        """Attach to the control channel; everything else begins with `EgressSettings`."""
        self._channel = await Channel.open(control, ToEgress, self._on_message, self._on_close)

    def _on_message(self, message: ToEgress) -> None:
        match message:
            case EgressSettings():
                self._spawn(self._serve(message))
            case LocalNames(names=names):
                self._names = names
                if self._own is not None:
                    self._own.replace(names)
            case Drain(grace_ms=grace_ms):
                self._spawn(self._drain(grace_ms / 1000))

    def _on_close(self) -> None:
        # Drained, or the supervisor is gone. Not through the interpreter's own end, which waits for threads that are
        # inside a name lookup.
        os._exit(0)

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Half a process helps nobody; the supervisor starts a whole one.
            log.critical("the egress process cannot go on", exc_info=error)
            os._exit(1)

    async def _serve(self, settings: EgressSettings) -> None:
        resolver = Resolver(AddressPolicy(settings.allow))
        own = self._own = OwnNames(settings.edge_authorities, settings.db_hosts, self._names)
        local = Pool(LocalConnector(settings.edge_sockets))
        tls = tls_context(settings.ca_file)
        sockets, shares = self._sockets, Shares()
        channels: Channels[HostConnection] = Channels()
        tls_of_sockets = tls_context(settings.ca_file)
        tls_of_sockets.set_alpn_protocols(["http/1.1"])

        def make(connection: HostConnection, stream: int, request: Request, request_id: bytes) -> Exchange:
            destination = request.destination
            if destination.host == ASSETS_HOST:
                # Whose static files: that is known of the connection, whatever the app's code says.
                request.destination = destination.at(assets_name(connection.identity.app_id))
                return ClientExchange(connection, stream, request, request_id, local)
            if own.include(destination):
                return ClientExchange(connection, stream, request, request_id, local)
            if connection.pool is None:
                assert connection.share is not None
                connector = PublicConnector(resolver, tls, connection.share.lane)
                connection.pool = Pool(connector, sockets, connection.identity.app_id)
            return ClientExchange(connection, stream, request, request_id, connection.pool)

        def make_socket(connection: HostConnection, stream: int, request: Request, request_id: bytes) -> Exchange:
            if own.include(request.destination):
                return SocketExchange(connection, stream, request, request_id, local)
            if connection.socket_pool is None:
                # A WebSocket takes a whole connection over, which HTTP/2 has none of.
                assert connection.share is not None
                connector = PublicConnector(resolver, tls_of_sockets, connection.share.lane, http2=False)
                connection.socket_pool = Pool(connector, sockets, connection.identity.app_id)
            return SocketExchange(connection, stream, request, request_id, connection.socket_pool, sockets)

        def connect() -> HostConnection:
            connection = HostConnection(
                make, make_socket, self._counters, shares, self._closed, settings.ticket_key, channels
            )
            self._connections.add(connection)
            return connection

        listening = socket.socket(fileno=settings.listen_fd)
        listening.setblocking(False)
        self._server = await asyncio.get_running_loop().create_unix_server(connect, sock=listening)
        # What exists now lives as long as the process: keep the collector from walking it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        assert self._channel is not None
        self._channel.send(Ready())
        await self._report()

    def _closed(self, connection: HostConnection) -> None:
        self._connections.discard(connection)
        for pool in (connection.pool, connection.socket_pool):
            if pool is not None:
                pool.close()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATS_SECONDS)
            self._send_stats()
            now = asyncio.get_running_loop().time()
            for connection in list(self._connections):
                connection.check_time(now)

    def _send_stats(self) -> None:
        counted = self._counters
        now = EgressStats(counted.requests, counted.refused, counted.failed, self._sockets.total)
        if now != self._reported and self._channel is not None:
            self._reported = now
            self._channel.send(now)

    async def _drain(self, grace: float) -> None:
        if self._server is not None:
            self._server.close()
        try:
            async with asyncio.timeout(grace):
                while self._in_flight():  # noqa: ASYNC110 - once in a process's life, for seconds
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log.warning("%d outbound requests were cut off at the end of the drain", self._in_flight())
        for connection in list(self._connections):
            connection.close()
        self._send_stats()
        if self._channel is not None:
            # What is queued leaves first; then `_on_close` ends the process.
            self._channel.close()

    def _in_flight(self) -> int:
        return sum(connection.in_flight for connection in self._connections)


def most_sockets() -> int:
    """Raise the bound on open files as far as this process may; return how many outbound connections there can be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MAX_SOCKETS + 4 * SPARE_FILES if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(SPARE_FILES, min(MAX_SOCKETS, files - 4 * SPARE_FILES))


async def _main() -> None:
    egress = Egress()
    await egress.open(inherited_socket())
    await asyncio.Event().wait()


def main() -> None:
    """Run until drained (`Egress._drain`), or until the supervisor is gone."""
    # Before the first lookup: a thread that asks a name server which does not answer is free again after seconds.
    os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    uvloop.run(_main())


if __name__ == "__main__":
    main()
