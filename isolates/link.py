"""The host's end of its control channel: messages from and to the supervisor, without asyncio and without blocking.

The isolate's thread and the watchdog both send, so sending takes a lock. The supervisor reads what floods of log lines
bring at its leisure; all other messages go before lines that wait here.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator

from isolates.messages import FromHost, Log, ToHost
from runtime.framing import Decoder, encode

MAX_PENDING_BYTES = 1 << 20
"""Unsent bytes of log lines, and of all else, above which those that may be dropped (lines, statistics) are."""
PIECE_BYTES = 4 << 10
"""So many bytes of lines are next to be sent whatever comes."""


class Link:
    """See the module. Owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._decoder: Decoder[ToHost] = Decoder(ToHost)
        self._lock = threading.Lock()
        self._next = bytearray()
        """To be sent before all else, since a message that has begun has to end."""
        self._messages = bytearray()
        self._lines: deque[bytes] = deque()
        self._line_bytes = 0
        self.descriptor = sock.fileno()

    def __repr__(self) -> str:
        return f"<Link {self.pending} bytes waiting>"

    @property
    def pending(self) -> int:
        """Bytes that the socket has not taken yet."""
        return len(self._next) + len(self._messages) + self._line_bytes

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
        is_line = isinstance(message, Log)
        if droppable and (self._line_bytes if is_line else len(self._messages)) > MAX_PENDING_BYTES:
            return False
        data = encode(message)
        with self._lock:
            if is_line:
                self._lines.append(data)
                self._line_bytes += len(data)
            else:
                self._messages += data
            self._send_pending()
        return True

    def flush(self, *, seconds: float = 0.0) -> None:
        """Send what is kept, waiting at most that long for the supervisor to read."""
        until = time.monotonic() + seconds
        with self._lock:
            self._send_pending(until if seconds else None)

    def _send_pending(self, until: float | None = None) -> None:
        with contextlib.suppress(BlockingIOError, TimeoutError, ConnectionError):
            while self._next or self._take_next():
                if until is not None:
                    self._socket.settimeout(max(0.0, until - time.monotonic()))
                del self._next[: self._socket.send(self._next)]

    def _take_next(self) -> bool:
        """Choose what is sent now; False: nothing is left."""
        self._next, self._messages = self._messages, self._next
        while self._lines and len(self._next) < PIECE_BYTES:
            line = self._lines.popleft()
            self._line_bytes -= len(line)
            self._next += line
        return bool(self._next)
