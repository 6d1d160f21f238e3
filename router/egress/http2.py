"""HTTP/2 connections (RFC 9113): a thin asyncio shell around the library h2, which keeps the protocol's state.

One `Http2Connection` carries many exchanges of one app to one origin, each on an `Http2Stream`. Flow control is the
ring's: a stream's window opens as the host takes what was received, so that one slow reader holds up nobody else; the
connection's own window never runs dry before the streams' windows do.

The server may be hostile. h2 bounds header blocks and CONTINUATION frames. Here are bounded: frames that carry nothing
(`MAX_IDLE_FRAMES`), and time spent on floods of small frames, which other apps' exchanges in this process would pay for
(`FRAMES_PER_TURN`, `Pace`). Called by `router.egress.pool`; must never be shared by two apps.
"""

import asyncio
from collections.abc import Hashable
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings

from isolates.wire import MAX_HEAD_BYTES, WINDOW_BYTES
from router.egress.client import IDLE_SECONDS, SILENCE_SECONDS, ClientExchange, Home
from router.egress.errors import EgressError
from router.egress.frames import FrameBuffer, is_idle, last_stream_of_goaway
from router.egress.headers import HOP_BY_HOP, public_fields
from router.egress.http2_stream import Http2Stream
from router.egress.pace import Pace

MAX_STREAMS = 100
"""Exchanges on one connection at once, or fewer if the server says so."""

MAX_STREAMS_EVER = 50_000
"""Exchanges on one connection over its life; another one is opened then."""

CONNECTION_WINDOW_BYTES = MAX_STREAMS * WINDOW_BYTES + (16 << 20)
CONNECTION_CREDIT_BYTES = 8 << 20

FRAMES_PER_TURN = 200
"""Frames of one connection that are read before others get their turn; about 3 ms, or 3 MB of large ones."""

MAX_IDLE_FRAMES = 1000
"""Frames in a row that neither bring nor fetch anything: PING, SETTINGS, empty DATA, interim responses and the like."""

_SETTINGS = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
    SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
}
_UNSEEN = frozenset((ErrorCodes.REFUSED_STREAM,))


class Http2Connection(asyncio.Protocol):
    """One connection. `room` tells whether it takes another exchange."""

    def __init__(self, pool: Home, key: Hashable, pace: Pace) -> None:
        self.key = key
        self._pool = pool
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._frames = FrameBuffer()
        self._streams: dict[int, Http2Stream] = {}
        self._opened = 0
        self._closing = False
        self._received = 0
        self._idle_frames = 0
        self._write_paused = False
        self._flush_due = False
        self._waits = False
        """The rest of what was read is looked at in a later turn."""
        self._last_active = self._loop.time()
        self.settled: asyncio.Future[None] = self._loop.create_future()
        """Done when the server has said how many streams it takes, or the connection is gone: more than one may run."""

    def __repr__(self) -> str:
        return f"<Http2Connection [{len(self._streams)} streams]{' closing' if self._closing else ''}>"

    @property
    def room(self) -> bool:
        """Whether another exchange can run on it now."""
        if self._closing or self._transport is None or self._transport.is_closing():
            return False
        most = min(MAX_STREAMS, self._h2.remote_settings.max_concurrent_streams) if self.settled.done() else 1
        return len(self._streams) < most

    @property
    def busy(self) -> bool:
        """Whether an exchange runs on it."""
        return bool(self._streams)

    def idle_expired(self, now: float) -> bool:
        """Tell whether it has been idle for longer than it may."""
        return not self._streams and now - self._last_active > IDLE_SECONDS

    def silent(self, now: float) -> bool:
        """Tell whether the other side has said and taken nothing for too long."""
        waits_for_host = any(stream.withheld for stream in self._streams.values())
        return bool(self._streams) and now - self._last_active > SILENCE_SECONDS and not waits_for_host

    def run(self, exchange: ClientExchange) -> None:
        """Send the request of `exchange` and pass its response on."""
        self._last_active = self._loop.time()
        exchange.attached(Http2Stream(self, exchange))

    def give_up(self, error: EgressError) -> None:
        """End all exchanges with `error` and close."""
        streams = self._take_streams()
        if self._transport is not None:
            self._transport.abort()
        for stream in streams:
            stream.exchange.refuse(error)

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None and not self._transport.is_closing():
            self._h2.close_connection()
            self._flush()
            self._transport.close()

    # For streams

    def open(self, stream: Http2Stream) -> None:
        """Send the head of the stream's request."""
        exchange = stream.exchange
        try:
            identity = self._h2.get_next_available_stream_id()
            self._h2.send_headers(identity, public_fields(exchange.request), end_stream=stream.ended)
        except H2Error as error:
            # Fields are checked before; what h2 finds beyond that is the request's fault and not the connection's.
            exchange.refuse(EgressError("protocol", f"the request cannot be sent as HTTP/2: {error}"))
            return
        stream.identity = identity
        self._streams[identity] = stream
        self._opened += 1
        if self._opened >= MAX_STREAMS_EVER:
            self._retire()
        self._flush_soon()

    def carries(self, stream: Http2Stream) -> bool:
        """Whether a stream is open."""
        return stream.identity in self._streams

    def room_for_body(self, identity: int) -> int:
        """Return how many bytes of body may be sent on an open stream now."""
        if self._write_paused:
            return 0
        return min(self._h2.local_flow_control_window(identity), self._h2.max_outbound_frame_size)

    def send_data(self, identity: int, data: bytes, end: bool) -> None:
        """Send a piece of body that there is room for."""
        self._idle_frames = 0
        self._h2.send_data(identity, data, end_stream=end)
        self._flush_soon()

    def grant(self, identity: int, count: int) -> None:
        """Let the server send `count` more bytes on a stream."""
        if identity in self._streams:
            self._last_active = self._loop.time()
            self._h2.increment_flow_control_window(count, identity)
            self._flush_soon()

    def reset(self, stream: Http2Stream) -> None:
        """Tell the server to stop work on a stream that is not over."""
        if self._streams.pop(stream.identity, None) is not None:
            self._h2.reset_stream(stream.identity, ErrorCodes.CANCEL)
            self._flush_soon()
            self._close_if_done()

    def finished(self, stream: Http2Stream) -> None:
        """The response was read in full; a request that is not sent in full yet ends here."""
        if stream.ended:
            self._streams.pop(stream.identity, None)
            self._close_if_done()
        else:
            self.reset(stream)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._h2.local_settings = Settings(client=True, initial_values=_SETTINGS)
        self._h2.decoder.max_header_list_size = MAX_HEAD_BYTES
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - self._h2.inbound_flow_control_window)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._settle()
        for stream in self._take_streams():
            self._lost(stream)
        self._pool.forget(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._last_active = self._loop.time()
        self._pump_all()

    def data_received(self, data: bytes) -> None:
        self._last_active = self._loop.time()
        self._frames.feed(data)
        if not self._waits:
            self._read()

    def _read(self) -> None:
        """Look at the frames that have arrived, in portions."""
        self._waits = False
        touched: dict[int, Http2Stream] = {}
        left = FRAMES_PER_TURN
        try:
            while left and (frame := self._frames.take()) is not None:
                left -= 1
                if is_idle(frame):
                    self._count_idle()
                if (last := last_stream_of_goaway(frame)) is not None:
                    self._going_away(last)
                    continue
                for event in self._h2.receive_data(frame):
                    self._on_event(event, touched)
        except H2Error as error:
            self._broken(error)
            return
        for stream in touched.values():
            if stream.identity in self._streams:
                stream.deliver(False)
        self._flush()
        if not left and self._transport is not None:
            self._waits = True
            self._transport.pause_reading()
            self._loop.call_later(self._pace.next_turn(self._loop.time()), self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._read()

    def _count_idle(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > MAX_IDLE_FRAMES:
            raise ProtocolError("too many frames without content")

    def _on_event(self, event: Event, touched: dict[int, Http2Stream]) -> None:
        if isinstance(event, DataReceived):
            self._on_data(event, touched)
        elif isinstance(event, ResponseReceived):
            self._on_response(event, touched)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.deliver(True)
        elif isinstance(event, StreamReset):
            self._on_reset(event)
        elif isinstance(event, WindowUpdated) and event.stream_id:
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.pump()
        elif isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
            self._settle()
            self._pump_all()
        elif isinstance(event, InformationalResponseReceived):
            self._count_idle()

    def _on_response(self, event: ResponseReceived, touched: dict[int, Http2Stream]) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        self._idle_frames = 0
        fields = event.headers
        status = int(next(value for name, value in fields if name == b":status"))
        kept = [(bytes(name), bytes(value)) for name, value in fields if name[:1] != b":" and name not in HOP_BY_HOP]
        stream.responded = True
        stream.exchange.respond(status, b"", kept)
        touched[event.stream_id] = stream

    def _on_data(self, event: DataReceived, touched: dict[int, Http2Stream]) -> None:
        count = event.flow_controlled_length
        self._received += count
        if self._received >= CONNECTION_CREDIT_BYTES:
            self._h2.increment_flow_control_window(self._received)
            self._received = 0
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        if event.data:
            self._idle_frames = 0
        else:
            self._count_idle()
        stream.pieces.append(event)
        touched[event.stream_id] = stream

    def _on_reset(self, event: StreamReset) -> None:
        stream = self._streams.pop(event.stream_id, None)
        if stream is None:
            return
        exchange = stream.exchange
        if event.error_code in _UNSEEN and not stream.responded and exchange.never_seen_may_repeat:
            exchange.again()
        else:
            host, code = exchange.request.destination.host, _name(event.error_code)
            exchange.refuse(EgressError("connect", f"{host} broke the response off: {code}"))
        self._close_if_done()

    def _going_away(self, last: int) -> None:
        """The server takes no more requests on this connection; it has not seen those after `last`."""
        self._retire()
        unseen = [identity for identity in self._streams if identity > last]
        for stream in [self._streams.pop(identity) for identity in unseen]:
            if stream.exchange.never_seen_may_repeat:
                stream.exchange.again()
            else:
                host = stream.exchange.request.destination.host
                stream.exchange.refuse(EgressError("connect", f"{host} takes no more requests on this connection"))
        self._close_if_done()

    def _lost(self, stream: Http2Stream) -> None:
        """The connection closed under an exchange."""
        exchange = stream.exchange
        if exchange.over:
            return
        if not stream.responded and self._opened > 1 and exchange.may_repeat:
            exchange.again()
        else:
            host = exchange.request.destination.host
            exchange.refuse(EgressError("connect", f"{host} closed the connection before its response was complete"))

    def _broken(self, error: H2Error) -> None:
        """The server broke the protocol; h2 has prepared a GOAWAY that says so."""
        self._flush()
        hosts = {stream.exchange.request.destination.host for stream in self._streams.values()}
        self.give_up(EgressError("protocol", f"{', '.join(hosts)} gave no valid HTTP/2 response: {str(error)[:200]}"))

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def _retire(self) -> None:
        if not self._closing:
            self._closing = True
            self._pool.retire(self)

    def _close_if_done(self) -> None:
        self._last_active = self._loop.time()
        if self._closing and not self._streams:
            self.close()

    def _take_streams(self) -> list[Http2Stream]:
        self._retire()
        streams, self._streams = list(self._streams.values()), {}
        return streams

    def _pump_all(self) -> None:
        for stream in list(self._streams.values()):
            stream.pump()

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        data = self._h2.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)


def _name(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)
