"""One connection from this edge worker to an isolate host, and the requests that run on it.

`HostLink` is the edge's end of `isolates.wire`: it numbers streams, tells them what came for them, and keeps the
deadline. Nothing here knows of HTTP beyond what frames carry.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from isolates.wire import (
    END,
    HEADER,
    HEADER_BYTES,
    MAX_PLACED_BYTES,
    PLACE,
    PLACED,
    UPGRADE,
    WINDOW_BYTES,
    Frame,
    FrameError,
    Type,
    encode,
)
from router.frames import LARGE_BYTES
from router.inbox import Inbox
from router.outbox import Outbox
from router.shared_memory import SharedMemory
from router.stream import Loss, Stream
from router.websocket.batch import Batch
from runtime.lookout import Lookout

if TYPE_CHECKING:
    from router.host_socket import HostSocket

log = logging.getLogger("router.links")

_REQUEST = int(Type.REQUEST)
_RESPONSE = int(Type.RESPONSE)
_DATA = int(Type.DATA)
_CANCEL = int(Type.CANCEL)
_WINDOW = int(Type.WINDOW)
_REFUSE = int(Type.REFUSE)
_GOAWAY = int(Type.GOAWAY)
_BUSY = int(Type.BUSY)
_PLACE = int(Type.PLACE)
_SHARES_MEMORY = encode(0, Type.MEMORY)
_pack = HEADER.pack
_MAX_ID = 0xFFFFFFFF
SOCKET_BYTES = 1 << 20
"""What the kernel may keep of what is sent, if it allows so much: a body's read is to fit in at once."""


class HostLink(asyncio.Protocol):
    """The connection to one host, which begins to connect when it is made.

    `on_change` is called when it became usable, and when it is gone: it ended, could not be made, or broke the wire
    format. `expected`: the host is being started, and the link is usable only once it says that it is up.
    """

    def __init__(
        self,
        host_id: str,
        path: str,
        wall_seconds: float,
        on_change: Callable[["HostLink"], None],
        *,
        expected: bool = False,
    ) -> None:
        self.host_id = host_id
        self.path = path
        self.wall_seconds = wall_seconds
        self.streams: dict[int, Stream] = {}
        self.sockets: dict[int, HostSocket] = {}
        """WebSockets: streams without a deadline, which do not count as requests."""
        self.choked = False
        """The host does not read as fast as it is sent to: WebSockets wait."""
        self.expected = expected
        """No routing table has named the host yet."""
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._lookout = Lookout.here()
        self._batch = Batch.here()
        self._transport: asyncio.Transport | None = None
        self.memory: SharedMemory | None = None
        """What is shared with the host."""
        self._inbox = Inbox(self._on_turn)
        self._outbox = Outbox(self._on_written)
        self._next_id = 0
        self.usable = False
        """Whether new requests may be opened: connected, and neither gone nor retired nor blocked."""
        self.retired = False
        """The host sent GOAWAY, or the routing table no longer names it."""
        self.blocked = False
        """The host said that its JavaScript does not yield."""
        self.on_room: Callable[[], None] | None = None
        """Called once, after the next frames: somebody waits for requests here to end."""
        self._heard = False
        self._suspected = 0
        self._sent_before = 0
        self.gone = False
        """The connection is no more, or never was."""
        self._reason: tuple[str, str] | None = None
        """Code and sentence for the requests that the host's end costs, if it told."""
        self._connecting = self._loop.create_task(self._connect())

    def __repr__(self) -> str:
        state = "open" if self._transport else "connecting"
        state = "gone" if self.gone else "retired" if self.retired else "blocked" if self.blocked else state
        return f"<HostLink {self.host_id} {state}, {len(self.streams)} streams, {len(self.sockets)} WebSockets>"

    def retire(self) -> None:
        """Take no new requests; close once those in flight are done."""
        self.retired = True
        self.usable = False
        self._close_when_done()

    def close(self) -> None:
        """Close now; what is in flight is lost."""
        self.retired = True
        self._fail()

    def open(self, stream: Stream, head: bytes, body: bytes, end: bool, now: float) -> None:
        """Send a request on a usable link.

        `body` is what is here of its body (at most `MAX_DATA_BYTES`), `end` whether that is all.
        `now` is monotonic seconds and must not go back from one call to the next: the deadline sweep relies on it.
        """
        stream_id = self._next_id + 1
        if stream_id > _MAX_ID or stream_id in self.streams or stream_id in self.sockets:
            stream_id = self._free_id()
        self._next_id = stream_id
        stream.id = stream_id
        stream.link = self
        stream.opened = now
        self.streams[stream_id] = stream
        if body:
            stream.window -= len(body)
        stream._sent_end = end
        size = len(head)
        self._outbox.add(_pack(HEADER_BYTES + size + len(body), stream_id, _REQUEST, end, 0, size) + head + body)

    def open_upgrade(self, stream: Stream, head: bytes, now: float) -> None:
        """As `open`, for a request for a WebSocket."""
        stream_id = self._next_id = self._free_id()
        stream.id, stream.link, stream.opened = stream_id, self, now
        stream._sent_end = True
        self.streams[stream_id] = stream
        self.send_frame(stream_id, _REQUEST, flags=UPGRADE, head=head)

    def become_socket(self, stream: Stream, socket: "HostSocket") -> None:
        """The answer to `stream` was 101: its id is the WebSocket's from now on."""
        self._forget(stream)
        self.sockets[socket.id] = socket

    def forget_socket(self, socket: "HostSocket") -> None:
        """A WebSocket is over, and the host knows."""
        socket.link = None
        self.sockets.pop(socket.id, None)
        self._close_when_done()

    def send_frame(
        self, stream_id: int, type_: int, *, flags: int = 0, status: int = 0, head: bytes = b"", data: bytes = b""
    ) -> None:
        """Queue one frame for the end of this turn of the loop."""
        self._outbox.add(
            _pack(HEADER_BYTES + len(head) + len(data), stream_id, type_, flags, status, len(head)) + head + data
        )

    def send_data(self, stream_id: int, body: bytes, at: int, count: int, flags: int) -> None:
        """Queue `count` bytes of a body, from `at` on. Large ones are not copied."""
        header = _pack(HEADER_BYTES + count, stream_id, _DATA, flags, 0, 0)
        if count < LARGE_BYTES:
            self._outbox.add(header + body[at : at + count])
        else:
            self._outbox.add_large(header, memoryview(body)[at : at + count])

    def send_now(self) -> None:
        """Send what is queued, which is much: the host may begin with it while this worker reads on."""
        self._outbox.flush()

    def cancel(self, stream: Stream, why: str) -> None:
        """Forget `stream` and tell the host."""
        if self._forget(stream):
            self.send_frame(stream.id, _CANCEL, head=why.encode("latin-1", "replace"))
            self._close_when_done()

    def taken(self, stream: Stream) -> None:
        """Forget `stream`, whose response's body in memory has left, and tell the host."""
        if self._forget(stream):
            self.send_frame(stream.id, _WINDOW, data=stream.lent.to_bytes(4, "little"))
            if not stream._sent_end:
                # Only then, or it would pass for a client that left before it had its answer.
                self.send_frame(stream.id, _CANCEL, head=b"answered")
            self._close_when_done()

    def sweep(self, now: float) -> None:
        """End the streams that are over their deadline at `now` (monotonic seconds).

        Streams are in the order they were opened and share one limit, so this looks at the expired ones only.
        """
        oldest = now - self.wall_seconds
        expired = []
        for stream in self.streams.values():
            if stream.opened > oldest:
                break
            expired.append(stream)
        for stream in expired:
            if not stream.lent:
                self.cancel(stream, "deadline")
            elif stream.overdue:
                continue
            stream.overdue = True
            stream.on_lost(Loss.DEADLINE)

    def stalled(self) -> bool:
        """Whether the host was silent since the last call although a request had been sent before that.

        Called regularly. True once per request at most: a handler that merely takes its time looks the same from here,
        so that this is a question to the host (`router.messages.Stalled`) and not an answer. Asked any sooner, a host
        might read the question before the request that blocks it.
        """
        heard, self._heard = self._heard, False
        sent, self._sent_before = self._sent_before, self._next_id
        if heard or not self.streams or self.blocked or self._suspected == sent:
            return False
        self._suspected = sent
        return True

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inbox.open(self._transport)
        self._outbox.open(self._transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        if not self.expected:
            self.usable = not self.retired
            self._on_change(self)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            frames = self._inbox.feed(data)
        except FrameError as error:
            self._broken(error)
        else:
            self._take(frames)

    def _on_turn(self) -> None:
        self._take(self._inbox.next())

    def _take(self, frames: list[Frame]) -> None:
        try:
            if self.sockets and len(frames) > 1:
                with self._batch:
                    self._look_at(frames)
            else:
                self._look_at(frames)
        except FrameError as error:
            self._broken(error)
            return
        lookout = self._lookout
        lookout.wait(lookout.answers if self.streams else lookout.requests, len(self.streams))
        if self.retired:
            self._close_when_done()
        if self.on_room is not None:
            on_room, self.on_room = self.on_room, None
            on_room()

    def _look_at(self, frames: list[Frame]) -> None:
        """Raises `FrameError`."""
        streams = self.streams
        following = iter(frames)
        for stream_id, type_, flags, status, head, body in following:
            stream = streams.get(stream_id)
            if stream is not None:
                if type_ == _RESPONSE and flags == END and stream._sent_end and not stream.begun:
                    # The common case by far: the whole answer in one frame.
                    del streams[stream_id]
                    stream.link = None
                    stream.on_response(status, head, body, True)
                else:
                    self._stream_frame(stream, type_, flags, status, head, body)
                    if type_ == _RESPONSE and flags & PLACED:
                        # Writing it took as long as many other frames take.
                        self._inbox.put_off(following)
                        break
            elif type_ == _GOAWAY:
                if head:
                    code, _, detail = head.decode("latin-1").partition("\n")
                    self._reason = code, detail
                self.retired = True
                self.usable = False
            elif type_ == _BUSY and not stream_id:
                self._set_blocked(bool(status))
            elif (socket := self.sockets.get(stream_id)) is not None:
                socket.on_frame(type_, flags, status, body)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail()

    def pause_writing(self) -> None:
        self.choked = True

    def resume_writing(self) -> None:
        self.choked = False
        for choked in list(self.sockets.values()):
            choked.connection.pump()

    # own

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked
        self.usable = not (blocked or self.retired)
        if self.usable:
            self._on_change(self)

    def _stream_frame(self, stream: Stream, type_: int, flags: int, status: int, head: bytes, body: bytes) -> None:
        end = bool(flags & END)
        if type_ in (_RESPONSE, _DATA):
            if stream.lent or stream.begun != (type_ == _DATA) or (type_ == _DATA and flags & PLACED):
                # What a client took for its answer's bytes could be read as the answer to its next request.
                raise FrameError(f"frame of type {type_} out of order on stream {stream.id}")
            stream.begun = True
            if flags & PLACED:
                self._placed_response(stream, flags, status, head, body)
                return
            stream._unconsumed += len(body)
            if stream._unconsumed > WINDOW_BYTES:
                raise FrameError(f"stream {stream.id} sent more than its window")
            if end and self._forget(stream) and not stream._sent_end:
                # The app answered without reading the whole request: the host can let go of the rest.
                self.send_frame(stream.id, _CANCEL, head=b"answered")
            if type_ == _RESPONSE:
                stream.on_response(status, head, body, end)
            else:
                stream.on_data(body, end)
        elif type_ == _WINDOW:
            if len(body) != 4:
                raise FrameError("a WINDOW frame holds four bytes")
            stream._granted(int.from_bytes(body, "little"), self)
        elif type_ == _PLACE:
            if len(body) != PLACE.size:
                raise FrameError(f"a PLACE frame holds {PLACE.size} bytes")
            count, offset = PLACE.unpack(body)
            stream._given_place(count, offset, self)
        elif type_ in (_CANCEL, _REFUSE) and stream.lent:
            stream.on_lost(Loss.CANCELLED)
        elif type_ == _REFUSE and not stream.begun:
            self._forget(stream)
            self._last_word(stream)
            code, _, detail = head.decode("latin-1").partition("\n")
            stream.on_refused(status, code, detail)
        elif type_ in (_CANCEL, _REFUSE):
            self._forget(stream)
            self._last_word(stream)
            stream.on_lost(Loss.CANCELLED)
        else:
            raise FrameError(f"frame of type {type_} on stream {stream.id}")

    def _placed_response(self, stream: Stream, flags: int, status: int, head: bytes, data: bytes) -> None:
        """`data` says where in the memory the body is: it is not believed."""
        if flags != END | PLACED or len(data) != PLACE.size or self.memory is None:
            raise FrameError("a RESPONSE with PLACED has END and a place in the memory that is shared")
        size, offset = PLACE.unpack(data)
        try:
            body = self.memory.part(offset, size) if 0 < size <= MAX_PLACED_BYTES else None
        except OSError as error:
            log.warning("the memory shared with host %s cannot be read: %s", self.host_id, error)
            self.cancel(stream, "no memory")
            stream.on_lost(Loss.CANCELLED)
            return
        if body is None:
            raise FrameError(f"{size} bytes from {offset} on are no place in the memory that is shared")
        stream.lent = size
        stream.on_placed(status, head, body)

    def _last_word(self, stream: Stream) -> None:
        """The host ended `stream`: tell it that nothing is written where it gave the body a place."""
        if stream.placed and not stream._sent_end:
            self.send_frame(stream.id, _CANCEL, head=b"ended")

    def _free_id(self) -> int:
        """Return an id after the last one, from 1 again after the largest, that no open stream has."""
        stream_id = self._next_id % _MAX_ID + 1
        while stream_id in self.streams or stream_id in self.sockets:
            stream_id = stream_id % _MAX_ID + 1
        return stream_id

    def _forget(self, stream: Stream) -> bool:
        stream.link = None
        return self.streams.pop(stream.id, None) is not None

    def _on_written(self) -> None:
        self._lookout.written(self._lookout.answers, len(self.streams))

    async def _connect(self) -> None:
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await self._loop.sock_connect(sock, self.path)
                self._share(sock)
                await self._loop.create_unix_connection(lambda: self, sock=sock)
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            log.warning("cannot connect to host %s: %s", self.host_id, error)
            self._fail()

    def _share(self, sock: socket.socket) -> None:
        """Share memory with the host, if there is any to share: bodies can be sent as well."""
        try:
            self.memory = SharedMemory()
            socket.send_fds(sock, [_SHARES_MEMORY], [self.memory.descriptor])
        except OSError as error:
            log.warning("no memory is shared with host %s: %s", self.host_id, error)

    def _close_when_done(self) -> None:
        if self.retired and not self.streams and not self.sockets and not self.gone:
            self._outbox.flush()
            self._fail()

    def _broken(self, error: FrameError) -> None:
        log.error("host %s broke the wire format: %s", self.host_id, error)
        self._fail()

    def _fail(self) -> None:
        """End the connection; every stream still open on it is lost. Runs once."""
        if self.gone:
            return
        self.gone = True
        self.usable = False
        self._connecting.cancel()
        self._inbox.close()
        self._outbox.close()
        if self._transport is not None:
            self._transport.close()
        if self.memory is not None:
            self.memory.close()
            self.memory = None
        lost: list[Stream | HostSocket] = [*self.streams.values(), *self.sockets.values()]
        self.streams.clear()
        self.sockets.clear()
        for stream in lost:
            stream.link = None
        for stream in lost:
            if self._reason is None:
                stream.on_lost(Loss.HOST)
            else:
                stream.on_refused(503, *self._reason)
        self._on_change(self)
