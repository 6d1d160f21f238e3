"""The host's end of its control channel: messages from and to the supervisor, without asyncio and without blocking.

The isolate's thread and the watchdog both send, so sending takes a lock.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator

from isolates.messages import FromHost, ToHost
from runtime.framing import Decoder, encode

MAX_PENDING_BYTES = 4 << 20
"""Unsent bytes above which messages that may be dropped (logs, statistics) are."""


class Link:
    """See the module. Owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._decoder: Decoder[ToHost] = Decoder(ToHost)
        self._lock = threading.Lock()
        self.pending = bytearray()
        self.descriptor = sock.fileno()

    def __repr__(self) -> str:
        return f"<Link {len(self.pending)} bytes waiting>"

    def receive(self) -> Iterator[ToHost]:
        """Yield the messages that arrived; block if the socket does. Raises EOFError once the supervisor is gone."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        yield from self._decoder.feed(data)

    def unblock(self) -> None:
        """From now on neither `receive` nor `send` waits."""
        self._socket.setblocking(False)

    def send(self, message: FromHost, *, droppable: bool = False) -> bool:
        """Send a message as far as the socket takes it and keep the rest; False if it was dropped."""
        if droppable and len(self.pending) > MAX_PENDING_BYTES:
            return False
        data = encode(message)
        with self._lock:
            self.pending += data
            self._send_pending()
        return True

    def flush(self, *, seconds: float = 0.0) -> None:
        """Send what is kept, waiting at most that long for the supervisor to read."""
        with self._lock:
            if seconds and self.pending:
                self._socket.settimeout(seconds)
            self._send_pending()

    def _send_pending(self) -> None:
        with contextlib.suppress(BlockingIOError, TimeoutError, ConnectionError):
            while self.pending:
                del self.pending[: self._socket.send(self.pending)]
