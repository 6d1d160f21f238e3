"""The other side of the connection to one database worker: calls out, answers in, coalesced per loop tick.

Used on an asyncio loop by `dataplane.front` in edge workers and by `router.egress.databases`. Connects on first use and
again after a loss; calls that were under way on a lost connection fail with 503, because whether they took effect is
not known.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import cast

from dataplane import wire
from dataplane.blocks import Body
from dataplane.errors import HttpError
from dataplane.outbox import SHARE_BYTES, Outbox
from runtime.lookout import Lookout

CONNECT_SECONDS = 5.0
"""How long a call waits for a restarting worker: the listening socket outlives it, so connecting succeeds at once."""
GRANT_BYTES = wire.WINDOW_BYTES // 4
"""A window is granted in portions of this size."""


class Pending:
    """One call, as whoever waits for its answer sees it. Subclasses take what comes in the two callbacks below, which
    must not raise; after `on_failed`, the last frame, or `cancel` none comes any more.
    """

    __slots__ = ("connection", "number", "over")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        """None: not sent yet."""
        self.number = 0
        self.over = False

    def on_frame(self, frame: wire.Frame) -> None:
        """Take an ANSWER or DATA frame; the answer is complete with END."""
        raise NotImplementedError

    def on_failed(self, error: HttpError) -> None:
        """There is no answer, or no more of it."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Nobody reads on: let the worker stop."""
        if self.over:
            return
        self.over = True
        if self.connection is not None:
            self.connection.cancel(self.number)

    def grant(self, count: int) -> None:
        """Let the worker send so many bytes more."""
        if self.connection is not None and not self.over:
            self.connection.write(self.number, [wire.encode_window(self.number, count)])

    def feed(self, frame: wire.Frame) -> None:
        """Take a frame of this call from the connection."""
        if frame.type == wire.Type.CANCEL:
            self.fail(HttpError(503, "ANSWER_ABORTED", "The database worker ended this request"))
            return
        if frame.flags & wire.END:
            self.over = True
        self.on_frame(frame)

    def fail(self, error: HttpError) -> None:
        """End the call with `error`."""
        if not self.over:
            self.over = True
            self.on_failed(error)


class Answer(Pending):
    """An answer that a coroutine of `loop` reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._pieces: deque[bytes] = deque()
        self._loop = loop
        self._news: asyncio.Future[None] = loop.create_future()
        self._ungranted = 0
        self._on_held: Callable[[int], None] | None = None
        self._held = 0
        """Bytes that wait to be read, counted only for that."""
        self._complete = False
        self._error: HttpError | None = None
        self.status = 0
        self.length: int | None = None
        """Bytes of the whole body, if they were known when it began."""

    async def piece(self) -> bytes:
        """Return the next piece of the body; `finished` is true with the last one. Raises `HttpError` when lost."""
        while not self._pieces:
            if (error := self._error) is not None:
                # A new one each time: one that is kept would keep this frame by its traceback, and the frame this.
                raise HttpError(error.status, error.code, str(error))
            if self._news.done():
                self._news = self._loop.create_future()
            await self._news
        data = self._pieces.popleft()
        self._hold(-len(data))
        if not self.finished:
            self._ungranted += len(data)
            if self._ungranted >= GRANT_BYTES:
                self.grant(self._ungranted)
                self._ungranted = 0
        return data

    @property
    def finished(self) -> bool:
        """Everything was read."""
        return self._complete and not self._pieces

    def on_frame(self, frame: wire.Frame) -> None:
        if frame.type == wire.Type.ANSWER:
            self.status = frame.code
            self.length = wire.answer_bytes(frame)
        self._complete = bool(frame.flags & wire.END)
        self._pieces.append(frame.data)
        self._hold(len(frame.data))
        self._wake()

    def on_failed(self, error: HttpError) -> None:
        self._error = error
        self._wake()

    def give_up(self, error: HttpError) -> None:
        """Let the worker stop, and who reads see `error`."""
        if not self.over:
            self.cancel()
            self.on_failed(error)

    def watch(self, on_held: Callable[[int], None] | None) -> None:
        """Have `on_held` called with the bytes that wait to be read, now and whenever they change; None: no more."""
        self._on_held = on_held
        if on_held is not None:
            self._held = sum(map(len, self._pieces))
            on_held(self._held)

    def drop(self, error: HttpError) -> None:
        """Hold nothing more of it, complete or not; who reads sees `error`."""
        self.cancel()
        self._pieces.clear()
        self._complete = False
        self._held = 0
        self.on_failed(error)

    def _hold(self, more: int) -> None:
        if self._on_held is not None:
            self._held += more
            self._on_held(self._held)

    def _wake(self) -> None:
        if not self._news.done():
            self._news.set_result(None)


class Socket(Answer):
    """One WebSocket's way to the worker. `piece` returns whole messages; the last one is the reason of its end, and
    `status` the close code.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._partial: list[bytes] = []

    def drop(self, error: HttpError) -> None:
        self._partial = []
        super().drop(error)

    def send(self, message: bytes) -> None:
        """Pass a client's message on."""
        if self.connection is not None and not self.over:
            frames = wire.encode_body(self.number, wire.Type.DATA, message, flags=wire.MESSAGE)
            self.connection.write(self.number, frames)

    def on_frame(self, frame: wire.Frame) -> None:
        """Take a frame, and with the last one of a message the message."""
        if not frame.flags & (wire.MESSAGE | wire.END):
            self._partial.append(frame.data)
            self._hold(len(frame.data))
            return
        if frame.flags & wire.END:
            self.status = frame.code
        if self._partial:
            self._hold(-sum(map(len, self._partial)))  # it is counted as a whole now
            self._partial.append(frame.data)
            frame = frame._replace(data=b"".join(self._partial))
            self._partial = []
        super().on_frame(frame._replace(type=wire.Type.DATA) if frame.type == wire.Type.ANSWER else frame)


class Connection(asyncio.Protocol):
    """One connection to a worker."""

    def __init__(self) -> None:
        self.usable = False
        """New calls may be sent."""
        self._transport: asyncio.Transport | None = None
        self._decoder = wire.Decoder()
        self._calls: dict[int, Pending] = {}
        self._next = 1
        self._outbox = Outbox()
        self._flushes = False
        """`_flush` is about to be called."""
        self._room = True
        """The transport has passed nearly everything on."""
        self._lookout = Lookout.here()

    def __repr__(self) -> str:
        return f"<Connection to a database worker [{len(self._calls)} calls{'' if self.usable else ', closing'}]>"

    def call(self, pending: Pending, route: wire.Route, head: bytes, body: Body) -> None:
        """Send one call."""
        number = self._add(pending)
        self.write(number, wire.encode_body(number, wire.Type.CALL, body, flags=wire.END, code=route, head=head))

    def open_socket(self, socket: Socket, route: wire.Route, head: bytes, version: int) -> None:
        """Begin a WebSocket."""
        number = self._add(socket)
        self.write(number, [wire.encode(number, wire.Type.CALL, code=route, head=head, data=bytes((version,)))])

    def _add(self, pending: Pending) -> int:
        number = self._next
        self._next = number % 0xFFFFFFFF + 1
        self._calls[number] = pending
        pending.connection = self
        pending.number = number
        return number

    def cancel(self, number: int) -> None:
        """Take no more frames of a call, and let the worker know."""
        self._calls.pop(number, None)
        self._outbox.drop(number)
        self.write(number, [wire.encode(number, wire.Type.CANCEL)])
        self._close_if_over()

    def _close_if_over(self) -> None:
        """After GOAWAY and the last answer, tell the worker by closing that nothing more will come."""
        if not self.usable and not self._calls and self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()

    def write(self, call: int, frames: wire.Frames) -> None:
        """Queue frames of a call; everything short that is queued in one tick of the loop leaves in one write."""
        self._outbox.put(call, frames)
        if not self._flushes:
            self._flushes = True
            self._lookout.write_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        transport, outbox = self._transport, self._outbox
        if transport is None:
            return
        if outbox.has(room=self._room):
            transport.write(outbox.take(room=self._room))
        if outbox and self._room:
            self._flushes = True
            self._lookout.write_soon(self._flush)
        self._lookout.written(self._lookout.answers, len(self._calls))

    def pause_writing(self) -> None:
        self._room = False

    def resume_writing(self) -> None:
        self._room = True
        self._flush()

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        self._transport.set_write_buffer_limits(high=SHARE_BYTES)
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
            pending = self._calls.get(frame.call)
            if pending is None:
                continue
            if frame.flags & wire.END or frame.type == wire.Type.CANCEL:
                del self._calls[frame.call]
            pending.feed(frame)
        lookout = self._lookout
        lookout.wait(lookout.answers if self._calls else lookout.requests, len(self._calls))
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
        calls, self._calls = self._calls, {}
        for pending in calls.values():
            pending.fail(error)


class Upstream:
    """A database worker by the path of its socket, for the loop in which this is made."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Kept, for each question after the running loop is a system call (Python 3.11 looks whether it was forked).
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Upstream {self.path} [{self._connection!r}]>"

    def call(self, route: wire.Route, head: bytes, body: Body) -> Answer:
        """Send one call, connecting if need be. If the worker cannot be reached, the answer fails with 503."""
        answer = Answer(self._loop)
        self.begin(answer, route, head, body)
        return answer

    def begin(self, pending: Pending, route: wire.Route, head: bytes, body: Body) -> None:
        """As `call`, for a receiver of the caller's own."""
        connection = self._connection
        if connection is not None and connection.usable:
            connection.call(pending, route, head, body)
        else:
            again = partial(self.begin, pending, route, head, body)
            self._connected().add_done_callback(lambda connecting: self._go_on(connecting, pending, again))

    def _go_on(self, connecting: "asyncio.Task[None]", pending: Pending, again: Callable[[], None]) -> None:
        """There is a connection, which may be over again, or there cannot be one."""
        if connecting.cancelled():
            pending.fail(_unavailable())
        elif isinstance(error := connecting.exception(), HttpError):
            pending.fail(error)
        elif not pending.over:
            again()

    async def open_socket(self, route: wire.Route, head: bytes, version: int) -> Socket:
        """Begin a WebSocket, connecting if need be. Raises `HttpError` 503 if the worker cannot be reached."""
        while (connection := self._connection) is None or not connection.usable:
            await asyncio.shield(self._connected())
        socket = Socket(self._loop)
        connection.open_socket(socket, route, head, version)
        return socket

    def _connected(self) -> "asyncio.Task[None]":
        if self._connecting is None or self._connecting.done():
            self._connecting = self._loop.create_task(self._connect())
        return self._connecting

    async def _connect(self) -> None:
        loop = self._loop
        deadline = loop.time() + CONNECT_SECONDS
        while True:
            try:
                _, connection = await loop.create_unix_connection(Connection, self.path)
            except OSError:
                if loop.time() >= deadline:
                    raise _unavailable() from None
                await asyncio.sleep(0.05)
                continue
            self._connection = connection
            return

    async def aclose(self) -> None:
        """Close the connection; open calls fail."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()


def _unavailable() -> HttpError:
    return HttpError(503, "WORKER_UNAVAILABLE", "The database worker cannot be reached; try again")
