"""Bodies that the edge writes to the memory it shares with a host: where, when, and what becomes of it else."""

import os
import random
import socket
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from isolates.wire import END, HELD_BYTES, MAX_HELD_BYTES, MEMORY_BYTES, PLACED, Type
from tests.router.edge import EdgeProcess, RawClient, edge_process
from tests.router.placing_host import PlacingHost
from tests.router.test_http1 import head, is_closed

MB = 1 << 20
BODY = random.Random(7).randbytes(MB)
GET = head("GET", "/after")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge() -> AsyncIterator[EdgeProcess]:
    async with edge_process() as edge:
        yield edge


def post(*lines: str, length: int = len(BODY)) -> bytes:
    return head("POST", "/", f"Content-Length: {length}", *lines)


def is_last_word(host: PlacingHost, stream: int) -> None:
    frame = host.frame()
    assert (frame.stream, frame.type, frame.flags, frame.data) == (stream, Type.DATA, END | PLACED, b"")


def is_cancelled(host: PlacingHost, stream: int) -> None:
    frame = host.frame()
    assert (frame.stream, frame.type) == (stream, Type.CANCEL)


def serves(host: PlacingHost, edge: EdgeProcess) -> None:
    """Whether the next client is answered: whatever was before cost no other request."""
    with edge.connect() as other:
        other.send(GET)
        frame = host.frame()
        assert frame.type == Type.REQUEST and b"/after" in frame.head
        host.answer(frame.stream)
        assert other.response()[2] == b"done"


# Where the body is


@pytest.mark.parametrize("early", [0, 1, 1000, 200_000])
@pytest.mark.parametrize("offset", [0, 1, 4096, MEMORY_BYTES - MB])
def test_a_body_is_where_the_host_said(host: PlacingHost, client: RawClient, early: int, offset: int) -> None:
    client.send(post() + BODY[:early])
    stream = host.request()
    host.place(stream, offset, MB)
    client.send(BODY[early:])
    is_last_word(host, stream)
    assert host.memory[offset : offset + MB] == BODY
    host.answer(stream)
    assert client.response()[2] == b"done"


def test_nothing_beside_a_body_is_written(host: PlacingHost, client: RawClient) -> None:
    host.memory[: 4 * MB] = b"?" * (4 * MB)
    client.send(post() + BODY[:5000])
    stream = host.request()
    host.place(stream, MB, MB)
    client.send(BODY[5000:])
    is_last_word(host, stream)
    assert host.memory[:MB] == b"?" * MB and host.memory[2 * MB : 4 * MB] == b"?" * (2 * MB)


def test_a_body_byte_by_byte_at_both_ends(host: PlacingHost, client: RawClient) -> None:
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in post() + BODY[:30]:
        client.send(bytes([byte]))
    stream = host.request()
    host.place(stream, 0, MB)
    for at in range(30, 60):
        client.send(BODY[at : at + 1])
    client.send(BODY[60:-30])
    for byte in BODY[-30:]:
        client.send(bytes([byte]))
    is_last_word(host, stream)
    assert host.memory[:MB] == BODY


def test_a_request_right_behind_a_body_is_read_as_one(host: PlacingHost, client: RawClient) -> None:
    client.send(post() + BODY[:70_000])
    for _ in range(3):
        stream = host.request()
        host.place(stream, 0, MB)
        client.send(BODY[70_000:] + GET + post() + BODY[:70_000])
        is_last_word(host, stream)
        host.answer(stream)
        assert client.response()[2] == b"done"
        after = host.frame()
        assert after.type == Type.REQUEST and b"/after" in after.head
        host.answer(after.stream, b"behind")
        assert client.response()[2] == b"behind"


@pytest.mark.parametrize("size", [0, 1000, 100_000, HELD_BYTES, HELD_BYTES + 1, MAX_HELD_BYTES + 1])
def test_what_follows_a_body_that_was_placed_is_read_whole(host: PlacingHost, client: RawClient, size: int) -> None:
    body = random.Random(size).randbytes(size)
    for _ in range(2):
        client.send(post() + BODY)
        stream = host.request()
        host.place(stream, 0, MB)
        is_last_word(host, stream)
        assert host.memory[:MB] == BODY
        host.answer(stream)
        assert client.response()[2] == b"done"
        sending = threading.Thread(target=client.send, args=(post(length=size) + body,))
        sending.start()
        frame = host.frame()
        assert frame.type == Type.REQUEST
        host.send(frame.stream, Type.WINDOW, data=(size + 1).to_bytes(4, "little"))
        assert frame.data + (b"" if frame.flags & END else host.body(frame.stream)) == body
        sending.join()
        host.answer(frame.stream)
        assert client.response()[2] == b"done"


def test_a_body_behind_another_request(host: PlacingHost, client: RawClient) -> None:
    client.send(GET + post() + BODY[:70_000])
    first = host.frame()
    host.answer(first.stream)
    assert client.response()[2] == b"done"
    stream = host.request()
    host.place(stream, 0, MB)
    client.send(BODY[70_000:])
    is_last_word(host, stream)
    assert host.memory[:MB] == BODY
    host.answer(stream, b"body")
    assert client.response()[2] == b"body"


def test_the_answer_to_a_body_in_place_may_begin_before_its_end(host: PlacingHost, client: RawClient) -> None:
    client.send(post())
    stream = host.request()
    host.send(stream, Type.RESPONSE, status=200)
    host.place(stream, 0, MB)
    host.send(stream, Type.DATA, data=b"early ")
    assert client.until(b"early ")
    client.send(BODY)
    is_last_word(host, stream)
    assert host.memory[:MB] == BODY
    host.send(stream, Type.DATA, flags=END, data=b"late")
    assert b"late" in client.rest()


def test_a_client_that_waits_to_be_asked_is_asked(host: PlacingHost, client: RawClient) -> None:
    client.send(post("Expect: 100-continue"))
    assert client.response()[0] == 100
    stream = host.request()
    host.place(stream, 0, MB)
    client.send(BODY)
    is_last_word(host, stream)
    assert host.memory[:MB] == BODY
    host.answer(stream)
    assert client.response()[2] == b"done"


# Where it is not


@pytest.mark.parametrize("offset", [2**32 - 1, MEMORY_BYTES - MB + 1, MEMORY_BYTES, MEMORY_BYTES + 4096, 2**31])
def test_a_place_that_is_not_within_the_memory_is_declined(host: PlacingHost, client: RawClient, offset: int) -> None:
    client.send(post() + BODY[:100])
    stream = host.request()
    host.place(stream, offset, MB)
    client.send(BODY[100:] + GET)
    assert host.body(stream) == BODY
    host.answer(stream)
    assert client.response()[2] == b"done"
    after = host.frame()
    host.answer(after.stream, b"behind")
    assert client.response()[2] == b"behind"


@pytest.mark.parametrize("line", ["Connection: close", "X: y"])
def test_a_body_without_another_request_behind_it_comes_in_frames(
    host: PlacingHost, client: RawClient, line: str
) -> None:
    version = b"1.1" if "close" in line else b"1.0"
    client.send(post(line).replace(b"HTTP/1.1", b"HTTP/" + version) + BODY[:100])
    stream = host.request()
    host.place(stream, 0, MB)
    client.send(BODY[100:])
    assert host.body(stream) == BODY
    host.answer(stream)
    assert client.response()[2] == b"done"
    assert is_closed(client)


def test_a_chunked_body_is_declined(host: PlacingHost, client: RawClient) -> None:
    client.send(head("POST", "/", "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (300_000, BODY[:300_000]))
    frame = host.frame()
    host.place(frame.stream, 0, MB)
    client.send(b"0\r\n\r\n" + GET)
    assert frame.data + host.body(frame.stream) == BODY[:300_000]
    host.answer(frame.stream)
    assert client.response()[2] == b"done"
    assert b"/after" in host.frame().head


def test_a_body_all_of_which_was_sent_has_no_place(host: PlacingHost, client: RawClient) -> None:
    client.send(post(length=100_000) + BODY[:100_000])
    frame = host.frame()
    assert frame.data + (b"" if frame.flags & END else host.body(frame.stream)) == BODY[:100_000]
    host.place(frame.stream, 0, 100_000)
    host.answer(frame.stream)
    assert client.response()[2] == b"done"
    client.send(GET)
    assert b"/after" in host.frame().head


def test_what_was_sent_before_is_not_written(host: PlacingHost, client: RawClient) -> None:
    client.send(post() + BODY[:100_000])
    stream = host.request()
    host.send(stream, Type.WINDOW, data=bytes(4))
    sent = b""
    while len(sent) < 100_000:
        sent += host.frame().data
    host.place(stream, 0, MB)
    client.send(BODY[100_000:])
    is_last_word(host, stream)
    assert sent == BODY[:100_000] and host.memory[: len(sent)] == bytes(len(sent))
    assert host.memory[len(sent) : MB] == BODY[len(sent) :]


def test_a_place_for_a_stream_that_is_over_or_never_was_is_ignored(
    host: PlacingHost, edge: EdgeProcess, client: RawClient
) -> None:
    client.send(post())
    stream = host.request()
    host.answer(stream)
    host.place(stream, 0, MB)
    host.place(stream + 1000, 0, MB)
    assert client.response()[2] == b"done"
    is_cancelled(host, stream)
    serves(host, edge)
    assert host.memory[:MB] == bytes(MB)


def test_a_second_place_reads_nothing_that_is_not_the_bodys(host: PlacingHost, client: RawClient) -> None:
    client.send(post())
    stream = host.request()
    host.place(stream, 0, MB)
    client.send(BODY[:-100])
    while host.memory[MB - 101 : MB - 100] != BODY[-101:-100]:
        os.sched_yield()
    host.place(stream, 2 * MB, MB)
    # The edge has seen it: it reads what the host sends in order.
    host.send(stream, Type.RESPONSE, status=200)
    assert client.until(b"\r\n\r\n")
    client.send(BODY[-100:] + GET * 50)
    is_last_word(host, stream)
    assert host.memory[:MB] == BODY and b"GET /after" not in host.memory[2 * MB : 3 * MB]


@pytest.mark.parametrize(
    ("length", "held"),
    [(HELD_BYTES, False), (HELD_BYTES + 1, True), (MAX_HELD_BYTES, True), (MAX_HELD_BYTES + 1, False)],
)
def test_bodies_of_these_lengths_are_held_back(
    host: PlacingHost, edge: EdgeProcess, client: RawClient, length: int, held: bool
) -> None:
    client.send(post(length=length) + BODY[:1000])
    frame = host.frame()
    assert bool(frame.data) != held
    # Nor does any of it come until it is asked for.
    serves(host, edge)
    body = (BODY * 5)[:length]
    if held:
        host.place(frame.stream, 0, length)
        client.send(body[1000:])
        is_last_word(host, frame.stream)
        assert host.memory[:length] == body


@pytest.mark.parametrize("left", [1, 1000, 65_535, 65_536, 65_537])
def test_a_body_of_which_little_is_left_arrives_all_the_same(host: PlacingHost, client: RawClient, left: int) -> None:
    """The parser has what is left then, and keeps it."""
    body = BODY[: HELD_BYTES + 1]
    # Behind another request, so that much is read before it begins.
    client.send(GET + post(length=len(body)) + body[:-left])
    host.answer(host.frame().stream)
    assert client.response()[2] == b"done"
    stream = host.request()
    host.place(stream, 0, len(body))
    client.send(body[-left:] + GET)
    data = b""
    while not (frame := host.frame()).flags & END:
        data += frame.data
    placed = bool(frame.flags & PLACED)
    assert (host.memory[: len(body)] if placed else data + frame.data) == body
    host.answer(stream)
    assert client.response()[2] == b"done"
    assert b"/after" in host.frame().head


def test_nonsense_behind_a_body_in_place_does_not_cost_its_answer(host: PlacingHost, client: RawClient) -> None:
    client.send(post())
    stream = host.request()
    host.place(stream, 0, MB)
    client.send(BODY + b"\0nonsense\r\n\r\n")
    is_last_word(host, stream)
    assert host.memory[:MB] == BODY
    host.answer(stream)
    assert client.response()[2] == b"done"
    assert is_closed(client)
