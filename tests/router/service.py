"""A process that isolate hosts connect to, as its tests start it in the supervisor's place (`router.host_service`)."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from router.messages import Ready
from runtime.channel import FD, Channel

LISTEN_FD = 4
TICKET_KEY = b"k" * 32


class Service:
    """The real process with its control channel; hosts connect to `path`."""

    module: ClassVar[str]
    messages: ClassVar[Any]
    """The union of what the process says."""

    process: "Child"
    channel: Channel[Any]

    def __init__(self, path: str) -> None:
        self.path = path
        self.closed = asyncio.Event()
        self._ready = asyncio.Event()

    def take(self, message: Any) -> None:
        """A message other than `Ready`."""
        raise NotImplementedError

    async def start(
        self, listening: socket.socket, settings: msgspec.Struct, environment: Mapping[str, str] | None
    ) -> None:
        """Start the process and return when it is ready to be connected to."""
        ours, theirs = socket.socketpair()
        self.process = Child(self.module, theirs, listening, environment or {})
        theirs.close()
        self.channel = await Channel.open(ours, self.messages, self._received, self.closed.set)
        self.channel.send(settings)
        async with asyncio.timeout(20):
            await self._ready.wait()

    def _received(self, message: Any) -> None:
        if isinstance(message, Ready):
            self._ready.set()
        else:
            self.take(message)


Kind = TypeVar("Kind", bound=Service)


@contextlib.asynccontextmanager
async def running(
    service: Kind, settings: msgspec.Struct, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Kind]:
    """Run it until the block ends; its listening socket is descriptor `LISTEN_FD`."""
    Path(service.path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(service.path)
        listening.listen(128)
        try:
            await service.start(listening, settings, environment)
            yield service
        finally:
            service.channel.close()
            service.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(service.process.wait)


class Child:
    """The started process; `subprocess` has no way to give a child descriptors under numbers of one's choice."""

    def __init__(
        self, module: str, control: socket.socket, listening: socket.socket, environment: Mapping[str, str]
    ) -> None:
        moves = [(os.POSIX_SPAWN_DUP2, control.fileno(), FD), (os.POSIX_SPAWN_DUP2, listening.fileno(), LISTEN_FD)]
        self.pid = os.posix_spawn(
            sys.executable, [sys.executable, "-m", module], {**os.environ, **environment}, file_actions=moves
        )
        self._status: int | None = None

    def send_signal(self, number: int) -> None:
        if self._status is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit code, negative for a signal. Blocks."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status
