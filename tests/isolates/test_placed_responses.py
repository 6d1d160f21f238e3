"""Responses that a real host copies to the memory that an edge worker shares, until that is done with them."""

import itertools
import os
import time

import pytest

from isolates import wire
from isolates.block_pool import IDLE_SECONDS, MAX_BYTES
from isolates.messages import Limits, Loaded
from isolates.wire import END, PLACE, PLACED, Type
from tests.isolates.driver import Edge, Host, handler

MB = 1 << 20
MAKE = """
const made = (size, byte) => new Uint8Array(size).fill(byte);
const ways = {
  array: (size, byte) => new Response(made(size, byte)),
  buffer: (size, byte) => new Response(made(size, byte).buffer),
  view: (size, byte) => new Response(made(size + 20, byte).subarray(10, 10 + size)),
  blob: (size, byte) => new Response(new Blob([made(size, byte)])),
  late: async (size, byte) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return new Response(made(size, byte));
  },
  clone: (size, byte) => new Response(made(size, byte)).clone(),
  cloned: (size, byte) => {
    const response = new Response(made(size, byte));
    globalThis.copy = response.clone();
    return response;
  },
  passed: (size, byte) => new Response(new Response(made(size, byte)).body),
  changed: (size, byte) => {
    const bytes = made(size, byte), response = new Response(bytes);
    bytes.fill(0);
    return response;
  },
};
export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    return ways[pathname.slice(1)](+searchParams.get("size"), +searchParams.get("byte"));
  },
};
"""
WAYS = ["array", "buffer", "view", "blob", "late", "clone", "cloned", "passed", "changed"]


class LendingHost:
    """A host whose responses are in memory, on one connection."""

    def __init__(self, edge: Edge) -> None:
        assert edge.memory is not None
        self.edge = edge
        self.memory = edge.memory

    def ask(self, stream: int, path: str = "/", *, method: str = "GET") -> None:
        self.edge.request(stream, f"http://a{path}", method=method)

    def answer(self, stream: int) -> tuple[int, int] | None:
        """Size and offset of a response's body; None if it comes in frames, all of which are read."""
        frame = self.edge.frame()
        assert (frame.stream, frame.type) == (stream, Type.RESPONSE), frame
        if frame.flags & PLACED:
            assert frame.flags & END
            return PLACE.unpack(frame.data)
        while not frame.flags & END:
            self.send(stream, Type.WINDOW, data=len(frame.data).to_bytes(4, "little"))
            frame = self.edge.frame()
        return None

    def lent(self, stream: int, byte: int = 1) -> int:
        """Where the body of a megabyte is that is asked for."""
        self.ask(stream, f"/array?size={MB}&byte={byte}")
        place = self.answer(stream)
        assert place is not None
        return place[1]

    def taken(self, stream: int, size: int) -> None:
        self.send(stream, Type.WINDOW, data=size.to_bytes(4, "little"))

    def cancel(self, stream: int) -> None:
        self.send(stream, Type.CANCEL, head=b"client disconnected")

    def send(self, stream: int, type_: Type, *, head: bytes = b"", data: bytes = b"") -> None:
        self.edge.sock.sendall(wire.encode(stream, type_, head=head, data=data))


def serve(host: Host, app: str = MAKE, *, limits: Limits | None = None) -> LendingHost:
    host.load(app, limits=limits or Limits(max_concurrent_requests=200))
    host.end.expect(Loaded)
    return LendingHost(host.connect(shares=True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [262_145, 300_000, MB, 4 * MB])
def test_a_large_body_is_in_the_memory(platform_host: Host, way: str, size: int) -> None:
    host = serve(platform_host)
    for stream in range(1, 12):
        host.ask(stream, f"/{way}?size={size}&byte={stream}")
        place = host.answer(stream)
        assert place is not None and place[0] == size
        offset = place[1]
        assert host.memory[offset : offset + size] == bytes([stream]) * size
        host.taken(stream, size)


@pytest.mark.parametrize("size", [262_144, 4 * MB + 1])
def test_others_come_in_frames(platform_host: Host, size: int) -> None:
    host = serve(platform_host)
    host.ask(1, f"/array?size={size}&byte=1")
    assert host.answer(1) is None


def test_bodies_under_way_do_not_overlap_and_are_left_alone(platform_host: Host) -> None:
    host = serve(platform_host)
    sizes = [300_000, MB, 2 * MB, 4 * MB] * 4
    places = []
    for stream, size in enumerate(sizes, 1):
        host.ask(stream, f"/array?size={size}&byte={stream}")
        place = host.answer(stream)
        assert place is not None
        places.append(place)
    for stream in range(100, 140):
        host.ask(stream, f"/array?size={MB}&byte=255")
        place = host.answer(stream)
        if place is not None:
            host.taken(stream, MB)
    spans = sorted((offset, size) for size, offset in places)
    assert all(start + size <= after for (start, size), (after, _) in itertools.pairwise(spans))
    for stream, (size, offset) in enumerate(places, 1):
        assert host.memory[offset : offset + size] == bytes([stream]) * size


def test_the_same_memory_is_used_again_and_again(platform_host: Host) -> None:
    host = serve(platform_host)
    offsets = set()
    for stream in range(1, 300):
        offsets.add(host.lent(stream))
        host.taken(stream, MB)
    assert len(offsets) <= 2


@pytest.mark.parametrize("twice", [False, True])
def test_a_client_that_left_gives_the_memory_back(platform_host: Host, twice: bool) -> None:
    host = serve(platform_host)
    offsets = set()
    for stream in range(1, 200):
        offsets.add(host.lent(stream))
        for _ in range(1 + twice):
            host.cancel(stream)
            host.taken(stream, MB)
    assert len(offsets) <= 2


def test_a_second_last_word_frees_no_other_body(platform_host: Host) -> None:
    host = serve(platform_host)
    offset = 0
    for stream in (1, 3):
        offset = host.lent(stream, stream)
        host.taken(1, MB)
        host.cancel(1)
    for stream in range(5, 50):
        assert host.lent(stream, 200) != offset
        host.taken(stream, MB)
    assert host.memory[offset : offset + MB] == bytes([3]) * MB


def test_bodies_that_find_the_pool_used_up_come_in_frames(platform_host: Host) -> None:
    host = serve(platform_host)
    held = range(1, MAX_BYTES // (4 * MB) + 1)
    for stream in held:
        host.ask(stream, f"/array?size={4 * MB}&byte=1")
        assert host.answer(stream) is not None
    host.ask(100, f"/array?size={MB}&byte=1")
    assert host.answer(100) is None
    host.taken(held[0], 4 * MB)
    host.ask(101, f"/array?size={MB}&byte=1")
    assert host.answer(101) is not None


def test_a_connection_that_shares_nothing_gets_frames(platform_host: Host) -> None:
    serve(platform_host)
    edge = platform_host.connect()
    edge.request(1, f"http://a/array?size={MB}&byte=1")
    frame, count = edge.frame(), 0
    while True:
        assert not frame.flags & PLACED
        count += len(frame.data)
        if frame.flags & END:
            break
        edge.sock.sendall(wire.encode(1, Type.WINDOW, data=len(frame.data).to_bytes(4, "little")))
        frame = edge.frame()
    assert count == MB


def test_each_connection_has_its_own_memory(platform_host: Host) -> None:
    hosts = [serve(platform_host), *(LendingHost(platform_host.connect(shares=True)) for _ in range(3))]
    for number, host in enumerate(hosts, 1):
        host.ask(1, f"/array?size={MB}&byte={number}")
        place = host.answer(1)
        assert place is not None
        assert host.memory[place[1] : place[1] + MB] == bytes([number]) * MB
    hosts[1].edge.close()
    hosts[0].taken(1, MB)
    for host in (hosts[0], hosts[2]):
        host.ask(2, f"/array?size={MB}&byte=9")
        assert host.answer(2) is not None


LISTEN = """
const aborted = [];
ways.listen = ({ signal }, size) => {
  signal.onabort = () => aborted.push(String(signal.reason));
  return new Response(made(size, 1));
};
ways.aborted = () => new Response(aborted.join());
"""


def test_an_answer_before_all_of_the_request_came_is_no_abort(platform_host: Host) -> None:
    app = MAKE.replace(
        "return ways", 'if (request.method === "POST") return ways.listen(request, 1e6);\n    return ways'
    )
    host = serve(platform_host, app + LISTEN)
    for stream in range(1, 100, 2):
        head = f"POST\nhttp://a/listen\nrequest-{stream}\nhost\na\ncontent-length\n1000000".encode()
        host.edge.sock.sendall(wire.encode(stream, Type.REQUEST, head=head, data=b"half"))
        assert host.answer(stream) is not None
        host.taken(stream, 10**6)
        host.send(stream, Type.CANCEL, head=b"answered")
    assert host.edge.ask("http://a/aborted", stream=200) == ""
    assert host.edge.shared_bytes <= 2 * MB


KEEP = (
    MAKE
    + """
let kept = null;
ways.keep = (size, byte) => ((kept = new Response(made(size, byte))), new Response("kept"));
ways.give = () => kept;
"""
)


def test_a_response_made_for_a_request_of_another_edge_worker(platform_host: Host) -> None:
    """Its bytes are in memory that this one has no part of."""
    first = serve(platform_host, KEEP)
    second = LendingHost(platform_host.connect(shares=True))
    for stream in range(1, 150):
        first.ask(stream, f"/keep?size={MB}&byte={stream}")
        assert first.answer(stream) is None
        second.ask(stream, "/give")
        place = second.answer(stream)
        assert place is not None and place[0] == MB
        assert second.memory[place[1] : place[1] + MB] == bytes([stream]) * MB
        second.taken(stream, MB)
    assert first.edge.shared_bytes <= 2 * MB


def test_a_response_made_while_the_app_was_loaded(platform_host: Host) -> None:
    app = f"const early = new Response(new Uint8Array({MB}).fill(7));" + handler("return early")
    host = serve(platform_host, app)
    host.ask(1)
    place = host.answer(1)
    assert place is not None and place[0] == MB
    assert host.memory[place[1] : place[1] + MB] == bytes([7]) * MB
    host.taken(1, MB)


def test_no_body_is_left_behind_where_none_is_sent(platform_host: Host) -> None:
    host = serve(platform_host)
    for stream in range(1, 300):
        host.ask(stream, f"/array?size={MB}&byte=1", method="HEAD")
        frame = host.edge.frame()
        assert (frame.type, frame.flags) == (Type.RESPONSE, END)
        assert f"content-length\n{MB}".encode() in frame.head
    host.ask(1000, f"/array?size={MB}&byte=1")
    assert host.answer(1000) is not None


def test_responses_that_are_never_sent_cost_no_memory_for_ever(platform_host: Host) -> None:
    host = serve(platform_host, handler(f"for (let i = 0; i < 5; i++) new Response(new Uint8Array({MB})); "
                                        f"return new Response(new Uint8Array({MB}).fill(7));"))  # fmt: skip
    placed = 0
    for stream in range(1, 200):
        host.ask(stream)
        if host.answer(stream) is not None:
            placed += 1
            host.taken(stream, MB)
    assert placed > 150
    assert host.edge.shared_bytes <= MAX_BYTES


def test_a_response_is_limited_all_the_same(platform_host: Host) -> None:
    host = serve(platform_host, limits=Limits(response_mb=1))
    host.ask(1, f"/array?size={MB + 1}&byte=1")
    frame = host.edge.frame()
    assert (frame.type, frame.status) == (Type.REFUSE, 502)
    host.ask(2, f"/array?size={MB}&byte=1")
    assert host.answer(2) is not None


def test_a_request_keeps_its_slot_until_the_last_word(platform_host: Host) -> None:
    host = serve(platform_host, limits=Limits(max_concurrent_requests=1))
    for stream in (1, 2):
        host.ask(stream, f"/array?size={MB}&byte={stream}")
    assert host.answer(1) is not None
    host.taken(1, MB)
    assert host.answer(2) is not None


def test_a_deadline_is_told_and_the_memory_kept_until_the_last_word(platform_host: Host) -> None:
    host = serve(platform_host, limits=Limits(wall_ms=200, max_concurrent_requests=50))
    host.ask(1, f"/array?size={MB}&byte=1")
    place = host.answer(1)
    assert place is not None
    frame = host.edge.frame()
    assert (frame.stream, frame.type, frame.head) == (1, Type.CANCEL, b"deadline")
    for stream in range(2, 20):
        assert host.lent(stream, 2) != place[1]
        host.taken(stream, MB)
    assert host.memory[place[1] : place[1] + MB] == bytes([1]) * MB
    host.cancel(1)
    host.ask(50, f"/array?size={MB}&byte=1")
    assert host.answer(50) is not None


def test_memory_is_given_back_when_idle(platform_host: Host) -> None:
    host = serve(platform_host)
    for stream in range(1, 30):
        host.lent(stream)
    assert host.edge.shared_bytes >= 29 * MB
    for stream in range(1, 30):
        host.taken(stream, MB)
    end = time.monotonic() + 10 * IDLE_SECONDS
    while host.edge.shared_bytes:
        assert time.monotonic() < end, host.edge.shared_bytes
        os.sched_yield()


def test_an_app_that_overwrites_what_detaches_an_array(platform_host: Host) -> None:
    host = serve(
        platform_host,
        """
        const refuse = () => { throw new Error("overwritten"); };
        for (const name of ["transfer", "slice", "resize"]) ArrayBuffer.prototype[name] = refuse;
        Object.defineProperty(Uint8Array.prototype, "buffer", { get: refuse });
        """
        + MAKE,
    )
    for stream in range(1, 150):
        host.lent(stream)
        host.taken(stream, MB)
