"""An edge worker's connection to a database worker, without the edge worker."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from dataplane import wire
from tests.dataplane.plane import Plane, execute

SMALL = msgspec.json.encode({"requests": [execute("SELECT 1"), {"type": "close"}]})


class Caller:
    """One connection and its calls."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = wire.Decoder()
        self._last = 0

    @classmethod
    async def connect(cls, plane: Plane) -> "Caller":
        return cls(*await asyncio.open_unix_connection(plane.worker.address))

    def call(self, database_id: str, body: bytes) -> int:
        """Send a pipeline; return the number of the call."""
        return self._begin(database_id, wire.Route.PIPELINE_V3, body, wire.END)

    def open_socket(self, database_id: str, route: wire.Route = wire.Route.SOCKET_JSON) -> int:
        """Open a WebSocket; return the number of the call."""
        return self._begin(database_id, route, b"\3", 0)

    def _begin(self, database_id: str, route: wire.Route, body: bytes, flags: int) -> int:
        self._last += 1
        head = msgspec.msgpack.encode(wire.CallHead(database_id, 1))
        frames = wire.encode_body(self._last, wire.Type.CALL, body, flags=flags, code=route, head=head)
        self._writer.write(b"".join(frames))
        return self._last

    def message(self, number: int, data: bytes) -> None:
        """Send a message of a WebSocket."""
        self._writer.write(b"".join(wire.encode_body(number, wire.Type.DATA, data, flags=wire.MESSAGE)))

    def cancel(self, number: int) -> None:
        self._writer.write(wire.encode(number, wire.Type.CANCEL))

    async def frames(self) -> AsyncIterator[wire.Frame]:
        """Yield what the worker sends."""
        async with asyncio.timeout(60):
            while data := await self._reader.read(1 << 16):
                for frame in self._decoder.feed(data):
                    yield frame

    async def served_beside(self, number: int, database_id: str) -> tuple[wire.Frame, int]:
        """Make small calls to a database, one after the other, until something comes of call `number`; return that, and
        how many were answered before.
        """
        small, served = self.call(database_id, SMALL), 0
        async for frame in self.frames():
            if frame.call == number:
                return frame, served
            assert (frame.call, frame.code) == (small, 200)
            served += 1
            small = self.call(database_id, SMALL)
        raise AssertionError("the worker closed the connection")

    async def answers(self) -> list[tuple[int, int]]:
        """Return the number and the status of calls that were answered, when there are some."""
        async with asyncio.timeout(60):
            while True:
                frames = self._decoder.feed(await self._reader.read(1 << 16))
                if answers := [(frame.call, frame.code) for frame in frames if frame.type == wire.Type.ANSWER]:
                    return answers

    def close(self) -> None:
        self._writer.close()
