"""A connection of an isolate host to a process of the node, in frames: what `router.egress` and `router.cache` share.

The first frame says whose it is; what others ask for, the process's own class knows (`HostConnection` of each).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sized
from typing import ClassVar, cast

from isolates.wire import Frame, FrameError, Type
from router.backlog import Backlog
from router.frames import FrameReader
from router.identity import Identity, unseal
from router.outbox import Outbox
from runtime.lookout import Lookout

PAUSE_BYTES = 8 << 20
"""Bytes the host has not read yet above which nothing more is done for it."""


class FramedConnection(asyncio.Protocol):
    """One accepted connection. `under_way` holds what the host waits for: while it does, looking for news may pay."""

    log: ClassVar[logging.Logger]
    identity: Identity
    """Whose it is. There is one before anything else of the host is looked at."""

    def __init__(self, ticket_key: bytes, under_way: Sized) -> None:
        self._ticket_key = ticket_key
        self._under_way = under_way
        self._identified = False
        self._loop = asyncio.get_running_loop()
        self._lookout = Lookout.here()
        self._backlog = Backlog.here()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()
        """Not looked at yet: others had their turn."""
        self._outbox = Outbox(self._on_written)

    @property
    def app_id(self) -> str:
        """Whose it is, for people."""
        return self.identity.app_id if self._identified else "unknown"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=PAUSE_BYTES)
        self._outbox.open(self._transport)

    def close(self) -> None:
        """Close once what is queued has been sent."""
        self._outbox.flush()
        if self._transport is not None:
            self._transport.close()

    def send(self, frame: bytes) -> None:
        """Queue a frame; those of one turn of the loop leave in one write."""
        self._outbox.add(frame)

    def _identify(self, kind: int, ticket: bytes) -> None:
        """Take the first frame. Raises `FrameError` if this is none, or not the first, and `IdentityError`."""
        if self._identified or kind != Type.IDENTIFY:
            raise FrameError("the first frame, and no other, says whose the connection is")
        self.identity = unseal(ticket, self._ticket_key)
        self._identified = True

    def _broken(self, error: Exception) -> None:
        """What came is not what a host sends."""
        self.log.error("a host broke the frame format: %s", error)
        self._frames.clear()
        if self._transport is not None:
            self._transport.abort()

    def _on_written(self) -> None:
        self._lookout.written(self._lookout.requests, len(self._under_way))
