"""An HTTP/2 server for tests that behaves, or misbehaves, exactly as a test says; h2 keeps its side of the protocol."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import H2Error
from h2.settings import Settings

Handler = Callable[["Call"], Awaitable[None]]


class Call:
    """One request as the server sees it."""

    def __init__(self, connection: "ServerConnection", stream: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.connection = connection
        self.stream = stream
        self.headers = [(name.decode(), value.decode("latin-1")) for name, value in headers]
        self.body = b""
        self.arrived = asyncio.Event()
        self.complete = asyncio.Event()
        self.reset = asyncio.Event()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def path(self) -> str:
        return self.header(":path") or ""

    def respond(self, status: int, *fields: tuple[str, str], end: bool = False) -> None:
        self.connection.h2.send_headers(self.stream, [(":status", str(status)), *fields], end_stream=end)
        self.connection.flush()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send a piece of body as the windows allow."""
        h2 = self.connection.h2
        while data:
            room = min(h2.local_flow_control_window(self.stream), h2.max_outbound_frame_size, len(data))
            if not room:
                self.connection.opened.clear()
                await self.connection.opened.wait()
                continue
            h2.send_data(self.stream, data[:room], end_stream=end and room == len(data))
            data = data[room:]
            if not data and end:
                end = False
            self.connection.flush()
        if end:
            h2.end_stream(self.stream)
        self.connection.flush()


class ServerConnection(asyncio.Protocol):
    def __init__(self, server: "Http2Server") -> None:
        self.server = server
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.calls: dict[int, Call] = {}
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.server.connections.append(self)
        self.h2.local_settings = Settings(client=False, initial_values=cast(Any, self.server.settings))
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        for task in self.tasks:
            task.cancel()

    def flush(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except H2Error:
            self.flush()
            self.transport.close()
            return
        for event in events:
            self.on_event(event)
        self.flush()

    def on_event(self, event: object) -> None:
        if isinstance(event, RequestReceived):
            call = self.calls[event.stream_id] = Call(self, event.stream_id, cast(Any, event.headers))
            self.server.calls.append(call)
            task = asyncio.get_running_loop().create_task(self.run(call))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif isinstance(event, DataReceived):
            call = self.calls[event.stream_id]
            call.body += event.data
            call.arrived.set()
            with contextlib.suppress(H2Error):  # the stream may have ended
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.calls[event.stream_id].complete.set()
            self.calls[event.stream_id].arrived.set()
        elif isinstance(event, StreamReset):
            self.calls[event.stream_id].reset.set()
        elif isinstance(event, WindowUpdated):
            self.opened.set()

    async def run(self, call: Call) -> None:
        with contextlib.suppress(H2Error):  # the client has gone or has had enough
            await self.server.handler(call)


class Http2Server:
    def __init__(self, handler: Handler, settings: dict[int, int]) -> None:
        self.handler = handler
        self.settings = settings
        self.connections: list[ServerConnection] = []
        self.calls: list[Call] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def http2_server(
    handler: Handler, certificate: Path, settings: dict[int, int] | None = None
) -> AsyncIterator[Http2Server]:
    """Run a server while the body runs; `certificate` is a file with a certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2"])
    server = Http2Server(handler, settings or {})
    listening = await asyncio.get_running_loop().create_server(
        lambda: ServerConnection(server), "127.0.0.1", 0, ssl=context
    )
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for connection in server.connections:
            connection.transport.abort()
