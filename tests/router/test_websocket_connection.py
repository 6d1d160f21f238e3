"""A WebSocket at the edge beside other connections: what it reads and writes in one turn of the loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from router.websocket.batch import Batch
from router.websocket.connection import WebSocketConnection
from router.websocket.frames import Opcode, Reader

FLOOD_BYTES = 2 << 20
MESSAGES = 10


class Deaf:
    """A far side that takes whatever comes."""

    ready = True

    def message(self, opcode: int, data: bytes, more: bool) -> None: ...

    def consumed(self, count: int) -> None: ...

    def ended(self, code: int, reason: bytes) -> None: ...


class Reads(WebSocketConnection):
    """Counts what it is given."""

    count = 0
    size = 0

    def data_received(self, data: bytes) -> None:
        self.count += 1
        self.size += len(data)
        super().data_received(data)


async def with_connection(do: Callable[[Reads, socket.socket], Awaitable[Any]]) -> Any:
    """Call `do` with a connection over TCP, and the client's end of that."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    client.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=accepted)
    reader = Reader(masked=True, max_message_bytes=1 << 20)
    connection = Reads(transport, Deaf(), reader, on_gone=lambda _: None)
    transport.pause_reading()
    transport.set_protocol(connection)
    try:
        return await do(connection, client)
    finally:
        transport.abort()
        client.close()


def test_one_that_is_over_reads_once_per_turn_of_the_loop() -> None:
    async def flood(connection: Reads, client: socket.socket) -> list[int]:
        loop = asyncio.get_running_loop()
        connection.fail(1008, b"enough")
        connection._transport.resume_reading()
        sending = loop.create_task(loop.sock_sendall(client, bytes(FLOOD_BYTES)))
        reads = []
        while connection.size < FLOOD_BYTES:
            before = connection.count
            await asyncio.sleep(0)
            reads.append(connection.count - before)
        await sending
        return reads

    assert max(uvloop.run(with_connection(flood))) == 1


def test_frames_of_a_batch_leave_together_and_in_order() -> None:
    async def echo(connection: Reads, client: socket.socket) -> tuple[int, bytes]:
        writes = 0
        with Batch.here():
            for number in range(MESSAGES):
                connection.send_message(Opcode.TEXT, b"%d" % number, False)
            try:
                writes = len(client.recv(4096, socket.MSG_PEEK))
            except BlockingIOError:
                writes = 0
        return writes, await asyncio.get_running_loop().sock_recv(client, 4096)

    early, late = uvloop.run(with_connection(echo))
    assert early == 0
    assert late == b"".join(b"\x81\x01%d" % number for number in range(MESSAGES))


def test_a_connection_that_ends_within_a_batch_says_all_before() -> None:
    async def end(connection: Reads, client: socket.socket) -> bytes:
        with Batch.here():
            connection.send_message(Opcode.TEXT, b"last", False)
            connection.fail(1011, b"gone")
        loop, said = asyncio.get_running_loop(), b""
        while piece := await loop.sock_recv(client, 4096):
            said += piece
        return said

    assert uvloop.run(with_connection(end)) == b"\x81\x04last\x88\x06\x03\xf3gone"
