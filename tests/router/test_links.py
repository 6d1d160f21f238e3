"""The link to a host when it ends, on the loop that edge workers have."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import uvloop

from router.links import HostLink
from router.stream import Loss, Stream


class Lost(Stream):
    loss: Loss | None = None

    def on_lost(self, loss: Loss) -> None:
        self.loss = loss


async def end_with_frames_waiting(path: str) -> tuple[Lost, list[Any]]:
    loop = asyncio.get_running_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    changed = asyncio.Event()
    link = HostLink("host-1", path, 30.0, lambda _link: changed.set())
    await changed.wait()
    stream = Lost()
    # As when client and host leave in the same turn.
    link.open(stream, b"GET\nhttp://a/\nrequest-1", b"", True, time.monotonic())
    link._transport.abort()  # type: ignore[union-attr]
    link.close()
    for _ in range(10):
        await asyncio.sleep(0)
    return stream, complaints


def test_frames_that_wait_when_a_link_ends_are_dropped(tmp_path: Path) -> None:
    path = str(tmp_path / "h")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        stream, complaints = uvloop.run(end_with_frames_waiting(path))
    assert stream.loss is Loss.HOST
    assert not complaints
