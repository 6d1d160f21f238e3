"""The host's event loop as JavaScript sees it: `native.poll()`, with the buffers that both share (`buffers.py`).

JavaScript calls `poll`, which sends what JavaScript wrote, waits, fills the input buffer with whole frames and returns;
the isolate's thread therefore is the event loop, and a batch of requests costs one crossing.

Somewhat longer than a file should be: a turn and the connections that it serves are about the same few fields, and
between two objects every turn would pay for more calls.
"""

import math
import select
import socket
import threading
import time
from collections.abc import Callable
from time import monotonic, thread_time

from isolates import wire
from isolates.buffers import (
    DRAINING,
    FIRST_EDGE,
    HEADER_BYTES,
    HOST,
    INPUT,
    LEAVE,
    MORE_WORK,
    OUTPUT_START,
    REQUESTS,
    SEGMENT,
    SEGMENT_BYTES,
    U32,
    Counters,
    clear,
)
from isolates.connection import GONE, MIN_ROOM, Connection
from isolates.regions import Region
from isolates.yields import TurnYields
from runtime import looking

_YIELDS = wire.encode(0, wire.Type.BUSY, status=0)
ACTIVITY_SECONDS = 1.0
"""After a turn the host is called within this time: for statistics, and for tasks that V8 put off."""
END_SECONDS = 0.1
"""How long the end of the process waits for its turn to send."""
_LONGEST_WAIT = 3600.0
_EAGER_TURNS = 16
"""A busy edge worker is read without asking the poller this often in a row; then others get their turn."""
_TASK_TURNS = 64
"""V8's own tasks run whenever the loop is idle, and after this many turns without a rest."""


class Ring:
    """The loop. The host registers further descriptors and is called when something may be due; see the constructor.

    `run_microtasks()` and `run_tasks()` are the isolate's. `on_frames(view)` gets the frames for connection 0.
    `on_due(now)` is called when the time that it last returned is reached, at most a second after any activity, and
    after `interrupt`; times are seconds of the monotonic clock. `connect(number)` returns a socket connected to the
    egress or the cache process, or raises OSError.
    """

    def __init__(
        self,
        buffers: tuple[memoryview, memoryview],
        *,
        run_microtasks: Callable[[], None],
        run_tasks: Callable[[], bool],
        on_frames: Callable[[memoryview], None],
        on_due: Callable[[float], float],
        connect: Callable[[int], socket.socket],
    ) -> None:
        self._input, self._output = buffers
        self._last_position = len(self._input) - MIN_ROOM
        self._run_microtasks = run_microtasks
        self._run_task = run_tasks
        self._on_frames = on_frames
        self._on_due = on_due
        self._connect = connect
        self._poller = select.epoll()
        self._poll = self._poller.poll
        self._watched: dict[int, Callable[[], None]] = {}
        self._connections: dict[int, Connection] = {}
        self._by_descriptor: dict[int, Connection] = {}
        self._closed: list[int] = []
        self._to_javascript = bytearray()
        """Frames of the host's own, whole ones."""
        self._next_id = FIRST_EDGE
        self._flags = 0
        self._clock_ms = 0.0
        self._due = 0.0
        self._turns_since_tasks = 0
        self._eager: Connection | None = None
        self._eager_turns = 0
        self._yields = TurnYields()
        self._for_answers = looking.patience()
        self._for_requests = looking.patience()
        self._requests_before = 0
        """Requests so far when the loop last waited."""
        self._own = threading.RLock()
        """Held while the isolate's thread is at work in here, and not in JavaScript: see `send_back`."""
        self._kept = False
        self.busy_since: float | None = time.monotonic()
        """When JavaScript got control, by the monotonic clock; None while the loop waits. For the watchdog."""
        self.cpu_since = 0.0
        """CPU seconds that this thread had used when JavaScript got control; only after `measure_cpu`."""
        self._measures_cpu = False
        clear(self._output)

    def __repr__(self) -> str:
        return f"<Ring {len(self._connections)} connections, {self.counters}>"

    @property
    def counters(self) -> Counters:
        """The counters as JavaScript last wrote them."""
        return Counters.read(self._output)

    @property
    def edges(self) -> list[Connection]:
        """The connections of edge workers."""
        return [connection for number, connection in self._connections.items() if number >= FIRST_EDGE]

    def region(self, number: int) -> Region | None:
        """Return the memory that is shared over a connection."""
        connection = self._connections.get(number)
        return None if connection is None else connection.region

    def watch(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever the descriptor is readable."""
        self._watched[descriptor] = on_readable
        self._poller.register(descriptor, select.EPOLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Undo `watch`."""
        if self._watched.pop(descriptor, None) is not None:
            self._poller.unregister(descriptor)

    def add_edge(self, sock: socket.socket) -> Connection:
        """Take over the connected socket of an edge worker, and tell it that the app is there."""
        number = self._next_id
        self._next_id += 1
        connection = self._add(number, sock)
        self._tell(connection, _YIELDS)
        return connection

    def drain(self) -> None:
        """Tell every edge worker, and JavaScript, that no new requests are welcome."""
        self._flags |= DRAINING
        goaway = wire.encode(0, wire.Type.GOAWAY)
        for connection in self.edges:
            self._tell(connection, goaway)

    def tell_end(self, code: str, detail: str) -> None:
        """Tell every edge worker why this process is about to end. From any thread, as far as sockets take it."""
        goaway = memoryview(wire.encode(0, wire.Type.GOAWAY, head=f"{code}\n{detail}".encode("latin-1", "replace")))
        # Not in the middle of what the isolate's thread sends. Nothing here blocks for so long but connecting to a
        # service that hangs, and JavaScript in a task of V8's: then nobody sends, and the end must not wait.
        held = self._own.acquire(timeout=END_SECONDS)
        try:
            for connection in self.edges:
                connection.send(goaway)
        finally:
            if held:
                self._own.release()

    def send_back(self, busy_since: float, tell: Callable[[], bool]) -> None:
        """Refuse all requests that JavaScript has not seen, while it is in the turn that began at `busy_since`.

        From another thread; does nothing if that turn is over. `tell` is called before the turn can end; if it returns
        True, every edge worker is told first that new requests would wait.
        """
        if not self._own.acquire(blocking=False):
            return
        try:
            if self.busy_since != busy_since:
                return
            news = tell()
            for connection in self.edges:
                if news:
                    self._tell(connection, wire.encode(0, wire.Type.BUSY, status=1))
                self._refuse_waiting(connection, wire.BLOCKED)
        finally:
            self._own.release()

    def resume(self) -> None:
        """Tell every edge worker that JavaScript yields again."""
        for connection in self.edges:
            self._tell(connection, _YIELDS)

    def refuse_rest(self) -> None:
        """The process is about to end: refuse the requests that crossed the GOAWAY, so that they go elsewhere."""
        for connection in self.edges:
            self._refuse_waiting(connection, wire.DRAINING)

    def _refuse_waiting(self, connection: Connection, code: str) -> None:
        for stream in connection.take_requests():
            self._tell(connection, wire.encode(stream, wire.Type.REFUSE, status=503, head=code.encode() + b"\n"))
        self._kept = self._kept or connection.kept

    def _tell(self, connection: Connection, frame: bytes) -> None:
        if not connection.send(memoryview(frame)):
            self._not_sent(connection)

    def measure_cpu(self) -> None:
        """Keep `cpu_since` from now on, which costs a system call per turn."""
        self.cpu_since = thread_time()
        self._measures_cpu = True

    def tell_done(self) -> None:
        """Tell JavaScript that operations on threads are done."""
        if HOST not in self._closed:
            self._closed.append(HOST)

    def tell_javascript(self, frame: bytes) -> None:
        """Give JavaScript a frame on the host's connection with the next input."""
        self._to_javascript += frame
        self.tell_done()

    def pending_bytes(self) -> int:
        """Bytes that sockets have not taken yet."""
        return sum(len(connection.pending) for connection in self._connections.values())

    def interrupt(self) -> None:
        """Have `on_due` called before JavaScript next gets control. From any thread."""
        self._due = 0.0

    def turn(self, run: Callable[[], object]) -> None:
        """Have `run`, JavaScript's loop, end after one turn."""
        self._flags |= LEAVE
        run()
        self._flags &= ~LEAVE

    def tell_time(self) -> None:
        """Set JavaScript's clocks before it is given control for the first time, or after it stood by."""
        now = monotonic()
        self._clock_ms = now * 1000
        INPUT.pack_into(self._input, 0, 0, self._flags, time.time() * 1000 // 1, self._clock_ms)
        self._yields.turn_begins(now)

    def begin_anew(self) -> None:
        """Forget what JavaScript counted, and which connections there were; none is left."""
        self._next_id = FIRST_EDGE
        self._due = 0.0
        self._yields.begin_anew()
        clear(self._output)

    def close(self) -> None:
        """Stop watching; for a ring that never ran."""
        self._poller.close()

    # -- called by JavaScript

    def poll(self) -> None:
        """One turn: microtasks, output, wait, input. `native.poll`.

        The hot path: at one request per turn this method is most of what Python costs, so it calls little.
        """
        self._run_microtasks()
        self._own.acquire()
        began = self.busy_since
        while True:
            used, flags, timer_ms = OUTPUT_START.unpack_from(self._output)
            if used:
                self._flush(used)
            now = monotonic()
            if began is not None:
                self._yields.turn_ended(now - began)
                began = None
            if now >= self._due:
                self._due = self._on_due(now)
            wake = self._due
            timer = math.inf if timer_ms < 0.0 else (self._clock_ms + timer_ms) / 1000
            if timer < wake:
                wake = timer
            wait = wake - now
            if flags & MORE_WORK or self._closed:
                wait = 0.0
            elif (wait > 0.0 or self._turns_since_tasks > _TASK_TURNS) and self._run_tasks():
                continue
            filled = self._fill(wait)
            now = monotonic()
            if filled > HEADER_BYTES or now >= timer or wait <= 0.0:
                break
        self._turns_since_tasks += 1
        if self._due > now + ACTIVITY_SECONDS:
            self._due = now + ACTIVITY_SECONDS
        self._clock_ms = clock_ms = now * 1000
        if self._measures_cpu:
            self.cpu_since = thread_time()
        self._yields.turn_begins(now)
        self.busy_since = now
        self._own.release()
        INPUT.pack_into(self._input, 0, filled - HEADER_BYTES, self._flags, time.time() * 1000 // 1, clock_ms)

    def flush_now(self) -> None:
        """Send the segments in the output buffer, in mid-turn."""
        with self._own:
            self._flush(U32.unpack_from(self._output)[0])
        self._yields.between_turns(monotonic())

    def _flush(self, used: int) -> None:
        output = self._output
        position, end = HEADER_BYTES, HEADER_BYTES + used
        connections = self._connections
        while position < end:
            number, size = SEGMENT.unpack_from(output, position)
            start = position + SEGMENT_BYTES
            position = start + size
            connection = connections.get(number)
            if connection is not None:
                if not connection.send(output[start:position]):
                    self._not_sent(connection)
            elif number == HOST:
                self._on_frames(output[start:position])
            elif number < FIRST_EDGE:
                self._send_service(number, output[start:position])
        U32.pack_into(output, 0, 0)

    # -- the parts of a turn

    def _run_tasks(self) -> bool:
        """Run V8's own tasks that are due, with the microtasks they cause; tell whether there were any."""
        self._turns_since_tasks = 0
        ran = False
        while self._run_task():
            ran = True
        if ran:
            self._run_microtasks()
        return ran

    def _fill(self, wait: float) -> int:
        """Wait up to `wait` seconds, put what arrived into the input buffer and return where it ends."""
        position = self._tell_closed(HEADER_BYTES) if self._closed else HEADER_BYTES
        eager = self._eager
        if eager is not None and self._eager_turns < _EAGER_TURNS:
            # A lone, busy edge worker usually has sent more by now: reading it at once saves the poller's system call.
            self._eager = None
            self._eager_turns += 1
            filled = self._receive(eager, position)
            if filled > position:
                return filled
        self._eager_turns = 0
        if self._kept:
            position = self._take_kept(position)
            if position > HEADER_BYTES:
                return position
        self.busy_since = None
        ready = self._poll(0)
        if not ready and wait > 0.0:
            self._own.release()
            ready = self._wait(wait)
            self._own.acquire()
        for descriptor, events in ready:
            connection = self._by_descriptor.get(descriptor)
            if connection is None:
                watched = self._watched.get(descriptor)
                if watched is not None:
                    watched()
                continue
            if events & select.EPOLLOUT and connection.send_pending():
                self._poller.modify(descriptor, select.EPOLLIN)
            if events & ~select.EPOLLOUT and position < self._last_position:
                position = self._receive(connection, position)
        if self._closed and position < self._last_position:
            position = self._tell_closed(position)
        return position

    def _wait(self, wait: float) -> looking.Events:
        """Wait up to `wait` seconds for events."""
        active, requests = REQUESTS.unpack_from(self._output)
        before, self._requests_before = self._requests_before, requests
        patience = self._for_answers if active else self._for_requests
        self._yields.sleeps()
        events = looking.wait(self._poll, min(wait, _LONGEST_WAIT), patience, active + requests - before)
        self._yields.slept(monotonic())
        return events

    def _take_kept(self, position: int) -> int:
        """Hand on the frames that `send_back` read and did not refuse."""
        self._kept = False
        for connection in self.edges:
            if connection.kept and position < self._last_position:
                position = self._receive(connection, position)
            self._kept = self._kept or connection.kept
        return position

    def _receive(self, connection: Connection, position: int) -> int:
        """Read from a connection into a segment at `position`; return where the segment ends."""
        start = position + SEGMENT_BYTES
        end = connection.receive(self._input, start)
        if end > start:
            SEGMENT.pack_into(self._input, position, connection.number, end - start)
            if connection.busy and len(self._by_descriptor) == 1:
                self._eager = connection
            return end
        if end == GONE:
            self._close(connection)
        return position

    def _tell_closed(self, position: int) -> int:
        """Write a segment without frames for each connection that closed."""
        room = (len(self._input) - position) // SEGMENT_BYTES
        for number in self._closed[:room]:
            SEGMENT.pack_into(self._input, position, number, 0)
            position += SEGMENT_BYTES
        del self._closed[:room]
        if self._to_javascript:
            position = self._write_own(position)
        return position

    def _write_own(self, position: int) -> int:
        """Write the host's frames into a segment; those that have no room come in the next turn."""
        frames = self._to_javascript
        size, room = 0, len(self._input) - position - SEGMENT_BYTES
        while size < len(frames) and size + (length := U32.unpack_from(frames, size)[0]) <= room:
            size += length
        if size:
            SEGMENT.pack_into(self._input, position, HOST, size)
            start = position + SEGMENT_BYTES
            position = start + size
            self._input[start:position] = frames[:size]
            del frames[:size]
        if frames:
            self.tell_done()
        return position

    # -- connections

    def _add(self, number: int, sock: socket.socket) -> Connection:
        connection = Connection(number, sock)
        self._connections[number] = connection
        self._by_descriptor[connection.descriptor] = connection
        self._poller.register(connection.descriptor, select.EPOLLIN)
        return connection

    def _not_sent(self, connection: Connection) -> None:
        """A socket did not take all: wait until it can, or close it if it is broken."""
        if connection.broken:
            self._close(connection)
        else:
            self._poller.modify(connection.descriptor, select.EPOLLIN | select.EPOLLOUT)

    def _send_service(self, number: int, data: memoryview) -> None:
        """Connect to a service on the first frame; if that fails, JavaScript hears that it closed."""
        try:
            sock = self._connect(number)
        except OSError:
            self._closed.append(number)
            return
        connection = self._add(number, sock)
        if not connection.send(data):
            self._not_sent(connection)

    def _close(self, connection: Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        del self._by_descriptor[connection.descriptor]
        self._poller.unregister(connection.descriptor)
        connection.close()
        self._closed.append(connection.number)
        if self._eager is connection:
            self._eager = None
