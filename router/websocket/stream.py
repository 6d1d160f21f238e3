"""The frames of one WebSocket on a connection to an isolate host (`isolates.wire`), for the edge and for egress.

`SocketStream` is the far side of a `WebSocketConnection`: it keeps both windows. A subclass knows the way to the host.
"""

from typing import Protocol

from isolates import wire
from isolates.wire import END, HEADER_BYTES, MORE, SOCKET_WINDOW_BYTES, FrameError, Type
from router.websocket.frames import INTERNAL_ERROR

_READY_WINDOW = SOCKET_WINDOW_BYTES // 2


_MESSAGE = int(Type.MESSAGE)
_WINDOW = int(Type.WINDOW)
_CLOSE = int(Type.CLOSE)
_CANCEL = int(Type.CANCEL)
_KINDS = (wire.TEXT, wire.BINARY)


class Connection(Protocol):
    """What a stream needs of the WebSocket whose messages it carries; see `router.websocket.connection`."""

    def send_message(self, opcode: int, data: bytes, more: bool) -> None: ...

    def close(self, code: int, reason: bytes) -> None: ...

    def fail(self, code: int, reason: bytes) -> None: ...

    def pump(self) -> None: ...


class SocketStream:
    """See the module: `router.websocket.connection.Far`."""

    connection: Connection
    """Set right after both are made."""

    def __init__(self, stream: int) -> None:
        self.id = stream
        self._window = SOCKET_WINDOW_BYTES
        self._unconsumed = 0
        self._grant = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} [may send {self._window} bytes]>"

    # What a subclass does.

    def send_frame(self, type_: int, flags: int, status: int, data: bytes) -> None:
        """Send a frame of this stream, if the host is there."""
        raise NotImplementedError

    def forget(self) -> None:
        """The stream is over, and the host knows."""
        raise NotImplementedError

    @property
    def choked(self) -> bool:
        """Whether the host does not read as fast as it is sent to."""
        raise NotImplementedError

    # Far

    @property
    def ready(self) -> bool:
        return self._window >= _READY_WINDOW and not self.choked

    def message(self, opcode: int, data: bytes, more: bool) -> None:
        self._window -= HEADER_BYTES + len(data)
        self.send_frame(_MESSAGE, MORE if more else 0, opcode, data)

    def consumed(self, count: int) -> None:
        self._unconsumed -= count
        self._grant += count
        if self._grant >= SOCKET_WINDOW_BYTES // 2:
            self.send_frame(_WINDOW, 0, 0, self._grant.to_bytes(4, "little"))
            self._grant = 0

    def ended(self, code: int, reason: bytes) -> None:
        self.send_frame(_CLOSE, END, code, reason)
        self.forget()

    # from the host

    def on_frame(self, type_: int, flags: int, status: int, data: bytes) -> None:
        """A frame of this stream. Raises `FrameError`."""
        if type_ == _MESSAGE:
            self._unconsumed += HEADER_BYTES + len(data)
            if self._unconsumed > SOCKET_WINDOW_BYTES or status not in _KINDS:
                raise FrameError(f"WebSocket {self.id} sent more than its window, or no message")
            self.connection.send_message(status, data, bool(flags & MORE))
        elif type_ == _WINDOW and len(data) == 4:
            self._window += int.from_bytes(data, "little")
            self.connection.pump()
        elif type_ == _CLOSE:
            self.connection.close(status, data)
        elif type_ == _CANCEL:
            self.connection.fail(INTERNAL_ERROR, b"The app ended the WebSocket")
        else:
            raise FrameError(f"frame of type {type_} on WebSocket {self.id}")
