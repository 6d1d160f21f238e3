"""Responses that the edge sends from the memory it shares with a host: what clients get, what the host is told."""

import random
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from isolates.wire import END, MEMORY_BYTES, PLACED, Type
from tests.router.edge import EdgeProcess, RawClient, edge_process
from tests.router.placing_host import PlacingHost
from tests.router.test_http1 import head, is_closed

MB = 1 << 20
BODY = random.Random(8).randbytes(4 * MB)
GET = head("GET", "/")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge() -> AsyncIterator[EdgeProcess]:
    async with edge_process() as edge:
        yield edge


def slow_client(edge: EdgeProcess) -> RawClient:
    """A client for which the kernel keeps no more than some hundred kilobytes: over TCP it may be all."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(edge.unix_path)
    return RawClient(sock)


@pytest.fixture
def slow(edge: EdgeProcess) -> Iterator[RawClient]:
    with slow_client(edge) as client:
        yield client


def asked(host: PlacingHost, client: RawClient, request: bytes = GET) -> int:
    """Have a client ask; return the stream."""
    client.send(request)
    frame = host.frame()
    assert frame.type == Type.REQUEST
    return frame.stream


def serves(host: PlacingHost, edge: EdgeProcess) -> None:
    """Whether another client is answered meanwhile."""
    with edge.connect() as other:
        host.answer(asked(host, other), b"other")
        assert other.response()[2] == b"other"


# What clients get


@pytest.mark.parametrize("offset", [0, 1, 4096, MEMORY_BYTES - 4 * MB])
@pytest.mark.parametrize("size", [1, 1000, 100_000, 262_144, 262_145, 1_000_000, 4 * MB])
def test_a_body_is_what_is_in_the_memory(host: PlacingHost, client: RawClient, size: int, offset: int) -> None:
    for _ in range(2):
        stream = asked(host, client)
        host.lend(stream, BODY[:size], offset, head=b"\nx-a\nb\ncontent-length\n7")
        status, fields, body = client.response()
        assert (status, fields["x-a"], fields["content-length"]) == (200, "b", str(size))
        assert body == BODY[:size]
        host.is_taken(stream, size)


def test_responses_of_all_kinds_in_turn_on_one_connection(host: PlacingHost, client: RawClient) -> None:
    for _ in range(3):
        stream = asked(host, client)
        host.lend(stream, BODY[:MB])
        assert client.response()[2] == BODY[:MB]
        host.is_taken(stream, MB)
        host.answer(asked(host, client), b"small")
        assert client.response()[2] == b"small"
        stream = asked(host, client)
        host.send(stream, Type.RESPONSE, status=200)
        host.send(stream, Type.DATA, data=BODY[:60_000])
        host.send(stream, Type.DATA, flags=END)
        assert client.response()[2] == BODY[:60_000]
        frame = host.frame()
        assert (frame.stream, frame.type) == (stream, Type.WINDOW)


def test_requests_that_come_together_are_answered_in_turn(host: PlacingHost, client: RawClient) -> None:
    client.send(GET * 3)
    for at in range(3):
        stream = host.frame().stream
        host.lend(stream, BODY[at : at + MB])
        assert client.response()[2] == BODY[at : at + MB]
        host.is_taken(stream, MB)


def test_many_at_once(host: PlacingHost, edge: EdgeProcess) -> None:
    clients = [edge.connect() for _ in range(40)]
    streams = [asked(host, client) for client in clients]
    for at in range(len(streams)):
        host.memory[at * MB : (at + 1) * MB] = BODY[at : at + MB]
    for at, stream in enumerate(streams):
        host.answer_from(stream, MB, at * MB)
    for at, client in enumerate(clients):
        assert client.response()[2] == BODY[at : at + MB]
        client.close()
    taken = [host.frame() for _ in streams]
    assert sorted(frame.stream for frame in taken) == sorted(streams)
    assert {frame.type for frame in taken} == {Type.WINDOW}


def test_an_http_1_0_client(host: PlacingHost, client: RawClient) -> None:
    stream = asked(host, client, GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
    host.lend(stream, BODY[:MB])
    assert client.response()[2] == BODY[:MB]
    host.is_taken(stream, MB)
    assert is_closed(client)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 205)])
def test_where_there_is_no_body_none_is_sent(host: PlacingHost, client: RawClient, method: str, status: int) -> None:
    stream = asked(host, client, head(method, "/"))
    host.lend(stream, BODY[:MB], status=status)
    assert client.response(head_only=True)[0] == status
    host.is_taken(stream, MB)
    host.answer(asked(host, client), b"after")
    assert client.response()[2] == b"after"


def test_the_answer_to_a_request_that_goes_on_ends_the_connection(host: PlacingHost, client: RawClient) -> None:
    stream = asked(host, client, head("POST", "/", "Content-Length: 1000") + b"half")
    host.lend(stream, BODY[:MB])
    status, fields, body = client.response()
    assert (status, fields["connection"], body) == (200, "close", BODY[:MB])
    frame = host.frame()
    while frame.type == Type.DATA:
        frame = host.frame()
    # In this order, or to the app it would look as if the client had left before it was answered.
    assert (frame.stream, frame.type) == (stream, Type.WINDOW)
    frame = host.frame()
    assert (frame.stream, frame.type, frame.head) == (stream, Type.CANCEL, b"answered")
    assert is_closed(client)


def test_an_answer_from_where_the_request_was_written(host: PlacingHost, client: RawClient) -> None:
    client.send(head("POST", "/", f"Content-Length: {MB}"))
    stream = host.request()
    host.place(stream, 0, MB)
    client.send(BODY[:MB])
    frame = host.frame()
    assert (frame.type, frame.flags) == (Type.DATA, END | PLACED)
    host.answer_from(stream, MB, 0)
    assert client.response()[2] == BODY[:MB]
    host.is_taken(stream, MB)


# When the host hears of it


def test_the_host_hears_of_it_only_when_all_has_left(host: PlacingHost, edge: EdgeProcess, slow: RawClient) -> None:
    stream = asked(host, slow)
    host.lend(stream, BODY)
    slow.until(b"\r\n\r\n")
    serves(host, edge)  # with not a word of the other one
    # Nothing was copied, or what is changed now would not arrive.
    host.memory[3 * MB : 4 * MB] = b"?" * MB
    assert slow.exactly(4 * MB) == BODY[: 3 * MB] + b"?" * MB
    host.is_taken(stream, 4 * MB)


@pytest.mark.parametrize("size", [210_000, 262_144])
def test_the_host_need_not_wait_for_a_client_that_is_slow_with_little(
    host: PlacingHost, slow: RawClient, size: int
) -> None:
    stream = asked(host, slow)
    host.lend(stream, BODY[:size])
    host.is_taken(stream, size)
    host.memory[:size] = b"?" * size
    assert slow.response()[2] == BODY[:size]


def test_nor_for_one_that_has_little_left_to_take(host: PlacingHost, slow: RawClient) -> None:
    stream = asked(host, slow)
    host.lend(stream, BODY[:MB])
    slow.until(b"\r\n\r\n")
    assert slow.exactly(800_000) == BODY[:800_000]
    host.is_taken(stream, MB)
    host.memory[:MB] = b"?" * MB
    assert slow.exactly(MB - 800_000) == BODY[800_000:MB]


def test_a_client_that_asks_for_much_and_takes_nothing(host: PlacingHost, edge: EdgeProcess, slow: RawClient) -> None:
    """Otherwise an edge worker would keep a copy for each request that it got."""
    size = 262_144
    slow.send(GET * 20)
    first = host.frame().stream
    host.lend(first, BODY[:size])
    host.is_taken(first, size)
    stream = host.frame().stream
    host.lend(stream, BODY[:size])
    serves(host, edge)  # with not a word of the other one
    for left in range(19, -1, -1):
        assert slow.response()[2] == BODY[:size]
        if left:
            host.is_taken(stream, size)
        if left > 1:
            stream = host.frame().stream
            host.lend(stream, BODY[:size])


def test_slow_clients_hold_nobody_up(host: PlacingHost, edge: EdgeProcess) -> None:
    clients = [slow_client(edge) for _ in range(5)]
    for at, client in enumerate(clients):
        host.lend(asked(host, client), BODY, at * 4 * MB)
    for _ in range(20):
        serves(host, edge)
    for client in clients:
        client.close()
    assert {host.frame().type for _ in clients} == {Type.CANCEL}


def test_a_client_that_leaves(host: PlacingHost, edge: EdgeProcess, slow: RawClient) -> None:
    stream = asked(host, slow)
    host.lend(stream, BODY)
    assert slow.exactly(100)
    slow.close()
    frame = host.frame()
    assert (frame.stream, frame.type) == (stream, Type.CANCEL)
    serves(host, edge)


def test_a_client_that_left_before(host: PlacingHost, edge: EdgeProcess, client: RawClient) -> None:
    stream = asked(host, client)
    client.close()
    frame = host.frame()
    assert (frame.stream, frame.type) == (stream, Type.CANCEL)
    host.lend(stream, BODY)
    serves(host, edge)
