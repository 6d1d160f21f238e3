"""A host's connection to the egress process: frames in, exchanges, frames out.

One per isolate host, so one per app build: it holds no connections that another app uses. What the app's hosts have
together, its limits above all, is in `router.egress.share`.
"""

import logging
from collections.abc import Callable, Iterable

from isolates.wire import END, HEADER, HEADER_BYTES, UPGRADE, Frame, FrameError, Type
from router.egress import headers
from router.egress.broadcast import BroadcastError, Channels
from router.egress.errors import EgressError
from router.egress.exchange import UNLIMITED, Exchange
from router.egress.headers import Request
from router.egress.pool import Pool
from router.egress.share import Share, Shares
from router.egress.upgrade import OutboundSocket, new_key
from router.host_connection import FramedConnection
from router.identity import IdentityError
from runtime import looking

log = logging.getLogger("router.egress")

MAX_WAITING = 1000
"""Requests of one host that wait for their turn, over `max_concurrent_subrequests`; above that they are refused."""

MAX_WAITING_BYTES = 16 << 20
"""Of their bodies, all together."""

UNHEARD_BYTES = 1 << 20
"""Bytes the host has not read yet above which it hears nothing of what other hosts of its app send."""

MAX_WEBSOCKETS = 10_000
"""Of one host. The app's own limit (`max_websockets`) is kept in the isolate; this one holds whatever happens there."""

UNREAD_SECONDS = 60.0
"""For a response of which the app takes no more, although there is more; its limit is called:"""
UNREAD = "subrequest_unread"

WAITING_SECONDS = 5.0
"""That a request has waited for its turn when the app's owner is told."""

FRAMES_PER_TURN = 8
"""Frames of one host that are looked at before others get their turn: half a millisecond, if all are requests."""

_REQUEST = int(Type.REQUEST)
_DATA = int(Type.DATA)
_CANCEL = int(Type.CANCEL)
_WINDOW = int(Type.WINDOW)
_IDENTIFY = int(Type.IDENTIFY)
_LIMIT = int(Type.LIMIT)
_SUBSCRIBE = int(Type.SUBSCRIBE)
_UNSUBSCRIBE = int(Type.UNSUBSCRIBE)
_BROADCAST = int(Type.BROADCAST)

Start = Callable[["HostConnection", int, Request, bytes], Exchange]
"""Makes the exchange for a stream's request with its request id, local or public."""

StartSocket = Callable[["HostConnection", int, Request, bytes], Exchange]
"""As `Start`, for a request that asks for a WebSocket."""


class Counters:
    """What `EgressStats` reports."""

    __slots__ = ("failed", "refused", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.refused = 0
        self.failed = 0


class HostConnection(FramedConnection):
    """One accepted connection. `on_close` is called with it when it is gone."""

    log = log

    def __init__(
        self,
        make: Start,
        make_socket: StartSocket,
        counters: Counters,
        shares: Shares,
        on_close: Callable[["HostConnection"], None],
        ticket_key: bytes,
        channels: "Channels[HostConnection]",
    ) -> None:
        self._active: set[int] = set()
        super().__init__(ticket_key, self._active)
        self._shares = shares
        self._channels = channels
        self._make = make
        self._make_socket = make_socket
        self._counters = counters
        self._on_close = on_close
        self._exchanges: dict[int, Exchange] = {}
        self._waiting: dict[int, list[tuple[bytes, bool]]] = {}
        self._waiting_bytes = 0
        self._first = 0
        """The stream that has waited longest, when time was last looked at."""
        self._first_since = 0.0
        self._most_bytes = UNLIMITED
        self._for_answers = looking.patience()
        """Of those whom this app calls: they may be far away."""
        self.share: Share | None = None
        """The app's, from the first frame on."""
        self.pool: Pool | None = None
        """Connections to the outside that were made for this host, if any; `on_close` closes them."""
        self.socket_pool: Pool | None = None
        """As `pool`, for WebSockets."""
        self.sockets: dict[int, OutboundSocket] = {}
        """WebSockets that are open: they are no requests any more."""
        self.choked = False
        """The host does not read as fast as it is sent to."""

    def __repr__(self) -> str:
        return f"<HostConnection of {self.app_id} [{len(self._active)} active, {len(self._waiting)} waiting]>"

    @property
    def in_flight(self) -> int:
        """Requests not yet answered in full."""
        return len(self._exchanges)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outbox.close()
        for stream, exchange in list(self._exchanges.items()):
            exchange.over = True
            if stream in self._active:
                exchange.on_cancel()
        share, self.share = self.share, None
        if share is not None:
            for _ in self._active:
                share.release()
            self._shares.leave(self.identity.app_id, self)
            self._channels.leave(self.identity.app_id, self)
        self._exchanges.clear()
        self._active.clear()
        self._waiting.clear()
        self._frames.clear()
        for socket in list(self.sockets.values()):
            socket.host_gone()
        self._on_close(self)

    def pause_writing(self) -> None:
        self.choked = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.choked = False
        if self._transport is not None and not self._frames:
            self._transport.resume_reading()
        for socket in list(self.sockets.values()):
            socket.connection.pump()

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._reader.feed(data)
        except FrameError as error:
            self._broken(error)
            return
        if self._frames or len(frames) > FRAMES_PER_TURN:
            begun = bool(self._frames)
            self._frames += frames
            if not begun:
                self._read_on()
        else:
            self._read(frames)
        self._lookout.wait(self._for_answers, len(self._active))

    def _read(self, frames: Iterable[Frame]) -> None:
        try:
            for stream, kind, flags, status, head, body in frames:
                if self.share is None or kind == _IDENTIFY:
                    self._join(kind, body)
                elif kind == _REQUEST:
                    self._requested(stream, head, body, flags)
                elif kind >= _SUBSCRIBE:
                    self._broadcast(kind, stream, body)
                elif (exchange := self._exchanges.get(stream)) is None:
                    if (socket := self.sockets.get(stream)) is not None:
                        socket.on_frame(kind, flags, status, body)
                elif kind == _DATA:
                    self._body(exchange, body, bool(flags & END))
                elif kind == _WINDOW:
                    exchange.take_window(int.from_bytes(body[:4], "little"))
                elif kind == _CANCEL:
                    self._cancelled(exchange)
        except (FrameError, IdentityError, BroadcastError) as error:
            self._broken(error)

    def _read_on(self) -> None:
        """Look at frames in portions, so that an app with very many holds up no other."""
        frames = self._frames
        self._read([frames.popleft() for _ in range(min(len(frames), FRAMES_PER_TURN))])
        if self._transport is None:
            return
        if frames:
            self._transport.pause_reading()
            self._backlog.add(self._read_on)
        elif not self.choked:
            self._transport.resume_reading()

    def finished(self, exchange: Exchange, error: EgressError | None) -> None:
        """Forget an exchange that is over, count how it went, and let the next one begin."""
        if error is not None:
            self._count(error)
        self._forget(exchange)

    def _count(self, error: EgressError) -> None:
        if error.is_refusal:
            self._counters.refused += 1
        else:
            self._counters.failed += 1

    def _join(self, kind: int, ticket: bytes) -> None:
        self._identify(kind, ticket)
        self.share = self._shares.join(self.identity.app_id, self.identity.limits)
        self._most_bytes = self.identity.limits.megabytes << 20 or UNLIMITED

    def _give_up_late(self, now: float) -> None:
        """End requests that are over the time they may take, and those whose response the app does not read: one that
        forgot to would have all its turns taken.
        """
        if not self._active:
            return
        milliseconds = self.identity.limits.milliseconds
        for exchange in [self._exchanges[stream] for stream in self._active]:
            if milliseconds and exchange.began < now - milliseconds / 1000:
                text = f"the request took longer than the limit subrequest_ms = {milliseconds}"
                exchange.abandon(EgressError("limit", text, "subrequest_ms"))
            elif exchange.unread_for(now) > UNREAD_SECONDS:
                text = f"the response was not read for {UNREAD_SECONDS:.0f} s (limit {UNREAD})"
                exchange.abandon(EgressError("limit", text, UNREAD))

    def _tell_waiting(self, now: float) -> None:
        """Let the app's owner know of requests that wait for long: perhaps nobody reads the others' responses."""
        first = next(iter(self._waiting), 0)
        if first != self._first or not first:
            self._first, self._first_since = first, now
        elif now - self._first_since > WAITING_SECONDS:
            self._first_since = now
            limit = "max_concurrent_subrequests"
            text = f"waiting for other requests to end, whose bodies may be unread; {len(self._waiting)} wait"
            head = f"{limit}\n{text} (limit {limit} = {self.identity.limits.concurrent})".encode()
            self.send(HEADER.pack(HEADER_BYTES + len(head), first, _LIMIT, 0, 0, len(head)) + head)

    def _broadcast(self, kind: int, number: int, data: bytes) -> None:
        channels, app_id, now = self._channels, self.identity.app_id, self._loop.time()
        if kind == _SUBSCRIBE:
            channels.subscribe(app_id, self, number, data, now)
        elif kind == _UNSUBSCRIBE:
            channels.unsubscribe(app_id, self, number)
        elif kind == _BROADCAST:
            for host, its_number in channels.receivers(app_id, self, number, len(data), now):
                host.hear(its_number, data)

    def hear(self, number: int, data: bytes) -> None:
        """Pass on what another host of the app sent, unless this one does not read."""
        if self._transport is None or self._transport.get_write_buffer_size() > UNHEARD_BYTES:
            self._channels.missed(self, number)
            return
        missed = self._channels.take_missed(self, number)
        self.send(HEADER.pack(HEADER_BYTES + len(data), number, _BROADCAST, END, missed, 0) + data)

    def check_time(self, now: float) -> None:
        """Look after requests that take too long and WebSockets whose other side is silent, about once a second.

        `now` is the loop's time.
        """
        self._give_up_late(now)
        self._tell_waiting(now)
        for socket in list(self.sockets.values()):
            socket.connection.check_time(now)

    def _requested(self, stream: int, head: bytes, body: bytes, flags: int) -> None:
        self._counters.requests += 1
        if stream in self._exchanges or stream in self.sockets:
            raise FrameError(f"stream {stream} was opened twice")
        make, end = self._make, bool(flags & END)
        try:
            if flags & UPGRADE:
                request, request_id = headers.upgrade_request(head, new_key())
                make, end = self._make_socket, True
                if len(self.sockets) >= MAX_WEBSOCKETS:
                    text = f"too many WebSockets are open, {MAX_WEBSOCKETS} may be"
                    raise EgressError("limit", text, "max_websockets")
            else:
                request, request_id = headers.request(head, body, end)
        except EgressError as error:
            self._refuse(stream, error)
            return
        assert self.share is not None
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + len(body) > MAX_WAITING_BYTES:
            self._refuse(stream, self._too_many())
            return
        exchange = make(self, stream, request, request_id)
        self._exchanges[stream] = exchange
        exchange.most_bytes = self._most_bytes
        share = self.share
        if share.active < share.room and not self._waiting:
            share.active += 1
            self._active.add(stream)
            exchange.began = self._loop.time()
            exchange.begin(body, end)
        else:
            self._waiting[stream] = [(body, end)]
            self._waiting_bytes += len(body)
            self.share.wait(self)

    def _too_many(self) -> EgressError:
        most = self.identity.limits.concurrent
        text = f"too many requests wait already, over the limit max_concurrent_subrequests = {most}"
        return EgressError("limit", text, "max_concurrent_subrequests")

    def _body(self, exchange: Exchange, data: bytes, end: bool) -> None:
        pieces = self._waiting.get(exchange.stream)
        if pieces is None:
            exchange.take_body(data, end)
            return
        pieces.append((data, end))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            exchange.refuse(self._too_many())

    def begin_next(self) -> bool:
        """Begin the request that has waited longest; False: none waits any more."""
        if self._waiting:
            stream = next(iter(self._waiting))
            (body, end), *more = self._take_waiting(stream)
            exchange = self._exchanges[stream]
            assert self.share is not None
            self.share.active += 1
            self._active.add(stream)
            exchange.began = self._loop.time()
            exchange.begin(body, end)
            for body, end in more:
                if not exchange.over:
                    exchange.take_body(body, end)
        return bool(self._waiting)

    def _take_waiting(self, stream: int) -> list[tuple[bytes, bool]]:
        pieces = self._waiting.pop(stream)
        self._waiting_bytes -= sum(len(data) for data, _ in pieces)
        return pieces

    def _refuse(self, stream: int, error: EgressError) -> None:
        self._count(error)
        head = error.fields(error.code)
        length = HEADER_BYTES + len(head)
        self.send(HEADER.pack(length, stream, int(Type.REFUSE), 0, 502, len(head)) + head)

    def _cancelled(self, exchange: Exchange) -> None:
        exchange.over = True
        if exchange.stream in self._active:
            exchange.on_cancel()
        self._forget(exchange)

    def _forget(self, exchange: Exchange) -> None:
        stream = exchange.stream
        self._exchanges.pop(stream, None)
        if stream in self._active:
            self._active.remove(stream)
            if self.share is not None:
                self.share.release()
        elif stream in self._waiting:
            self._take_waiting(stream)
