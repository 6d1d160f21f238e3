"""What becomes of memory that edge workers shared with a real host: gone, idle or scarce."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from isolates import wire
from isolates.block_pool import MAX_BYTES
from isolates.messages import Limits
from isolates.process import private_mb
from isolates.wire import END, Type
from tests.isolates.driver import MEMORY_NAME, TIMEOUT, Host
from tests.isolates.placing_edge import HASH, PlacingEdge, serve
from tests.isolates.test_placed_bodies import MB, digest


def until(condition: Callable[[], object]) -> None:
    """Wait for what can only be seen from outside."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descriptors(host: Host) -> int:
    return len(list(Path(f"/proc/{host.pid}/fd").iterdir()))


def mapped_bytes(host: Host) -> int:
    """How much of shared memory the host has mapped."""
    lines = Path(f"/proc/{host.pid}/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if MEMORY_NAME in line]
    return sum(int(end, 16) - int(start, 16) for start, end in spans)


KEEPER = """
    const kept = [];
    export default {
      async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/wait") await request.bytes();
        if (pathname === "/keep") kept.push(await request.bytes());
        if (kept.length > 24) kept.shift();
        const wrong = kept.findIndex((bytes) => {
          for (let at = 0; at < bytes.length; at += 4093) if (bytes[at] !== bytes[0]) return true;
        });
        return new Response(kept.map((bytes) => bytes[0]) + (wrong < 0 ? "" : ` wrong at ${wrong}`));
      },
    };
"""


def test_bodies_outlive_the_connection_that_they_came_over(platform_host: Host) -> None:
    """An app that keeps the last of thousands, each placed over a connection of its own that has gone since."""
    staying = serve(platform_host, KEEPER, limits=Limits(memory_mb=128))
    staying.ask(1, b"", "/see")
    before = descriptors(platform_host)
    for number in range(1500):
        edge = PlacingEdge.of(platform_host)
        edge.begin(1, bytes([number % 251]) * MB, "/keep")
        edge.begin(2, bytes([255]) * MB, "/wait")
        kept = [at % 251 for at in range(max(0, number - 23), number + 1)]
        edge.place(1)
        edge.place(2)
        edge.write(1)
        assert edge.answer(1).decode() == ",".join(map(str, kept))
        # The other one is in mid-place.
        edge.memory[edge.places[2]] = 255
        edge.edge.close()
        platform_host._edges.remove(edge.edge)
    assert mapped_bytes(platform_host) <= MAX_BYTES
    until(lambda: descriptors(platform_host) <= before)
    assert staying.ask(2, bytes([7]) * MB, "/keep").decode().endswith(",7")


def test_edge_workers_that_come_and_go_leave_nothing_open(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    edge.ask(1, bytes(MB))
    before = descriptors(platform_host)
    for number in range(200):
        visitor = PlacingEdge.of(platform_host)
        visitor.begin(1, bytes(MB))
        visitor.begin(2, bytes(300_000))
        visitor.place(2)
        visitor.write(2)
        if number % 2:
            assert visitor.answer(2) == digest(bytes(300_000))
        visitor.edge.close()
        platform_host._edges.remove(visitor.edge)
    body = os.urandom(MB)
    assert edge.ask(2, body) == digest(body)
    until(lambda: descriptors(platform_host) <= before)
    # The last body is a while ago.
    until(lambda: not mapped_bytes(platform_host))


def test_memory_of_bodies_is_given_back_when_none_came_for_a_while(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    for _ in range(2):
        streams = range(1, 13)
        for stream in streams:
            edge.begin(stream, os.urandom(4 * MB))
        for stream in streams:
            edge.place(stream)
        edge.finish(*streams)
        assert edge.edge.shared_bytes >= 48 * MB
        until(lambda: edge.edge.shared_bytes == 0 and not mapped_bytes(platform_host))


def test_a_place_in_use_is_not_given_back_meanwhile(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    body = os.urandom(MB)
    assert edge.ask(1, os.urandom(MB)) != digest(body)
    edge.begin(2, body)
    edge.begin(3, os.urandom(2 * MB))
    place = edge.place(2)
    edge.memory[place : place + MB] = body
    edge.finish(3)
    until(lambda: mapped_bytes(platform_host) == MB)
    assert edge.finish(2) == [digest(body)]


GREEDY = """
    const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    let held = [];
    export default {
      async fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/let-go") held = [];
        if (pathname === "/take") {
          try { for (;;) held.push(new ArrayBuffer(4 << 20)); } catch { }
          // What V8 itself needs, which it finds free when it looks for more than there is.
          held.length -= 8;
          try { new ArrayBuffer(1 << 29); } catch { }
          return new Response(String(held.reduce((sum, one) => sum + one.byteLength, 0)));
        }
        return new Response(hex(await crypto.subtle.digest("SHA-256", await request.bytes())));
      },
    };
"""


def test_an_app_that_takes_all_memory_while_blocks_are_shared_goes_on(platform_host: Host) -> None:
    limits = Limits(memory_mb=32)
    edge = serve(platform_host, GREEDY, limits=limits)
    streams = range(1, 13)
    for stream in streams:
        edge.begin(stream, bytes(4 * MB))
    for stream in streams:
        edge.place(stream)
    edge.finish(*streams)
    body = os.urandom(400_000)
    assert int(edge.ask(100, body, "/take")) > (private_mb(limits.memory_mb) - 130) * MB
    assert edge.ask(101, body) == digest(body)
    # Idle: the blocks, more than there is left, become private memory on their way back.
    until(lambda: edge.edge.shared_bytes == 0)
    assert edge.ask(102, body) == digest(body)
    edge.ask(103, body, "/let-go")
    assert [edge.ask(stream, body) for stream in range(104, 124)] == [digest(body)] * 20


@pytest.mark.parametrize("first", [b"", wire.encode(0, 99), wire.encode(0, Type.MEMORY)])
def test_a_connection_that_shares_nothing_gets_no_place(platform_host: Host, first: bytes) -> None:
    serve(platform_host, HASH)
    edge = platform_host.connect()
    edge.sock.sendall(first)
    body = os.urandom(MB)
    head = f"POST\nhttp://a/\nrequest-1\nhost\na\ncontent-length\n{len(body)}".encode()
    edge.sock.sendall(wire.encode(1, Type.REQUEST, head=head))
    window, sent = wire.WINDOW_BYTES, 0
    while sent < len(body):
        while not window:
            frame = edge.frame()
            assert frame.type == Type.WINDOW
            window += int.from_bytes(frame.data, "little")
        count = min(window, wire.MAX_DATA_BYTES, len(body) - sent)
        flags = END if sent + count == len(body) else 0
        edge.sock.sendall(wire.encode(1, Type.DATA, flags=flags, data=body[sent : sent + count]))
        sent, window = sent + count, window - count
    while (frame := edge.frame()).type == Type.WINDOW:
        pass
    assert frame.data == digest(body)
