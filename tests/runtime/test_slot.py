"""One process that takes over from another, whatever happens to either meanwhile."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dataplane.messages import Drain, Dropped, FromWorker, Leave, Ready, WorkerSettings
from runtime.supervisor import slot as slots
from runtime.supervisor.process import Process
from runtime.supervisor.slot import Slot

ROOT = Path(__file__).resolve().parent.parent.parent


class Follower:
    """A slot whose process is `tests.runtime.follower`; `told` are its messages."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.first: list[msgspec.Struct] = [WorkerSettings(0, 0, "")]
        """What a process is told at its start; one that is told nothing is never ready."""
        self.slot = Slot(
            "follower",
            "tests.runtime.follower",
            FromWorker,
            fds=[],
            first=lambda: self.first,
            on_message=self._take,
        )

    def _take(self, message: Any) -> None:
        if isinstance(message, Ready):
            self.slot.came_up()
            self.told.put_nowait("ready")
        elif isinstance(message, Dropped):
            self.told.put_nowait(message.database_id)

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return await self.told.get()

    @property
    def process(self) -> Process:
        assert self.slot.process is not None
        return self.slot.process


@pytest.fixture
async def follower(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Follower]:
    """A slot with a process that is ready."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = Follower()
    made.slot.start()
    assert await made.next() == "ready"
    yield made
    made.slot.abandon()
    await made.process.wait()


async def test_a_process_that_leaves_is_told_so_once_though_its_successor_dies(follower: Follower) -> None:
    old = follower.process
    follower.slot.succeed(Leave(), 60)
    assert {await follower.next(), await follower.next()} == {"ready", "leave"}
    follower.process.kill()
    assert await follower.next() == "ready"
    assert old.channel is not None
    old.channel.send(Drain(0))
    assert await follower.next() == "drain", "it was told to leave again"
    old.kill()
    async with asyncio.timeout(20):
        await follower.slot.settled()


async def test_a_process_that_hangs_before_its_successor_is_ready_is_ended(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "ASK_SECONDS", 0.1)
    old = follower.process
    follower.first = []
    follower.slot.succeed(Leave(), 60)
    os.kill(old.pid, signal.SIGSTOP)
    async with asyncio.timeout(20):
        assert await old.wait() == -signal.SIGKILL
    assert follower.slot.state == "starting"
