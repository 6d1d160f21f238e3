"""One WebSocket after its opening handshake, as an asyncio protocol: between a network connection and a far side.

The far side is an app's isolate: reached over a host link at the edge (`router.upgrade`, this end is the server), over
a host's connection in the egress process (`router.egress.upgrade`, this end is the client). What this class keeps: the
closing handshake, pings, the pace of both directions, and times. Pongs and pings never reach the app.
"""

import asyncio
import os
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, cast

from isolates.wire import HEADER_BYTES
from router.backlog import Backlog
from router.frames import LARGE_BYTES
from router.websocket.batch import Batch
from router.websocket.deflate import LEAST_BYTES, Deflate
from router.websocket.frames import (
    ABNORMAL,
    GOING_AWAY,
    NO_STATUS,
    Event,
    FrameError,
    Opcode,
    Reader,
    close_payload,
    frame,
)

PING_SECONDS = 30.0
"""Without a byte from the other side, a ping asks whether it is there."""
PONG_SECONDS = 30.0
"""How long that may take; then the connection is given up."""
STALL_SECONDS = 30.0
"""Without a byte being taken by the other side while there are some."""
CLOSE_SECONDS = 10.0
"""For the other side's answer to a close frame."""
LINGER_SECONDS = 2.0
"""For the other side to close the connection, so that a reset does not destroy the last frame."""
EVENTS_PER_TURN = 16
"""Frames of one connection that are looked at before others get their turn, of which many may be floods."""


_CLOSE = int(Opcode.CLOSE)


class Far(Protocol):
    """The way to the isolate. Calls `send_message`, `close`, `pump` and `fail` of the connection."""

    @property
    def ready(self) -> bool:
        """Whether a piece of a message can be taken now; if not, `pump` is called once it can."""

    def message(self, opcode: int, data: bytes, more: bool) -> None:
        """Take a message, or a piece of one."""

    def consumed(self, count: int) -> None:
        """Frames of `count` bytes, headers included, that were given to `send_message` are on their way."""

    def ended(self, code: int, reason: bytes) -> None:
        """It is over; called once, and the last call of all. 0 is a close frame without a code."""


class State(Enum):
    """Where the connection is in its life."""

    OPEN = "open"
    CLOSING = "closing"
    """A close frame was sent; the other side's is to come."""
    LINGERING = "lingering"
    """All is said; nothing is read any more."""


class WebSocketConnection(asyncio.Protocol):
    """See the module. `transport` is connected, and its protocol is this object from now on.

    `client`: this end masks, and lets the other end close the connection. `on_gone` is called when that is closed.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        far: Far,
        reader: Reader,
        *,
        deflate: Deflate | None = None,
        client: bool = False,
        on_gone: Callable[["WebSocketConnection"], None],
    ) -> None:
        self.state = State.OPEN
        self._transport = transport
        self._far = far
        self._reader = reader
        self._deflate = deflate
        self._client = client
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog.here()
        self._batch = Batch.here()
        self._held: list[bytes] = []
        """Frames that are written when the batch ends."""
        self._writable = True
        self._owed = 0
        """Bytes of frames from the isolate that were written while the other side was behind."""
        self._reading = True
        self._scheduled = False
        self._in_message = False
        self._compressing = False
        self._told = False
        self._heard = self._since = self._loop.time()
        self._pinged = False

    def __repr__(self) -> str:
        return f"<WebSocketConnection {self.state.value}, {self._reader!r}>"

    # from the isolate

    def send_message(self, opcode: int, data: bytes, more: bool) -> None:
        """Send a message, or a piece of one, and call `consumed` once it is on its way."""
        cost = HEADER_BYTES + len(data)
        if self.state is State.OPEN:
            if not self._in_message:
                self._compressing = self._deflate is not None and (more or len(data) >= LEAST_BYTES)
            compressed = self._compressing and not self._in_message
            if self._compressing:
                assert self._deflate is not None
                data = self._deflate.compress(data, not more)
            self._write(Opcode.CONTINUATION if self._in_message else opcode, data, not more, compressed)
            self._in_message = more
        if self._writable:
            self._far.consumed(cost)
        else:
            self._owed += cost

    def close(self, code: int, reason: bytes) -> None:
        """Begin the closing handshake; `code` 0 is none. `ended` tells when it is done."""
        if self.state is State.OPEN:
            self._write(Opcode.CLOSE, close_payload(code, reason))
            self.state = State.CLOSING
            self._since = self._loop.time()
            self.pump()

    def fail(self, code: int, reason: bytes) -> None:
        """Say `code` and close without waiting for an answer."""
        if self.state is State.OPEN:
            self._write(Opcode.CLOSE, close_payload(code, reason))
        self._tell(code, reason)
        self._linger()

    def pump(self) -> None:
        """Hand on what was read as far as the isolate takes it, and read on after that."""
        for _ in range(EVENTS_PER_TURN):
            if self.state is State.LINGERING or (self.state is State.OPEN and not self._far.ready):
                break
            try:
                event = self._reader.next()
            except FrameError as error:
                self.fail(error.code, str(error).encode())
                return
            if event is None:
                self._read(True)
                return
            self._take(event)
        else:
            if not self._scheduled:
                self._scheduled = True
                self._backlog.add(self._pump_again)
        self._read(self.state is State.LINGERING)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self.state is not State.LINGERING:
            self._heard = self._loop.time()
            self._reader.feed(data)
            self.pump()
        elif not self._transport.is_closing():
            # One that floods may have sent a lot: a read at a time, or the loop would go on reading.
            self._transport.pause_reading()
            self._backlog.add(self._linger_on)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(ABNORMAL, b"")
        self.state = State.LINGERING
        self._on_gone(self)

    def pause_writing(self) -> None:
        self._writable = False
        self._since = self._loop.time()

    def resume_writing(self) -> None:
        self._writable = True
        self._since = self._loop.time()
        owed, self._owed = self._owed, 0
        if owed:
            self._far.consumed(owed)

    # for the batch

    def release(self) -> None:
        """Write the frames that were held back."""
        held = self._held
        if held:
            self._transport.write(b"".join(held) if len(held) > 1 else held[0])
            held.clear()

    # for the server

    def shutdown(self) -> None:
        """The process is about to end."""
        self.fail(GOING_AWAY, b"The server is shutting down")

    def check_time(self, now: float) -> None:
        """Ask, or give up, where the other side is silent or slow at `now` (the loop's time). Called once a second."""
        if self.state is State.LINGERING:
            if now - self._since > LINGER_SECONDS:
                self._transport.abort()
        elif not self._writable:
            if now - self._since > STALL_SECONDS:
                self._transport.abort()
        elif self.state is State.CLOSING:
            if now - self._since > CLOSE_SECONDS:
                self._transport.abort()
        elif not self._reading:
            # It may have said much that nobody has looked at yet, its leaving included; that shows in writing.
            if now - self._heard > PING_SECONDS:
                self._heard = now
                self._write(Opcode.PING, b"")
        elif now - self._heard > PING_SECONDS + PONG_SECONDS:
            self._transport.abort()
        elif now - self._heard <= PING_SECONDS:
            self._pinged = False
        elif not self._pinged:
            self._pinged = True
            self._write(Opcode.PING, b"")

    # own

    def _take(self, event: Event) -> None:
        if event.opcode < _CLOSE:
            # An empty piece of a longer message says nothing.
            if self.state is State.OPEN and (event.data or not event.more):
                self._far.message(event.opcode, event.data, event.more)
        elif event.opcode == Opcode.PING:
            # One who does not read what was sent so far has no use for more.
            if self._writable and self.state is State.OPEN:
                self._write(Opcode.PONG, event.data)
        elif event.opcode == Opcode.CLOSE:
            if self.state is State.OPEN:
                self._write(Opcode.CLOSE, close_payload(event.code, event.data))
            self._tell(event.code, event.data)
            self._linger()

    def _write(self, opcode: int, payload: bytes, fin: bool = True, compressed: bool = False) -> None:
        mask = os.urandom(4) if self._client else b""
        data = frame(opcode, payload, fin=fin, compressed=compressed, mask=mask)
        if not self._batch.open or len(data) > LARGE_BYTES:
            self.release()
            self._transport.write(data)
            return
        if not self._held:
            self._batch.held.append(self)
        self._held.append(data)

    def _pump_again(self) -> None:
        self._scheduled = False
        self.pump()

    def _linger_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _read(self, wanted: bool) -> None:
        if wanted is not self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._heard = self._loop.time()
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _tell(self, code: int, reason: bytes) -> None:
        if not self._told:
            self._told = True
            self._far.ended(0 if code == NO_STATUS else code, reason)

    def _linger(self) -> None:
        """Let the last frame arrive, then close."""
        if self.state is State.LINGERING:
            return
        self.release()
        self.state = State.LINGERING
        self._since = self._loop.time()
        self._read(True)
        if self._client:
            return  # the server closes first (RFC 6455 §7.1.1)
        if self._transport.can_write_eof() and not self._transport.is_closing():
            cast(Any, self._transport).write_eof()
        else:
            self._transport.close()
