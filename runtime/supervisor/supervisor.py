"""The supervisor: every process of the node, and the tables they are given.

Started by `runtime.serve`; the control API calls `apply`, `start_host`, `swap` and `drop_database`. It decides
nothing about apps or databases itself: it makes the processes agree with the `Desired` it was given last.
"""

import asyncio
import logging
import secrets
from pathlib import Path
from typing import Protocol

from dataplane import messages as dataplane
from router import messages as router
from router.occupancy import Occupancy, shared_memory
from runtime.addresses import join_address, parse_address
from runtime.config import Config
from runtime.supervisor import routes, settings
from runtime.supervisor.applied import KINDS
from runtime.supervisor.cron_runs import CronRuns, CronTelemetry
from runtime.supervisor.host import Host
from runtime.supervisor.isolate_hosts import AppStatus, HostTelemetry, IsolateHosts
from runtime.supervisor.placement import Desired, Placement
from runtime.supervisor.pool import Bounds
from runtime.supervisor.slot import Slot
from runtime.supervisor.sockets import listen_tcp, listen_unix
from runtime.supervisor.tables import Tables

DROP_SECONDS = 20.0
"""Enough for a database worker to be replaced, as it has to be when a statement of the database cannot be ended."""
EMPTY_SECONDS = 30.0
REPLACE_SECONDS = 45.0
"""Longer than a statement may run, since those of the database have to end first."""
LEAVE_SECONDS = 5.0
"""How long a database worker may take to end when another one has taken over. It gives itself less."""

log = logging.getLogger("brrrd.supervisor")


class Telemetry(HostTelemetry, CronTelemetry, Protocol):
    """Where the supervisor puts what processes report."""

    def edge_stats(self, worker: int, stats: router.EdgeStats) -> None: ...
    def edge_restarted(self, worker: int) -> None: ...
    def egress_stats(self, stats: router.EgressStats) -> None: ...
    def egress_restarted(self) -> None: ...
    def cache_stats(self, stats: router.CacheStats) -> None: ...
    def cache_restarted(self) -> None: ...
    def database_stats(self, worker: int, stats: dataplane.WorkerStats) -> None: ...
    def database_worker_restarted(self, worker: int) -> None: ...


class Supervisor:
    """All processes of one node."""

    def __init__(self, config: Config, data_dir: Path, run_dir: Path, token_key: bytes, telemetry: Telemetry) -> None:
        host, port = parse_address(config.listen, "listen")
        self._config = config
        self._data_dir = data_dir
        self._run_dir = run_dir
        self._token_key = token_key
        self._telemetry = telemetry
        self._tcp = listen_tcp(host, port, config.edge_workers(), "listen")
        self.listen_host = host
        self.port: int = self._tcp[0].getsockname()[1]
        self.public_db_url = config.public_db_url or self._own_url()
        self._edge_unix = [listen_unix(run_dir / f"edge{i}.s") for i in range(config.edge_workers())]
        self._egress_unix = listen_unix(run_dir / "egress.s")
        self._cache_unix = listen_unix(run_dir / "cache.s")
        self._database_unix = [listen_unix(run_dir / f"db{i}.s") for i in range(config.database_worker_count())]
        self._tables = Tables({"routes": self._routes, "catalog": self._catalog}, self._takers)
        self._desired = Desired()
        self._dropping: dict[str, asyncio.Future[None]] = {}
        self._emptying: dict[int, asyncio.Future[router.CacheEmptied]] = {}
        self._replacing: dict[str, asyncio.Future[str | None]] = {}
        self._ticket_key = secrets.token_bytes(32)
        self._occupancy_fd = shared_memory(config.edge_workers())
        self._occupancy = Occupancy(self._occupancy_fd, 0, config.edge_workers())
        self.hosts = IsolateHosts(
            run_dir,
            data_dir / "cache",
            bounds=Bounds(config.min_isolates, config.most_isolates(), float(config.idle_seconds)),
            standby=config.standby_hosts,
            grace_ms=config.drain_seconds * 1000,
            on_change=self._tables.changed,
            on_coming=self._tell_edges,
            publish=lambda: self._tables.push("routes"),
            telemetry=telemetry,
            user=config.isolate_user,
            ticket_key=self._ticket_key,
        )
        self.crons = CronRuns(self.hosts, telemetry, lambda app_id: self._desired.apps.get(app_id))
        self.edges = [self._edge_slot(i) for i in range(config.edge_workers())]
        self.egress = self._egress_slot()
        self.cache = self._cache_slot()
        self.databases = [self._database_slot(i) for i in range(config.database_worker_count())]

    def __repr__(self) -> str:
        return f"<Supervisor {[*self.slots()]} {self.hosts!r}>"

    def slots(self) -> list[Slot]:
        """Every kept process, for status and readiness."""
        return [*self.edges, self.egress, self.cache, self.hosts.zygote.slot, *self.databases]

    @property
    def ready(self) -> bool:
        """Whether every process is up."""
        return all(slot.ready.is_set() for slot in self.slots())

    @property
    def edge_address(self) -> str:
        """Where the edge listens, with the port that was bound."""
        return join_address(self.listen_host, self.port)

    @property
    def database_count(self) -> int:
        """Databases in the catalog."""
        return len(self._desired.databases)

    def edge_sockets(self) -> list[str]:
        """Paths of the edge workers' Unix sockets: HTTP as on the listen address, for this node's own processes."""
        return [str(self._run_dir / f"edge{i}.s") for i in range(len(self._edge_unix))]

    def app_ids(self) -> list[str]:
        """Apps with an active build."""
        return list(self._desired.apps)

    def app_status(self, app_id: str) -> tuple[AppStatus, str | None]:
        """How an app with an active build fares, and why it is quarantined if it is."""
        placement = self._desired.apps.get(app_id)
        if placement is not None and placement.main is None:
            return "ready", None
        return self.hosts.status(app_id)

    def _own_url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen_host, self.listen_host)  # noqa: S104
        return f"{self._config.edge_scheme()}://{join_address(host, self.port)}"

    async def start(self, desired: Desired) -> None:
        """Start all processes with `desired` and wait until they are up; apps are started when asked for.

        Raises `StartFailed`.
        """
        self._desired = desired
        for slot in self.slots():
            slot.start()
        await asyncio.gather(*(slot.first_ready() for slot in self.slots()))
        await self.hosts.restore(desired.apps)
        self.crons.update(desired.apps)
        self.crons.start()

    async def apply(self, desired: Desired) -> None:
        """Make the tables say `desired` and return once edge workers, and egress for databases, serve by them."""
        before, self._desired = self._desired, desired
        pushes = [self._tables.push("routes")]
        if desired.databases != before.databases:
            pushes.append(self._tables.push("catalog"))
        await asyncio.gather(*pushes)
        self.crons.update(desired.apps)
        names = routes.local_names(desired)
        if names != routes.local_names(before):
            self.egress.send(names)

    async def start_host(self, placement: Placement) -> Host:
        """Bring up a host that serves nobody yet. Raises `HostFailed`."""
        return await self.hosts.loader.load(placement)

    async def swap(self, app_id: str, host: Host | None, desired: Desired) -> int:
        """Let `host` (None: nothing) serve an app from now on, with `desired`; drain the one before.

        Returns how many hosts that ended. When this returns, every edge worker sends new requests to `host`.
        """
        if host is None:
            await self.apply(desired)
            return self.hosts.drop(app_id)
        before = self.hosts.adopt(host)
        await self.apply(desired)
        for old in before:
            self.hosts.drain(old)
        return len(before)

    async def drop_database(self, database_id: str, *, delete: bool) -> None:
        """Close a database's streams, with `delete` also remove its files. Raises `TimeoutError`."""
        slot = self.databases[routes.worker_of(database_id, len(self.databases))]
        async with asyncio.timeout(DROP_SECONDS):
            await slot.settled()
            future = self._dropping.get(database_id)
            if future is None or future.done():
                future = self._dropping[database_id] = asyncio.get_running_loop().create_future()
            await slot.ask(dataplane.Drop(database_id, delete, self._tables.version("catalog")), future)

    async def empty_cache(self, app_id: str, *, for_good: bool) -> router.CacheEmptied:
        """Remove all that an app has stored with the Cache API; `for_good`: the app is deleted.

        Raises `TimeoutError`.
        """
        async with asyncio.timeout(EMPTY_SECONDS):
            await self.cache.ready.wait()
            number = len(self._emptying) + 1
            while number in self._emptying:
                number += 1
            future = self._emptying[number] = asyncio.get_running_loop().create_future()
            try:
                self.cache.send(router.EmptyCache(app_id, number, for_good))
                emptied: router.CacheEmptied = await future
                return emptied
            finally:
                del self._emptying[number]

    async def replace_database(self, database_id: str, replacement: str, kept: str) -> str | None:
        """Close a database's streams and swap its file; returns why that was not possible. Raises `TimeoutError`."""
        slot = self.databases[routes.worker_of(database_id, len(self.databases))]
        async with asyncio.timeout(REPLACE_SECONDS):
            await slot.settled()
            future = self._replacing[database_id] = asyncio.get_running_loop().create_future()
            return await slot.ask(dataplane.Replace(database_id, replacement, kept), future)

    async def stop(self) -> None:
        """Drain: stop accepting, let requests in flight finish, end every process. Bounded by `drain_seconds`."""
        self.crons.stop()
        seconds = float(self._config.drain_seconds)
        grace_ms = int(seconds * 1000)
        for sock in self._tcp:
            sock.close()
        await asyncio.gather(*(slot.stop(router.Drain(grace_ms), seconds + 1) for slot in self.edges))
        await asyncio.gather(
            self.hosts.stop(min(grace_ms, 5000)),
            self.egress.stop(router.Drain(1000), 2),
            self.cache.stop(router.Drain(1000), 5),
            *(slot.stop(dataplane.Drain(min(grace_ms, 5000)), 6) for slot in self.databases),
        )
        for sock in [*self._edge_unix, self._egress_unix, self._cache_unix, *self._database_unix]:
            sock.close()

    def kill(self) -> None:
        """End every process at once, for good."""
        for slot in self.slots():
            slot.abandon()

    # Edge workers

    def _edge_slot(self, index: int) -> Slot:
        return Slot(
            f"edge-{index}",
            "router.worker",
            router.FromEdge,
            fds=[self._tcp[index].fileno(), self._edge_unix[index].fileno(), self._occupancy_fd],
            first=lambda: [self._edge_settings(index), *map(self._tables.newest, KINDS)],
            on_message=lambda message: self._from_edge(index, message),
            on_up=lambda: self._edge_up(index),
            on_down=lambda: self._edge_down(index),
        )

    def _edge_settings(self, index: int) -> router.EdgeSettings:
        return settings.edge(self._config, index, public_db_url=self.public_db_url, token_key=self._token_key)

    def _from_edge(self, index: int, message: router.FromEdge) -> None:
        if isinstance(message, router.Ready):
            self.edges[index].came_up()
        elif isinstance(message, router.Applied):
            self._tables.applied.applied(self.edges[index].name, message.kind, message.version)
        elif isinstance(message, router.EdgeStats):
            self._telemetry.edge_stats(index, message)
        elif isinstance(message, router.Wake):
            self.hosts.wake(message.app_id)
        elif isinstance(message, router.Stalled):
            self.hosts.stalled(message.host_id)
        else:
            log.debug("edge-%d lost its connection to host %s", index, message.host_id)

    def _edge_up(self, index: int) -> None:
        # What it acknowledged before it was ready counts, and so does what was sent to it since: both are in order
        # behind the tables it began with, so ask again rather than guess.
        self._tables.applied.up(self.edges[index].name)
        for kind in KINDS:
            self.edges[index].send(self._tables.newest(kind))

    def _edge_down(self, index: int) -> None:
        self._tables.applied.down(self.edges[index].name)
        self._occupancy.clear(index)
        self._telemetry.edge_restarted(index)

    # Tables

    def _tell_edges(self, message: router.Coming) -> None:
        for slot in self.edges:
            slot.send(message)

    def _routes(self, version: int) -> router.Routes:
        return routes.routes(version, self._desired, self.hosts.serving(), self._config.max_body_bytes)

    def _catalog(self, version: int) -> dataplane.Catalog:
        sockets = [str(self._run_dir / f"db{i}.s") for i in range(len(self._database_unix))]
        return routes.catalog(version, self._desired.databases, sockets)

    def _takers(self, kind: str) -> list[Slot]:
        return self.edges if kind == "routes" else [*self.edges, self.egress]

    # Egress and databases

    def _egress_slot(self) -> Slot:
        return Slot(
            "egress",
            "router.egress",
            router.FromEgress,
            fds=[self._egress_unix.fileno()],
            first=lambda: [self._egress_settings(), routes.local_names(self._desired), self._tables.newest("catalog")],
            on_message=self._from_egress,
            on_up=self._egress_up,
            on_down=self._egress_down,
        )

    def _egress_settings(self) -> router.EgressSettings:
        return settings.egress(
            self._config,
            edge_sockets=self.edge_sockets(),
            edge_address=(self.listen_host, self.port),
            public_db_url=self.public_db_url,
            ticket_key=self._ticket_key,
            token_key=self._token_key,
        )

    def _egress_up(self) -> None:
        self._tables.applied.up(self.egress.name, ["catalog"])
        # For the reason that `_edge_up` has.
        self.egress.send(self._tables.newest("catalog"))

    def _egress_down(self) -> None:
        self._tables.applied.down(self.egress.name)
        self._telemetry.egress_restarted()

    def _from_egress(self, message: router.FromEgress) -> None:
        if isinstance(message, router.Ready):
            self.egress.came_up()
        elif isinstance(message, router.Applied):
            self._tables.applied.applied(self.egress.name, message.kind, message.version)
        else:
            self._telemetry.egress_stats(message)

    def _cache_slot(self) -> Slot:
        return Slot(
            "cache",
            "router.cache",
            router.FromCache,
            fds=[self._cache_unix.fileno()],
            first=lambda: [self._cache_settings()],
            on_message=self._from_cache,
            on_down=self._telemetry.cache_restarted,
        )

    def _cache_settings(self) -> router.CacheSettings:
        directory = self._data_dir / "responses"
        return settings.cache(self._config, directory, app_ids=self.app_ids(), ticket_key=self._ticket_key)

    def _from_cache(self, message: router.FromCache) -> None:
        if isinstance(message, router.Ready):
            self.cache.came_up()
        elif isinstance(message, router.CacheStats):
            self._telemetry.cache_stats(message)
        else:
            future = self._emptying.get(message.number)
            if future is not None and not future.done():
                future.set_result(message)

    def _database_slot(self, index: int) -> Slot:
        told = settings.database_worker(self._config, index, self._data_dir / "databases")
        return Slot(
            f"database-{index}",
            "dataplane.worker",
            dataplane.FromWorker,
            fds=[self._database_unix[index].fileno()],
            first=lambda: [told],
            on_message=lambda message: self._from_database(index, message),
            on_down=lambda: self._telemetry.database_worker_restarted(index),
        )

    def _from_database(self, index: int, message: dataplane.FromWorker) -> None:
        if isinstance(message, dataplane.Ready):
            self.databases[index].came_up()
        elif isinstance(message, dataplane.Dropped):
            future = self._dropping.pop(message.database_id, None)
            if future is not None and not future.done():
                future.set_result(None)
        elif isinstance(message, dataplane.Replaced):
            replaced = self._replacing.pop(message.database_id, None)
            if replaced is not None and not replaced.done():
                replaced.set_result(message.error)
        elif isinstance(message, dataplane.Stuck):
            self.databases[index].succeed(dataplane.Leave(), LEAVE_SECONDS)
        else:
            self._telemetry.database_stats(index, message)
