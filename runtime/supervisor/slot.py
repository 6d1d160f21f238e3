"""Keeps one process of a kind running: starts it, brings it up to date, starts it again when it dies.

Used by the supervisor for edge workers, the egress process, the zygote and database workers. What a process is told
at its start comes from `first`, called at each start, so that a restarted one sees the present and not the past.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from runtime.supervisor.backoff import Backoff
from runtime.supervisor.process import Process
from runtime.supervisor.pulse import ASK_SECONDS, MOST_UNANSWERED, Pulse
from runtime.supervisor.succession import Succession

READY_SECONDS = 30.0
"""A process that is not ready by then is ended and started again."""

FIRST_STARTS = 3
"""A process that dies this often before it was ever ready will not come up by itself."""

log = logging.getLogger("brrrd.supervisor")
Answer = TypeVar("Answer")


class StartFailed(Exception):
    """A process of the node cannot be started at all."""


class Slot:
    """One supervised process, or two while another one takes over (`succeed`). `ready` is set while one can do the
    work.
    """

    def __init__(
        self,
        name: str,
        module: str,
        types: Any,
        *,
        fds: Sequence[int],
        arguments: Sequence[str] = (),
        first: Callable[[], Sequence[msgspec.Struct]],
        on_message: Callable[[Any], None],
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.process: Process | None = None
        self.restarts = 0
        self._first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._module = module
        self._types = types
        self._fds = fds
        self._arguments = arguments
        self._first = first
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._backoff = Backoff()
        self._stopping = False
        self._alone = asyncio.Event()
        self._alone.set()
        self._pending: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None
        self._succession: Succession | None = None

    def __repr__(self) -> str:
        return f"<Slot {self.name} {self.state} restarts={self.restarts}>"

    @property
    def state(self) -> str:
        """ready, starting, waiting (for a restart) or stopped."""
        if self.ready.is_set():
            return "ready"
        if self.process is not None and self.process.running:
            return "stopping" if self._stopping else "starting"
        return "stopped" if self._stopping else "waiting"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self.process.pid if self.process is not None and self.process.running else None

    def start(self) -> None:
        """Start the process; `ready` tells when it is up."""
        self._pending = None
        if not self._stopping:
            self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self.process = await Process.spawn(
                self.name, self._module, self._fds, self._types, self._received, self._exited, self._arguments
            )
        except OSError as error:
            log.error("cannot start %s: %s", self.name, error.strerror)
            self._again()
            return
        self._deadline = loop.call_later(READY_SECONDS, self._too_slow)
        for message in self._first():
            self.send(message)

    async def first_ready(self) -> None:
        """Wait until it was ready once. Raises `StartFailed` when it keeps dying before that."""
        await asyncio.shield(self._first_ready)

    async def settled(self) -> None:
        """Wait until one process can do the work, and no other one is left that may still be doing some."""
        await self.ready.wait()
        await self._alone.wait()

    def send(self, message: msgspec.Struct) -> None:
        """Queue a message; dropped when the process is down, since its next start gets the whole state."""
        if self.process is not None and self.process.running and self.process.channel is not None:
            self.process.channel.send(message)

    async def ask(self, message: msgspec.Struct, answer: asyncio.Future[Answer]) -> Answer:
        """Send a message to the one process that does the work, and to the next one if that ends without an answer;
        return the answer when there is one.
        """
        while not answer.done():
            await self.settled()
            assert self.process is not None
            self.send(message)
            ended = asyncio.ensure_future(self.process.wait())
            either: list[asyncio.Future[Any]] = [answer, ended]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
        return answer.result()

    def came_up(self) -> None:
        """The owner saw the process's ready message."""
        if self._deadline is not None:
            self._deadline.cancel()
        log.debug("%s is ready (pid %s)", self.name, self.pid)
        if self._succession is not None:
            self._succession.hand_over()
        self.ready.set()
        if not self._first_ready.done():
            self._first_ready.set_result(None)
        self._on_up()
        if self.process is not None and not self._stopping:
            pulse = Pulse()
            self.process.on_beat = pulse.answered
            self._ask(self.process, pulse)

    def succeed(self, farewell: msgspec.Struct, seconds: float) -> None:
        """Have another process take over from the present one.

        It is started beside that, which is sent `farewell` as soon as the other is ready, and killed `seconds` later.
        """
        if self._stopping or self._succession is not None or self.process is None or not self.ready.is_set():
            return
        log.info("%s is replaced (pid %s)", self.name, self.pid)
        self._succession = Succession(self.process, farewell, seconds)
        self._alone.clear()
        self.restarts += 1
        self.start()

    def kill(self) -> None:
        """End the process now; unless `stop` was called, it is started again."""
        if self.process is not None:
            self.process.kill()

    def abandon(self) -> None:
        """End the process now, for good."""
        self._stopping = True
        self.kill()
        if self._succession is not None:
            self._succession.old.kill()

    async def stop(self, message: msgspec.Struct | None, seconds: float) -> None:
        """End for good: send `message` (a Drain), wait up to `seconds`, then kill."""
        self._stopping = True
        if self._pending is not None:
            self._pending.cancel()
        if self._starting is not None:
            await self._starting
        if self._succession is not None:
            self._succession.old.kill()
        process = self.process
        if process is None or not process.running:
            return
        if message is None:
            process.kill()
        else:
            self.send(message)
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            log.warning("%s did not end in %.0f s and was killed", self.name, seconds)
            process.kill()
            await process.wait()

    def _received(self, message: Any) -> None:
        try:
            self._on_message(message)
        except Exception:  # the room's door: one bad message must not end the supervisor
            log.exception("message of %s", self.name)

    def _too_slow(self) -> None:
        log.error("%s was not ready after %.0f s", self.name, READY_SECONDS)
        self.kill()

    def _ask(self, process: Process, pulse: Pulse) -> None:
        """Ask now and again whether it is there, as long as it should be; end it when it does not answer.

        One that another is to take over from is asked, too: it does the work until then, however long that takes.
        """
        if not process.running or process.channel is None or self._stopping:
            return
        if not pulse.ask():
            log.error("%s has not answered for %.0f s and is replaced", self.name, MOST_UNANSWERED * ASK_SECONDS)
            process.kill()
            return
        process.channel.beat()
        asyncio.get_running_loop().call_later(ASK_SECONDS, self._ask, process, pulse)

    def _exited(self, process: Process, status: int) -> None:
        succession = self._succession
        if succession is not None and process is succession.old:
            self._succeeded(succession)
            return
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._stopping:
            log.warning("%s ended with status %d", self.name, status)
        if succession is None or succession.handed_over:
            self._down()
        self._again()

    def _succeeded(self, succession: Succession) -> None:
        """The old process is gone, as it should when the other one has taken over."""
        succession.ended()
        self._succession = None
        self._alone.set()
        if succession.handed_over:
            self._on_down()
        else:
            self._down()

    def _down(self) -> None:
        """Nobody does the work."""
        was_ready = self.ready.is_set()
        self.ready.clear()
        if was_ready:
            self._on_down()

    def _again(self) -> None:
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        self.restarts += 1
        if self.restarts >= FIRST_STARTS and not self._first_ready.done():
            sentence = f"{self.name} does not start; what it said is above"
            self._first_ready.set_exception(StartFailed(sentence))
            self._first_ready.exception()  # seen: nobody may be waiting any more
            return
        self._pending = loop.call_later(self._backoff.died(loop.time()), self.start)
