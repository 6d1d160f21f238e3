"""One outbound request of an app: its request body on the way out, its response on the way back.

`Exchange` keeps both flow-control windows of `isolates.wire` and turns what happens into frames. `router.egress.local`
and `router.egress.public` subclass it: they get the callbacks below and call the methods. It does no I/O of its own;
its `Sender`, the host's connection, sends the frames.
"""

from typing import Protocol

from isolates.wire import END, GRANT_BYTES, HEADER, HEADER_BYTES, MAX_DATA_BYTES, MAX_HEAD_BYTES, WINDOW_BYTES, Type
from router.egress.decoding import Decoder, Identity, decoder
from router.egress.errors import EgressError
from router.egress.headers import Fields, Request, codings, has_body, without_coding

_RESPONSE = int(Type.RESPONSE)
_DATA = int(Type.DATA)
_CANCEL = int(Type.CANCEL)
_WINDOW = int(Type.WINDOW)
_REFUSE = int(Type.REFUSE)
_pack = HEADER.pack

UNLIMITED = 1 << 62


class Sender(Protocol):
    """What an exchange needs of the connection it runs on."""

    def send(self, frame: bytes) -> None:
        """Queue a frame."""

    def finished(self, exchange: "Exchange", error: EgressError | None) -> None:
        """Forget the exchange; no frame of it follows."""


class Exchange:
    """One stream of a host's connection.

    Over after `refuse`, `fail`, the last of the response, or a CANCEL from the host; no frame of it is sent then.
    """

    __slots__ = (
        *("_ahead", "_decoder", "_ended", "_granted", "_head", "_head_sent", "_received", "_sender", "_sent"),
        *("_seen", "_seen_at", "_unconsumed", "began", "most_bytes", "over", "request", "stream", "window"),
    )

    def __init__(self, sender: Sender, stream: int, request: Request) -> None:
        self._sender = sender
        self.stream = stream
        self.request = request
        self.window = WINDOW_BYTES
        """Bytes of response body that may still be sent."""
        self.over = False
        self.began = 0.0
        """When its turn came, by the loop's clock; 0.0: it still waits."""
        self.most_bytes = UNLIMITED
        """Of either body."""
        self._received = 0
        self._sent = 0
        self._seen = -1
        self._seen_at = 0.0
        self._unconsumed = 0
        self._granted = 0
        self._head: tuple[int, bytes, Fields] | None = None
        self._head_sent = False
        self._decoder: Decoder = Identity()
        self._ahead = b""
        self._ended = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream} {self.request!r}{' over' if self.over else ''}>"

    # What a subclass does when something happens.

    def start(self, data: bytes, end: bool) -> None:
        """Begin; `data` are the first bytes of the request body, `end` says that there are no more."""
        raise NotImplementedError

    def on_body(self, data: bytes, end: bool) -> None:
        """Take more of the request body, and call `consumed` when it has gone on."""
        raise NotImplementedError

    def on_drained(self) -> None:
        """All of the response body given so far is on its way: more may be given."""
        raise NotImplementedError

    def on_cancel(self) -> None:
        """Stop all work; nothing can be sent any more."""
        raise NotImplementedError

    # From the host.

    def begin(self, data: bytes, end: bool) -> None:
        """Start, with what the REQUEST frame has of the body."""
        self._received = self._unconsumed = len(data)
        self.start(data, end)

    def take_body(self, data: bytes, end: bool) -> None:
        """Check a piece of the request body against its window and length, then pass it on."""
        self._received += len(data)
        self._unconsumed += len(data)
        length = self.request.length
        if self._unconsumed > WINDOW_BYTES:
            self.abandon(EgressError("protocol", "more of the request body was sent than the window allows"))
        elif self._received > self.most_bytes:
            self.abandon(self._too_large("request"))
        elif length is not None and (self._received > length or (end and self._received < length)):
            self.abandon(EgressError("protocol", "the request body is not as long as its Content-Length says"))
        else:
            self.on_body(data, end)

    def take_window(self, count: int) -> None:
        """Send what of the response has waited, now that `count` more bytes may be sent."""
        self.window += count
        if self._ahead:
            self._pump()
            if not self._ahead and not self._ended and not self.over:
                self.on_drained()

    def unread_for(self, now: float) -> float:
        """Return for how many seconds the host has taken nothing of the response that waits for it.

        Measured from one call of this to the next.
        """
        if not self._ahead or self._sent != self._seen:
            self._seen = self._sent
            self._seen_at = now
        return now - self._seen_at

    # From the other side.

    def consumed(self, count: int) -> None:
        """Tell that `count` bytes of the request body have gone on: the host may send as many more."""
        if self.over or not count:
            return
        self._unconsumed -= count
        self._granted += count
        if self._granted >= GRANT_BYTES:
            grant = self._granted.to_bytes(4, "little")
            self._sender.send(_pack(HEADER_BYTES + 4, self.stream, _WINDOW, 0, 0, 0) + grant)
            self._granted = 0

    def respond(self, status: int, reason: bytes, fields: Fields) -> None:
        """Take the response's head; it leaves with the next `give`. Codings of its body are undone on the way."""
        if has_body(self.request.method, status) and (applied := codings(fields)):
            known = decoder(applied)
            if known is not None:
                self._decoder = known
                fields = without_coding(fields)
        self._head = (status, reason, fields)

    def respond_whole(self, status: int, head: bytes, data: bytes) -> None:
        """Send a response that is complete, with a ready-made head, and no longer than a frame and the window."""
        self._head_sent = True
        self._send(_RESPONSE, status, head, data, True)

    def give(self, data: bytes, end: bool) -> bool:
        """Give more of the response body. False: give no more before `on_drained`."""
        self._decoder.push(data)
        self._ended = end
        self._pump()
        return not self._ahead

    def refuse(self, error: EgressError) -> None:
        """Answer that there is no response, or break off the one that has begun."""
        if self.over:
            return
        head = error.fields() if self._head_sent else error.fields(error.code)
        kind, status = (_CANCEL, 0) if self._head_sent else (_REFUSE, 502)
        self._sender.send(_pack(HEADER_BYTES + len(head), self.stream, kind, 0, status, len(head)) + head)
        self._finish(error)

    def abandon(self, error: EgressError) -> None:
        """Stop all work and tell the host why."""
        self.on_cancel()
        self.refuse(error)

    def _pump(self) -> None:
        """Send as much of the response as there is and the window allows."""
        decoder, window_closed = self._decoder, False
        try:
            while not self.over and not window_closed:
                if not self._ahead:
                    self._ahead = decoder.pull(MAX_DATA_BYTES)
                piece, rest = self._ahead[: self.window], self._ahead[self.window :]
                # One piece ahead, so that the last one carries END.
                self._ahead = rest or decoder.pull(MAX_DATA_BYTES)
                end = self._ended and not self._ahead
                if end:
                    decoder.finish()
                if self._head is not None:
                    self._send_head(*self._head, piece, end)
                elif piece or end:
                    self._send(_DATA, 0, b"", piece, end)
                window_closed = not piece or not self._ahead
        except EgressError as error:
            self.abandon(error)

    def _send_head(self, status: int, reason: bytes, fields: Fields, data: bytes, end: bool) -> None:
        parts = [reason]
        for name, value in fields:
            parts += (name, value)
        head = b"\n".join(parts)
        if len(head) > MAX_HEAD_BYTES or head.count(b"\n") != 2 * len(fields):
            raise EgressError("protocol", "the response's header fields are too large or malformed")
        self._head = None
        self._head_sent = True
        self._send(_RESPONSE, status, head, data, end)

    def _too_large(self, what: str) -> EgressError:
        megabytes = self.most_bytes >> 20
        return EgressError("limit", f"the {what}'s body is over the limit subrequest_mb = {megabytes}", "subrequest_mb")

    def _send(self, kind: int, status: int, head: bytes, data: bytes, end: bool) -> None:
        self.window -= len(data)
        self._sent += len(data)
        if self._sent > self.most_bytes:
            raise self._too_large("response")
        length = HEADER_BYTES + len(head) + len(data)
        self._sender.send(_pack(length, self.stream, kind, END if end else 0, status, len(head)) + head + data)
        if end:
            self._finish(None)

    def _finish(self, error: EgressError | None) -> None:
        self.over = True
        self._sender.finished(self, error)
