"""Waiting with patience, on epoll and on asyncio's loops."""

import asyncio
import os
import select
import socket
import time
from collections.abc import Iterator

import pytest

from runtime import looking
from runtime.lookout import Lookout
from runtime.patience import Patience


class Pipe:
    """A pipe with an epoll object on its end for reading."""

    def __init__(self) -> None:
        self.readable, self.writable = os.pipe()
        self.epoll = select.epoll()
        self.epoll.register(self.readable, select.EPOLLIN)
        self.asked: list[float] = []
        self.write_at = 0
        """Something is written before the poller is asked for this time; 0: never."""

    def poll(self, seconds: float) -> looking.Events:
        self.asked.append(seconds)
        if len(self.asked) == self.write_at:
            os.write(self.writable, b"x")
        return self.epoll.poll(seconds)

    def close(self) -> None:
        self.epoll.close()
        os.close(self.readable)
        os.close(self.writable)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def patient(longest: float = 60.0) -> Patience:
    """Of somebody who has seen a short wait; by default no pause of the machine's ends a look."""
    patience = Patience(longest)
    patience.begins(0.0)
    patience.ends(0.0)
    return patience


def test_who_does_not_look_sleeps(pipe: Pipe) -> None:
    assert looking.wait(pipe.poll, 0.01, Patience(60.0), 1) == []
    assert len(pipe.asked) == 1


def test_news_are_found_by_looking(pipe: Pipe) -> None:
    pipe.write_at = 5
    assert looking.wait(pipe.poll, 30.0, patient(), 1) == [(pipe.readable, select.EPOLLIN)]
    assert pipe.asked == [0.0] * 5


def test_a_look_in_vain_ends_in_sleep_for_the_rest_of_the_time(pipe: Pipe) -> None:
    patience = patient(0.001)
    began = time.monotonic()
    assert looking.wait(pipe.poll, 0.05, patience, 1) == []
    assert time.monotonic() - began >= 0.05
    assert pipe.asked[0] == 0.0 and 0.0 <= pipe.asked[-1] < 0.05


def test_who_waits_for_ever_sleeps_for_ever_after_a_look(pipe: Pipe) -> None:
    patience = patient(0.001)

    def poll(seconds: float) -> looking.Events:
        if seconds < 0:
            os.write(pipe.writable, b"x")
        return pipe.poll(seconds)

    assert looking.wait(poll, -1, patience, 1) == [(pipe.readable, select.EPOLLIN)]
    assert pipe.asked[-1] == -1


def test_a_timer_that_is_nearly_due_is_slept_for(pipe: Pipe) -> None:
    looking.wait(pipe.poll, 0.000_1, patient(), 1)
    assert pipe.asked == [0.000_1]


async def test_each_loop_has_one_lookout() -> None:
    assert Lookout.here() is Lookout.here()
    assert Lookout.here().loop is asyncio.get_running_loop()


async def test_a_loop_looks_for_a_moment_and_then_sleeps() -> None:
    lookout = Lookout.here()
    assert repr(lookout).startswith("<Lookout asleep")
    lookout.wait(patient(0.02), 1)
    assert repr(lookout).startswith("<Lookout looking")
    async with asyncio.timeout(30):
        while "looking" in repr(lookout):  # noqa: ASYNC110 - nothing tells when it sleeps
            await asyncio.sleep(0.01)


async def test_a_loop_that_looks_hears_what_arrives() -> None:
    here, there = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    lookout = Lookout.here()
    patience = patient()
    lookout.wait(patience, 1)
    there.send(b"x")
    assert await asyncio.wait_for(reader.read(1), 30) == b"x"
    lookout.wait(Patience(0.0), 1)
    writer.close()
    await writer.wait_closed()
    there.close()


async def test_a_loop_that_looks_writes_before_others_have_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    events: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr("runtime.lookout.sched_yield", lambda: events.put_nowait("yield"))
    lookout = Lookout.here()
    lookout.wait(patient(), 1)
    for _ in range(3):
        assert await asyncio.wait_for(events.get(), 30) == "yield"
        while not events.empty():
            events.get_nowait()
        lookout.write_soon(lambda: events.put_nowait("write"))
        assert await asyncio.wait_for(events.get(), 30) == "write"
    lookout.wait(Patience(0.0), 1)
