"""Bodies that an edge worker writes to the memory that it shares with a real host."""

import hashlib
import itertools
import json
import os
import random

import pytest

from isolates import wire
from isolates.block_pool import MAX_BYTES
from isolates.messages import Limits
from isolates.wire import END, Type
from tests.isolates.driver import Host
from tests.isolates.placing_edge import HASH, READER, PlacingEdge, serve

MB = 1 << 20
LEAST = wire.HELD_BYTES + 1


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def test_each_body_is_what_was_written(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    chance = random.Random(1)
    for number in range(1, 121):
        body = chance.randbytes(chance.choice([LEAST, 300_000, 999_999, MB, MB + 1, 3 * MB, 4 * MB]))
        edge.begin(number, body, chance.choice(["/arrayBuffer", "/bytes", "/blob", "/late"]))
        edge.place(number)
        assert edge.finish(number) == [digest(body)]


def test_bodies_of_several_connections_do_not_mix(platform_host: Host) -> None:
    edges = [serve(platform_host, HASH), *(PlacingEdge.of(platform_host) for _ in range(3))]
    chance = random.Random(2)
    for round in range(8):
        bodies = {(at, round * 10 + stream): os.urandom(MB + stream) for at in range(4) for stream in range(1, 4)}
        order = list(bodies)
        chance.shuffle(order)
        for at, stream in order:
            edges[at].begin(stream, bodies[at, stream])
        for at, stream in order:
            edges[at].place(stream)
        chance.shuffle(order)
        for at, stream in order:
            edges[at].write(stream)
        for at, stream in order:
            assert edges[at].answer(stream) == digest(bodies[at, stream])


def test_places_of_bodies_under_way_do_not_overlap(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    sizes = [LEAST, MB, 2 * MB, 4 * MB, 600_000] * 3
    bodies = {stream: os.urandom(size) for stream, size in enumerate(sizes, 1)}
    for stream, body in bodies.items():
        edge.begin(stream, body)
    spans = sorted((edge.place(stream), len(body)) for stream, body in bodies.items())
    assert all(start + size <= after for (start, size), (after, _) in itertools.pairwise(spans))
    assert edge.finish(*bodies) == [digest(body) for body in bodies.values()]


def test_a_body_may_come_in_frames_instead(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    for number in range(1, 20):
        body = os.urandom(MB)
        edge.begin(number, body)
        offset = edge.place(number)
        edge.memory[offset : offset + MB] = b"?" * MB
        edge.send_data(number)
        assert edge.answer(number) == digest(body)


@pytest.mark.parametrize("sent", [0, 1, 100_000, MB - 1])
def test_a_body_that_ends_too_soon_shows_no_other_body(platform_host: Host, sent: int) -> None:
    edge = serve(platform_host, HASH)
    for number in range(1, 4):
        edge.ask(number, b"secret" * 200_000)
    body = os.urandom(sent)
    edge.begin(10, b"", length=MB)
    edge.place(10)
    for at in range(0, sent, wire.MAX_DATA_BYTES):
        edge.send(10, Type.DATA, data=body[at : at + wire.MAX_DATA_BYTES])
    edge.send(10, Type.DATA, flags=END)
    assert edge.answer(10) == digest(body)


WAYS = ["arrayBuffer", "text", "json", "stream", "reader", "clone", "oneAfterTheOther", "again", "request", "piped"]


@pytest.mark.parametrize("way", [*WAYS, "looked", "late"])
def test_no_way_to_read_a_body_that_is_held_back_waits_for_ever(platform_host: Host, way: str) -> None:
    edge = serve(platform_host, HASH, limits=Limits(wall_ms=5000))
    for number in range(1, 4):
        body = json.dumps("a" * (number * 500_000)).encode()
        assert edge.ask(number, body, f"/{way}") == digest(body)


def test_a_form_that_is_held_back_is_read(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    file = os.urandom(MB).replace(b"\r\n--", b"....")
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + file + b"\r\n--b--\r\n"
    assert edge.ask(1, body, "/form", more="\ncontent-type\nmultipart/form-data; boundary=b") == digest(file)


def test_a_body_that_is_never_read_is_never_asked_for(platform_host: Host) -> None:
    edge = serve(platform_host, "export default { fetch: () => new Response('no') }")
    for number in range(1, 200):
        edge.begin(number, bytes(MB))
        assert edge.answer(number) == b"no"
        edge.cancel(number)
    assert not edge.places and not edge.windows


def test_bodies_that_find_the_pool_used_up_are_sent(platform_host: Host) -> None:
    edge = serve(platform_host, HASH)
    size = 4 * MB
    held = range(1, MAX_BYTES // size + 1)
    for number in held:
        edge.begin(number, os.urandom(size))
        edge.place(number)
    body = os.urandom(MB)
    edge.begin(100, body)
    while 100 not in edge.windows:
        edge.read()
    assert 100 not in edge.places
    edge.send_data(100)
    while edge._left.get(100):
        edge.read()
        edge.send_data(100)
    assert edge.answer(100) == digest(body)
    bodies = [edge._left[number] for number in held]
    assert edge.finish(*held) == [digest(body) for body in bodies]


# The end of a stream, and when its place is used again

ENDS = (
    READER
    + """
export default {
  async fetch(request) {
    const body = request.bytes();
    body.catch(() => {});
    const how = new URL(request.url).pathname.slice(1);
    if (how === "read") return new Response(await hash(await body));
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (how === "answer") return new Response("early");
    if (how === "throw") throw new Error("no");
    if (how === "stream") {
      return new Response(new ReadableStream({ async start(controller) {
        controller.enqueue(new Uint8Array(5));
        await new Promise((resolve) => setTimeout(resolve, 5));
        controller.error(new Error("broken"));
      } }));
    }
    await new Promise(() => {});
  },
};
"""
)
ENDINGS = {
    "answer": b"early",
    "throw": b"exception\n",
    "stream": b"the response body failed",
    "deadline": b"deadline\n",
}


@pytest.mark.parametrize("how", ENDINGS)
def test_a_place_is_not_used_again_before_the_last_word(platform_host: Host, how: str) -> None:
    edge = serve(platform_host, ENDS, limits=Limits(wall_ms=400))
    edge.begin(1, b"x" * MB, f"/{how}")
    place = edge.place(1)
    assert edge.answer(1).startswith(ENDINGS[how])
    for number in range(2, 12):
        body = os.urandom(MB)
        edge.begin(number, body, "/read")
        assert edge.place(number) != place
        # As an edge worker that has yet to hear of the end.
        edge.memory[place : place + MB] = b"x" * MB
        assert edge.finish(number) == [digest(body)]
    edge.cancel(1)
    body = os.urandom(MB)
    edge.begin(100, body, "/read")
    assert edge.place(100) == place
    assert edge.finish(100) == [digest(body)]


@pytest.mark.parametrize("how", ENDINGS)
def test_the_end_of_the_body_may_be_the_last_word(platform_host: Host, how: str) -> None:
    edge = serve(platform_host, ENDS, limits=Limits(wall_ms=400))
    for number in range(1, 4):
        edge.begin(number, bytes(MB), f"/{how}")
        place = edge.place(number)
        assert edge.answer(number).startswith(ENDINGS[how])
        edge.write(number)
        edge.begin(number + 100, bytes(MB), "/read")
        assert edge.place(number + 100) == place
        assert edge.finish(number + 100) == [digest(bytes(MB))]


@pytest.mark.parametrize("why", [b"client disconnected", b"deadline"])
def test_a_client_that_leaves_in_mid_place_frees_the_place(platform_host: Host, why: bytes) -> None:
    edge = serve(platform_host, ENDS)
    edge.begin(1, bytes(MB), "/wait")
    place = edge.place(1)
    for number in range(2, 102):
        edge.cancel(number - 1, why)
        edge.begin(number, bytes(MB), "/wait")
        assert edge.place(number) == place


def test_bodies_that_nobody_waits_for_any_more_leave_the_pool_to_others(platform_host: Host) -> None:
    """As many as fill it several times, each left in another way."""
    edge = serve(platform_host, ENDS, limits=Limits(wall_ms=400, max_concurrent_requests=1000))
    number = 0
    for _ in range(3):
        streams = []
        for how in ("answer", "throw", "stream", "wait") * 10:
            number += 1
            edge.begin(number, bytes(2 * MB), f"/{how}")
            streams.append(number)
        for stream in streams:
            edge.answer(stream)
            edge.cancel(stream)
    edge.begin(number + 1, bytes(4 * MB), "/read")
    edge.place(number + 1)
    assert edge.finish(number + 1) == [digest(bytes(4 * MB))]


def test_an_app_that_asks_for_the_stream_of_a_body_it_reads_keeps_no_block(platform_host: Host) -> None:
    app = """
        export default {
          async fetch(request) {
            const bytes = request.bytes();
            void request.body;
            return new Response(String((await bytes).length));
          },
        };
    """
    edge = serve(platform_host, app, limits=Limits(wall_ms=3000))
    for number in range(1, 40):
        edge.begin(number, bytes(4 * MB))
        edge.place(number)
        assert edge.finish(number) == [b"%d" % (4 * MB)]
