"""Hrana over WebSocket at the database worker: one session per connection, with streams that the client numbers.

The edge passes messages on as they came (`dataplane.wire`, routes SOCKET_…) and sends what it gets. Requests of one
stream run in their order, those of different streams side by side, each as a call of its own (`SocketCall`) of
`dataplane.service`. Streams of a session do not expire while the connection lives. Only the leader calls in here.
"""

from collections import deque
from collections.abc import Generator
from typing import Any, Protocol

from dataplane import answers, hrana, wire
from dataplane.blocks import Body
from dataplane.calls import Call
from dataplane.cursors import SocketCursor, check_batch
from dataplane.decoding import Decoding
from dataplane.errors import HttpError, SqlError, protocol_error
from dataplane.execution import Need, Work
from dataplane.formats import Format
from dataplane.incoming import Incoming
from dataplane.peers import Peer
from dataplane.stored_sql import StoredSql, StoredTotal
from dataplane.streams import Stream

VIOLATION = 1008
"""Close code, as libsql-server has it."""
MAX_STREAMS = 500
MAX_CURSORS = 500
MAX_AHEAD = 32
"""Calls of one stream that wait for the disk while the next one runs."""
MAX_AHEAD_BYTES = 4096
"""The answer of each of them: more is kept of one call only."""
CURSOR_STALL_SECONDS = 30.0
"""A cursor from which nothing is fetched for so long is ended: it holds a snapshot, and with it the WAL."""


class Streams(Protocol):
    """What the service does for sessions."""

    def open_stream(self, head: wire.CallHead) -> Stream:
        """Raises `HttpError`."""

    def close_stream(self, stream: Stream) -> None: ...

    def ready(self, stream: "SocketStream") -> None:
        """`SocketStream.start_next` is to be called soon."""

    def begin(self, call: Call) -> bool:
        """Run a call; False if the lead was lost."""

    def decode(self, call: Call, decoding: Decoding) -> None:
        """Decode a large message of a session in slices."""

    def cancel(self, call: Call) -> None: ...


class SocketCall(Call):
    """One request of a session in progress."""

    __slots__ = ("_owner", "_request_id")

    def __init__(self, owner: "SocketStream", request_id: int, work: Work) -> None:
        session = owner.session
        super().__init__(session.peer, session.number, 0, session.head)
        self.stream = owner.stream
        self.work = work
        self._owner = owner
        self._request_id = request_id

    def finish(self, answer: Any, *, text: bool = False) -> None:
        """Send the response, a server message that is encoded already."""
        self._owner.session.send(answer)

    def let_go(self, answer: Any) -> bool:
        """Let the next request of the stream begin: one wait for the disk is enough for all that are there already."""
        owner = self._owner
        assert self.stream is not None
        if not owner.queue or self.stream.calls >= MAX_AHEAD or len(answer) > MAX_AHEAD_BYTES:
            return False
        if isinstance(owner.queue[0].request, hrana.CloseStream):
            return False  # which is answered at once, and so would be before this one
        owner.call = None
        owner.session.schedule(owner)
        return True

    def refuse(self, error: HttpError) -> None:
        """Send the error as response."""
        self._owner.session.respond_error(self._request_id, error.document())

    def abort(self) -> None:
        """Send that it did not come to an end."""
        self.refuse(HttpError(503, "ANSWER_ABORTED", "The database worker ended this request"))

    def ended(self) -> None:
        """Let the next request of the stream begin."""
        owner = self._owner
        if owner.call is self:
            owner.call = None
            if owner.queue:
                owner.session.schedule(owner)


class SocketStream:
    """A stream as the client knows it: its requests in their order. `stream` is None once it failed or was closed."""

    def __init__(self, session: "Session", number: int) -> None:
        self.session = session
        self.number = number
        self.stream: Stream | None = None
        self.problem: HttpError | None = None
        self.queue: deque[hrana.SocketMessage] = deque()
        self.call: Call | None = None
        """The request that is being answered, the last one of them."""

    def __repr__(self) -> str:
        return f"<SocketStream {self.number} [{len(self.queue)} queued{', busy' if self.call else ''}]>"

    def add(self, message: hrana.SocketMessage) -> None:
        """Queue a request."""
        self.queue.append(message)
        if self.call is None and len(self.queue) == 1:
            self.session.schedule(self)

    def start_next(self) -> bool:
        """Begin with the next request, and answer those that need no SQL; False if the lead was lost."""
        session = self.session
        while self.queue and self.call is None and not session.closed:
            if session.credit <= 0:
                session.waiting.append(self)
                return True
            message = self.queue.popleft()
            try:
                work = self._work(message)
            except (SqlError, HttpError) as error:
                session.respond_error(message.request_id, error.document())
                continue
            if work is None:
                continue
            self.call = SocketCall(self, message.request_id, work)
            if not session.streams_of_worker.begin(self.call):
                return False
        return True

    def _work(self, message: hrana.SocketMessage) -> Work | None:
        """Return what answers the request, or answer it and return None. Raises `SqlError` or `HttpError`."""
        session, request = self.session, message.request
        if isinstance(request, hrana.CloseStream):
            session.forget_stream(self)
            session.respond(message.request_id, {"type": "close_stream"})
            return None
        stream = self.stream
        if stream is None:
            raise self.problem or HttpError(400, "STREAM_CLOSED", "The stream has been closed")
        blocked = session.head.blocked
        if isinstance(request, hrana.OpenCursor):
            for _ in check_batch(request.batch):
                pass  # at once: a message is not that large
            if len(session.cursors) >= MAX_CURSORS or request.cursor_id in session.cursors:
                raise protocol_error("The cursor is open already, or too many are")
            session.cursors[request.cursor_id] = SocketCursor(stream, request.batch, blocked)
            session.respond(message.request_id, {"type": "open_cursor"})
            return None
        if isinstance(request, hrana.FetchCursor | hrana.CloseCursor):
            cursor = session.cursors.get(request.cursor_id)
            if isinstance(request, hrana.CloseCursor):
                if session.cursors.pop(request.cursor_id, None) is not None:
                    session.cursor_streams.pop(request.cursor_id, None)
                    return self._encoded(message.request_id, _close(cursor))
                session.respond(message.request_id, {"type": "close_cursor"})
                return None
            if cursor is None:
                raise HttpError(400, "CURSOR_CLOSED", f"There is no open cursor {request.cursor_id}")
            return self._encoded(message.request_id, cursor.fetch(request.max_count))
        stream.answer_bytes = 0
        return answers.socket_answer(stream, message, session.version, blocked)

    def _encoded(
        self, request_id: int, work: Generator[Need, None, dict[str, Any]]
    ) -> Generator[Need | bytes | list[Any], None, Any]:
        assert self.stream is not None
        form = self.stream.format  # which is not here any more if the connection ends meanwhile
        response = yield from work
        return form.server_message({"type": "response_ok", "request_id": request_id, "response": response})


def _close(cursor: SocketCursor | None) -> Generator[Need, None, dict[str, Any]]:
    """End a cursor where SQL runs, since ending its statement may commit or roll back."""
    assert cursor is not None
    cursor.close()
    if cursor.stream.has_turn and cursor.stream.open().autocommit:
        yield Need.NO_TURN
    return {"type": "close_cursor"}


class Session:
    """One WebSocket."""

    def __init__(
        self,
        streams: Streams,
        peer: Peer,
        number: int,
        head: wire.CallHead,
        format: Format,
        version: int,
        stored: StoredTotal,
    ) -> None:
        self.streams_of_worker = streams
        self.peer = peer
        self.number = number
        self.head = head
        self.version = version
        self.credit = wire.WINDOW_BYTES
        self.closed = False
        self.received = 0
        """Bytes of messages since the service last counted them."""
        self.sent = 0
        """The same of answers."""
        self.cursors: dict[int, SocketCursor] = {}
        self.cursor_streams: dict[int, SocketStream] = {}
        self.waiting: list[SocketStream] = []
        """Streams whose requests wait for the client to read."""
        self._format = format
        self._answered = False
        self._streams: dict[int, SocketStream] = {}
        self._stored = StoredSql(stored)
        self._incoming = Incoming(self, format, self._stored)

    def __repr__(self) -> str:
        return f"<Session of {self.head.database_id} [{len(self._streams)} streams, {len(self.cursors)} cursors]>"

    # From the edge

    def handle(self, frame: wire.Frame) -> None:
        """Take a frame of the session. Raises `wire.FrameError`."""
        if frame.type == wire.Type.DATA:
            self._incoming.add(frame)
        elif frame.type == wire.Type.WINDOW:
            self.credit += wire.window_bytes(frame)
            if self.credit > 0 and self.waiting:
                waiting, self.waiting = self.waiting, []
                for stream in waiting:
                    self.schedule(stream)
        elif frame.type == wire.Type.CANCEL:
            self.close()

    def dispatch(self, message: hrana.SocketMessage) -> None:
        """Take a message, with its texts."""
        match message.request:
            case hrana.OpenStream(number):
                self._open_stream(message.request_id, number)
            case hrana.StoreSql(number, sql):
                try:
                    self._stored.add(number, sql)
                except ValueError as error:
                    self.fail(VIOLATION, str(error))
                except SqlError as error:
                    self.respond_error(message.request_id, error.document())
                else:
                    self.respond(message.request_id, {"type": "store_sql"})
            case hrana.CloseSql(number):
                self._stored.remove(number)
                self.respond(message.request_id, {"type": "close_sql"})
            case hrana.FetchCursor(number) | hrana.CloseCursor(number):
                self._queue(self.cursor_streams.get(number), message)
            case hrana.OpenCursor(stream_id, number):
                stream = self._streams.get(stream_id)
                if stream is not None:
                    self.cursor_streams[number] = stream
                self._queue(stream, message)
            case request:
                self._queue(self._streams.get(request.stream_id), message)

    def _queue(self, stream: SocketStream | None, message: hrana.SocketMessage) -> None:
        if stream is not None:
            stream.add(message)
        elif isinstance(message.request, hrana.CloseCursor):
            self.respond(message.request_id, {"type": "close_cursor"})
        elif isinstance(message.request, hrana.CloseStream):
            self.respond(message.request_id, {"type": "close_stream"})
        else:
            document = {"message": "There is no open stream or cursor of this number", "code": "STREAM_CLOSED"}
            self.respond_error(message.request_id, document)

    def _open_stream(self, request_id: int, number: int) -> None:
        if number in self._streams:
            self.fail(VIOLATION, f"The stream {number} is open already")
            return
        opened = SocketStream(self, number)
        try:
            if len(self._streams) >= MAX_STREAMS:
                raise HttpError(429, "TOO_MANY_STREAMS", f"The connection has {MAX_STREAMS} open streams")
            opened.stream = self.streams_of_worker.open_stream(self.head)
        except HttpError as error:
            opened.problem = error
            self.respond_error(request_id, error.document())
            if len(self._streams) >= 2 * MAX_STREAMS:
                self.fail(VIOLATION, "Too many streams")
        else:
            opened.stream.attached = True
            opened.stream.format = self._format
            self.respond(request_id, {"type": "open_stream"})
        self._streams[number] = opened

    # To the edge

    def send(self, data: Body) -> None:
        """Send a message to the client."""
        if self.closed:
            return
        kind = wire.Type.DATA if self._answered else wire.Type.ANSWER
        self._answered = True
        self.credit -= len(data)
        self.sent += len(data)
        self.peer.send(self.number, wire.encode_body(self.number, kind, data, flags=wire.MESSAGE))

    def respond(self, request_id: int, response: dict[str, Any]) -> None:
        self.send(self._format.server_message({"type": "response_ok", "request_id": request_id, "response": response}))

    def respond_error(self, request_id: int, error: dict[str, str]) -> None:
        self.send(self._format.server_message({"type": "response_error", "request_id": request_id, "error": error}))

    def fail(self, code: int, reason: str) -> None:
        """Close the WebSocket from this side with a close code."""
        if self.closed:
            return
        kind = wire.Type.DATA if self._answered else wire.Type.ANSWER
        frame = wire.encode(self.number, kind, flags=wire.END, code=code, data=reason.encode()[:120])
        self.peer.send(self.number, [frame])
        self.close()

    # Life

    def schedule(self, stream: SocketStream) -> None:
        self.streams_of_worker.ready(stream)

    def forget_stream(self, stream: SocketStream) -> None:
        """The client closed a stream, or is gone."""
        self._streams.pop(stream.number, None)
        opened, stream.stream = stream.stream, None
        for number in [number for number, owner in self.cursor_streams.items() if owner is stream]:
            del self.cursor_streams[number]
            if (cursor := self.cursors.pop(number, None)) is not None:
                cursor.stream.left.append(cursor)
        if stream.call is not None:
            self.streams_of_worker.cancel(stream.call)  # and the stream is closed
        elif opened is not None:
            self.streams_of_worker.close_stream(opened)

    def has(self, stream: Stream) -> bool:
        """Return whether it is one of its streams."""
        return any(owner.stream is stream for owner in self._streams.values())

    def _waits(self, number: int) -> bool:
        """Return whether a cursor waits for the client to fetch."""
        owner = self.cursor_streams.get(number)
        return owner is None or (owner.call is None and not owner.queue)

    def oldest_cursor(self) -> float | None:
        """Return when the oldest cursor that waits for the client was opened (monotonic), None if there is none."""
        return min((cursor.opened for number, cursor in self.cursors.items() if self._waits(number)), default=None)

    def check(self, now: float) -> None:
        """End cursors that are not read, at `now` (monotonic)."""
        for number, cursor in list(self.cursors.items()):
            if self._waits(number) and now - cursor.last_used > CURSOR_STALL_SECONDS:
                self.fail(VIOLATION, f"Nothing was fetched from an open cursor for {CURSOR_STALL_SECONDS:g} s")
                return

    def close(self) -> None:
        """The connection is gone: end what runs and give everything back."""
        if self.closed:
            return
        self.closed = True
        self.peer.calls.pop(self.number, None)
        self._incoming.close()
        self._stored.clear()
        for stream in list(self._streams.values()):
            stream.queue.clear()
            self.forget_stream(stream)
