"""The rest of a long body on its way into memory that the app's host shares: the kernel writes it there.

Both classes take the place of the connection at its transport for so long. Used by `router.server`; see also
`router.long_body`.
"""

import asyncio
from typing import Protocol

SHORT_BYTES = 16 << 10
"""Room for a head. What came with it of the body is copied three times."""


class Receiver(Protocol):
    """The connection, as far as it is told of the body."""

    def short_read(self, data: bytes) -> None:
        """The first bytes of a request, or all."""

    def placed(self) -> None:
        """All of it is there."""

    def progressed(self) -> None:
        """More of it came."""

    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class _Reading(asyncio.BufferedProtocol):
    """All but what is read is the connection's to hear of."""

    def __init__(self, connection: Receiver) -> None:
        self._connection = connection

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()


class ShortReads(_Reading):
    """Reads little of the next request, whose body is likely to be long as well: most of it is to stay in the kernel
    until it has a place.
    """

    def __init__(self, connection: Receiver) -> None:
        super().__init__(connection)
        self._buffer = bytearray(SHORT_BYTES)

    def __repr__(self) -> str:
        return f"<ShortReads of {self._connection!r}>"

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.short_read(bytes(memoryview(self._buffer)[:nbytes]))


class PlacedBody(_Reading):
    """`room` is exactly as large as what is still to come."""

    def __init__(self, connection: Receiver, room: memoryview) -> None:
        super().__init__(connection)
        self._room = room

    def __repr__(self) -> str:
        return f"<PlacedBody, {len(self._room)} bytes left>"

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self._room = self._room[nbytes:]
        if self._room:
            self._connection.progressed()
        else:
            self._connection.placed()
