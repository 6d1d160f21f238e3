"""Frames that one turn of the loop has for WebSockets: a write per connection, and not one per frame.

Whoever may hand on many frames at once does it within the loop's `Batch`, as `router.links` does. uvloop writes at once
whatever it is given, and a system call costs as much as all else that is done for a small frame.
"""

from typing import Protocol

from runtime.per_loop import PerLoop


class Held(Protocol):
    """A connection that holds frames back while the batch is open."""

    def release(self) -> None:
        """Write them."""


class Batch(PerLoop):
    """Of one loop. A context manager: open while frames are handed on, never within itself."""

    def __init__(self) -> None:
        super().__init__()
        self.open = False
        self.held: list[Held] = []
        """The connections that hold frames back."""

    def __repr__(self) -> str:
        return f"<Batch {'open' if self.open else 'closed'}, {len(self.held)} connections>"

    def __enter__(self) -> None:
        self.open = True

    def __exit__(self, *_: object) -> None:
        self.open = False
        held, self.held = self.held, []
        for connection in held:
            connection.release()
