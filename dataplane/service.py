"""What a database worker does with calls: streams, turns to write, waiting. The I/O is in `dataplane.worker`.

Only the leader calls in here. `handle` and `proceed` run SQL and return False when the lead was lost meanwhile; the
caller must then touch nothing any more.
"""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from dataplane import leftovers, wire
from dataplane.admission import Admission
from dataplane.calls import Call
from dataplane.decoding import LARGE_PROTOBUF_BYTES, Decoding
from dataplane.endings import Ending
from dataplane.errors import HttpError
from dataplane.execution import Need
from dataplane.formats import DECODE_ERRORS, JSON, PROTOBUF
from dataplane.incoming import LargeMessage
from dataplane.lead import SLICE_SECONDS, Lead
from dataplane.limits import Limits
from dataplane.paused import Paused
from dataplane.peers import Peer
from dataplane.reports import Reports
from dataplane.requests import decoding_of, work_of, work_of_decoded
from dataplane.sessions import VIOLATION, Session, SocketStream
from dataplane.streams import Stream
from dataplane.syncs import Syncs
from dataplane.turns import Turns

GOING_AWAY = 1012
MAX_ASIDE_PER_DATABASE = 16
"""Slow statements of one database at a time; more wait, so that they cannot take all threads of the worker."""
log = logging.getLogger("brrrd.dataplane")
_HELD = object()
"""The call cannot go on now, for its database has too many that are slow."""
_MOST_HEADS = 10_000
_read_head = msgspec.msgpack.Decoder(wire.CallHead).decode


class Service:
    """All databases, streams and calls of the process."""

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits,
        give_away: Callable[[int], int | None],
        on_aside_done: Callable[[], None],
    ) -> None:
        self._limits = limits
        self.lead = Lead(give_away)
        self._on_aside_done = on_aside_done
        self.admission = Admission(directory, limits, self.lead)
        self.streams = self.admission.streams
        self.databases = self.admission.databases
        self.reports = Reports(directory, self.admission)
        self.running: set[Call] = set()
        self._ready: deque[Call] = deque()
        self._returned: deque[tuple[Call, Any]] = deque()
        """Calls whose work ran aside, and what came of it; the only thing that other threads append to."""
        self._paused = Paused()
        self._decodings: dict[Call, Decoding] = {}
        """Of the paused calls whose bodies, or messages, are large and not decoded yet; they have no stream."""
        self._durable: deque[tuple[Call, Any]] = deque()
        """Calls whose commits are on the disk, and what to go on with."""
        self._syncs = Syncs(on_aside_done)
        self.turns = Turns(self._ready.append)
        self._heads: dict[bytes, wire.CallHead] = {}
        self.sessions: set[Session] = set()
        self._sockets_ready: deque[SocketStream] = deque()

    def __repr__(self) -> str:
        return f"<Service {len(self.databases)} databases, {self.streams!r}, {len(self.running)} calls>"

    @property
    def active(self) -> bool:
        """There is something that `dataplane.enforcement` has to look after."""
        return bool(self.databases or self.reports.changed)

    @property
    def drained(self) -> bool:
        """No call is being answered."""
        return not self.running

    # Frames

    def handle(self, peer: Peer, frame: wire.Frame) -> bool:
        """Take one frame; False if the lead was lost."""
        if frame.type == wire.Type.CALL:
            number, _, flags, route, head_bytes, data = frame
            head = self._heads.get(head_bytes) or self._decode_head(head_bytes)
            if route in wire.SOCKETS:
                self._open_session(peer, frame, head)
                return True
            call = peer.calls[number] = Call(peer, number, route, head, data)
            return self._start(call) if flags & wire.END else True
        if frame.type == wire.Type.CANCEL:
            peer.outbox.drop(frame.call)  # whose answer may be complete, and the call over, except for that
        known = peer.calls.get(frame.call)
        if known is None:
            return True
        if isinstance(known, Session):
            self.reports.changed = True
            known.handle(frame)
        elif frame.type == wire.Type.DATA:
            known.receive(frame.data)
            return self._start(known) if frame.flags & wire.END else True
        elif frame.type == wire.Type.WINDOW:
            known.credit += wire.window_bytes(frame)
            self._send_chunks(known)
        elif frame.type == wire.Type.CANCEL:
            self.cancel(known)
        return True

    def _decode_head(self, data: bytes) -> wire.CallHead:
        """Decode the head of a call, and remember it: the edge writes the same one for every call to a database."""
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        head = self._heads[data] = _read_head(data)
        return head

    def _open_session(self, peer: Peer, frame: wire.Frame, head: wire.CallHead) -> None:
        form = JSON if frame.code == wire.Route.SOCKET_JSON else PROTOBUF
        others = sum(session.head.database_id == head.database_id for session in self.sessions if not session.closed)
        stored = self.admission.stored_sql.of(head.database_id)
        session = Session(self, peer, frame.call, head, form, frame.data[0], stored)
        peer.calls[frame.call] = session
        self.sessions.add(session)
        if others >= self._limits.with_own(head.limits).max_websockets:
            session.fail(VIOLATION, f"The database has {others} open WebSockets, the limit: close those not in use")
        if self.admission.draining:
            session.fail(GOING_AWAY, "The database is restarting; try again")

    def disconnected(self, peer: Peer) -> None:
        """An edge worker, or the egress process, is gone: nobody waits for its calls."""
        peer.closed = True
        for call in list(peer.calls.values()):
            if isinstance(call, Session):
                call.close()
            else:
                self.cancel(call)

    def proceed(self) -> bool:
        """Go on with calls that can; False if the lead was lost."""
        while self._proceed_once():
            if not self._ready:
                return True
            # What has ended meanwhile has left something to be ended.
        return False

    def _proceed_once(self) -> bool:
        while self._returned:
            call, outcome = self._returned.popleft()
            call.aside = False
            self._came_back(call)
            if not self._settle(call, outcome):
                return False
        while self._ready:
            call = self._ready.popleft()
            if call in self.running and not self._settle(call, self._advance(call)):
                return False
        self._durable.extend(self._syncs.ended())
        while self._durable:
            call, outcome = self._durable.popleft()
            self._deliver(call, outcome)
        while self._sockets_ready:
            if not self._sockets_ready.popleft().start_next():
                return False
        return True

    def sync(self) -> bool:
        """Begin to make commits durable, whatever has come together; True if there is something to go on with."""
        # Alone: nobody else is served right now, and waiting here spares the way to another thread and back.
        return self._syncs.begin(alone=len(self.running) == 1)

    def resume(self) -> bool:
        """Give one paused call a slice, and another one to freeing; False if the lead was lost."""
        if leftovers.left:
            leftovers.free(SLICE_SECONDS)
        if not self._paused:
            return True
        call = self._paused.next()
        if call.stream is None:
            return self._decode(call)
        return self._settle(call, self._advance(call))

    @property
    def paused(self) -> bool:
        """There is something for `resume`."""
        return bool(self._paused or leftovers.left)

    # Calls

    def _start(self, call: Call) -> bool:
        """The body is complete: find the stream and begin."""
        self.running.add(call)
        call.began = monotonic()
        self.reports.changed = True
        body = call.body
        if not isinstance(body, bytes):
            body = body.getvalue()
        call.body = b""
        call.received = len(body)
        if call.received > LARGE_PROTOBUF_BYTES and (decoding := decoding_of(call, body)) is not None:
            self.decode(call, decoding)
            return True
        try:
            call.work = work_of(call, body, self.admission)
        except (HttpError, *DECODE_ERRORS) as error:
            self._refuse_body(call, error)
            return True
        return self._settle(call, self._advance(call))

    def decode(self, call: Call, decoding: Decoding) -> None:
        """Decode a large body, or a large message of a session, in slices."""
        self.running.add(call)
        self._decodings[call] = decoding
        self._paused.add(call)

    def _decode(self, call: Call) -> bool:
        """Decode a slice; after the last one find the stream and begin, or have the session do so."""
        decoding = self._decodings[call]
        if not decoding.go_on(SLICE_SECONDS):
            self._paused.add(call)
            return True
        del self._decodings[call]
        if isinstance(call, LargeMessage):
            self._end(call)
            call.decoded(decoding)
            return True
        try:
            call.work = work_of_decoded(call, decoding.result(), self.admission)
        except (HttpError, *DECODE_ERRORS) as error:
            self._refuse_body(call, error)
            return True
        return self._settle(call, self._advance(call))

    def _refuse_body(self, call: Call, error: Exception) -> None:
        if not isinstance(error, HttpError):
            error = HttpError(400, "PROTOCOL_ERROR", f"Cannot decode the request: {error}")
        self._refuse(call, error)

    def open_stream(self, head: wire.CallHead) -> Stream:
        """Make a stream for a session. Raises `HttpError`."""
        return self.admission.open(head)

    def _advance(self, call: Call, *, anew: bool = True) -> Any:
        """Run the call's work to its next need, in a new slice if `anew`; return that need, `StopIteration` at the end,
        or what went wrong.
        """
        assert call.work is not None and call.stream is not None
        if call.stream.database.aside >= MAX_ASIDE_PER_DATABASE:
            return _HELD
        self.lead.begin(call, anew=anew)
        outcome: Any
        try:
            outcome = next(call.work)
        except (StopIteration, HttpError) as end:
            # Without its traceback, which has this frame and so `outcome`: in such a cycle the answer, of megabytes
            # perhaps, would wait for the collector.
            outcome = end.with_traceback(None)
        except Exception:  # the room's door: one call fails, logged, and the others go on
            log.exception("a call failed on database %s", call.head.database_id)
            outcome = HttpError(500, "INTERNAL_ERROR", "The database worker failed on this request")
        if self.lead.end(call):
            return outcome
        self._returned.append((call, outcome))
        self._on_aside_done()
        return None

    def _settle(self, call: Call, outcome: Any) -> bool:
        """Give the call what it needs and go on with it as far as possible; False if the lead was lost."""
        stream = call.stream
        assert stream is not None
        while type(outcome) is Need:
            if call.cancelled:
                self._end(call)
                return True
            if outcome is Need.PAUSE:
                self._paused.add(call)
                return True
            if outcome is Need.NO_TURN:
                self.turns.give_back(stream)
            elif not self.turns.ask(call):
                return True
            # Nobody else was served meanwhile: its slice does not begin again.
            outcome = self._advance(call, anew=False)
        if outcome is None:
            return False
        if outcome is _HELD:
            if call.cancelled:
                self._end(call)
            else:
                stream.database.held.append(call)
        elif stream.unsynced or stream.committing:
            self._wait_for_disk(call, outcome)
        else:
            self._deliver(call, outcome)
        return True

    def _wait_for_disk(self, call: Call, outcome: Any) -> None:
        """No byte of an answer leaves before the commit that it may tell of is durable."""
        stream = call.stream
        assert stream is not None
        self._syncs.wait(stream.database, call, outcome)
        if isinstance(outcome, StopIteration):
            if stream.closing:
                if not stream.leaves_something:
                    self._give_connection_back(stream)
            elif call.let_go(outcome.value):
                self._count(call)

    def _deliver(self, call: Call, outcome: bytes | StopIteration | HttpError) -> None:
        """Send what the call has made, all or a piece of its answer."""
        if isinstance(outcome, bytes):
            if call.cancelled:
                self._end(call)
                return
            call.chunks.append(outcome)
            self._send_chunks(call, resume=False)
            if call.chunks:
                call.parked_since = monotonic()
            else:
                self._paused.add(call)
        elif isinstance(outcome, HttpError):
            assert call.stream is not None
            call.stream.closing = True
            self._refuse(call, outcome)
        else:
            call.finish(outcome.value)
            self._end(call)

    def _came_back(self, call: Call) -> None:
        """The call has left its own thread: others of its database may go on, until one of them needs one."""
        assert call.stream is not None
        call.stream.came_back()
        database = call.stream.database
        database.aside -= 1
        self._ready.extend(database.held)
        database.held.clear()

    def _send_chunks(self, call: Call, *, resume: bool = True) -> None:
        while call.chunks and call.credit > 0:
            call.send(call.chunks.popleft(), last=False)
        if resume and call.parked_since is not None and not call.chunks:
            call.parked_since = None
            self._ready.append(call)

    def _refuse(self, call: Call, error: HttpError) -> None:
        call.refuse(error)
        self._end(call)

    def cancel(self, call: Call) -> None:
        """Nobody waits for the answer: end its stream, whose next baton would reach nobody."""
        stream = call.stream
        if stream is not None and stream.ending:
            return
        call.cancelled = True
        if stream is None:
            # More of its body was to come, or to be decoded.
            if (decoding := self._decodings.pop(call, None)) is not None:
                decoding.abandon()
                self._paused.remove(call)
            self.running.discard(call)
            call.ended()
            return
        stream.closing = True
        if call.aside:
            stream.stop = "The client went away"
            stream.enforce(monotonic())
        elif self.turns.waits(call) or call.parked_since is not None:
            self._end(call)
        else:
            # Between two slices. What is being settled this very moment ends when that is done.
            waits = call in stream.database.held
            if waits:
                stream.database.held.remove(call)
            if self._paused.remove(call) or waits:
                self._end(call)

    def _end(self, call: Call) -> None:
        """The call is over."""
        self.running.discard(call)
        stream = call.stream
        if stream is None:
            call.ended()
            return
        self.turns.leave(call)
        if call.cancelled and call.work is not None:
            stream.left.append(call.work)
        stream.calls -= 1
        if not stream.calls:
            self._count(call)
        stream.last_used = stream.database.last_used = monotonic()
        if stream.closing or call.cancelled:
            self.close_stream(stream)
        call.ended()

    def _count(self, call: Call) -> None:
        """Take what the call has used into account. Not while another call of its stream may be running."""
        stream = call.stream
        assert stream is not None
        stream.database.usage.take(stream, call.received, call.sent)
        self.reports.use(stream.database)

    # Sessions

    def begin(self, call: Call) -> bool:
        """Run a call of a session; False if the lead was lost."""
        stream = call.stream
        assert stream is not None
        stream.calls += 1
        self.running.add(call)
        call.began = monotonic()
        self.reports.changed = True
        return self._settle(call, self._advance(call))

    def ready(self, stream: SocketStream) -> None:
        """A session's stream has a request that can be begun."""
        self._sockets_ready.append(stream)

    # Streams

    @staticmethod
    def _give_connection_back(stream: Stream) -> None:
        """Let another stream use the connection: this one runs no statement any more."""
        if stream.connection is not None:
            connection, stream.connection = stream.connection, None
            stream.database.put_back(connection, read_only=stream.read_only)

    def close_stream(self, stream: Stream) -> None:
        """Roll back, give the turn and the connection back: when nothing is being answered on it any more."""
        if stream.calls:
            stream.closing = True
            return
        if stream.leaves_something:
            self._end_beside(stream)
            return
        self.streams.remove(stream)
        stream.forget_stored()
        database = stream.database
        if stream.queries or stream.rows_read:
            database.usage.take(stream, 0, 0)  # of a cursor that ended with its connection
            self.reports.use(database)
        if database.writers.holder is not None:
            self.turns.give_back(stream)
        self._give_connection_back(stream)
        database.streams -= 1
        if database.on_closed is not None and not database.streams:
            database.on_closed()

    def _end_beside(self, stream: Stream) -> None:
        """Close `stream` when what it leaves has been ended, which holds up nobody."""
        stream.calls, stream.closing, stream.ending = 1, True, True
        ending = Ending(stream)
        self.running.add(ending)
        self._ready.append(ending)

    def abort(self, call: Call) -> None:
        """End a call from this side; its client sees a truncated or failed answer."""
        call.abort()
        self.cancel(call)
