"""A call in progress at a database worker: one HTTP request of one edge worker, from its first frame to its last."""

from collections import deque
from typing import TYPE_CHECKING

from dataplane import wire
from dataplane.execution import Work
from dataplane.streams import Stream

if TYPE_CHECKING:
    from dataplane.peers import Peer


class Call:
    """State of one call. The leader owns it, except `work` while that runs aside."""

    __slots__ = (
        "answered",
        "aside",
        "body",
        "cancelled",
        "chunks",
        "credit",
        "head",
        "number",
        "parked_since",
        "peer",
        "route",
        "started",
        "stream",
        "work",
    )

    def __init__(self, peer: "Peer", frame: wire.Frame, head: wire.CallHead) -> None:
        self.peer = peer
        self.number = frame.call
        self.route = frame.code
        self.head = head
        self.body = [frame.data]
        self.stream: Stream | None = None
        self.work: Work | None = None
        self.aside = False
        """`work` runs on a thread that no longer leads."""
        self.cancelled = False
        self.answered = False
        """The ANSWER frame was sent."""
        self.credit = wire.WINDOW_BYTES
        self.chunks: deque[bytes] = deque()
        """Made but not sent for lack of credit."""
        self.parked_since: float | None = None
        """Monotonic time since which the call waits for credit."""
        self.started = 0.0

    def __repr__(self) -> str:
        return f"<Call {self.number} of {self.head.database_id} [{'aside' if self.aside else 'leading'}]>"

    def send(self, body: bytes, *, last: bool, status: int = 200, ndjson: bool = False) -> None:
        """Queue a piece of the answer."""
        flags = (wire.END if last else 0) | (wire.NDJSON if ndjson else 0)
        kind = wire.Type.DATA if self.answered else wire.Type.ANSWER
        self.answered = True
        self.credit -= len(body)
        self.peer.send(
            wire.encode_body(self.number, kind, body, flags=flags, code=0 if kind is wire.Type.DATA else status)
        )
