"""One isolate host as the supervisor sees it: its state, its control channel and what it reported.

Made by `zygote.py`, given an app by `loader.py`, as `isolate_hosts.py` decides; this module only carries messages and
keeps the state honest.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from isolates.messages import (
    Blocked,
    Drain,
    Elsewhere,
    Fire,
    Fired,
    FromHost,
    HostStats,
    Load,
    Loaded,
    LoadFailed,
    Log,
    LogLess,
    Probe,
    Retiring,
)
from runtime.channel import Channel
from runtime.supervisor.hosts import HostState, may_become, was_asked
from runtime.supervisor.placement import Placement
from runtime.supervisor.reading import Turns

REAP_SECONDS = 0.1
REAP_ATTEMPTS = 20
LOG_LESS_SECONDS = 0.5
REPLACED = "another isolate took the place of its own, and the time to finish was over"


class HostFailed(Exception):
    """A host did not come up. `load` is set when the build was refused with file and line.

    `is_build`: the build is at fault, not the node.
    """

    def __init__(self, reason: str, load: LoadFailed | None = None, *, is_build: bool = True) -> None:
        super().__init__(reason)
        self.load = load
        self.is_build = is_build


class Host:
    """One forked host, blank until `assign`.

    `on_gone` is called once when it ended, for whatever cause; `on_said` for its reports.
    """

    def __init__(
        self,
        host_id: str,
        socket_path: Path,
        on_gone: Callable[["Host"], None],
        on_said: Callable[["Host", Log | HostStats | Retiring | Blocked], None],
        turns: Turns,
    ) -> None:
        self.host_id = host_id
        self.socket_path = socket_path
        self.placement: Placement | None = None
        """None while it stands by."""
        self.state = HostState.STANDBY
        self.blocked = False
        """JavaScript does not yield: it does not get to new requests."""
        self.stats: HostStats | None = None
        self.asked = False
        """Somebody wanted something of it between its last two reports."""
        self.retiring: Retiring | None = None
        self.pid: int | None = None
        self.loaded: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()
        self.grouped = asyncio.Event()
        """It is in its control group, if it gets one; before that it is given no app."""
        self.exit_status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._elsewhere = 0
        self._log_less_due = 0.0
        self._fires: dict[str, asyncio.Future[Fired]] = {}
        self._pidfd = -1
        self._channel: Channel[FromHost] | None = None
        self._on_gone = on_gone
        self._on_said = on_said
        self._turns = turns

    def __repr__(self) -> str:
        app = f"{self.placement.app} build={self.placement.build_id} " if self.placement is not None else ""
        return f"<Host {self.host_id} {app}{self.state.value}>"

    @property
    def app(self) -> str:
        """Name of its app, for log lines."""
        return self.placement.app if self.placement is not None else "no app"

    async def attach(self, sock: socket.socket) -> None:
        """Take over this side of the control channel."""
        self._channel = await Channel.open(sock, FromHost, self._received, self._closed, on_read=self._was_read)

    def forked(self, pid: int) -> None:
        """The zygote told its process id. The pidfd makes a later kill hit this process or nothing."""
        self.pid = pid
        if self.state is HostState.GONE:
            return
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(self._pidfd, self._ended, REAP_ATTEMPTS)

    def assign(self, placement: Placement, message: Load) -> None:
        """Give it an app: send the build to evaluate; `loaded` tells the result."""
        self.placement = placement
        if not may_become(self.state, HostState.STARTING):
            return  # it ended meanwhile, and `loaded` says so
        self.state = HostState.STARTING
        if self._channel is not None:
            self._channel.send(message)

    @property
    def firing(self) -> bool:
        """Whether it runs a cron."""
        return bool(self._fires)

    async def fire(self, message: Fire) -> Fired:
        """Have it run a cron, and wait for the end of that. Raises `HostFailed` if the host ends before."""
        if self._channel is None or self.state is not HostState.READY:
            raise HostFailed("the isolate is ending")
        future: asyncio.Future[Fired] = asyncio.get_running_loop().create_future()
        self._fires[message.run_id] = future
        self._channel.send(message)
        try:
            return await future
        finally:
            del self._fires[message.run_id]

    def probe(self) -> None:
        """Ask a serving host to look whether JavaScript yields; if not, it says `Blocked` and sends requests back."""
        if self._channel is not None and self.state is HostState.READY:
            self._channel.send(Probe())

    def elsewhere(self, websockets: int) -> None:
        """Tell a serving host how many WebSockets other hosts of its app have, if that changed."""
        if self._channel is not None and self.state is HostState.READY and websockets != self._elsewhere:
            self._elsewhere = websockets
            self._channel.send(Elsewhere(websockets))

    def log_less(self, now: float) -> None:
        """Tell a serving host that its app logs too much for the node, once per `LOG_LESS_SECONDS` at most."""
        if self._channel is not None and self.state is HostState.READY and now >= self._log_less_due:
            self._log_less_due = now + LOG_LESS_SECONDS
            self._channel.send(LogLess())

    def drain(self, grace_ms: int) -> None:
        """Let it finish what it has and exit."""
        if not may_become(self.state, HostState.DRAINING):
            self.kill()
            return
        self.state = HostState.DRAINING
        if self._channel is not None:
            self._channel.send(Drain(grace_ms))

    def kill(self) -> None:
        """End it now, whatever it does."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        elif self._channel is not None and self.state is not HostState.GONE:
            self._channel.close()  # not forked yet, or its pid is unknown: end of file ends it

    @property
    def unexplained(self) -> bool:
        """Whether a signal ended it before it could say why."""
        return self.retiring is None and self.exit_status.done() and self.exit_status.result() < 0

    def reason(self) -> str:
        """Why it ended, for the app's owner."""
        if self.retiring is not None:
            return self.retiring.message
        if not self.exit_status.done():
            return "it ended"
        status = self.exit_status.result()
        if status >= 0:
            return f"it ended with status {status}"
        try:
            return f"it was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"it was ended by signal {-status}"

    def _was_read(self, size: int, came: float) -> None:
        if self._channel is not None:
            self._turns.was_read(self._channel, size, came)

    def _received(self, message: FromHost) -> None:
        if isinstance(message, Loaded):
            if self.state is HostState.STARTING:
                self.state = HostState.READY
                if not self.loaded.done():
                    self.loaded.set_result(message)
        elif isinstance(message, LoadFailed):
            if not self.loaded.done():
                self.loaded.set_exception(HostFailed(message.message, message))
                self.loaded.exception()  # seen: whoever waits for it may have been cancelled
        elif isinstance(message, Fired):
            future = self._fires.get(message.run_id)
            if future is not None and not future.done():
                future.set_result(message)
        else:
            if isinstance(message, HostStats):
                self.asked = was_asked(self.stats, message)
                self.stats = message
            elif isinstance(message, Retiring):
                self.retiring = message
            elif isinstance(message, Blocked):
                self.blocked = message.blocked
            self._on_said(self, message)

    def _ended(self, attempts: int) -> None:
        """Reap it if the zygote cannot, because it died first and this process inherits its children, in a moment."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        try:
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            if attempts and not self.exit_status.done():
                loop.call_later(REAP_SECONDS, self._ended, attempts - 1)
                return
        os.close(self._pidfd)
        self._pidfd = -1

    def _closed(self) -> None:
        drained = self.state is HostState.DRAINING
        self.state = HostState.GONE
        if self._channel is not None:
            self._channel.close()
        self.grouped.set()
        self.socket_path.unlink(missing_ok=True)
        if not self.loaded.done():
            self.loaded.set_exception(HostFailed("the process ended while it evaluated the build"))
            self.loaded.exception()
        for future in self._fires.values():
            if not future.done():
                future.set_exception(HostFailed(REPLACED if drained else self.reason()))
        self.gone.set()
        self._on_gone(self)
