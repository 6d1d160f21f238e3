"""Frames that one turn of the loop has for WebSockets: a write per connection, and not one per frame.

Whoever may hand on many frames at once does it within the loop's `Batch`, as `router.links` does. uvloop writes at once
whatever it is given, and a system call costs as much as all else that is done for a small frame.
"""

import asyncio
from typing import Protocol


class Held(Protocol):
    """A connection that holds frames back while the batch is open."""

    def release(self) -> None:
        """Write them."""


class Batch:
    """Of one loop. A context manager: open while frames are handed on, never within itself."""

    _last: "Batch | None" = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.open = False
        self.held: list[Held] = []
        """The connections that hold frames back."""

    def __repr__(self) -> str:
        return f"<Batch {'open' if self.open else 'closed'}, {len(self.held)} connections>"

    @classmethod
    def here(cls) -> "Batch":
        """Return the running loop's; there is one in a process."""
        loop = asyncio.get_running_loop()
        batch = Batch._last
        if batch is None or batch.loop is not loop:
            batch = Batch._last = cls(loop)
        return batch

    def __enter__(self) -> None:
        self.open = True

    def __exit__(self, *_: object) -> None:
        self.open = False
        held, self.held = self.held, []
        for connection in held:
            connection.release()
