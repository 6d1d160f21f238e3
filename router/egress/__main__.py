"""`python -m router.egress`: the egress process. Started by the supervisor with a control channel as descriptor 3.

Its life is that of `router.host_service`; here is what it makes of its settings, and which pool a request goes to.
"""

import asyncio
import logging
import os

from dataplane.endpoints import Endpoints
from dataplane.messages import Catalog
from router.egress.broadcast import Channels
from router.egress.client import ClientExchange
from router.egress.connection import Counters, HostConnection
from router.egress.databases import DatabaseExchange
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
from router.host_service import HostService
from router.hosts import ASSETS_HOST, assets_name
from router.messages import Applied, EgressSettings, EgressStats, LocalNames, ToEgress
from router.stats import DatabaseCounters
from runtime import child

STATS_SECONDS = 1.0
SPARE_FILES = 256
"""Descriptors for hosts' connections, edge workers and all else that is not an outbound connection."""
MAX_SOCKETS = 8192


class Egress(HostService[EgressSettings | LocalNames | Catalog, HostConnection]):
    """The process: its pools, and the names that are the node's own."""

    log = logging.getLogger("router.egress")
    messages = ToEgress

    def __init__(self) -> None:
        super().__init__()
        self._own: OwnNames | None = None
        self._names: list[str] = []
        self._endpoints: Endpoints | None = None
        """The data plane's; there is one before hosts can connect."""
        self._catalog_came = asyncio.Event()
        self._databases = DatabaseCounters()
        self._counters = Counters()
        self._reported = EgressStats(0, 0, 0)
        self._sockets = Sockets(most_sockets())

    def on_message(self, message: EgressSettings | LocalNames | Catalog) -> None:
        match message:
            case EgressSettings(token_key=token_key):
                self._endpoints = Endpoints(token_key)
                self.spawn(self._serve(message))
            case LocalNames(names=names):
                self._names = names
                if self._own is not None:
                    self._own.replace(names)
            case Catalog(version=version):
                assert self._endpoints is not None  # the settings come first
                self._endpoints.apply(message)
                self._catalog_came.set()
                self.send(Applied("catalog", version))

    def on_drained(self) -> None:
        self._send_stats()

    async def _serve(self, settings: EgressSettings) -> None:
        endpoints = self._endpoints
        assert endpoints is not None
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
                if own.include_databases(destination):
                    return DatabaseExchange(connection, stream, request, endpoints, self._databases)
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
            return HostConnection(
                make, make_socket, self._counters, shares, self._closed, settings.ticket_key, channels
            )

        if settings.catalog_follows:
            await self._catalog_came.wait()
        child.spare_the_collector()
        await self.listen(settings.listen_fd, connect)
        await self._report()

    def _closed(self, connection: HostConnection) -> None:
        self.connections.discard(connection)
        for pool in (connection.pool, connection.socket_pool):
            if pool is not None:
                pool.close()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATS_SECONDS)
            self._send_stats()
            now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.check_time(now)

    def _send_stats(self) -> None:
        counted = self._counters
        now = EgressStats(
            counted.requests, counted.refused, counted.failed, self._sockets.total, self._databases.snapshot()
        )
        if now != self._reported:
            self._reported = now
            self.send(now)


def most_sockets() -> int:
    """Raise the bound on open files as far as this process may; return how many outbound connections there can be."""
    files = child.raise_open_files(MAX_SOCKETS + 4 * SPARE_FILES)
    return max(SPARE_FILES, min(MAX_SOCKETS, files - 4 * SPARE_FILES))


def main() -> None:
    """Run until drained, or until the supervisor is gone."""
    # Before the first lookup: a thread that asks a name server which does not answer is free again after seconds.
    os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
    Egress().start()


if __name__ == "__main__":
    main()
