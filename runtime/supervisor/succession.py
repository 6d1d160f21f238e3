"""The end of a process that another one takes over from without a gap: it serves until the other is ready.

Used by `runtime.supervisor.slot`.
"""

import asyncio

import msgspec

from runtime.supervisor.process import Process


class Succession:
    """`old` is sent `farewell` at the handover, and killed `seconds` later if it is still there."""

    def __init__(self, old: Process, farewell: msgspec.Struct, seconds: float) -> None:
        self.old = old
        self.handed_over = False
        self._farewell = farewell
        self._seconds = seconds
        self._killing: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Succession of {self.old!r}{' handed over' if self.handed_over else ''}>"

    def hand_over(self) -> None:
        """The other process is ready. If that dies and a further one is, nothing more is to be done: `old` leaves."""
        if self.handed_over:
            return
        self.handed_over = True
        if self.old.channel is not None:
            self.old.channel.send(self._farewell)
        self._killing = asyncio.get_running_loop().call_later(self._seconds, self.old.kill)

    def ended(self) -> None:
        """The old process is gone."""
        if self._killing is not None:
            self._killing.cancel()
