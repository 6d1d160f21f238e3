"""A process that isolate hosts connect to over one Unix socket, started by the supervisor: life, connections, drain.

`router.egress` and `router.cache` are made of it. It exits 0 after `Drain`, when what was in flight is over or the time
is, and at once when the supervisor is gone. Must know nothing of what the hosts ask for.
"""

import asyncio
import logging
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec
import uvloop

from router.messages import Drain, Ready
from runtime import child, priority
from runtime.channel import Channel, inherited_socket

DRAIN_STEP_SECONDS = 0.02


class Accepted(Protocol):
    """A host's connection."""

    @property
    def in_flight(self) -> int:
        """What it has asked for and not been answered in full."""

    def close(self) -> None:
        """Close once what is queued has been sent."""


Message = TypeVar("Message")
Connection = TypeVar("Connection", bound=Accepted)


class HostService(ABC, Generic[Message, Connection]):
    """The process: its control channel, its listening socket, and the connections of isolate hosts."""

    log: ClassVar[logging.Logger]
    messages: ClassVar[Any]
    """The union of what the supervisor sends it, `Drain` among them."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self._channel: Channel[Message | Drain] | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{len(self.connections)} hosts, {self._in_flight()} in flight]>"

    @abstractmethod
    def on_message(self, message: Message) -> None:
        """A message of the supervisor's other than `Drain`; the first has what `listen` is called with."""

    @abstractmethod
    def on_drained(self) -> None:
        """Nothing is asked for any more: say the last words, and put things away."""

    def start(self) -> None:
        """Be this process until drained, or until the supervisor is gone."""
        child.follow_supervisor()
        child.end_on_sigterm()
        child.log_to_stderr()
        priority.lower(0)
        uvloop.run(self._run())

    async def _run(self) -> None:
        self._channel = await Channel.open(inherited_socket(), self.messages, self._on_message, self._on_close)
        await asyncio.Event().wait()

    def send(self, message: msgspec.Struct) -> None:
        """Tell the supervisor."""
        if self._channel is not None:
            self._channel.send(message)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside all else. If it fails, the process ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def listen(self, descriptor: int, connect: Callable[[], Connection]) -> None:
        """Accept hosts on a listening socket; the supervisor is told that this process is ready."""

        def accepted() -> Any:
            connection = connect()
            self.connections.add(connection)
            return connection

        listening = socket.socket(fileno=descriptor)
        listening.setblocking(False)
        self._server = await asyncio.get_running_loop().create_unix_server(accepted, sock=listening)
        self.send(Ready())

    def _on_message(self, message: Message | Drain) -> None:
        if isinstance(message, Drain):
            self.spawn(self._drain(message.grace_ms / 1000))
        else:
            self.on_message(message)

    def _on_close(self) -> None:
        # Drained, or the supervisor is gone. Not through the interpreter's own end, which waits for threads that are
        # inside a name lookup or a write.
        os._exit(0)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Half a process helps nobody; the supervisor starts a whole one.
            self.log.critical("this process cannot go on", exc_info=error)
            os._exit(1)

    async def _drain(self, grace: float) -> None:
        if self._server is not None:
            self._server.close()
        try:
            async with asyncio.timeout(grace):
                while self._in_flight():  # noqa: ASYNC110 - once in a process's life, for seconds
                    await asyncio.sleep(DRAIN_STEP_SECONDS)
        except TimeoutError:
            self.log.warning("%d requests were cut off at the end of the drain", self._in_flight())
        for connection in list(self.connections):
            connection.close()
        self.on_drained()
        if self._channel is not None:
            # What is queued leaves first; then `_on_close` ends the process.
            self._channel.close()

    def _in_flight(self) -> int:
        return sum(connection.in_flight for connection in self.connections)
