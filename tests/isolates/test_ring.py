"""The ring without an isolate: what other threads may do to its connections while the isolate's thread is in it."""

import math
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from isolates import ring as rings
from isolates import wire
from isolates.buffers import BUFFER_BYTES, EGRESS, HEADER_BYTES
from isolates.ring import Ring
from isolates.wire import Type

ANSWER = wire.encode(1, Type.RESPONSE, flags=wire.END, status=200, data=b"answer")


class Rig:
    """A ring with the connection of one edge worker. `connect` is called within a turn that writes to egress."""

    def __init__(self) -> None:
        self.output = bytearray(BUFFER_BYTES)
        self.connect: Callable[[], None] = lambda: None
        self.ring = Ring(
            (memoryview(bytearray(BUFFER_BYTES)), memoryview(self.output)),
            run_microtasks=lambda: None,
            run_tasks=lambda: False,
            on_frames=lambda _: None,
            on_due=lambda _: math.inf,
            connect=self._connect,
        )
        self.edge, theirs = socket.socketpair()
        self.sockets = [self.edge, theirs]
        self.edge.settimeout(20)
        self.number = self.ring.add_edge(theirs).number
        self.types()

    def _connect(self, _number: int) -> socket.socket:
        self.connect()
        ours, theirs = socket.socketpair()
        self.sockets += ours, theirs
        return ours

    def write(self, *segments: tuple[int, bytes]) -> None:
        """What JavaScript leaves in the output buffer."""
        data = b"".join(struct.pack("<II", number, len(frames)) + frames for number, frames in segments)
        self.output[HEADER_BYTES : HEADER_BYTES + len(data)] = data
        struct.pack_into("<I", self.output, 0, len(data))

    def types(self) -> list[int]:
        """Types of the frames that the edge worker has next."""
        return [frame.type for frame in wire.decode(self.edge.recv(65536))[0]]

    def close(self) -> None:
        self.ring.close()
        for one in self.sockets:
            one.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def ending(ring: Ring) -> threading.Thread:
    """As the watchdog does it."""
    return threading.Thread(target=ring.tell_end, args=("wall_ms", "It was stopped."), daemon=True)


def test_the_end_of_a_process_is_not_told_within_what_its_isolate_sends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "END_SECONDS", 20.0)
    watchdog = ending(rig.ring)

    def begin() -> None:
        watchdog.start()
        watchdog.join(0.05)
        assert watchdog.is_alive()

    rig.connect = begin
    rig.write((EGRESS, ANSWER), (rig.number, ANSWER))
    rig.ring.flush_now()
    watchdog.join(20)
    assert rig.types() == [Type.RESPONSE, Type.GOAWAY]


def test_the_end_of_a_process_waits_for_no_service_that_hangs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "END_SECONDS", 0.01)
    watchdog = ending(rig.ring)

    def hang() -> None:
        watchdog.start()
        watchdog.join(20)
        assert rig.types() == [Type.GOAWAY]

    rig.connect = hang
    rig.write((EGRESS, ANSWER))
    rig.ring.flush_now()
    assert not watchdog.is_alive()


def test_the_end_of_a_process_is_told_while_its_isolate_waits_for_requests(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "END_SECONDS", 20.0)
    isolate = threading.Thread(target=rig.ring.poll, daemon=True)
    isolate.start()
    watchdog = ending(rig.ring)
    watchdog.start()
    assert rig.types() == [Type.GOAWAY]
    rig.edge.sendall(wire.encode(1, Type.REQUEST, flags=wire.END, head=b"GET\nhttp://a/\nid"))
    isolate.join(20)
    assert not isolate.is_alive()
