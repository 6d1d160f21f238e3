"""A WebSocket at the edge beside other connections: what it reads in one turn of the loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from router.websocket.connection import WebSocketConnection
from router.websocket.frames import Reader

FLOOD_BYTES = 2 << 20


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
