"""Whose turn it is among hosts with much to say."""

import asyncio
import socket
from contextlib import ExitStack

from isolates.messages import FromHost, Log
from runtime.channel import Channel, encode
from runtime.supervisor.reading import MUCH_BYTES, Turns

LINE = Log(0.0, "info", "", "x" * 2 * MUCH_BYTES)
HOSTS = 10
LINES = 20


class Talker:
    """A host that has said a line when it is read, and says the next one then."""

    def __init__(self, turns: Turns, reads: list[int]) -> None:
        self._turns = turns
        self._reads = reads
        self._ours, self.theirs = socket.socketpair()
        self.channel: Channel[FromHost]
        self.heard = 0
        self.done = asyncio.Event()

    async def open(self) -> None:
        self.theirs.sendall(encode(LINE))
        self.channel = await Channel.open(
            self._ours,
            FromHost,
            self._hear,
            lambda: None,
            on_read=lambda *read: self._turns.was_read(self.channel, *read),
        )

    def _hear(self, message: FromHost) -> None:
        self.heard += 1
        self._reads[-1] += 1
        if self.heard < LINES:
            self.theirs.sendall(encode(LINE))
        else:
            self.done.set()


async def test_hosts_with_much_to_say_are_read_one_at_a_time_and_all_of_it() -> None:
    turns, reads = Turns(), [0]
    loop = asyncio.get_running_loop()

    def turn() -> None:
        reads.append(0)
        ticking[0] = loop.call_soon(turn)

    ticking = [loop.call_soon(turn)]
    talkers = [Talker(turns, reads) for _ in range(HOSTS)]
    with ExitStack() as stack:
        for talker in talkers:
            stack.enter_context(talker.theirs)
            await talker.open()
        async with asyncio.timeout(20):
            await asyncio.gather(*(talker.done.wait() for talker in talkers))
        ticking[0].cancel()
        for talker in talkers:
            talker.channel.close()
    assert sum(reads) == HOSTS * LINES
    # But for the first lines, which may come together; and a timer may be late.
    assert sum(count for count in reads if count > 2) <= HOSTS


async def test_a_host_with_little_to_say_waits_for_no_turn() -> None:
    turns = Turns()
    channel: Channel[FromHost] = Channel(FromHost, lambda message: None, lambda: None)
    turns.was_read(channel, MUCH_BYTES - 1, 0.0)
    assert "0 hosts wait" in repr(turns)
