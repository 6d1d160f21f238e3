"""A request that leaves this process over HTTP, whatever the version: `ClientExchange`, and what carries one.

The carriers are an HTTP/1.1 connection (`router.egress.http1`) and a stream of an HTTP/2 connection
(`router.egress.http2`). Which one an exchange gets is decided in `router.egress.pool`.
"""

import asyncio
from typing import TYPE_CHECKING, Protocol

from router.egress.exchange import Exchange, Sender
from router.egress.headers import Fields, Request

if TYPE_CHECKING:
    from router.egress.http1 import Connection
    from router.egress.http2 import Http2Connection

IDLE_SECONDS = 30.0
"""How long an idle connection is kept: less than most servers keep it, so that requests seldom meet a closing one."""

SILENCE_SECONDS = 300.0
"""Without a byte in this time the other side is given up; the deadline of the app's own request is usually sooner."""

MAX_ATTEMPTS = 4
"""How often one request is sent at most, over connections that each turned out not to take it."""

_SAFE_TO_REPEAT = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class Carrier(Protocol):
    """What an exchange needs of the connection, or the stream, that it runs on."""

    def send_body(self, data: bytes, end: bool, head: bytes = b"") -> None:
        """Send a piece of the request's body, after `head` if it is the first."""

    def resume_reading(self) -> None:
        """Read on: what was read has gone to the host."""

    def abort(self) -> None:
        """Stop: nobody wants the response any more."""


class Home(Protocol):
    """What connections and exchanges need of the pool they belong to."""

    def attach(self, exchange: "ClientExchange") -> None:
        """Give `exchange` a carrier, at once if there is one."""

    def release(self, connection: "Connection") -> None:
        """Take back a connection whose exchange is over."""

    def forget(self, connection: "Connection | Http2Connection") -> None:
        """Drop a connection that is closed."""

    def retire(self, connection: "Http2Connection") -> None:
        """Give a connection no more exchanges: the server wants none, or it is used up."""

    def head(self, request: Request, request_id: bytes) -> bytes:
        """Return the head of the request as it goes over the wire in HTTP/1.1."""


class ClientExchange(Exchange):
    """A request that runs on a `Carrier`."""

    __slots__ = ("_answered", "_attempts", "_carrier", "_early", "_pool", "_whole", "request_id")

    def __init__(self, sender: Sender, stream: int, request: Request, request_id: bytes, pool: Home) -> None:
        super().__init__(sender, stream, request)
        self.request_id = request_id
        self._pool = pool
        self._carrier: Carrier | None = None
        self._early: list[tuple[bytes, bool]] = []
        self._whole: bytes | None = None
        """The body, if all of it came with the request."""
        self._answered = False
        self._attempts = 0

    @property
    def may_repeat(self) -> bool:
        """Whether the request can be sent again although the server may have seen it."""
        return self.never_seen_may_repeat and not self._whole and self.request.method in _SAFE_TO_REPEAT

    @property
    def never_seen_may_repeat(self) -> bool:
        """Whether the request can be sent again if the server has said that it did not process it."""
        return self._whole is not None and self._attempts < MAX_ATTEMPTS

    def start(self, data: bytes, end: bool) -> None:
        if end:
            self._whole = data
        self._early.append((data, end))
        self._pool.attach(self)

    def attached(self, carrier: Carrier, head: bytes = b"") -> None:
        """Send what there is of the request, `head` first."""
        self._carrier = carrier
        self._attempts += 1
        early, self._early = self._early, []
        for data, end in early:
            carrier.send_body(data, end, head)
            head = b""

    def again(self) -> None:
        """Send the request once more, on another carrier; only if one of the predicates above says so."""
        assert self._whole is not None
        self._carrier = None
        self._early = [(self._whole, True)]
        self._pool.attach(self)

    def detach(self) -> None:
        """The response was read in full, and the carrier is none of this exchange's from now on."""
        self._carrier = None
        self._answered = True

    def on_body(self, data: bytes, end: bool) -> None:
        if self._carrier is not None:
            self._carrier.send_body(data, end)
        elif self._answered:
            # Answered before the request was complete: the rest of it is of no interest.
            self.consumed(len(data))
        else:
            self._early.append((data, end))

    def on_drained(self) -> None:
        if self._carrier is not None:
            self._carrier.resume_reading()

    def on_cancel(self) -> None:
        if self._carrier is not None:
            self._carrier.abort()


class UpgradeExchange(ClientExchange):
    """A request that asks for another protocol on its connection, which is one of HTTP/1.1."""

    __slots__ = ()

    def switched(self, transport: asyncio.Transport, fields: Fields, rest: bytes) -> None:
        """The answer was 101 with these fields: take the connection over, `rest` was read of it already."""
        raise NotImplementedError
