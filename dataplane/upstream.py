"""The edge's side of the connection to one database worker: calls out, answers in, coalesced per loop tick.

Used by `dataplane.front` on an asyncio loop. Connects on first use and again after a loss; calls that were under way on
a lost connection fail with 503, because whether they took effect is not known.
"""

import asyncio
from collections import deque
from typing import cast

from dataplane import wire
from dataplane.errors import HttpError
from runtime.lookout import Lookout

CONNECT_SECONDS = 5.0
"""How long a call waits for a restarting worker: the listening socket outlives it, so connecting succeeds at once."""
_GRANT_BYTES = wire.WINDOW_BYTES // 4


class Answer:
    """One call's answer, filled by the connection."""

    def __init__(self, connection: "Connection", number: int) -> None:
        self._connection = connection
        self._number = number
        self._pieces: deque[bytes] = deque()
        self._news: asyncio.Future[None] = connection.loop.create_future()
        self._ungranted = 0
        self.status = 0
        self.complete = False
        self.error: HttpError | None = None

    async def piece(self) -> bytes:
        """Return the next piece of the body; `finished` is true with the last one. Raises `HttpError` when lost."""
        while not self._pieces:
            if self.error is not None:
                raise self.error
            if self._news.done():
                self._news = self._connection.loop.create_future()
            await self._news
        data = self._pieces.popleft()
        if not self.finished:
            self._ungranted += len(data)
            if self._ungranted >= _GRANT_BYTES:
                self._connection.write(wire.encode_window(self._number, self._ungranted))
                self._ungranted = 0
        return data

    @property
    def finished(self) -> bool:
        """Everything was read."""
        return self.complete and not self._pieces

    def cancel(self) -> None:
        """Nobody reads on: let the worker stop."""
        if not self.complete and self.error is None:
            self._connection.forget(self._number)
            self._connection.write(wire.encode(self._number, wire.Type.CANCEL))

    def feed(self, frame: wire.Frame) -> None:
        """Take a frame of this call."""
        if frame.type == wire.Type.CANCEL:
            self.fail(HttpError(503, "ANSWER_ABORTED", "The database worker ended this request"))
            return
        if frame.type == wire.Type.ANSWER:
            self.status = frame.code
        self.complete = bool(frame.flags & wire.END)
        self._pieces.append(frame.data)
        if not self._news.done():
            self._news.set_result(None)

    def fail(self, error: HttpError) -> None:
        """End the answer with `error`."""
        self.error = error
        if not self._news.done():
            self._news.set_result(None)


class Socket(Answer):
    """One WebSocket's way to the worker. `piece` returns whole messages; the last one is the reason of its end, and
    `status` the close code.
    """

    def __init__(self, connection: "Connection", number: int) -> None:
        super().__init__(connection, number)
        self._partial: list[bytes] = []

    def send(self, message: bytes) -> None:
        """Pass a client's message on."""
        if not self.complete and self.error is None:
            self._connection.write(wire.encode_body(self._number, wire.Type.DATA, message, flags=wire.MESSAGE))

    def feed(self, frame: wire.Frame) -> None:
        """Take a frame, and with the last one of a message the message."""
        if frame.type != wire.Type.CANCEL and not frame.flags & (wire.MESSAGE | wire.END):
            self._partial.append(frame.data)
            return
        if frame.flags & wire.END:
            self.status = frame.code
        if self._partial:
            self._partial.append(frame.data)
            frame = frame._replace(data=b"".join(self._partial))
            self._partial = []
        super().feed(frame._replace(type=wire.Type.DATA) if frame.type == wire.Type.ANSWER else frame)


class Connection(asyncio.Protocol):
    """One connection to a worker."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.usable = False
        """New calls may be sent."""
        self._transport: asyncio.Transport | None = None
        self._decoder = wire.Decoder()
        self._answers: dict[int, Answer] = {}
        self._next = 1
        self._output: list[bytes] = []
        self._lookout = Lookout.here()

    def __repr__(self) -> str:
        return f"<Connection to a database worker [{len(self._answers)} calls{'' if self.usable else ', closing'}]>"

    def call(self, route: wire.Route, head: bytes, body: bytes) -> Answer:
        """Send one call."""
        number = self._next
        self._next = number % 0xFFFFFFFF + 1
        answer = self._answers[number] = Answer(self, number)
        self.write(wire.encode_body(number, wire.Type.CALL, body, flags=wire.END, code=route, head=head))
        return answer

    def open_socket(self, route: wire.Route, head: bytes, version: int) -> Socket:
        """Begin a WebSocket."""
        number = self._next
        self._next = number % 0xFFFFFFFF + 1
        socket = Socket(self, number)
        self._answers[number] = socket
        self.write(wire.encode(number, wire.Type.CALL, code=route, head=head, data=bytes((version,))))
        return socket

    def forget(self, number: int) -> None:
        self._answers.pop(number, None)
        self._close_if_over()

    def _close_if_over(self) -> None:
        """After GOAWAY and the last answer, tell the worker by closing that nothing more will come."""
        if not self.usable and not self._answers and self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()

    def write(self, data: bytes) -> None:
        """Queue bytes; everything queued in one tick of the loop leaves in one write."""
        if not self._output:
            self.loop.call_soon(self._flush)
        self._output.append(data)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(self._output[0] if len(self._output) == 1 else b"".join(self._output))
        self._output.clear()
        self._lookout.wait(self._lookout.answers)

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        self.usable = True

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._decoder.feed(data)
        except wire.FrameError:
            self.close()
            return
        for frame in frames:
            if frame.type == wire.Type.GOAWAY:
                self.usable = False
                continue
            answer = self._answers.get(frame.call)
            if answer is None:
                continue
            answer.feed(frame)
            if answer.complete or answer.error is not None:
                del self._answers[frame.call]
        lookout = self._lookout
        lookout.wait(lookout.answers if self._answers else lookout.requests)
        if not self.usable:
            self._close_if_over()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._transport = None
        error = HttpError(
            503,
            "WORKER_LOST",
            "The database worker was restarted during this request, which may or may not have taken effect",
        )
        for answer in self._answers.values():
            answer.fail(error)
        self._answers.clear()


class Upstream:
    """A database worker by the path of its socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None

    def __repr__(self) -> str:
        return f"<Upstream {self.path} [{self._connection!r}]>"

    async def call(self, route: wire.Route, head: bytes, body: bytes) -> Answer:
        """Send one call, connecting if need be. Raises `HttpError` 503 if the worker cannot be reached."""
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connected()
        return connection.call(route, head, body)

    async def open_socket(self, route: wire.Route, head: bytes, version: int) -> Socket:
        """Begin a WebSocket, connecting if need be. Raises `HttpError` 503 if the worker cannot be reached."""
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connected()
        return connection.open_socket(route, head, version)

    async def _connected(self) -> Connection:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_SECONDS
        while True:
            try:
                _, connection = await loop.create_unix_connection(Connection, self.path)
            except OSError:
                if loop.time() >= deadline:
                    raise HttpError(
                        503, "WORKER_UNAVAILABLE", "The database worker cannot be reached; try again"
                    ) from None
                await asyncio.sleep(0.05)
                continue
            self._connection = connection
            return connection

    async def aclose(self) -> None:
        """Close the connection; open calls fail."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()
