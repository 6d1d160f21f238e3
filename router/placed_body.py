"""The rest of a long body on its way into memory that the app's host shares: the kernel writes it there.

Takes the place of the connection at its transport for so long. Used by `router.server`; see also `router.long_body`.
"""

import asyncio
from typing import Protocol


class Receiver(Protocol):
    """The connection, as far as it is told of the body."""

    def placed(self) -> None:
        """All of it is there."""

    def progressed(self) -> None:
        """More of it came."""

    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class PlacedBody(asyncio.BufferedProtocol):
    """`room` is exactly as large as what is still to come."""

    def __init__(self, connection: Receiver, room: memoryview) -> None:
        self._connection = connection
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

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
