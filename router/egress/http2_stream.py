"""One exchange on an HTTP/2 connection: its windows in both directions. Made and driven by `router.egress.http2`."""

from collections import deque
from typing import TYPE_CHECKING

from h2.events import DataReceived

from isolates.wire import WINDOW_BYTES
from router.egress.client import ClientExchange

if TYPE_CHECKING:
    from router.egress.http2 import Http2Connection


class Http2Stream:
    """One exchange on a connection: the `Carrier` of a `ClientExchange`."""

    __slots__ = ("_credit", "_unsent", "connection", "ended", "exchange", "identity", "pieces", "responded", "withheld")

    def __init__(self, connection: "Http2Connection", exchange: ClientExchange) -> None:
        self.connection = connection
        self.exchange = exchange
        self.identity = 0
        """Number of the stream, once the request's head is sent."""
        self.pieces: list[DataReceived] = []
        """What one read of the connection has brought."""
        self.responded = False
        self.ended = False
        """The request is sent in full."""
        self.withheld = 0
        """Bytes that the host has not taken yet, for which the server gets no credit."""
        self._credit = 0
        self._unsent: deque[tuple[bytes, bool]] = deque()

    def __repr__(self) -> str:
        return f"<Http2Stream {self.identity} {self.exchange!r}>"

    def send_body(self, data: bytes, end: bool, head: bytes = b"") -> None:
        """Send a piece of the request's body, the request's head before the first one."""
        connection = self.connection
        if not self.identity:
            self.ended = end and not data
            connection.open(self)
            if self.ended or not self.identity:
                return
        self._unsent.append((data, end))
        self.pump()

    def pump(self) -> None:
        """Send as much of the body as there is and the windows allow."""
        connection, exchange = self.connection, self.exchange
        while self._unsent and connection.carries(self):
            data, end = self._unsent.popleft()
            room = connection.room_for_body(self.identity) if data else 0
            if data and not room:
                self._unsent.appendleft((data, end))
                return
            if len(data) > room:
                self._unsent.appendleft((data[room:], end))
                data, end = data[:room], False
            self.ended = end
            if data or end:
                connection.send_data(self.identity, data, end)
            exchange.consumed(len(data))

    def resume_reading(self) -> None:
        count, self.withheld = self.withheld, 0
        self._grant(count)

    def abort(self) -> None:
        self.connection.reset(self)

    def deliver(self, last: bool) -> None:
        """Pass on what one read has brought, in as few frames as possible. `last`: the response is complete."""
        pieces, self.pieces = self.pieces, []
        data = b"".join(piece.data for piece in pieces)
        if last:
            self.connection.finished(self)
            self.exchange.detach()
            self.exchange.give(data, True)
            return
        count = sum(piece.flow_controlled_length for piece in pieces)
        if self.exchange.give(data, False):
            self._grant(count)
        else:
            self.withheld += count

    def _grant(self, count: int) -> None:
        self._credit += count
        if self._credit >= WINDOW_BYTES // 4 and not self.exchange.over:
            self.connection.grant(self.identity, self._credit)
            self._credit = 0
