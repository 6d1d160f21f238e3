"""The asyncio end of a control channel, beside the other side's death."""

import asyncio
import socket

from isolates.messages import FromHost, Probe, Retiring
from runtime.channel import Channel, encode


async def test_what_was_said_before_the_end_is_heard_whatever_is_sent_meanwhile() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    heard: list[FromHost] = []
    closed = asyncio.Event()
    channel: Channel[FromHost] = await Channel.open(ours, FromHost, heard.append, closed.set)
    theirs.sendall(encode(Retiring("memory_mb", "out of memory")))
    theirs.close()
    channel.send(Probe())  # before the loop has looked whether there is something to read
    async with asyncio.timeout(10):
        await closed.wait()
    assert heard == [Retiring("memory_mb", "out of memory")]
