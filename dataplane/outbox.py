"""What waits to be written to one connection of many calls: short frames leave first, long bodies take turns.

Used at both ends of the connection between an edge worker and a database worker. A select's answer must not wait until
the megabytes of somebody else's result have been read, nor a small request until an import has been sent; the frames
of one call keep their order.
"""

from collections import OrderedDict, deque

from dataplane.wire import Frames, LongBody

SHORT_BYTES = 16 << 10
"""A frame up to this size goes ahead of the bodies."""
SHARE_BYTES = 96 << 10
"""Of long bodies, in one write: together with the quarter of a socket's buffer (208 KiB) that may be full when the
kernel says it has room, it leaves some for the short frames that come next."""


class Outbox:
    """Frames by their call."""

    def __init__(self) -> None:
        self._short: list[bytes] = []
        self._long: OrderedDict[int, deque[bytes | LongBody]] = OrderedDict()
        """What is left of the bodies, by call, the one whose turn it is first. A call's later frames go here too."""

    def __bool__(self) -> bool:
        return bool(self._short or self._long)

    def __repr__(self) -> str:
        return f"<Outbox [{len(self._short)} short frames, {len(self._long)} calls with long ones]>"

    def has(self, *, room: bool) -> bool:
        """Return whether `take` would return anything."""
        return bool(self._short or (room and self._long))

    def put(self, call: int, frames: Frames) -> None:
        """Add frames of `call`, after those that it has here."""
        waiting = self._long.get(call)
        if isinstance(frames, LongBody):
            if waiting is None:
                waiting = self._long[call] = deque()
            waiting.append(frames)
        elif waiting is not None:
            waiting.extend(frames)
        elif len(frames) > 1 or len(frames[0]) > SHORT_BYTES:
            self._long[call] = deque(frames)
        else:
            self._short.extend(frames)

    def drop(self, call: int) -> None:
        """Forget what waits of a body: it will not be complete. Its short frames may have left."""
        self._long.pop(call, None)

    def take(self, *, room: bool) -> bytes:
        """Return the bytes to be written next: all short frames, and if there is `room` a share of the bodies."""
        pieces, self._short = self._short, []
        if room and self._long:
            size = 0
            while self._long and size < SHARE_BYTES:
                call, waiting = next(iter(self._long.items()))
                piece = _next_frame(waiting)
                pieces.append(piece)
                size += len(piece)
                if waiting:
                    self._long.move_to_end(call)
                else:
                    del self._long[call]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _next_frame(waiting: deque[bytes | LongBody]) -> bytes:
    first = waiting[0]
    if isinstance(first, bytes):
        waiting.popleft()
        return first
    frame = next(first)
    if not first:
        waiting.popleft()
    return frame
