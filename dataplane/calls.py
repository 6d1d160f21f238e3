"""A call in progress at a database worker: one request of an edge worker, or of egress, from first to last frame."""

from collections import deque
from io import BytesIO
from typing import TYPE_CHECKING, Any

from dataplane import wire
from dataplane.blocks import Body
from dataplane.errors import HttpError
from dataplane.execution import Work
from dataplane.streams import Stream

if TYPE_CHECKING:
    from dataplane.peers import Peer


class Call:
    """State of one call. The leader owns it, except `work` while that runs aside."""

    __slots__ = (
        "answered",
        "aside",
        "began",
        "body",
        "cancelled",
        "chunks",
        "credit",
        "given_up",
        "head",
        "number",
        "parked_since",
        "peer",
        "received",
        "route",
        "sent",
        "slices",
        "started",
        "stream",
        "thread",
        "work",
    )

    def __init__(self, peer: "Peer", number: int, route: int, head: wire.CallHead, data: bytes = b"") -> None:
        self.peer = peer
        self.number = number
        self.route = route
        self.head = head
        self.body: bytes | BytesIO = data
        """What has come of its request, which grows in place: joining the pieces of a large one would take long."""
        self.stream: Stream | None = None
        self.work: Work | None = None
        self.aside = False
        """`work` runs on a thread that no longer leads."""
        self.thread: int | None = None
        """The native id of that thread."""
        self.cancelled = False
        self.given_up = False
        """Its statement does not end, which was answered."""
        self.answered = False
        """The ANSWER frame was sent."""
        self.credit = wire.WINDOW_BYTES
        self.chunks: deque[bytes] = deque()
        """Made but not sent for lack of credit."""
        self.slices = 0
        """How often it was paused."""
        self.parked_since: float | None = None
        """Monotonic time since which the call waits for credit."""
        self.started = 0.0
        """Monotonic time at which it began to run without interruption."""
        self.began = 0.0
        """Monotonic time at which its request was complete."""
        self.received = 0
        """Bytes of its request."""
        self.sent = 0
        """Bytes of its answer so far."""

    def __repr__(self) -> str:
        return f"<Call {self.number} of {self.head.database_id} [{'aside' if self.aside else 'leading'}]>"

    def receive(self, data: bytes) -> None:
        """Take more of the request, after its first bytes."""
        body = self.body
        if isinstance(body, bytes):
            self.body = BytesIO()
            self.body.write(body)
            body = self.body
        body.write(data)

    def finish(self, answer: Any) -> None:
        """Send the last piece of the answer.

        It may exceed the credit: it is bounded, and nothing waits behind it on this call.
        """
        self.send(answer, last=True)

    def let_go(self, answer: Any) -> bool:
        """`answer` waits for the disk, and nothing else of the call is to be done: return whether it has let go of its
        stream, whose next call may begin.
        """
        return False

    def refuse(self, error: HttpError) -> None:
        """Answer with an error, or break the answer off if it has begun."""
        if self.answered:
            self.abort()
        else:
            self.send(error.body(), last=True, status=error.status)

    def abort(self) -> None:
        """Tell the edge that the answer ends here, incomplete."""
        self.peer.outbox.drop(self.number)
        self.peer.send(self.number, [wire.encode(self.number, wire.Type.CANCEL)])

    def ended(self) -> None:
        """The call is over, whatever came of it."""
        self.peer.calls.pop(self.number, None)

    def send(self, body: Body, *, last: bool, status: int = 200) -> None:
        """Queue a piece of the answer."""
        size = len(body)
        self.credit -= size
        self.sent += size
        if self.answered:
            frames = wire.encode_body(self.number, wire.Type.DATA, body, flags=wire.END if last else 0)
        elif last:
            frames = wire.encode_answer(self.number, body, status)
        else:
            frames = wire.encode_body(self.number, wire.Type.ANSWER, body, code=status)
        self.answered = True
        self.peer.send(self.number, frames)
