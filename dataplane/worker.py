"""A database worker: `python -m dataplane.worker`, started by the supervisor. Holds a share of the node's databases.

Descriptor 3 is the control channel (`dataplane.messages`), `WorkerSettings.listen_fd` the Unix socket that edge workers
and egress connect to (`dataplane.wire`). One epoll loop does everything and runs statements itself; a call that takes
more than a few milliseconds keeps its thread while another thread takes the loop over (`dataplane.lead`). Must never
open a connection to the network.
"""

import errno
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections import deque
from functools import partial
from pathlib import Path
from time import monotonic

import msgspec

from dataplane import memory, wire
from dataplane.enforcement import Enforcement
from dataplane.engine import load
from dataplane.limits import Limits
from dataplane.messages import (
    Drain,
    Drop,
    Dropped,
    FromWorker,
    Leave,
    Ready,
    Replace,
    Replaced,
    Stuck,
    ToWorker,
    WorkerSettings,
)
from dataplane.peers import Peer
from dataplane.relay import Relay
from dataplane.service import Service
from dataplane.steering import Steering
from runtime import child, interrupts, looking, malloc, priority
from runtime.framing import FD, Decoder, encode
from runtime.priority import Yielding

TICK_SECONDS = 0.25
FLUSH_SECONDS = 0.000_15
"""Answers do not wait longer for those of other calls that have arrived: their edge worker is idle meanwhile."""
STATS_SECONDS = 1.0
SUCCESSOR_SECONDS = 5.0
"""How long another process is waited for when a statement cannot be ended."""
LEAVE_SECONDS = 2.0
"""How long other calls are waited for then."""
EXIT_STATEMENT = 75
"""Exit status when a statement could not be ended."""
_NO_FILES = (errno.EMFILE, errno.ENFILE)
log = logging.getLogger("brrrd.dataplane")


class Worker:
    """The loop of the process. Whoever leads owns all of it."""

    def __init__(self, control: socket.socket, decoder: "Decoder[ToWorker]", settings: WorkerSettings) -> None:
        self.relay = Relay(self.lead)
        directory, limits = Path(settings.directory), Limits.of(settings)
        self.service = Service(directory, limits=limits, give_away=self.relay.give_away, on_aside_done=self._wake)
        self.enforcement = Enforcement(self.service, limits)
        self.steering = Steering(self.service, directory)
        self._control = control
        self._decoder = decoder
        self._listener = socket.socket(fileno=settings.listen_fd)
        self._listener.setblocking(False)
        self._listens = True
        """New connections are taken. While there is no file left for one they wait, and so do their calls."""
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._peers: dict[int, Peer] = {}
        self._inbox: deque[tuple[Peer, wire.Frame]] = deque()
        self._next_tick = self._next_stats = 0.0
        self._for_calls = looking.patience()
        self._for_asides = looking.patience()
        self._yielding = Yielding()
        self._exit_at: float | None = None
        self._alone_until: float | None = None
        """A statement cannot be ended: when to leave even if there is no other process."""
        self._leave_at: float | None = None
        for descriptor in (control.fileno(), self._listener.fileno(), self._wakeup):
            self._epoll.register(descriptor, select.EPOLLIN)

    def __repr__(self) -> str:
        return f"<Worker [{len(self._peers)} edge workers | {self.service!r}]>"

    def lead(self) -> None:
        """Run the loop until the lead was given away."""
        while self._work():
            if self.service.sync():
                continue
            # What was answered just now must not wait for a slice of somebody else's.
            self._flush()
            self._yielding.between_turns(monotonic())
            resumed = self.service.paused
            if not self.service.resume():
                return
            now = monotonic()
            if now >= self._next_tick:
                self._tick(now)
                continue
            busy = self.service.active or self._exit_at is not None or not self._listens
            # What was resumed may have left something to go on with.
            self._receive(0 if resumed else self._next_tick - now if busy else -1)

    def _work(self) -> bool:
        """Handle what has arrived; False if the lead was lost on the way."""
        inbox, service = self._inbox, self.service
        self._flush()
        due = monotonic() + FLUSH_SECONDS
        while True:
            if not service.proceed():
                return False
            if not inbox:
                return True
            if (now := monotonic()) >= due:
                self._flush()
                due = now + FLUSH_SECONDS
            peer, frame = inbox.popleft()
            try:
                if not peer.closed and not service.handle(peer, frame):
                    return False
            except (wire.FrameError, msgspec.MsgspecError) as error:
                log.error("edge worker connection closed: %s", error)
                self._disconnect(peer)

    def _receive(self, timeout: float) -> None:
        ready = self._epoll.poll(0)
        if not ready and timeout:
            patience = self._for_calls if self.service.drained else self._for_asides
            ready = looking.wait(self._epoll.poll, timeout, patience, 0)
        for descriptor, events in ready:
            if descriptor == self._wakeup:
                os.eventfd_read(descriptor)
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self._control.fileno():
                self._receive_control()
            else:
                peer = self._peers[descriptor]
                if events & select.EPOLLOUT:
                    peer.has_room()
                if events & ~select.EPOLLOUT:
                    self._receive_frames(peer)

    def _wake(self) -> None:
        os.eventfd_write(self._wakeup, 1)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            if error.errno not in _NO_FILES:
                raise
            log.error("a connection waits: the worker may open no more files")
            self._listen(False)
            return
        sock.setblocking(False)
        self._peers[sock.fileno()] = Peer(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _listen(self, listens: bool) -> None:
        if listens != self._listens:
            self._listens = listens
            if listens:
                self._epoll.register(self._listener.fileno(), select.EPOLLIN)
            else:
                self._epoll.unregister(self._listener.fileno())

    def _receive_frames(self, peer: Peer) -> None:
        try:
            frames = peer.receive()
        except wire.FrameError as error:
            log.error("edge worker connection closed: %s", error)
            frames = None
        if frames is None:
            self._disconnect(peer)
            return
        for frame in frames:
            self._inbox.append((peer, frame))

    def _disconnect(self, peer: Peer) -> None:
        self._epoll.unregister(peer.sock.fileno())
        del self._peers[peer.sock.fileno()]
        peer.sock.close()
        self.service.disconnected(peer)
        if self._leave_at is not None and not self._peers:
            self._next_tick = 0.0

    def _flush(self) -> None:
        for peer in self._peers.values():
            if peer.can_write:
                peer.flush()
            if peer.has_output != peer.watched:
                peer.watched = not peer.watched
                self._epoll.modify(peer.sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if peer.watched else 0))

    def _tick(self, now: float) -> None:
        self._next_tick = now + TICK_SECONDS
        self.enforcement.tick(now)
        self.relay.adapt_interrupts()
        if self._leave_at is None:
            self._listen(True)
        if self.enforcement.give_up(now) and self._alone_until is None:
            self._alone_until = now + SUCCESSOR_SECONDS
            self._tell(Stuck())
        if self._alone_until is not None and now >= self._alone_until:
            self._leave(now)
        if self._leave_at is not None:
            self.enforcement.answer_given_up()
            if now >= self._leave_at or not self._peers:
                self._flush()
                self._report(now)
                os._exit(EXIT_STATEMENT)
        if now >= self._next_stats:
            self._report(now)
        if self._exit_at is not None and (now >= self._exit_at or self._drained):
            self._flush()
            self._report(now)
            self.steering.close()
            os._exit(0)

    def _report(self, now: float) -> None:
        """Tell what was used since the last time, if anything was."""
        if (stats := self.service.reports.take(self.service.sessions)) is not None:
            self._next_stats = now + STATS_SECONDS
            self._tell(stats)

    @property
    def _drained(self) -> bool:
        """All calls are over, and their answers have left."""
        return self.service.drained and not any(peer.has_output for peer in self._peers.values())

    def _leave(self, now: float) -> None:
        """This process has to end soon: let what else is under way finish, and new calls go to the next process.

        An edge worker closes its connection when it has had its last answer on it.
        """
        if self._leave_at is None:
            self._leave_at = now + LEAVE_SECONDS
            self._listen(False)
            self._send_away()

    def _send_away(self) -> None:
        """Have callers make no more calls on the connections that there are."""
        for peer in self._peers.values():
            peer.send(0, [wire.encode(0, wire.Type.GOAWAY)])

    def _tell(self, message: FromWorker) -> None:
        self._write_control(encode(message))

    def _write_control(self, frames: bytes) -> None:
        try:
            self._control.sendall(frames)
        except OSError:
            os._exit(0)

    def _tell_replaced(self, database_id: str, error: str | None) -> None:
        self._tell(Replaced(database_id, error))

    def _receive_control(self) -> None:
        data = self._control.recv(65536)
        if not data:
            os._exit(0)  # the supervisor is gone; committed data needs nothing from here
        for message in self._decoder.feed(data):
            match message:
                case Drop(database_id, delete, catalog):
                    done = partial(self._tell, Dropped(database_id))
                    self.steering.drop(database_id, delete=delete, done=done, catalog=catalog)
                case Replace(database_id, replacement, kept):
                    self.steering.replace(database_id, replacement, kept, partial(self._tell_replaced, database_id))
                case Leave():
                    self._leave(monotonic())
                    self._next_tick = 0.0
                case Drain(grace_ms):
                    self._exit_at = monotonic() + grace_ms / 1000
                    self._next_tick = 0.0
                    self._send_away()
                    self.steering.drain()
                case _:
                    log.error("unexpected control message %r", message)
        if beats := self._decoder.beats():
            self._write_control(beats)


def _receive_settings(control: socket.socket, decoder: "Decoder[ToWorker]") -> WorkerSettings:
    while data := control.recv(65536):
        for message in decoder.feed(data):
            assert isinstance(message, WorkerSettings), message
            return message
    sys.exit(0)


def _exit_on_sigterm() -> None:
    """End at once and cleanly on SIGTERM, even while every other thread is inside a statement."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        os._exit(0)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


def main() -> None:
    """Run the process; never returns."""
    child.follow_supervisor()
    child.log_to_stderr()
    child.raise_open_files()
    _exit_on_sigterm()
    interrupts.prepare()
    malloc.keep_memory()
    malloc.join_at_once()
    priority.lower(0)
    # Threads that convert rows must not keep the loop waiting for the default 5 ms.
    sys.setswitchinterval(0.0005)
    control = socket.socket(fileno=FD)
    decoder: Decoder[ToWorker] = Decoder(ToWorker)
    settings = _receive_settings(control, decoder)
    Path(settings.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    load().hard_heap_limit64(memory.HEAP_BYTES)
    worker = Worker(control, decoder, settings)
    threading.Thread(target=worker.service.lead.watch, name="watch", daemon=True).start()
    child.spare_the_collector()
    control.sendall(encode(Ready()))
    worker.relay.run()


if __name__ == "__main__":
    main()
