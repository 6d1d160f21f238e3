"""One request at an isolate host, as whoever answers its client sees it.

`router.app` and `router.exchanges` subclass `Stream` and are called back by the link (`router.links`), which does the
numbering and the frames; the windows of both bodies are kept here. No callback may block or raise.
"""

from enum import Enum
from typing import TYPE_CHECKING

from isolates.wire import END, GRANT_BYTES, MAX_DATA_BYTES, PLACED, WINDOW_BYTES, Type

if TYPE_CHECKING:
    from router.links import HostLink
    from router.shared_memory import SharedMemory

_WINDOW = int(Type.WINDOW)
_DATA = int(Type.DATA)


class Loss(Enum):
    """Why a stream ended without its answer being complete."""

    HOST = "the isolate host's connection is gone"
    CANCELLED = "the app's response stream failed"
    DEADLINE = "the request took longer than wall_ms"


class Stream:
    """One request at a host. Made idle; `HostLink.open` starts it.

    Subclasses answer the client in the callbacks below. After `on_refused`, `on_lost`, or a callback with `end` true,
    the stream is over and none comes any more. Defaults are at the class: most requests never change them.
    """

    id = 0
    link: "HostLink | None" = None
    """The link while the stream is open on it, else None."""
    opened = 0.0
    """Monotonic seconds at which the stream was opened."""
    window = WINDOW_BYTES
    """Bytes of request body that may be sent."""
    placed = False
    """The host gave the body a place in its memory, and waits for the last word on that."""
    _pending: bytes = b""
    _pending_end = False
    _held = False
    """Nothing of the body is sent before the host asks for it."""
    _sent_end = False
    lent = 0
    """Bytes of a response's body that are in the host's memory, until it is told that they have left: the last word."""
    overdue = False
    """Lost by its deadline, but the last word on its memory is still to come."""
    begun = False
    """A RESPONSE came."""
    _unconsumed = 0
    _grant = 0

    def on_response(self, status: int, head: bytes, data: bytes, end: bool) -> None:
        """The response began; `head` as in RESPONSE frames, `data` the first bytes of the body."""
        raise NotImplementedError

    def on_placed(self, status: int, head: bytes, body: memoryview) -> None:
        """The whole response is here; its body is memory of the host's, which may change it.

        Call `taken` when nothing reads it any more, or `cancel`. Until one of the two `on_lost` may still come, or
        `on_refused`, once or again: what is in the memory then is not to be sent any more. By default it is copied.
        """
        data = bytes(body)
        self.taken()
        self.on_response(status, head, data, True)

    def on_data(self, data: bytes, end: bool) -> None:
        """More bytes of the response body. Call `consumed` once the client took them."""
        raise NotImplementedError

    def on_refused(self, status: int, code: str, detail: str) -> None:
        """The host answers with an error of its own: the app did not, or could not, answer."""
        raise NotImplementedError

    def on_lost(self, loss: Loss) -> None:
        """The answer will never be complete."""
        raise NotImplementedError

    def on_window(self) -> None:
        """All of the request body given so far is on its way: more may be read from the client."""
        raise NotImplementedError

    def on_place(self, memory: "SharedMemory", offset: int) -> bool:
        """Whether what has not been sent of the body is written to memory, where the whole body begins at `offset`.

        True: `send_placed` is called when all is there, and `send_body` no more.
        """
        return False

    def send_body(self, data: bytes, end: bool) -> bool:
        """Pass on bytes of the request body. False: read no more from the client before `on_window`.

        What the window does not allow yet is kept. Does nothing once the stream is over.
        """
        if self.link is None:
            return True
        self._pending = self._pending + data if self._pending else data
        self._pending_end = end
        if not self._held:
            self._flush_body(self.link)
        return not self._pending

    def hold_body(self, data: bytes) -> None:
        """`data` is what is here of the body, of which nothing is to be sent before the host asks: see `HELD_BYTES`."""
        self._pending = data
        self._held = True

    def send_placed(self) -> None:
        """Tell that all of the request's body is where `on_place` was told. Does nothing once the stream is over."""
        if self.link is not None:
            self._sent_end = True
            self.link.send_frame(self.id, _DATA, flags=END | PLACED)

    def consumed(self, count: int) -> None:
        """Tell that `count` bytes of the response body have left for the client: the host may send as many more."""
        if self.link is None:
            return
        self._unconsumed -= count
        self._grant += count
        if self._grant >= GRANT_BYTES:
            self.link.send_frame(self.id, _WINDOW, data=self._grant.to_bytes(4, "little"))
            self._grant = 0

    def taken(self) -> None:
        """All of a response's body in memory has left, or was copied: the stream is over. Not after `cancel`."""
        if self.link is not None:
            self.link.taken(self)
        self.lent = 0

    def cancel(self, why: str) -> None:
        """Tell the host to stop; no callback comes any more."""
        if self.link is not None:
            self.link.cancel(self, why)

    def _flush_body(self, link: "HostLink") -> None:
        pending, at = self._pending, 0
        while True:
            count = min(len(pending) - at, self.window, MAX_DATA_BYTES)
            last = at + count == len(pending)
            if not count and not (last and self._pending_end and not self._sent_end):
                break
            self.window -= count
            self._sent_end = last and self._pending_end
            link.send_data(self.id, pending, at, count, END if self._sent_end else 0)
            at += count
        self._pending = pending[at:]
        if at >= MAX_DATA_BYTES:
            link.send_now()

    def _granted(self, count: int, link: "HostLink") -> None:
        self.window += count
        self._held = False
        if self._pending or (self._pending_end and not self._sent_end):
            self._flush_body(link)
        if not self._pending:
            self.on_window()

    def _given_place(self, count: int, offset: int, link: "HostLink") -> None:
        """As `_granted`, and the body has a place in memory."""
        self.placed = True
        self._held = False
        if self._sent_end or link.memory is None or not self.on_place(link.memory, offset):
            self._granted(count, link)
