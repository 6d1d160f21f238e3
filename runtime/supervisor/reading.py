"""How much of the supervisor's time goes to hosts with much to say, which is log lines: a part, whatever comes.

A host that sent more than a few lines is not read again before its turn. One such host at a time has a turn, and after
each there is a rest, in which all else that waits for the supervisor is done. Hosts keep what is not read, and drop
lines that are too many (`isolates.link`). Used by `host.py`, for all hosts together.
"""

import asyncio
import time
from collections import deque

from isolates.messages import FromHost
from runtime.channel import Channel

MUCH_BYTES = 1 << 8
REST_FACTOR = 3
"""After lines that took so long to handle, or to get a processor for, lines wait for this many times as long."""
LEAST_REST_SECONDS = 0.001


class Turns:
    """Of the channels of all hosts."""

    def __init__(self) -> None:
        self._waiting: deque[Channel[FromHost]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._rest = LEAST_REST_SECONDS

    def __repr__(self) -> str:
        return f"<Turns {len(self._waiting)} hosts wait>"

    def was_read(self, channel: Channel[FromHost], size: int, came: float) -> None:
        """A channel has handled `size` bytes that came at `came`."""
        if size < MUCH_BYTES:
            return
        self._rest = max(LEAST_REST_SECONDS, REST_FACTOR * (time.monotonic() - came))
        channel.pause()
        self._waiting.append(channel)
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._rest, self._next)

    def _next(self) -> None:
        self._timer = None
        self._waiting.popleft().resume()
        if self._waiting:
            self._schedule()
