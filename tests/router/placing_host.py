"""An isolate host with blocking sockets that has an edge worker write bodies to the memory it shares."""

import mmap
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from isolates import wire
from isolates.wire import END, HELD_BYTES, MEMORY_BYTES, PLACE, PLACED, Type
from tests.router.edge import EdgeProcess, RawClient, app


class PlacingHost:
    """The first connection to `listener`. What a test does not ask for is not answered."""

    def __init__(self, listener: socket.socket) -> None:
        listener.settimeout(20)
        self.sock, _ = listener.accept()
        self.sock.settimeout(20)
        data, [descriptor], _, _ = socket.recv_fds(self.sock, wire.HEADER_BYTES, 1)
        [memory], _ = wire.decode(data)
        assert (memory.stream, memory.type) == (0, Type.MEMORY)
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, MEMORY_BYTES)
        self._buffer = b""
        self._frames: list[wire.Frame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.sock.close()
        self.memory.close()
        os.close(self.descriptor)

    def frame(self) -> wire.Frame:
        """The next frame; EOFError when the edge worker closed the connection."""
        while not self._frames:
            data = self.sock.recv(1 << 18)
            if not data:
                raise EOFError
            self._frames, used = wire.decode(self._buffer + data)
            self._buffer = (self._buffer + data)[used:]
        return self._frames.pop(0)

    def request(self) -> int:
        """The stream of the next request, of whose body nothing came with it."""
        frame = self.frame()
        assert frame.type == Type.REQUEST and not frame.data and not frame.flags & END, frame
        return frame.stream

    def warm_up(self, edge: EdgeProcess) -> None:
        """Answer a request, after which the next ones go the short way: the link is up."""
        sock = socket.socket(socket.AF_UNIX)  # without TLS, always
        sock.connect(edge.unix_path)
        with RawClient(sock) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a.localhost\r\n\r\n")
            self.answer(self.frame().stream)
            assert client.response()[0] == 200

    def send(self, stream: int, type_: Type, **fields: Any) -> None:
        self.sock.sendall(wire.encode(stream, type_, **fields))

    def place(self, stream: int, offset: int, count: int) -> None:
        self.send(stream, Type.PLACE, data=place(offset, count))

    def answer(self, stream: int, data: bytes = b"done") -> None:
        self.send(stream, Type.RESPONSE, flags=END, status=200, data=data)

    def lend(self, stream: int, body: bytes, offset: int = 0, *, status: int = 200, head: bytes = b"") -> None:
        """Answer with a body that is in the memory."""
        self.memory[offset : offset + len(body)] = body
        self.answer_from(stream, len(body), offset, status=status, head=head)

    def answer_from(self, stream: int, size: int, offset: int, *, flags: int = END | PLACED, **fields: Any) -> None:
        """Answer with a body that the memory is said to have."""
        self.send(stream, Type.RESPONSE, flags=flags, data=PLACE.pack(size, offset), **({"status": 200} | fields))

    def is_taken(self, stream: int, size: int) -> None:
        """The next frame says that a body has left."""
        frame = self.frame()
        assert (frame.stream, frame.type, frame.data) == (stream, Type.WINDOW, size.to_bytes(4, "little")), frame

    def body(self, stream: int) -> bytes:
        """The rest of a body that comes in DATA frames."""
        data = b""
        while True:
            frame = self.frame()
            assert (frame.stream, frame.type) == (stream, Type.DATA) and not frame.flags & wire.PLACED, frame
            data += frame.data
            if frame.flags & END:
                return data


def place(offset: int, count: int) -> bytes:
    """Data of a PLACE frame for a body of `count` bytes."""
    return PLACE.pack(max(0, count - HELD_BYTES), offset)


@asynccontextmanager
async def placing_host(edge: EdgeProcess, path: Path, **changes: Any) -> AsyncIterator[PlacingHost]:
    """Route `a.localhost` to a new host. `changes` are fields of `App`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        await edge.route({"a.localhost": app(path, host_id=str(path), **changes)})
        # The edge worker is another process: it connects while this one waits.
        with PlacingHost(listener) as host:
            host.warm_up(edge)
            yield host
