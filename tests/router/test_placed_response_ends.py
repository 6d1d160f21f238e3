"""Responses on their way from the memory that a host shares, when something ends or the host is not to be trusted."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from isolates.wire import END, MEMORY_BYTES, PLACE, PLACED, Type
from tests.router.certificates import certificates
from tests.router.edge import EdgeProcess, RawClient, edge_process
from tests.router.placing_host import PlacingHost, placing_host
from tests.router.test_http1 import head
from tests.router.test_placed_response import BODY, GET, MB, asked, serves, slow_client

WALL_MS = 500


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge() -> AsyncIterator[EdgeProcess]:
    async with edge_process() as edge:
        yield edge


@pytest.fixture
def slow(edge: EdgeProcess) -> Iterator[RawClient]:
    with slow_client(edge) as client:
        yield client


def half(host: PlacingHost, client: RawClient, request: bytes = GET) -> int:
    """Have a response begin that the client does not take."""
    stream = asked(host, client, request)
    host.lend(stream, BODY)
    client.until(b"\r\n\r\n")
    return stream


def is_broken(client: RawClient) -> bytes:
    """The connection ends in the midst of the body; return what came of it."""
    data = client.buffer
    try:
        while piece := client.sock.recv(65536):
            data += piece
    except ConnectionResetError:
        """As good as an end."""
    assert len(data) < len(BODY)
    return data


def last_words(host: PlacingHost, edge: EdgeProcess) -> list[tuple[int, int, bytes]]:
    """What the host is told before the next request."""
    words = []
    with edge.connect() as other:
        other.send(GET)
        while (frame := host.frame()).type != Type.REQUEST:
            words.append((frame.stream, frame.type, frame.head))
        host.answer(frame.stream)
        assert other.response()[2] == b"done"
    return words


# What ends


def test_the_host_gives_up(host: PlacingHost, edge: EdgeProcess, slow: RawClient) -> None:
    stream = half(host, slow)
    host.send(stream, Type.CANCEL, head=b"deadline")
    frame = host.frame()
    assert (frame.stream, frame.type) == (stream, Type.CANCEL)
    # From here on the host may do with the memory what it likes.
    host.memory[: 4 * MB] = b"?" * (4 * MB)
    assert BODY.startswith(is_broken(slow))
    assert last_words(host, edge) == []


def test_a_second_end_from_the_host_changes_nothing(host: PlacingHost, edge: EdgeProcess, slow: RawClient) -> None:
    stream = half(host, slow)
    for _ in range(3):
        host.send(stream, Type.CANCEL)
        host.send(stream, Type.REFUSE, status=503, head=b"blocked\n")
    assert BODY.startswith(is_broken(slow))
    assert last_words(host, edge) == [(stream, Type.CANCEL, b"client disconnected")]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_deadline(edge: EdgeProcess, tmp_path: Path) -> None:
    async with placing_host(edge, tmp_path / "h", wall_ms=WALL_MS) as host:
        with slow_client(edge) as slow:
            stream = half(host, slow)
            frame = host.frame()
            assert (frame.stream, frame.type, frame.head) == (stream, Type.CANCEL, b"deadline")
            host.memory[: 4 * MB] = b"?" * (4 * MB)
            assert BODY.startswith(is_broken(slow))
        assert last_words(host, edge) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_deadline_with_hypercorn(tmp_path: Path) -> None:
    """It waits for the client in the midst of a piece, of which there is a copy."""
    async with edge_process(server="hypercorn") as edge, placing_host(edge, tmp_path / "h", wall_ms=WALL_MS) as host:
        with slow_client(edge) as slow:
            stream = half(host, slow)
            frame = host.frame()
            assert (frame.stream, frame.type, frame.head) == (stream, Type.CANCEL, b"deadline")
            host.memory[: 4 * MB] = b"?" * (4 * MB)
            assert BODY.startswith(is_broken(slow).partition(b"\r\n\r\n")[2])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_host_that_gives_up_with_hypercorn(tmp_path: Path) -> None:
    async with edge_process(server="hypercorn") as edge, placing_host(edge, tmp_path / "h") as host:
        with slow_client(edge) as slow:
            stream = half(host, slow)
            host.send(stream, Type.CANCEL, head=b"deadline")
            frame = host.frame()
            assert (frame.stream, frame.type) == (stream, Type.CANCEL)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_host_that_is_gone(edge: EdgeProcess, tmp_path: Path) -> None:
    with slow_client(edge) as slow:
        async with placing_host(edge, tmp_path / "h") as host:
            half(host, slow)
            host.sock.close()
            assert BODY.startswith(is_broken(slow))
        async with placing_host(edge, tmp_path / "other") as other:
            serves(other, edge)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_host_that_retires_is_waited_for(edge: EdgeProcess, tmp_path: Path) -> None:
    with slow_client(edge) as slow:
        async with placing_host(edge, tmp_path / "h") as host:
            stream = half(host, slow)
            host.send(0, Type.GOAWAY)
            assert slow.exactly(4 * MB) == BODY
            host.is_taken(stream, 4 * MB)
            with pytest.raises(EOFError):
                host.frame()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_over_its_limit_while_it_is_answered(edge: EdgeProcess, tmp_path: Path) -> None:
    async with placing_host(edge, tmp_path / "h", max_body_bytes=100_000) as host:
        with slow_client(edge) as slow:
            stream = half(host, slow, head("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
            slow.send(b"30000\r\n" + bytes(0x30000) + b"\r\n")
            assert BODY.startswith(is_broken(slow))
            while (frame := host.frame()).type == Type.DATA:
                """What was within the limit."""
            assert (frame.stream, frame.type) == (stream, Type.CANCEL)


def test_nonsense_from_the_client_while_it_is_answered(host: PlacingHost, edge: EdgeProcess, slow: RawClient) -> None:
    stream = half(host, slow, head("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
    slow.send(b"nonsense\r\n")
    assert BODY.startswith(is_broken(slow))
    while (frame := host.frame()).type == Type.DATA:
        """What came before it."""
    assert (frame.stream, frame.type) == (stream, Type.CANCEL)


# Whom not to trust

NO_PLACES = [
    (0, 0),
    (1, MEMORY_BYTES),
    (MB, MEMORY_BYTES - MB + 1),
    (MEMORY_BYTES + 1, 0),
    (4 * MB + 1, 0),
    (MEMORY_BYTES, 0),
    (2**32 - 1, 0),
    (1, 2**32 - 1),
    (2**32 - 1, 2**32 - 1),
]


def ends_the_link(host: PlacingHost) -> None:
    with pytest.raises(EOFError):
        while True:
            host.frame()


@pytest.mark.parametrize(("size", "offset"), NO_PLACES)
def test_a_place_that_is_none(host: PlacingHost, client: RawClient, size: int, offset: int) -> None:
    host.answer_from(asked(host, client), size, offset)
    assert client.response()[0] == 503
    ends_the_link(host)


@pytest.mark.parametrize("data", [b"", bytes(4), bytes(7), bytes(9), bytes(64)])
def test_a_place_of_another_size(host: PlacingHost, client: RawClient, data: bytes) -> None:
    host.send(asked(host, client), Type.RESPONSE, flags=END | PLACED, status=200, data=data)
    assert client.response()[0] == 503
    ends_the_link(host)


def test_a_place_of_a_response_that_goes_on(host: PlacingHost, client: RawClient) -> None:
    host.answer_from(asked(host, client), MB, 0, flags=PLACED)
    assert client.response()[0] == 503
    ends_the_link(host)


@pytest.mark.parametrize("type_", [Type.RESPONSE, Type.DATA])
@pytest.mark.parametrize("flags", [0, END, END | PLACED])
def test_more_after_a_response_in_memory(host: PlacingHost, slow: RawClient, type_: Type, flags: int) -> None:
    stream = half(host, slow)
    host.send(stream, type_, flags=flags, status=200, data=PLACE.pack(MB, 0))
    assert BODY.startswith(is_broken(slow))
    ends_the_link(host)


@pytest.mark.parametrize("flags", [0, END, END | PLACED])
def test_a_second_response_never_reaches_the_client(host: PlacingHost, client: RawClient, flags: int) -> None:
    """It would be taken for the answer to the next request on the connection, of whichever app."""
    stream = asked(host, client)
    host.send(stream, Type.RESPONSE, status=200, head=b"\ncontent-length\n5", data=b"first")
    assert client.response()[2] == b"first"
    host.send(stream, Type.RESPONSE, flags=flags, status=200, data=PLACE.pack(MB, 0))
    assert client.rest() == b""


@pytest.mark.parametrize("flags", [0, END, END | PLACED])
def test_a_body_without_a_head_never_reaches_the_client(host: PlacingHost, client: RawClient, flags: int) -> None:
    host.send(asked(host, client), Type.DATA, flags=flags, data=b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert client.response()[0] == 503
    ends_the_link(host)


def test_a_refusal_after_the_response_began_does_not_begin_another_one(host: PlacingHost, client: RawClient) -> None:
    stream = asked(host, client)
    host.send(stream, Type.RESPONSE, status=200, head=b"\ncontent-length\n50", data=b"first")
    host.send(stream, Type.REFUSE, flags=END, status=503, head=b"blocked\n")
    assert client.until(b"first").startswith(b"HTTP/1.1 200")
    assert client.rest() == b""


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, 65535])
def test_a_status_that_is_none(host: PlacingHost, edge: EdgeProcess, client: RawClient, status: int) -> None:
    stream = asked(host, client)
    host.lend(stream, BODY[:MB], status=status)
    assert client.response()[0] == 502
    host.is_taken(stream, MB)
    serves(host, edge)


def test_a_head_that_is_none(host: PlacingHost, edge: EdgeProcess, client: RawClient) -> None:
    stream = asked(host, client)
    host.lend(stream, BODY[:MB], head=b"\nx-a\nb\r\nx-c: d")
    assert client.response()[0] == 502
    host.is_taken(stream, MB)
    serves(host, edge)


def test_memory_that_changes_meanwhile(host: PlacingHost, edge: EdgeProcess, client: RawClient) -> None:
    for _ in range(10):
        stream = asked(host, client)
        host.lend(stream, BODY)
        for byte in (b"a", b"b", b"c"):
            host.memory[: 4 * MB] = byte * (4 * MB)
        assert len(client.response()[2]) == 4 * MB
        host.is_taken(stream, 4 * MB)
    serves(host, edge)


UPGRADE = head(
    "GET",
    "/",
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def test_a_refusal_of_a_websocket_may_be_in_memory(host: PlacingHost, client: RawClient) -> None:
    stream = asked(host, client, UPGRADE)
    host.lend(stream, BODY[:MB], status=403)
    assert client.response()[::2] == (403, BODY[:MB])
    host.is_taken(stream, MB)


def test_a_refusal_of_a_websocket_is_not_copied_for_clients_that_do_not_take_it(
    host: PlacingHost, edge: EdgeProcess, slow: RawClient
) -> None:
    stream = half(host, slow, UPGRADE)
    serves(host, edge)  # with not a word of the other one
    host.memory[3 * MB : 4 * MB] = b"?" * MB
    assert slow.exactly(4 * MB) == BODY[: 3 * MB] + b"?" * MB
    host.is_taken(stream, 4 * MB)


def test_a_client_that_says_too_much_while_its_websocket_is_refused(host: PlacingHost, slow: RawClient) -> None:
    stream = half(host, slow, UPGRADE)
    slow.send(bytes((64 << 10) + 1))
    frame = host.frame()
    assert (frame.stream, frame.type) == (stream, Type.CANCEL)
    host.memory[: 4 * MB] = b"?" * (4 * MB)
    assert BODY.startswith(is_broken(slow))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_websocket_that_is_being_refused_is_not_asked_for_again(edge: EdgeProcess, tmp_path: Path) -> None:
    with slow_client(edge) as slow:
        async with placing_host(edge, tmp_path / "h") as host:
            half(host, slow, UPGRADE)
            host.send(0, Type.GOAWAY, head=b"blocked\n")
            host.sock.close()
            assert BODY.startswith(is_broken(slow))


# With TLS


@pytest_asyncio.fixture(loop_scope="module", params=["uvicorn", "hypercorn"])
async def secure(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[PlacingHost, RawClient]]:
    authority = certificates(tmp_path)[0]
    pair = str(authority.with_name("server.pem"))
    trust = ssl.create_default_context(cafile=authority)
    async with (
        edge_process(server=request.param, tls_cert=pair, tls_key=pair) as edge,
        placing_host(edge, tmp_path / "h") as host,
    ):
        plain = edge.connect().sock
        with RawClient(trust.wrap_socket(plain, server_hostname="127.0.0.1")) as client:
            yield host, client


def test_responses_over_tls(secure: tuple[PlacingHost, RawClient]) -> None:
    host, client = secure
    for size in (4 * MB, 100_000, 1, 300_000):
        stream = asked(host, client)
        host.lend(stream, BODY[:size], head=b"\ncontent-length\n7")
        assert client.response()[2] == BODY[:size]
        host.is_taken(stream, size)


def test_a_client_that_leaves_over_tls(secure: tuple[PlacingHost, RawClient]) -> None:
    host, client = secure
    stream = asked(host, client)
    host.lend(stream, BODY)
    client.until(b"\r\n\r\n")
    client.close()
    frame = host.frame()
    # hypercorn takes what it is given for a client that is gone.
    assert frame.stream == stream and frame.type in (Type.CANCEL, Type.WINDOW)


@pytest.mark.asyncio(loop_scope="module")
async def test_clients_that_come_and_go_leave_nothing_mapped(edge: EdgeProcess, tmp_path: Path) -> None:
    for number in range(50):
        async with placing_host(edge, tmp_path / f"h{number}") as host:
            with slow_client(edge) as staying, slow_client(edge) as leaving:
                half(host, staying)
                stream = asked(host, leaving)
                host.answer_from(stream, MB, MB)
                leaving.close()
                host.sock.close()
                assert BODY.startswith(is_broken(staying))
    await edge.route({})

    def mapped() -> int:
        return Path(f"/proc/{edge.process.pid}/maps").read_text().count("brrrd-bodies")

    async with asyncio.timeout(20):
        # Only to be seen from outside: connections are closed a turn later.
        while mapped():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
