"""A server that says exactly what a test wants, and an egress process that may reach it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.router.egress_peer import Egress, Host, egress

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that says exactly what a test wants, on TCP or a Unix socket; it keeps what it was sent."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.heads: list[str] = []
        self.port = 0
        self._changed = asyncio.Condition()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, looked at whenever a connection or a request arrives."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._notify()
        try:
            await self._handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def head(self, reader: asyncio.StreamReader) -> str:
        """Read one request's head."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        await self._notify()
        return head


@contextlib.asynccontextmanager
async def serving(
    handler: "Callable[[Server], Handler]", *, path: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Run a server while the body runs."""
    server = Server(lambda reader, writer: handler(server)(reader, writer))
    if path:
        listening = await asyncio.start_unix_server(server.handle, path)
    else:
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def answering(response: bytes) -> Callable[[Server], Handler]:
    """Answer every request on a connection with the same bytes, its body (by Content-Length) read before."""

    def handler(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head = await server.head(reader)
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.partition(":")[2]))
                writer.write(response)
                await writer.drain()

        return handle

    return handler


HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@contextlib.asynccontextmanager
async def outside(response: bytes | Callable[[Server], Handler] = HELLO) -> AsyncIterator[tuple[Server, Host, Egress]]:
    """A server on loopback that the operator permits, and a host connected to an egress process."""
    handler = answering(response) if isinstance(response, bytes) else response
    async with serving(handler) as server, egress(allow=[f"127.0.0.1:{server.port}"]) as running:
        yield server, await running.host(), running
