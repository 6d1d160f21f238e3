"""One stream socket of an isolate host, to an edge worker, the egress process or the cache process.

`receive` reads straight into the ring's input buffer and hands on whole frames only; `send` keeps what the socket does
not take. Neither ever blocks.
"""

import socket
import struct
from collections.abc import Callable

from isolates import wire
from isolates.regions import Region

MIN_ROOM = wire.MAX_FRAME_BYTES + 64
"""Free bytes of the input buffer without which nothing is read: any leftover frame must fit."""
READ_BYTES = 512 << 10
"""Bytes read from one connection per turn at most, so that others get their share of the buffer."""
MANY_FRAMES = 512
"""In one read: the next one is for about so many, where there is room for tens of thousands of messages of a few bytes,
with which JavaScript would be busy for tens of milliseconds."""
LEAST_READ_BYTES = 4 << 10
MAX_PENDING_BYTES = 64 << 20
"""Unsent bytes at which a connection counts as broken. Windows of the streams keep it far below."""
SOCKET_BYTES = 1 << 20
KEPT_BYTES = 64 << 10
"""Bytes that `take_requests` reads at a time; it stops once so many are kept."""

GONE = -1

_INT = struct.Struct("i")
_ONE_DESCRIPTOR = socket.CMSG_LEN(_INT.size)
"""And no more: with its padding, which `CMSG_SPACE` adds, there would be room for a second one, that nobody closes."""
_length = struct.Struct("<I").unpack_from
_header = struct.Struct("<IIBB").unpack_from


def _without_requests(data: bytes) -> tuple[list[int], bytes]:
    """Split frames into the streams of whole requests, and all else, an unfinished frame at the end included."""
    streams, others, position = [], bytearray(), 0
    while len(data) - position >= wire.HEADER_BYTES:
        length, stream, type_, flags = _header(data, position)
        if length < wire.HEADER_BYTES or position + length > len(data):
            break
        if type_ == wire.Type.REQUEST and flags & (wire.END | wire.UPGRADE):
            streams.append(stream)
        else:
            others += data[position : position + length]
        position += length
    return streams, bytes(others) + data[position:]


def next_read(frames: int, size: int) -> int:
    """Return how much to read at most after a read that brought so many whole frames of `size` bytes in all."""
    if frames < MANY_FRAMES // 2:
        return READ_BYTES
    return min(READ_BYTES, max(LEAST_READ_BYTES, size * MANY_FRAMES // frames))


class Connection:
    """See the module. Owns the socket."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self.number = number
        self.descriptor = sock.fileno()
        self.pending = bytearray()
        """Bytes that the socket has not taken yet."""
        self.busy = False
        """Whether the last read brought several frames."""
        self.broken = False
        """Whether the other side is gone, or does not read."""
        self.kept = False
        """Whether whole frames are kept that `take_requests` read and `receive` has yet to hand on."""
        self.region: Region | None = None
        """Memory that the other side shares, which it says first."""
        self._socket = sock
        self._leftover = b""
        self._most = READ_BYTES
        self._receive_into: Callable[[memoryview], int] = self._receive_first
        self._send = sock.send

    def __repr__(self) -> str:
        waiting = f"{len(self._leftover)} bytes of a frame in, {len(self.pending)} bytes out"
        return f"<Connection {self.number}, waiting: {waiting}>"

    def receive(self, buffer: memoryview, start: int) -> int:
        """Read into `buffer` from `start` on and return where the last whole frame ends (`start` if there is none).

        `GONE`: the other side is gone, or broke the format.
        """
        filled = start
        leftover = self._leftover
        if leftover:
            filled += len(leftover)
            buffer[start:filled] = leftover
        try:
            count = self._receive_into(buffer[filled : filled + self._most])
            if not count:
                return GONE
        except BlockingIOError:
            self.busy = False
            if not self.kept:
                return start
            count = 0
        except OSError:
            return GONE
        self.kept = False
        filled += count
        position = start
        frames = 0
        while filled - position >= 4:
            length = _length(buffer, position)[0]
            if not wire.HEADER_BYTES <= length <= wire.MAX_FRAME_BYTES:
                return GONE
            if position + length > filled:
                break
            position += length
            frames += 1
        self.busy = frames > 1
        self._most = next_read(frames, position - start)
        if position < filled:
            self._leftover = bytes(buffer[position:filled])
        elif leftover:
            self._leftover = b""
        return position

    def _receive_first(self, buffer: memoryview) -> int:
        """As the socket's `recv_into`, for the read that may bring a descriptor."""
        count, ancillary, _, _ = self._socket.recvmsg_into([buffer], _ONE_DESCRIPTOR, socket.MSG_CMSG_CLOEXEC)
        self._receive_into = self._socket.recv_into
        for level, kind, data in ancillary:
            if (level, kind, len(data)) == (socket.SOL_SOCKET, socket.SCM_RIGHTS, _INT.size):
                self.region = Region(_INT.unpack(data)[0])
        return count

    def take_requests(self) -> list[int]:
        """Read what waits in the socket and take out the requests that are here as a whole. Returns their streams.

        All other frames are kept, in order, for `receive`.
        """
        taken: list[int] = []
        # `receive` has room for one frame at least beside what it reads: no more than that may be kept.
        while len(self._leftover) < KEPT_BYTES:
            try:
                data = self._socket.recv(KEPT_BYTES)
            except OSError:
                break
            if not data:
                break
            streams, self._leftover = _without_requests(self._leftover + data)
            taken += streams
            self.kept = True
        return taken

    def send(self, data: memoryview) -> bool:
        """Send; False if not all was taken: then the rest is kept in `pending`, or the connection is `broken`."""
        if self.pending:
            self.pending += data
            self.broken = len(self.pending) > MAX_PENDING_BYTES
            return not self.broken
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.broken = True
            return False
        if sent == len(data):
            return True
        self.pending += data[sent:]
        return False

    def send_pending(self) -> bool:
        """Send more of what is kept; tell whether nothing is left."""
        try:
            sent = self._send(self.pending)
        except OSError:
            return not self.pending
        del self.pending[:sent]
        return not self.pending

    def close(self) -> None:
        self._socket.close()
        if self.region is not None:
            self.region.close()
