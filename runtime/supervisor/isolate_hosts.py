"""Isolate hosts of all apps: brought up on a deploy or a request, more of them while they are blocked, fewer in calm.

Called by the supervisor. How many hosts an app gets is decided in `pool.py`, which state of a host follows which, and
how long a dying app waits, in `hosts.py`; `zygote.py` forks, `standby.py` keeps blank hosts ready, `loader.py` gives
them apps, `starts.py` knows which apps are being started.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

from isolates.messages import Blocked, HostStats, Log, Retiring
from router.messages import Coming, Upstream
from router.occupancy import SLOTS
from runtime.supervisor.background import Background
from runtime.supervisor.cgroups import out_of_memory
from runtime.supervisor.host import Host, HostFailed
from runtime.supervisor.host_groups import HostGroups
from runtime.supervisor.hosts import HostState
from runtime.supervisor.loader import Loader
from runtime.supervisor.loads import Loads
from runtime.supervisor.placement import Placement
from runtime.supervisor.pool import Bounds, Pool, elsewhere, for_run, may_grow, revival, surplus
from runtime.supervisor.routes import Serving
from runtime.supervisor.standby import Standby
from runtime.supervisor.starts import Starts
from runtime.supervisor.zygote import Zygote

REVIVED_AT_ONCE = 2
LOOK_SECONDS = 1.0
"""How often pools are looked at for hosts to add or to drain."""
REVIVAL_SECONDS = 0.02
"""Hosts that die with their zygote do so within this time of each other."""

AppStatus = Literal["ready", "idle", "starting", "quarantined"]

log = logging.getLogger("brrrd.hosts")


class HostTelemetry(Protocol):
    """Where reports of hosts go."""

    def app_log(self, app_id: str, build_id: str, directory: str, line: Log) -> bool: ...
    def host_stats(self, host_id: str, app_id: str, stats: HostStats) -> None: ...
    def host_retired(self, app_id: str, limit: str) -> None: ...
    def host_ended(self, host_id: str) -> None: ...


class IsolateHosts:
    """All hosts of the node.

    `on_change` is called whenever `serving` changed; `on_coming` when a host is being started that requests wait for,
    so edge workers connect to it meanwhile; `publish` has every edge worker serve by `serving` when it returns.
    """

    def __init__(
        self,
        run_dir: Path,
        cache_dir: Path,
        *,
        bounds: Bounds,
        standby: int,
        grace_ms: int,
        on_change: Callable[[], None],
        on_coming: Callable[[Coming], None],
        publish: Callable[[], Awaitable[None]],
        telemetry: HostTelemetry,
        user: str,
        ticket_key: bytes,
    ) -> None:
        self.pools: dict[str, Pool] = {}
        self.restarts = 0
        self.groups = HostGroups.open()
        self.zygote = Zygote(
            run_dir, cache_dir, lambda: self.standby.refill(), self._host_gone, self._host_said, user, self.groups
        )
        self.standby = Standby(standby, lambda: self.zygote.fork(stands_by=True), lambda: len(self._starts))
        self.loader = Loader(
            run_dir,
            zygote=self.zygote,
            standby=self.standby,
            groups=self.groups,
            ticket_key=ticket_key,
            on_coming=on_coming,
        )
        self._bounds = bounds
        self._grace_ms = grace_ms
        self._background = Background(log)
        self._starts = Starts(self._background)
        self._loads = Loads()
        self._free_slots = list(range(SLOTS))
        self._revival: asyncio.TimerHandle | None = None
        self._on_change = on_change
        self._publish = publish
        self._telemetry = telemetry
        self._stopping = False

    def __repr__(self) -> str:
        serving = sum(len(pool.hosts) for pool in self.pools.values())
        return f"<IsolateHosts of {len(self.pools)} apps: {serving} serving, {len(self._starts)} starting>"

    @property
    def alive(self) -> Mapping[str, Host]:
        """Every host that has not ended, those that stand by included."""
        return self.zygote.alive

    def serving(self) -> Mapping[str, Serving]:
        """What edge workers may be told, by app id."""
        return {
            app_id: Serving(
                [Upstream(host.host_id, str(host.socket_path)) for host in pool.hosts], pool.slot, pool.unavailable
            )
            for app_id, pool in self.pools.items()
        }

    def status(self, app_id: str) -> tuple[AppStatus, str | None]:
        """How an app fares, and why if it is quarantined; static apps have no host and are not asked about."""
        pool = self.pools.get(app_id)
        if pool is None:
            return "starting", None
        if pool.hosts:
            return "ready", None
        if pool.unavailable is not None:
            return "quarantined", pool.unavailable
        return "idle" if pool.dormant and app_id not in self._starts else "starting", None

    # Changes of what is served

    def adopt(self, host: Host) -> list[Host]:
        """Let `host` alone serve its app. Returns those before: the caller pushes routes, then drains them."""
        assert host.placement is not None
        app_id, now = host.placement.app_id, self._now()
        self._starts.forget(app_id)
        pool = self.pools.setdefault(app_id, Pool(host.placement, now))
        pool.placement, pool.unavailable, pool.used = host.placement, None, now
        pool.recovery.renewed()
        before, pool.hosts = pool.hosts, []
        if host.state is HostState.READY:
            pool.hosts.append(host)
        else:
            # It died between loading and now: the ordinary recovery takes over.
            self._bring_up(app_id, pool.recovery.died(now, host.reason()).retry_in)
        return before

    def drop(self, app_id: str) -> int:
        """The app is gone or static now: drain its hosts. Returns how many that are."""
        self._starts.forget(app_id)
        pool = self.pools.pop(app_id, None)
        if pool is None:
            return 0
        if pool.slot >= 0:
            self._free_slots.append(pool.slot)
        for host in pool.hosts:
            self.drain(host)
        return len(pool.hosts)

    def drain(self, host: Host) -> None:
        """Let a host that no longer serves finish and exit; it is killed when it overstays."""
        host.drain(self._grace_ms)
        self._background.run(self._see_off(host), "draining a host")

    async def restore(self, placements: Mapping[str, Placement]) -> None:
        """At start: know every app. Those that must never be without a host get theirs, others when asked for."""
        for app_id, placement in placements.items():
            if placement.main is not None:
                self.pools[app_id] = Pool(placement, self._now())
                if self._bounds.least:
                    self._bring_up(app_id, 0.0)
        self.standby.refill()
        await self._starts.all_over()
        self._background.run(self._look(), "looking after pools")

    # What edge workers say

    def wake(self, app_id: str) -> None:
        """A request waits for an app without a host."""
        pool = self.pools.get(app_id)
        if pool is not None and pool.dormant and app_id not in self._starts:
            pool.used = self._now()
            self._bring_up(app_id, 0.0)

    async def ready_host(self, app_id: str, seconds: float) -> Host:
        """A serving host of an app, which is woken if it has none. Raises `HostFailed` if none comes up in time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    pool = self.pools.get(app_id)
                    if pool is None:
                        raise HostFailed("the app is not served any more")
                    if (host := for_run(pool)) is not None:
                        pool.used = self._now()
                        return host
                    if pool.unavailable is not None:
                        raise HostFailed(pool.unavailable)
                    self.wake(app_id)
                    # Between two attempts to start it there is nothing to wait for but time.
                    await (self._starts.over(app_id) if app_id in self._starts else asyncio.sleep(LOOK_SECONDS / 10))
        except TimeoutError:
            raise HostFailed(f"no isolate was ready within {seconds:.0f} s", is_build=False) from None

    def stalled(self, host_id: str) -> None:
        """Requests wait at a host that is silent: have it look."""
        host = self.alive.get(host_id)
        if host is not None:
            host.probe()

    # Ends

    async def stop(self, grace_ms: int) -> None:
        """Drain all hosts, then the zygote."""
        self._stopping = True
        self._starts.forget_all()
        self.standby.close()
        for host in list(self.alive.values()):
            host.drain(grace_ms)
        waits = [asyncio.ensure_future(host.gone.wait()) for host in self.alive.values()]
        if waits:
            await asyncio.wait(waits, timeout=grace_ms / 1000 + 1)
        for wait in waits:
            wait.cancel()
        for host in list(self.alive.values()):
            host.kill()
        self._background.cancel()
        await self.zygote.slot.stop(None, 5)
        await asyncio.to_thread(self.groups.close)

    def _host_said(self, host: Host, message: Log | HostStats | Retiring | Blocked) -> None:
        placement = host.placement
        if placement is None:
            return
        pool = self.pools.get(placement.app_id)
        if isinstance(message, Log):
            if not self._telemetry.app_log(placement.app_id, placement.build_id, placement.directory, message):
                host.log_less(self._now())  # lines that are dropped here have cost most of what a line costs
        elif isinstance(message, HostStats):
            self._telemetry.host_stats(host.host_id, placement.app_id, message)
            if pool is not None:
                pool.used = self._now() if host.asked else pool.used
                self._count_together(pool)
        elif isinstance(message, Retiring):
            self._telemetry.host_retired(placement.app_id, message.limit)
            self._leave(host)  # it has told the app's owner why, as a line of its log
        elif pool is not None and host in pool.hosts:
            pool.blocked = self._now()
            if may_grow(pool, pool.bounds(self._bounds)):
                self._bring_up(placement.app_id, 0.0)

    @staticmethod
    def _count_together(pool: Pool) -> None:
        """The limit of WebSockets is the app's, and a host sees its own only."""
        for host, websockets in elsewhere(pool):
            host.elsewhere(websockets)

    def _host_gone(self, host: Host) -> None:
        if host.placement is not None and self.groups.ran_out(host.host_id):
            self._ran_out(host, host.placement)
        self._background.run(self._bury(host), "putting a host away")
        if self.standby.remove(host) or host.placement is None:
            return
        self._telemetry.host_ended(host.host_id)
        self._leave(host)

    def _ran_out(self, host: Host, placement: Placement) -> None:
        """The kernel ended it at the limit of its control group: say for it what it could not say any more."""
        host.retiring = out_of_memory(placement.limits.memory_mb)
        self._tell_owner(placement, host.retiring.message)
        self._telemetry.host_retired(placement.app_id, host.retiring.limit)

    def _tell_owner(self, placement: Placement, message: str) -> None:
        line = Log(time.time(), "error", "", message)
        self._telemetry.app_log(placement.app_id, placement.build_id, placement.directory, line)

    def _leave(self, host: Host) -> None:
        """It serves no more: tell the edge, and bring up another one."""
        pool = self._pool_of(host)
        if pool is None or host not in pool.hosts:
            return
        pool.hosts.remove(host)
        self._count_together(pool)
        self._on_change()
        if not self._stopping:
            self._background.run(self._replace(host), "replacing a host")

    def _pool_of(self, host: Host) -> Pool | None:
        return self.pools.get(host.placement.app_id) if host.placement is not None else None

    async def _bury(self, host: Host) -> None:
        await self.zygote.ended_by_itself(host)  # its status may still be on the way
        self.zygote.alive.pop(host.host_id, None)
        await self.groups.remove(host.host_id)

    async def _replace(self, host: Host) -> None:
        by_itself = await self.zygote.ended_by_itself(host)
        pool = self._pool_of(host)
        if pool is None or pool.placement is not host.placement:
            return
        if not by_itself:
            if self._revival is None:
                self._revival = asyncio.get_running_loop().call_later(REVIVAL_SECONDS, self._revive)
            return
        log.warning("host of %s died: %s", host.app, host.reason())
        if host.unexplained:
            self._tell_owner(pool.placement, f"The process of the app's isolate ended: {host.reason()}")
        self._recover(pool, host.reason())

    def _revive(self) -> None:
        """The zygote died, and all hosts with it."""
        self._revival = None
        apps = iter(revival(self.pools, self._now()))
        for _ in range(REVIVED_AT_ONCE):
            self._background.run(self._revive_each(apps), "bringing apps back")

    async def _revive_each(self, apps: Iterator[str]) -> None:
        """Bring apps back one after the other; those that requests wait for are woken meanwhile and go first."""
        for app_id in apps:
            pool = self.pools.get(app_id)
            if pool is not None and pool.dormant and app_id not in self._starts:
                self._bring_up(app_id, 0.0)
                await self._starts.over(app_id)

    def _recover(self, pool: Pool, reason: str) -> None:
        """A host died, or did not come up: start another one now or later, unless others serve."""
        verdict = pool.recovery.died(self._now(), reason)
        if pool.hosts or pool.starting:
            return
        if verdict.unavailable is not None:
            pool.unavailable = verdict.unavailable
            self._on_change()
        self._bring_up(pool.placement.app_id, verdict.retry_in)

    # Starting

    def _bring_up(self, app_id: str, delay: float) -> None:
        """Start one host for the app's present placement in `delay` seconds, and on failure again, later."""
        pool = self.pools[app_id]
        if self._stopping or (pool.hosts and not self._has_slot(pool)):
            return
        self._starts.begin(app_id, self._bring(pool, delay))

    def _has_slot(self, pool: Pool) -> bool:
        if pool.slot < 0 and self._free_slots:
            pool.slot = self._free_slots.pop()
        return pool.slot >= 0

    async def _bring(self, pool: Pool, delay: float) -> None:
        await asyncio.sleep(delay)
        placement = pool.placement
        pool.starting += 1
        try:
            async with self._loads.turn():
                host = await self.loader.load(placement, announced=not pool.hosts)
        except HostFailed as error:
            log.warning("host of %s did not come up: %s", placement.app, error)
            self._background.run(self._failed(pool, placement, str(error)), "trying a host again")
            return
        finally:
            pool.starting -= 1
        if host.state is not HostState.READY:
            self._background.run(self._failed(pool, placement, host.reason()), "trying a host again")
            return
        if pool.unavailable is not None or pool.recovery.deaths(self._now()):
            self.restarts += 1
        pool.unavailable = None
        pool.hosts.append(host)
        self._count_together(pool)
        self._on_change()

    async def _failed(self, pool: Pool, placement: Placement, reason: str) -> None:
        # A task of its own, so that `restore` and a deploy see the failed attempt as finished.
        await asyncio.sleep(0)
        if self.pools.get(placement.app_id) is pool and pool.placement is placement:
            self._recover(pool, reason)

    # Shrinking

    async def _look(self) -> None:
        while not self._stopping:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._now()
            leaving = []
            for app_id, pool in list(self.pools.items()):
                bounds = pool.bounds(self._bounds)
                if len(pool.hosts) < bounds.least and pool.unavailable is None and app_id not in self._starts:
                    self._bring_up(app_id, 0.0)
                for host in surplus(pool, bounds, now):
                    pool.hosts.remove(host)
                    pool.blocked = now
                    leaving.append(host)
            if leaving:
                await self._publish()
                for host in leaving:
                    self.drain(host)

    async def _see_off(self, host: Host) -> None:
        try:
            await asyncio.wait_for(host.gone.wait(), self._grace_ms / 1000 + 2)
        except TimeoutError:
            log.warning("host %s of %s did not end after its drain and was killed", host.host_id, host.app)
            host.kill()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
