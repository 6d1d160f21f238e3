"""One connected edge worker, or egress, on a non-blocking socket: bytes in, frames out. Owned by the leader."""

import socket
from collections import deque
from typing import TYPE_CHECKING

from dataplane import wire
from dataplane.calls import Call

if TYPE_CHECKING:
    from dataplane.sessions import Session

RECEIVE_BYTES = 256 << 10


class Peer:
    """Its connection and its open calls."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.calls: dict[int, Call | Session] = {}
        self.closed = False
        self.blocked = False
        """The socket's buffer is full: wait for it to become writable."""
        self._decoder = wire.Decoder()
        self._output: deque[bytes] = deque()

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
        return bool(self._output)

    def send(self, data: bytes) -> None:
        """Queue bytes for `flush`; nothing once the peer is gone."""
        if not self.closed:
            self._output.append(data)

    def flush(self) -> None:
        """Write what the socket takes; sets `blocked` if something is left."""
        output = self._output
        if not output or self.closed:
            return
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            return  # the coming end of file tells
        if sent < len(data):
            output.append(data[sent:])
        self.blocked = sent < len(data)
