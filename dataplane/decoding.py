"""A large body, or message, that is decoded a slice at a time, so that nobody else has to wait for all of it.

A decoder in C cannot be left half way by the thread that called it. So it has a thread of its own, which computes only
while `go_on` waits for it: at a `point`, which decoders of large bodies pass for every object that they make, it rests
until the next slice. Used by `dataplane.requests`, `dataplane.incoming` and `dataplane.service`; only the leader calls
in here, so one of them computes at a time. Knows nothing of what is decoded.
"""

import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from dataplane.leftovers import leave

LARGE_BYTES = 1 << 20
"""What is longer is decoded in slices: it takes several milliseconds, where slices cost a third more."""
LARGE_PROTOBUF_BYTES = 64 << 10
"""The same of Protobuf, which Python decodes, and not C."""
_current: "Decoding | None" = None
_until = math.inf
"""Monotonic time at which the slice of `_current` ends."""


class _Abandoned(Exception):
    """Ends a decoder whose result nobody waits for."""


def point(_: object = None) -> None:
    """Rest here if this is within a `Decoding` whose slice is over."""
    if monotonic() >= _until:
        assert _current is not None
        _current.rest()


def keep(made: object) -> None:
    """Pass a point, and keep what was made for as long as a `Decoding` goes on, if this is within one: it is one of
    many perhaps, and a decoder that fails lets go of all at once.
    """
    if _current is not None:
        _current.made.append(made)
        if monotonic() >= _until:
            _current.rest()


class Decoding:
    """What `decode` makes of `body`, in slices."""

    def __init__(self, decode: Callable[[bytes], Any], body: bytes) -> None:
        self._decode = decode
        self._body = body
        self.made: list[object] = []
        """What was kept."""
        self._go = threading.Lock()
        self._rests = threading.Lock()
        self._go.acquire()
        self._rests.acquire()
        self._outcome: Any = None
        self._error: Exception | None = None
        self._begun = self._done = self._abandoned = False

    def __repr__(self) -> str:
        return f"<Decoding [{'done' if self._done else 'under way'}]>"

    def go_on(self, seconds: float) -> bool:
        """Decode for a slice of so many seconds; return whether that was the last one."""
        global _current, _until
        if not self._begun:
            self._begun = True
            try:
                threading.Thread(target=self._run, name="decoding", daemon=True).start()
            except RuntimeError:  # there is no thread to be had: all of it at once, then
                self._go.release()
                self._run()
                return True
        _current, _until = self, monotonic() + seconds
        self._go.release()
        self._rests.acquire()
        _current, _until = None, math.inf
        return self._done

    def result(self) -> Any:
        """Return what came of it after the last slice, once. Raises what `decode` raised."""
        outcome, self._outcome = self._outcome, None
        if self._error is not None:
            raise self._error
        return outcome

    def abandon(self) -> None:
        """Nobody waits for the result any more: end the thread, between two slices."""
        self._abandoned = True
        if self._begun and not self._done:
            self._go.release()

    def rest(self) -> None:
        """On its own thread: wait for the next slice."""
        self._rests.release()
        self._go.acquire()
        if self._abandoned:
            raise _Abandoned

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._outcome = self._decode(self._body)
        except Exception as error:  # raised by `result`
            self._error = error.with_traceback(None)
        self._body = b""
        made, self.made = self.made, []
        leave(made)
        self._done = True
        self._rests.release()
