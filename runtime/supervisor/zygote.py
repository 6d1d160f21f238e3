"""The zygote as the supervisor uses it: forks blank hosts, and tells why a host ended.

Used by `isolate_hosts.py`. A blank host has its isolate with the whole platform prepared and waits for `Load`.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isolates.messages import Fork, Forked, FromZygote, ZygoteReady
from runtime.channel import encode
from runtime.supervisor.host import Host, HostFailed
from runtime.supervisor.host_groups import HostGroups
from runtime.supervisor.hosts import HostState
from runtime.supervisor.reading import Turns
from runtime.supervisor.slot import Slot

ZYGOTE_SECONDS = 15.0
"""How long a fork may wait for a zygote that is being restarted."""
EXIT_STATUS_SECONDS = 0.25
"""The zygote's word on why a host ended comes at once; without it, the zygote died too."""
BACKLOG = 1024
SEND_BUFFER_BYTES = 4 << 10
"""What a host says waits in the host rather than behind log lines on their way: there it can be sent before them, and
of lines no more is read at once than takes half a millisecond. Linux makes it twice as much."""

log = logging.getLogger("brrrd.hosts")


class Zygote:
    """Forks hosts. `alive` holds every host that has not ended; callbacks as in `Host`."""

    def __init__(
        self,
        run_dir: Path,
        cache_dir: Path,
        on_ready: Callable[[], None],
        on_gone: Callable[[Host], None],
        on_said: Callable[[Host, Any], None],
        user: str,
        groups: HostGroups,
    ) -> None:
        self.engine = ""
        self.containment: list[str] = []
        """What holds hosts that were broken into, as the zygote found out."""
        self.not_contained: list[str] = []
        """What could not be had of it, with reasons."""
        self.alive: dict[str, Host] = {}
        self.slot = Slot(
            "zygote",
            "isolates.zygote",
            FromZygote,
            fds=[],
            arguments=["--cache", str(cache_dir), "--user", user],
            first=list,
            on_message=self._received,
            on_down=lambda: self._lost.set(),
        )
        self._groups = groups
        self._lost = asyncio.Event()
        self._run_dir = run_dir
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._on_said = on_said
        self._turns = Turns()

    def __repr__(self) -> str:
        return f"<Zygote {self.slot.state}, {len(self.alive)} hosts>"

    async def fork(self, *, stands_by: bool = False) -> Host:
        """Fork a blank host; `stands_by`: nothing waits for it. Raises `HostFailed` without a zygote to do it."""
        try:
            await asyncio.wait_for(self.slot.ready.wait(), ZYGOTE_SECONDS)
        except TimeoutError:
            raise HostFailed("the zygote is not running; see the node's log", is_build=False) from None
        host_id = "h" + secrets.token_hex(5)
        host = Host(host_id, self._run_dir / f"{host_id}.s", self._on_gone, self._on_said, self._turns)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        # Only the host keeps its ends: when it dies, whoever connects to it is refused at once.
        with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(host.socket_path))
            listener.listen(BACKLOG)
            self.alive[host_id] = host
            await host.attach(ours)
            await self._send(Fork(host_id, stands_by), [theirs.fileno(), listener.fileno()])
        return host

    async def ended_by_itself(self, host: Host) -> bool:
        """Whether a host that ended did so for a reason of its own; False: the zygote took it down with it."""
        if host.retiring is not None:
            return True
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            ends: list[asyncio.Future[Any]] = [host.exit_status, lost]
            await asyncio.wait(ends, timeout=EXIT_STATUS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
        return host.exit_status.done() or not self._lost.is_set()

    async def _send(self, message: Fork, descriptors: list[int]) -> None:
        frame = encode(message)
        for _ in range(200):
            process = self.slot.process
            if process is None or process.sock is None or not process.running:
                return  # the caller closes the host's end of the channel, which fails the host
            try:
                socket.send_fds(process.sock, [frame], descriptors)
                return
            except BlockingIOError:
                await asyncio.sleep(0.005)
            except OSError:
                return

    def _received(self, message: FromZygote) -> None:
        if isinstance(message, ZygoteReady):
            self.engine = message.engine
            self._contained(message)
            self._lost = asyncio.Event()
            self.slot.came_up()
            self._on_ready()
            return
        host = self.alive.get(message.host_id)
        if host is None:
            return
        if isinstance(message, Forked):
            host.forked(message.pid)
            self._group(host, message.pid)
        elif not host.exit_status.done():
            host.exit_status.set_result(message.status)

    def _group(self, host: Host, pid: int) -> None:
        """Put a host into a control group, without waiting for it."""
        if not self._groups.available or host.state is HostState.GONE:
            host.grouped.set()
            return

        def joined(done: asyncio.Future[None]) -> None:
            host.grouped.set()
            error = done.exception()
            if error is not None:
                # Its other limits hold all the same, and an app that serves is worth more than this one.
                log.warning("host %s runs without a control group: %s", host.host_id, error)

        self._groups.join(host.host_id, pid).add_done_callback(joined)

    def _contained(self, message: ZygoteReady) -> None:
        """Say what hosts are not held by, once rather than at every restart of the zygote."""
        if message.missing and message.missing != self.not_contained:
            log.warning("isolate hosts run without: %s", "; ".join(message.missing))
        self.containment, self.not_contained = message.containment, message.missing
