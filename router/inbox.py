"""Frames that a host sent, and when they are looked at: a host with very many holds up no other.

Used by `router.links`. What is left for later turns of the loop waits in its `Backlog`, and nothing is read meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from isolates.wire import Frame
from router.backlog import Backlog
from router.frames import FrameReader

FRAMES_PER_TURN = 32
"""Frames of one host that are looked at before others get their turn (`router.backlog`): a quarter of a millisecond, if
all are messages."""


class Inbox:
    """Of one connection. `on_turn` is called in a later turn when frames were left: `next` has them."""

    def __init__(self, on_turn: Callable[[], None]) -> None:
        self._on_turn = on_turn
        self._backlog = Backlog.here()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._later: deque[Frame] = deque()
        self._waiting = False
        """`on_turn` is due, and nothing is read before."""

    def __repr__(self) -> str:
        return f"<Inbox {len(self._later)} frames left>"

    def open(self, transport: asyncio.Transport) -> None:
        """The connection is there."""
        self._transport = transport

    def close(self) -> None:
        """It is gone, and so is what was not looked at."""
        self._transport = None
        self._later.clear()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames to look at in this turn of the loop, in which `data` came. Raises `FrameError`."""
        frames = self._reader.feed(data)
        if not self._waiting and len(frames) <= FRAMES_PER_TURN:
            return frames
        self._later += frames
        # What came although reading was paused has its turn after what came before it.
        return [] if self._waiting else self._portion()

    def next(self) -> list[Frame]:
        """Return the frames to look at in a later turn."""
        self._waiting = False
        portion = self._portion()
        if not self._waiting and self._transport is not None:
            self._transport.resume_reading()
        return portion

    def put_off(self, frames: Iterable[Frame]) -> None:
        """Leave these, the last ones of what was given out in this turn, for a later one."""
        self._later.extendleft(reversed(list(frames)))
        self._wait()

    def _portion(self) -> list[Frame]:
        later = self._later
        portion = [later.popleft() for _ in range(min(len(later), FRAMES_PER_TURN))]
        self._wait()
        return portion

    def _wait(self) -> None:
        if self._later and not self._waiting and self._transport is not None:
            self._waiting = True
            self._transport.pause_reading()
            self._backlog.add(self._on_turn)
