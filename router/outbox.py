"""Frames on their way to a host: those of one turn of the event loop leave in one write.

Used by `router.links` and `router.host_connection`.
"""

import asyncio
from collections.abc import Callable

from runtime.lookout import Lookout


class Outbox:
    """Of one connection. `on_written` is called after each write."""

    def __init__(self, on_written: Callable[[], None]) -> None:
        self._on_written = on_written
        self._lookout = Lookout.here()
        self._transport: asyncio.Transport | None = None
        self._frames: list[bytes | memoryview] = []
        self._apart = False
        """Something is too large to be copied once more."""
        self._scheduled = False

    def __repr__(self) -> str:
        return f"<Outbox {'open' if self._transport else 'closed'}, {len(self._frames)} frames>"

    def open(self, transport: asyncio.Transport) -> None:
        """The connection is there."""
        self._transport = transport

    def close(self) -> None:
        """It is gone, and so is what was not written."""
        self._transport = None
        self._frames.clear()

    def add(self, frame: bytes | memoryview) -> None:
        """Queue a frame for the end of this turn."""
        self._frames.append(frame)
        if not self._scheduled:
            self._scheduled = True
            self._lookout.write_soon(self.flush)

    def add_large(self, header: bytes, data: memoryview) -> None:
        """The same, without copying `data`."""
        self._apart = True
        self._frames.append(header)
        self.add(data)

    def flush(self) -> None:
        """Write what is queued now."""
        self._scheduled = False
        frames = self._frames
        if self._transport is None or not frames:
            return
        if self._apart:
            self._transport.writelines(frames)
            self._apart = False
        else:
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        frames.clear()
        self._on_written()
