"""Runs crons when they are due, or when an operator asks: wakes the app, tells one of its hosts, and says how it went.

Started by the supervisor. What is due is decided in `crons.py`.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from isolates.messages import Fire, Log
from runtime.supervisor.background import Background
from runtime.supervisor.crons import Cron, Crons, Due, Outcome, Run
from runtime.supervisor.host import HostFailed
from runtime.supervisor.isolate_hosts import IsolateHosts
from runtime.supervisor.placement import Placement

LOOK_SECONDS = 20.0
"""How long to sleep at most: the clock may be set meanwhile."""
WAKE_SECONDS = 30.0
ANSWER_SECONDS = 5.0
"""How much longer than its limit a run may take to be heard of."""

log = logging.getLogger("brrrd.crons")


class CronTelemetry(Protocol):
    """Where it is told how runs went."""

    def app_log(self, app_id: str, build_id: str, directory: str, line: Log) -> bool: ...
    def cron_ended(self, app_id: str, outcome: Outcome) -> None: ...


class Begun(NamedTuple):
    """A run, and what is done when it is."""

    run: Run
    task: asyncio.Task[None]


class CronRuns:
    """See the module. `placement` returns what is to be served for an app now."""

    def __init__(
        self, hosts: IsolateHosts, telemetry: CronTelemetry, placement: Callable[[str], Placement | None]
    ) -> None:
        self._crons = Crons()
        self._hosts = hosts
        self._telemetry = telemetry
        self._placement = placement
        self._changed = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._background = Background(log)

    def __repr__(self) -> str:
        return f"<CronRuns {self._crons!r} running={len(self._background)}>"

    def update(self, placements: Mapping[str, Placement]) -> None:
        """These apps are served from now on."""
        self._crons.update({app_id: placement.crons for app_id, placement in placements.items()}, time.time())
        self._changed.set()

    def start(self) -> None:
        """Begin to look at the clock."""
        self._timer = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Run no more; hosts are drained by their owner."""
        if self._timer is not None:
            self._timer.cancel()
        self._background.cancel()

    def of_app(self, app_id: str) -> list[Cron]:
        """An app's crons."""
        return self._crons.of_app(app_id)

    def fire(self, app_id: str, cron: Cron) -> "Begun | None":
        """Run a cron now, whatever the time is; None if a run of it is going on."""
        return self._run(Due(app_id, cron, time.time()))

    async def _watch(self) -> None:
        while True:
            for due in self._crons.due(time.time()):
                if self._run(due) is None:
                    self._skipped(due)
            following = self._crons.next()
            wait = LOOK_SECONDS if following is None else min(LOOK_SECONDS, max(0.0, following - time.time()))
            self._changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _run(self, due: Due) -> "Begun | None":
        run = due.cron.start(time.time())
        if run is None:
            return None
        return Begun(run, self._background.run(self._carry_out(due, run), "running a cron"))

    async def _carry_out(self, due: Due, run: Run) -> None:
        outcome: Outcome = "died"
        milliseconds = 0.0
        try:
            outcome, milliseconds = await self._outcome(due)
        finally:
            due.cron.end(run, outcome, milliseconds)
            self._telemetry.cron_ended(due.app_id, outcome)

    async def _outcome(self, due: Due) -> tuple[Outcome, float]:
        placement = self._placement(due.app_id)
        if placement is None:
            return "unavailable", 0.0
        fire = Fire(f"cron-{secrets.token_hex(8)}", due.cron.expression, int(due.scheduled * 1000))
        try:
            host = await self._hosts.ready_host(due.app_id, WAKE_SECONDS)
        except HostFailed as error:
            self._say(placement, fire.run_id, f"The cron {fire.cron} was not run: {error}")
            return "unavailable", 0.0
        wall_seconds = placement.limits.cron_wall_ms / 1000
        try:
            async with asyncio.timeout(wall_seconds + ANSWER_SECONDS):
                fired = await host.fire(fire)
        except HostFailed as error:
            self._say(placement, fire.run_id, f"The run of the cron {fire.cron} ended early: {error}")
            return "died", 0.0
        except TimeoutError:
            return "timeout", wall_seconds * 1000
        return fired.outcome, fired.milliseconds

    def _skipped(self, due: Due) -> None:
        self._telemetry.cron_ended(due.app_id, "skipped")
        placement = self._placement(due.app_id)
        if placement is not None:
            self._say(placement, "", f"The cron {due.cron.expression} was skipped: its last run still goes on", "warn")

    def _say(self, placement: Placement, run_id: str, message: str, level: str = "error") -> None:
        line = Log(time.time(), level, run_id, message)
        self._telemetry.app_log(placement.app_id, placement.build_id, placement.directory, line)
