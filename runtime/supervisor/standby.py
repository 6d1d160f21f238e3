"""A few blank hosts that wait for an app, so that starting one costs its own evaluation and little else.

Used by `loader.py`. Refilled one by one, and only while no app is being started: a start goes first.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from runtime.supervisor.backoff import Backoff
from runtime.supervisor.host import Host, HostFailed
from runtime.supervisor.hosts import HostState

REFILL_SECONDS = 0.05
"""How long after a start, or an attempt, the next blank host is forked."""

log = logging.getLogger("brrrd.hosts")


def wanted(count: int, waiting: int, starting: int) -> bool:
    """Whether to fork a blank host now."""
    return waiting < count and not starting


class Standby:
    """Keeps `count` blank hosts; `starting()` says how many apps are being started."""

    def __init__(self, count: int, fork: Callable[[], Awaitable[Host]], starting: Callable[[], int]) -> None:
        self._count = count
        self._fork = fork
        self._starting = starting
        self._hosts: list[Host] = []
        self._filling: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._pause = 0.0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Standby {len(self._hosts)} of {self._count}>"

    def __len__(self) -> int:
        return len(self._hosts)

    def take(self) -> Host | None:
        """Return a blank host, the longest waiting one; None: fork one."""
        self.refill()
        while self._hosts:
            host = self._hosts.pop(0)
            if host.state is HostState.STANDBY:
                return host
        return None

    def remove(self, host: Host) -> bool:
        """The host ended. False: it was none of these."""
        if host not in self._hosts:
            return False
        self._hosts.remove(host)
        self._pause = self._backoff.died(asyncio.get_running_loop().time())
        self.refill()
        return True

    def refill(self) -> None:
        """Fork what is missing, soon."""
        if self._filling is None and not self._closed and self._count:
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    def close(self) -> list[Host]:
        """Fork no more. Returns the hosts that waited, for the caller to end."""
        self._closed = True
        if self._filling is not None:
            self._filling.cancel()
        hosts, self._hosts = self._hosts, []
        return hosts

    async def _fill(self) -> None:
        try:
            while len(self._hosts) < self._count:
                pause, self._pause = self._pause, 0.0
                await asyncio.sleep(max(REFILL_SECONDS, pause))
                if not wanted(self._count, len(self._hosts), self._starting()):
                    continue
                try:
                    host = await self._fork()
                except HostFailed as error:
                    log.warning("no standby host: %s", error)
                    return  # the zygote's return calls `refill`
                if host.state is HostState.STANDBY:
                    self._hosts.append(host)
        finally:
            self._filling = None
