"""Isolate hosts of all apps: forked through the zygote, one serving host per app, replaced when it dies.

Called by the supervisor. Which state follows which, and how long a dying app waits, is decided in `hosts.py`.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from isolates.messages import Exited, Fork, Forked, FromZygote, HostStats, Load, Log, Retiring, ZygoteReady
from runtime.channel import encode
from runtime.supervisor.host import Host, HostFailed
from runtime.supervisor.hosts import HostState, Recovery
from runtime.supervisor.placement import Placement
from runtime.supervisor.routes import Serving
from runtime.supervisor.slot import Slot

LOAD_SECONDS = 10.0
"""A build whose evaluation takes longer is refused."""
ZYGOTE_SECONDS = 15.0
"""How long a fork may wait for a zygote that is being restarted."""
EXIT_STATUS_SECONDS = 0.25
"""The zygote's word on why a host ended comes at once; without it, the zygote died too."""
LOADS_AT_ONCE = 4
BACKLOG = 1024

AppStatus = Literal["ready", "starting", "quarantined"]

log = logging.getLogger("brrrd.hosts")


class HostTelemetry(Protocol):
    """Where reports of hosts go."""

    def app_log(self, app_id: str, build_id: str, line: Log) -> None: ...
    def host_stats(self, host_id: str, app_id: str, stats: HostStats) -> None: ...
    def host_retired(self, app_id: str, limit: str) -> None: ...
    def host_ended(self, host_id: str) -> None: ...


class IsolateHosts:
    """All hosts of the node.

    `on_change` is called whenever `serving` changed.
    """

    def __init__(
        self,
        run_dir: Path,
        cache_dir: Path,
        egress_socket: Path,
        on_change: Callable[[], None],
        telemetry: HostTelemetry,
        user: str = "nobody",
    ) -> None:
        self.engine = ""
        self.containment: list[str] = []
        """What holds hosts that were broken into, as the zygote found out."""
        self.not_contained: list[str] = []
        """What could not be had of it, with reasons."""
        self.zygote: Slot = Slot(
            "zygote",
            "isolates.zygote",
            FromZygote,
            fds=[],
            arguments=["--cache", str(cache_dir), "--user", user],
            first=list,
            on_message=self._from_zygote,
            on_down=self._zygote_down,
        )
        self.current: dict[str, Host] = {}
        self.alive: dict[str, Host] = {}
        self.restarts = 0
        self._placements: dict[str, Placement] = {}
        self._recoveries: dict[str, Recovery] = {}
        self._unavailable: dict[str, str] = {}
        self._restarting: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._zygote_lost = asyncio.Event()
        self._run_dir = run_dir
        self._egress_socket = egress_socket
        self._on_change = on_change
        self._telemetry = telemetry
        self._stopping = False

    def __repr__(self) -> str:
        return (
            f"<IsolateHosts {len(self.current)} serving, {len(self.alive)} alive, {len(self._restarting)} restarting>"
        )

    def serving(self) -> Mapping[str, Serving]:
        """What edge workers may be told, by app id."""
        table = {app_id: Serving(unavailable=sentence) for app_id, sentence in self._unavailable.items()}
        for app_id, host in self.current.items():
            table[app_id] = Serving(host.host_id, str(host.socket_path))
        return table

    def status(self, app_id: str) -> tuple[AppStatus, str | None]:
        """How an app fares, and why if it is quarantined; static apps have no host and are not asked about."""
        if app_id in self.current:
            return "ready", None
        sentence = self._unavailable.get(app_id)
        return ("starting", None) if sentence is None else ("quarantined", sentence)

    async def start(self, placement: Placement) -> Host:
        """Fork a host and load the build into it; it serves nobody until `adopt`. Raises `HostFailed`."""
        for _ in range(2):
            host, listener, theirs = await self._prepare(placement)
            try:
                await self._fork(host, listener, theirs)
                async with asyncio.timeout(LOAD_SECONDS):
                    await asyncio.shield(host.loaded)
                return host
            except TimeoutError:
                host.kill()
                raise HostFailed(f"{placement.main}: evaluation did not end within {LOAD_SECONDS:.0f} s") from None
            except HostFailed as error:
                if error.load is not None:
                    raise
                if await self._ended_by_itself(host):
                    raise HostFailed(f"the process died while it evaluated the build: {host.reason()}") from None
                log.warning("the zygote died while it forked %s; trying again", host.host_id)
            except BaseException:
                host.kill()
                raise
        raise HostFailed("the zygote died twice while it forked a host", is_build=False)

    def adopt(self, host: Host) -> Host | None:
        """Make `host` the one that serves its app, and return the one before. The caller pushes routes, then drains."""
        app_id = host.placement.app_id
        self._forget_restart(app_id)
        self._recoveries.setdefault(app_id, Recovery()).renewed()
        self._unavailable.pop(app_id, None)
        self._placements[app_id] = host.placement
        before = self.current.get(app_id)
        if host.state is HostState.READY:
            self.current[app_id] = host
        else:
            # It died between loading and now: the ordinary recovery takes over.
            self.current.pop(app_id, None)
            self._again(app_id, self._recoveries[app_id].died(self._now(), host.reason()).retry_in)
        return before

    def drop(self, app_id: str, grace_ms: int) -> int:
        """The app is gone or static now: drain its host. Returns how many hosts that ends."""
        self._forget_restart(app_id)
        self._placements.pop(app_id, None)
        self._recoveries.pop(app_id, None)
        self._unavailable.pop(app_id, None)
        host = self.current.pop(app_id, None)
        if host is None:
            return 0
        self.drain(host, grace_ms)
        return 1

    def drain(self, host: Host, grace_ms: int) -> None:
        """Let a host that no longer serves finish and exit; it is killed when it overstays."""
        host.drain(grace_ms)
        self._background(self._see_off(host, grace_ms))

    async def restore(self, placements: Mapping[str, Placement]) -> None:
        """At start: bring up every app, a few at a time. Apps that fail are retried like any that die."""
        for app_id, placement in placements.items():
            if placement.main is not None:
                self._placements[app_id] = placement
                self._again(app_id, 0.0)
        if self._restarting:
            await asyncio.wait(list(self._restarting.values()))

    async def stop(self, grace_ms: int) -> None:
        """Drain all hosts, then the zygote."""
        self._stopping = True
        for app_id in list(self._restarting):
            self._forget_restart(app_id)
        for host in list(self.alive.values()):
            host.drain(grace_ms)
        waits = [asyncio.ensure_future(host.gone.wait()) for host in self.alive.values()]
        if waits:
            await asyncio.wait(waits, timeout=grace_ms / 1000 + 1)
        for wait in waits:
            wait.cancel()
        for host in list(self.alive.values()):
            host.kill()
        for task in self._tasks:
            task.cancel()
        await self.zygote.stop(None, 5)

    async def _prepare(self, placement: Placement) -> tuple[Host, socket.socket, socket.socket]:
        try:
            await asyncio.wait_for(self.zygote.ready.wait(), ZYGOTE_SECONDS)
        except TimeoutError:
            raise HostFailed("the zygote is not running; see the node's log", is_build=False) from None
        host_id = "h" + secrets.token_hex(5)
        path = self._run_dir / f"{host_id}.s"
        host = Host(host_id, placement, path, self._host_gone, self._host_said)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(BACKLOG)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.alive[host_id] = host
        await host.attach(ours)
        return host, listener, theirs

    async def _fork(self, host: Host, listener: socket.socket, theirs: socket.socket) -> None:
        with listener, theirs:
            frame = encode(Fork(host.host_id))
            for _ in range(200):
                process = self.zygote.process
                if process is None or process.sock is None or not process.running:
                    return  # closing `theirs` is the end of file that fails `host.loaded`
                try:
                    socket.send_fds(process.sock, [frame], [theirs.fileno(), listener.fileno()])
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.005)
                except OSError:
                    return
        placement = host.placement
        assert placement.main is not None
        host.load(
            Load(
                app_id=placement.app_id,
                build_id=placement.build_id,
                directory=placement.directory,
                main=placement.main,
                environment=placement.environment,
                limits=placement.limits,
                egress_socket=str(self._egress_socket),
                node=placement.node,
            )
        )

    def _from_zygote(self, message: FromZygote) -> None:
        if isinstance(message, ZygoteReady):
            self.engine = message.engine
            self._contained(message)
            self._zygote_lost = asyncio.Event()
            self.zygote.came_up()
            return
        host = self.alive.get(message.host_id)
        if host is None:
            return
        if isinstance(message, Forked):
            host.forked(message.pid)
        elif isinstance(message, Exited) and not host.exit_status.done():
            host.exit_status.set_result(message.status)

    def _contained(self, message: ZygoteReady) -> None:
        """Say what hosts are not held by, once rather than at every restart of the zygote."""
        if message.missing and message.missing != self.not_contained:
            log.warning("isolate hosts run without: %s", "; ".join(message.missing))
        self.containment, self.not_contained = message.containment, message.missing

    def _zygote_down(self) -> None:
        self._zygote_lost.set()

    def _host_said(self, host: Host, message: Log | HostStats | Retiring) -> None:
        placement = host.placement
        if isinstance(message, Log):
            self._telemetry.app_log(placement.app_id, placement.build_id, message)
        elif isinstance(message, HostStats):
            self._telemetry.host_stats(host.host_id, placement.app_id, message)
        else:
            self._telemetry.host_retired(placement.app_id, message.limit)
            self._leave(host)  # it has told the app's owner why, as a line of its log

    def _host_gone(self, host: Host) -> None:
        self._telemetry.host_ended(host.host_id)
        self._leave(host)
        self._background(self._bury(host))

    def _leave(self, host: Host) -> None:
        """It serves no more: tell the edge, and bring up another one."""
        app_id = host.placement.app_id
        if self.current.get(app_id) is not host:
            return
        del self.current[app_id]
        self._on_change()
        if not self._stopping:
            self._background(self._replace(host))

    async def _bury(self, host: Host) -> None:
        await self._ended_by_itself(host)  # its status may still be on the way
        self.alive.pop(host.host_id, None)

    async def _ended_by_itself(self, host: Host) -> bool:
        """Whether the host ended for a reason of its own; False: the zygote took it down with it."""
        if host.retiring is not None:
            return True
        lost = asyncio.ensure_future(self._zygote_lost.wait())
        try:
            ends: list[asyncio.Future[Any]] = [host.exit_status, lost]
            await asyncio.wait(ends, timeout=EXIT_STATUS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
        return host.exit_status.done() or not self._zygote_lost.is_set()

    async def _replace(self, host: Host) -> None:
        app_id = host.placement.app_id
        by_itself = await self._ended_by_itself(host)
        if self._placements.get(app_id) is not host.placement or app_id in self.current:
            return
        delay = 0.0
        if by_itself:
            verdict = self._recoveries.setdefault(app_id, Recovery()).died(self._now(), host.reason())
            delay = verdict.retry_in
            log.warning("host of %s died: %s", host.placement.app, host.reason())
            if verdict.unavailable is not None:
                self._unavailable[app_id] = verdict.unavailable
                self._on_change()
        self._again(app_id, delay)

    def _again(self, app_id: str, delay: float) -> None:
        """Start the app's present placement in `delay` seconds, and on failure again, later."""
        if self._stopping:
            return
        self._forget_restart(app_id)
        task = asyncio.get_running_loop().create_task(self._restart(app_id, delay))
        self._restarting[app_id] = task
        task.add_done_callback(lambda done: self._restart_done(app_id, done))

    async def _restart(self, app_id: str, delay: float) -> None:
        await asyncio.sleep(delay)
        placement = self._placements[app_id]
        self.restarts += 1
        try:
            async with self._loads:
                host = await self.start(placement)
        except HostFailed as error:
            verdict = self._recoveries.setdefault(app_id, Recovery()).died(self._now(), str(error))
            log.warning("host of %s did not come up: %s", placement.app, error)
            if verdict.unavailable is not None:
                self._unavailable[app_id] = verdict.unavailable
                self._on_change()
            self._background(self._later(app_id, placement, verdict.retry_in))
            return
        if host.state is not HostState.READY:
            self._background(self._replace(host))
            return
        self._unavailable.pop(app_id, None)
        self.current[app_id] = host
        self._on_change()

    async def _later(self, app_id: str, placement: Placement, delay: float) -> None:
        # A task of its own, so that `restore` and a deploy see the failed attempt as finished.
        await asyncio.sleep(0)
        if self._placements.get(app_id) is placement and app_id not in self.current:
            self._again(app_id, delay)

    def _restart_done(self, app_id: str, task: asyncio.Task[None]) -> None:
        if self._restarting.get(app_id) is task:
            del self._restarting[app_id]
        if not task.cancelled() and task.exception() is not None:
            log.error("restarting a host failed", exc_info=task.exception())

    def _forget_restart(self, app_id: str) -> None:
        task = self._restarting.pop(app_id, None)
        if task is not None:
            task.cancel()

    async def _see_off(self, host: Host, grace_ms: int) -> None:
        try:
            await asyncio.wait_for(host.gone.wait(), grace_ms / 1000 + 2)
        except TimeoutError:
            log.warning("host %s of %s did not end after its drain and was killed", host.host_id, host.placement.app)
            host.kill()

    def _background(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("work on a host failed", exc_info=task.exception())

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
