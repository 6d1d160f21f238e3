"""Recycled memory for the bodies that an app gets: at the engine, and in a real host."""

import hashlib
import os
import random
import subprocess
import sys
from typing import Any

import pytest

from isolates import wire
from isolates.messages import Limits, Retiring
from tests.isolates.block_cases import CASES
from tests.isolates.driver import Edge, Host

MB = 1 << 20


@pytest.mark.parametrize("name", CASES)
def test_memory_is_lent_safely(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.isolates.block_cases", name], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout.startswith("through"), f"{done.returncode}\n{done.stdout}{done.stderr}"


class Uploads:
    """Requests with large bodies on one connection, which go forward in turns."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.answers: dict[int, bytes] = {}
        self.windows: dict[int, int] = {}
        self._left: dict[int, memoryview] = {}

    def begin(self, stream: int, body: bytes, path: str = "/", *, length: int | None = None) -> None:
        told = len(body) if length is None else length
        head = f"POST\nhttp://a{path}\nrequest-{stream}\nhost\na\ncontent-length\n{told}"
        self.edge.sock.sendall(wire.encode(stream, wire.Type.REQUEST, head=head.encode()))
        self.windows[stream] = wire.WINDOW_BYTES
        self._left[stream] = memoryview(body)

    def go_on(self, stream: int, most: int = 1 << 30) -> None:
        """Send as much as the window allows, and `most` at most."""
        left, count = self._left[stream], min(self.windows[stream], most, len(self._left[stream]))
        for at in range(0, count, wire.MAX_DATA_BYTES):
            data = left[at : min(at + wire.MAX_DATA_BYTES, count)]
            end = at + len(data) == len(left)
            self.edge.sock.sendall(wire.encode(stream, wire.Type.DATA, flags=wire.END if end else 0, data=bytes(data)))
        self._left[stream] = left[count:]
        self.windows[stream] -= count

    def read(self) -> None:
        """Take one frame of the host's."""
        frame = self.edge.frame()
        if frame.type == wire.Type.WINDOW:
            self.windows[frame.stream] += int.from_bytes(frame.data, "little")
        else:
            assert frame.type in (wire.Type.RESPONSE, wire.Type.REFUSE) and frame.flags & wire.END, frame
            self.answers[frame.stream] = frame.data if frame.type == wire.Type.RESPONSE else frame.head

    def finish(self, *streams: int) -> list[bytes]:
        """Send all that is left and return the answers."""
        while any(stream not in self.answers for stream in streams):
            for stream in streams:
                if self.windows[stream] and self._left[stream]:
                    self.go_on(stream)
            self.read()
        return [self.answers.pop(stream) for stream in streams]

    def ask(self, stream: int, body: bytes, path: str = "/", **options: Any) -> bytes:
        self.begin(stream, body, path, **options)
        return self.finish(stream)[0]


HASH = """
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export default {
  async fetch(request) {
    const how = new URL(request.url).pathname.slice(1) || "arrayBuffer";
    const body = await request[how]();
    const bytes = how === "text" ? new TextEncoder().encode(body) : body;
    return new Response(hex(await crypto.subtle.digest("SHA-256", bytes)));
  },
};
"""


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def test_each_body_is_what_was_sent(platform_host: Host) -> None:
    uploads = Uploads(platform_host.serve(HASH))
    chance = random.Random(1)
    for number in range(1, 151):
        body = chance.randbytes(chance.choice([65_537, 131_072, 131_073, 999_999, MB, MB + 1, 3 * MB]))
        assert uploads.ask(number, body, chance.choice(["/arrayBuffer", "/bytes"])) == digest(body)
    text = ("å" * 300_000).encode()
    assert [uploads.ask(number, text, "/text") for number in (1000, 1001)] == [digest(text)] * 2


def test_bodies_that_arrive_at_once_do_not_mix(platform_host: Host) -> None:
    uploads = Uploads(platform_host.serve(HASH))
    chance = random.Random(2)
    bodies = {number: chance.randbytes(chance.randrange(70_000, 2 * MB)) for number in range(1, 91)}
    for number, body in bodies.items():
        uploads.begin(number, body)
        uploads.go_on(number, chance.randrange(1, 100_000))
    order = list(bodies)
    chance.shuffle(order)
    assert uploads.finish(*order) == [digest(bodies[number]) for number in order]


@pytest.mark.parametrize("told", [80_000, 999_999, 1_000_001, 4_000_000])
def test_a_length_that_is_not_true_shows_no_other_body(platform_host: Host, told: int) -> None:
    uploads = Uploads(platform_host.serve(HASH))
    for number in range(1, 6):
        uploads.ask(number, b"secret" * 200_000)
    body = os.urandom(1_000_000)
    assert uploads.ask(10, body, length=told) == digest(body)


def test_a_client_that_goes_away_leaves_its_block_to_others(platform_host: Host) -> None:
    edge = platform_host.serve(HASH)
    for round in range(40):
        leaving = Uploads(platform_host.connect())
        for stream in range(1, 5):
            leaving.begin(stream, b"x" * MB)
            leaving.go_on(stream, 100_000)
        leaving.edge.sock.sendall(wire.encode(1, wire.Type.CANCEL, head=b"client disconnected"))
        leaving.edge.sock.close()
        body = os.urandom(MB)
        assert Uploads(edge).ask(round + 1, body) == digest(body)


def test_an_app_may_keep_thousands_of_bodies(platform_host: Host) -> None:
    app = """
        const kept = [];
        const sum = (bytes) => bytes.reduce((sum, byte, at) => (at % 997 ? sum : sum + byte), 0);
        export default {
          async fetch(request) {
            if (request.method === "POST") { kept.push(await request.bytes()); return new Response(); }
            return new Response(kept.map(sum).join());
          },
        };
    """
    uploads = Uploads(platform_host.serve(app, limits=Limits(memory_mb=512)))
    bodies = [bytes([number % 251]) * 70_000 for number in range(3000)]
    for number, body in enumerate(bodies):
        uploads.ask(number + 1, body)
    uploads.edge.request(10_000)
    answer = uploads.edge.frame().data
    assert answer.decode() == ",".join(str(sum(body[::997])) for body in bodies)


def test_a_body_that_the_app_moves_stays_what_it_is(platform_host: Host) -> None:
    app = """
        const moved = [];
        export default {
          async fetch(request) {
            const body = await request.arrayBuffer();
            const copy = structuredClone(body, { transfer: [body] });
            const { port1, port2 } = new MessageChannel();
            const other = await new Promise((resolve) => {
              port2.onmessage = ({ data }) => resolve(data);
              port1.postMessage(copy, [copy]);
            });
            moved.push(new Uint8Array(other));
            const first = moved.every((one, at) => one.length === 1e6 && one.every((byte) => byte === at));
            return new Response([body.detached, copy.detached, first].join());
          },
        };
    """
    uploads = Uploads(platform_host.serve(app))
    for number in range(12):
        assert uploads.ask(number + 1, bytes([number]) * 1_000_000) == b"true,true,true"


def test_an_app_that_is_ended_with_bodies_in_hand_just_ends(platform_host: Host) -> None:
    app = """
        const kept = [];
        export default {
          async fetch(request) {
            kept.push(await request.arrayBuffer());
            if (kept.length === 8) for (;;) new Uint8Array(kept[0]).fill(1);
            return new Response("kept");
          },
        };
    """
    host = platform_host
    uploads = Uploads(host.serve(app, limits=Limits(wall_ms=500)))
    for number in range(1, 8):
        assert uploads.ask(number, b"x" * MB) == b"kept"
    uploads.begin(8, b"x" * MB)
    uploads.begin(9, b"x" * MB)
    uploads.go_on(9, 100_000)
    while uploads._left[8]:
        uploads.go_on(8)
        if uploads._left[8]:
            uploads.read()
    assert host.end.expect(Retiring).limit == "wall_ms"
    assert host.end.rest() is not None
