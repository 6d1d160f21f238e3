"""One connected edge worker, or egress, on a non-blocking socket: bytes in, frames out. Owned by the leader."""

import socket
from typing import TYPE_CHECKING

from dataplane import wire
from dataplane.calls import Call
from dataplane.outbox import Outbox

if TYPE_CHECKING:
    from dataplane.sessions import Session

RECEIVE_BYTES = 256 << 10


class Peer:
    """Its connection and its open calls."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.calls: dict[int, Call | Session] = {}
        self.closed = False
        self.outbox = Outbox()
        self.watched = False
        """It is watched for room in the socket's buffer, because there is output that wants some."""
        self._room = True
        """The kernel says that the buffer is empty enough for a share of what is long."""
        self._rest = b""
        """Of what was taken from the outbox, but not by the socket."""
        self._decoder = wire.Decoder()

    def __repr__(self) -> str:
        return f"<Peer {self.sock.fileno()} [{len(self.calls)} calls{', closed' if self.closed else ''}]>"

    def receive(self) -> list[wire.Frame] | None:
        """Return frames that have arrived, or None if it is gone. Raises `wire.FrameError`."""
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        return self._decoder.feed(data) if data else None

    @property
    def has_output(self) -> bool:
        return bool(self._rest or self.outbox)

    @property
    def can_write(self) -> bool:
        """`flush` has something to do before the socket has room again."""
        return not self._rest and self.outbox.has(room=self._room)

    def send(self, call: int, frames: wire.Frames) -> None:
        """Queue frames of a call for `flush`; nothing once the peer is gone."""
        if not self.closed:
            self.outbox.put(call, frames)

    def has_room(self) -> None:
        """The socket's buffer has room, as the kernel sees it: most of it is free."""
        self._room = True
        if self._rest:
            self._write(self._rest)

    def flush(self) -> None:
        """Write what the socket takes, of long bodies a share."""
        data = self.outbox.take(room=self._room)
        # The next share only when this one has been read.
        self._room = not self.outbox
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._rest = b""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            return  # the coming end of file tells
        if sent < len(data):
            self._rest = data[sent:]
