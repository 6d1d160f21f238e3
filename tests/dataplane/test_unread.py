"""Clients that do not read long answers end when those take too much of an edge worker's memory."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from dataplane import unread
from tests.dataplane.plane import MAIN, OTHER, Plane, execute
from tests.dataplane.test_websocket import greeted

CLOSE = {"type": "close"}
LONG = "SELECT hex(zeroblob(4000000))"
MOST_MIB = 20


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge worker of `plane` is this process."""
    monkeypatch.setattr(unread, "MOST_OF_DATABASE", MOST_MIB << 20)


@contextlib.asynccontextmanager
async def asked(plane: Plane) -> AsyncIterator[asyncio.StreamReader]:
    """Have asked for a long answer, of which nothing is read but the head."""
    body = json.dumps({"requests": [execute(LONG), CLOSE]}).encode()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    url = httpx.URL(plane.url())
    await asyncio.get_running_loop().sock_connect(sock, (url.host, url.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    head = f"POST {url.path}/v3/pipeline HTTP/1.1\r\nhost: {url.host}\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}authorization: Bearer {plane.tokens[MAIN]}\r\n\r\n".encode() + body)
    try:
        assert b"200" in await reader.readline()
        yield reader
    finally:
        writer.close()


async def rest(reader: asyncio.StreamReader) -> int:
    """Read to the end; return how much it was."""
    size = 0
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 20):
            size += len(data)
            if size > 8_000_000:
                break
    return size


async def one_was_ended(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    """Wait for it; a database whose answers are read goes on meanwhile."""
    async with asyncio.timeout(30):
        while "an answer of database" not in caplog.text:
            assert (await plane.execute(LONG, database_id=OTHER))["rows"]


@pytest.mark.usefixtures("little_room")
async def test_the_longest_of_too_many_answers_that_are_not_read_breaks_off(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(asked(plane)) for _ in range(8)]
        await one_was_ended(plane, caplog)
        sizes = [await rest(reader) for reader in readers]
    whole = sum(size > 8_000_000 for size in sizes)
    assert 1 <= whole < len(sizes)
    for _ in range(10):
        assert (await plane.execute(LONG))["rows"], "what was read or ended counts no more"


@pytest.mark.usefixtures("little_room")
async def test_a_websocket_whose_answer_is_not_read_ends(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(greeted(plane)) for _ in range(4)]
        for client in clients:
            client.request(1, "open_stream", stream_id=1)
            client.request(2, "execute", stream_id=1, stmt={"sql": "SELECT hex(zeroblob(8000000))"})
        await one_was_ended(plane, caplog)
        ends = []
        for client in clients:
            for _ in range(2):
                closed = await client.message_or_close()
                if closed is not None:
                    ends.append(closed)
                    break
    assert 1 <= len(ends) < len(clients)
    assert all("that were not read took over 20 MiB" in (end.reason or "") for end in ends)
