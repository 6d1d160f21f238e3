"""The egress process itself, started as the supervisor does, between a host's frames and real servers."""

import asyncio
import contextlib
import gzip
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from isolates.wire import WINDOW_BYTES, Type, encode
from router.identity import Identity, SubrequestLimits, seal
from router.messages import Drain, LocalNames
from tests.router.certificates import certificates
from tests.router.egress_peer import Egress, Host, egress
from tests.router.service import TICKET_KEY

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that says exactly what a test wants, on TCP or a Unix socket; it keeps what it was sent."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.heads: list[str] = []
        self.port = 0
        self._changed = asyncio.Condition()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, looked at whenever a connection or a request arrives."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._notify()
        try:
            await self._handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def head(self, reader: asyncio.StreamReader) -> str:
        """Read one request's head."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        await self._notify()
        return head


@contextlib.asynccontextmanager
async def serving(
    handler: "Callable[[Server], Handler]", *, path: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Run a server while the body runs."""
    server = Server(lambda reader, writer: handler(server)(reader, writer))
    if path:
        listening = await asyncio.start_unix_server(server.handle, path)
    else:
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def answering(response: bytes) -> Callable[[Server], Handler]:
    """Answer every request on a connection with the same bytes, its body (by Content-Length) read before."""

    def handler(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head = await server.head(reader)
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.partition(":")[2]))
                writer.write(response)
                await writer.drain()

        return handle

    return handler


HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@contextlib.asynccontextmanager
async def outside(response: bytes | Callable[[Server], Handler] = HELLO) -> AsyncIterator[tuple[Server, Host, Egress]]:
    """A server on loopback that the operator permits, and a host connected to an egress process."""
    handler = answering(response) if isinstance(response, bytes) else response
    async with serving(handler) as server, egress(allow=[f"127.0.0.1:{server.port}"]) as running:
        yield server, await running.host(), running


async def test_response_comes_back_with_its_fields_in_order() -> None:
    response = (
        b"HTTP/1.1 207 Very Odd\r\nSet-Cookie: a=1\r\nX-Y: z\r\nSet-Cookie: b=2\r\nConnection: keep-alive\r\n"
        b"Keep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello"
    )
    async with outside(response) as (server, host, _):
        url = f"http://127.0.0.1:{server.port}/a?b=c"
        answer = await host.fetch("GET", url, [("x-mine", "1"), ("x-mine", "2")])
        await host.fetch("GET", url)
    assert (answer.status, answer.reason, answer.body) == (207, "Very Odd", b"hello")
    assert answer.fields == [("set-cookie", "a=1"), ("x-y", "z"), ("set-cookie", "b=2"), ("content-length", "5")]
    head = server.heads[0].split("\r\n")
    assert head[0] == "GET /a?b=c HTTP/1.1"
    assert head[1] == f"host: 127.0.0.1:{server.port}"
    assert [line for line in head if line.startswith("x-mine")] == ["x-mine: 1", "x-mine: 2"]
    assert "user-agent: brrrd" in head
    assert "accept-encoding: gzip, deflate, br, zstd" in head
    assert "cookie" not in server.heads[1]
    assert not any(line.startswith(("content-length", "transfer-encoding")) for line in head)


async def test_what_fetch_must_not_set_is_set_here() -> None:
    async with outside() as (server, host, _):
        url = f"http://127.0.0.1:{server.port}/"
        forbidden = ["host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"]
        answer = await host.fetch(
            "POST", url, [*((name, "evil") for name in forbidden), ("content-length", "99")], b"abc"
        )
    assert answer.status == 200
    assert "evil" not in server.heads[0]
    assert "content-length: 3" in server.heads[0]


async def test_connection_is_used_again() -> None:
    async with outside() as (server, host, _):
        for _ in range(5):
            assert (await host.fetch("POST", f"http://127.0.0.1:{server.port}/", data=b"x")).status == 200
    assert server.connections == 1


async def test_hosts_share_no_connection() -> None:
    async with outside() as (server, host, running):
        await host.fetch("GET", f"http://127.0.0.1:{server.port}/")
        await (await running.host()).fetch("GET", f"http://127.0.0.1:{server.port}/")
    assert server.connections == 2


def closing_once(server: Server) -> Handler:
    """Answer one request, then close without a word."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.head(reader)
        writer.write(HELLO)
        if server.connections == 1:
            await server.head(reader)

    return handle


async def test_get_is_repeated_when_an_idle_connection_turns_out_closed() -> None:
    async with outside(closing_once) as (server, host, _):
        url = f"http://127.0.0.1:{server.port}/"
        assert (await host.fetch("GET", url)).status == 200
        assert (await host.fetch("GET", url)).status == 200
    assert server.connections == 2
    assert len(server.heads) == 3


async def test_post_is_never_repeated() -> None:
    async with outside(closing_once) as (server, host, _):
        url = f"http://127.0.0.1:{server.port}/"
        assert (await host.fetch("GET", url)).status == 200
        answer = await host.fetch("POST", url, data=b"pay")
    assert (answer.code, server.connections) == ("connect", 1)


RESPONSES = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-T: 1\r\n\r\n",
    "until close": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "after interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HELLO,
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(gzip.compress(b"hello")), gzip.compress(b"hello")),
}


@pytest.mark.parametrize("name", RESPONSES)
async def test_body_is_read_in_every_framing(name: str) -> None:
    def handler(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.head(reader)
            for byte in RESPONSES[name]:
                writer.write(bytes([byte]))
                await writer.drain()

        return handle

    async with outside(handler) as (server, host, _):
        answer = await host.fetch("GET", f"http://127.0.0.1:{server.port}/")
    assert (answer.status, answer.body, answer.broken) == (200, b"hello", "")
    assert answer.header("content-encoding") is None


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"HTTP/1.1 304 X\r\nETag: a\r\n\r\n"]
)
async def test_response_without_a_body_leaves_the_connection_usable(response: bytes) -> None:
    async with outside(response) as (server, host, _):
        for _ in range(3):
            answer = await host.fetch("HEAD", f"http://127.0.0.1:{server.port}/")
            assert (answer.body, answer.broken, answer.code) == (b"", "", "")
    assert server.connections == 1


BROKEN = {
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "head without end": b"HTTP/1.1 200 OK\r\n" + b"X-Y: %b\r\n" % (b"z" * 1000) * 300,
    "endless interim responses": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000,
    "more than one transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n",
    "a length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "a length list": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "a folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "a bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "an endless chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 99,
    "a chunk of another size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "status 99": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz",
    "nothing": b"",
}


def once(response: bytes) -> Callable[[Server], Handler]:
    """Read a request's head, send these bytes, close."""

    def handler(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.head(reader)
            writer.write(response)
            await writer.drain()

        return handle

    return handler


async def test_server_that_breaks_the_protocol_is_an_error() -> None:
    async with egress(allow=["127.0.0.1"]) as running:
        host = await running.host()
        for name, response in BROKEN.items():
            async with serving(once(response)) as server:
                answer = await host.fetch("POST", f"http://127.0.0.1:{server.port}/")
            assert answer.code == ("connect" if name == "nothing" else "protocol") or answer.broken, name
            assert "127.0.0.1" in answer.detail + answer.broken or "head" in answer.detail, name


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + gzip.compress(b"hello" * 99)[:12],
    ],
)
async def test_body_that_breaks_off_is_an_error_of_the_body(response: bytes) -> None:
    def handler(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.head(reader)
            writer.write(response)
            await writer.drain()
            await asyncio.sleep(0.05)

        return handle

    async with outside(handler) as (server, host, _):
        answer = await host.fetch("GET", f"http://127.0.0.1:{server.port}/")
    assert answer.status == 200 or answer.code == "protocol"
    assert answer.broken or answer.code


TRAILING = [
    ("GET", HELLO + HELLO, 200, b"hello"),
    ("GET", HELLO + b"\r\nnonsense", 200, b"hello"),
    ("HEAD", HELLO, 200, b""),
    ("GET", b"HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\nhello", 204, b""),
    ("GET", b"HTTP/1.1 304 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 304, b""),
]


async def test_bytes_after_a_response_end_the_connection_and_nothing_else() -> None:
    async with egress(allow=["127.0.0.1"]) as running:
        host = await running.host()
        for method, response, status, body in TRAILING:
            async with serving(answering(response)) as server:
                for number in range(1, 4):
                    answer = await host.fetch(method, f"http://127.0.0.1:{server.port}/")
                    assert (answer.status, answer.body, answer.broken) == (status, body, ""), response
                    assert server.connections == number, response


async def test_endless_trailers_are_kept_nowhere() -> None:
    trailers = b"X-Trailer: %b\r\n" % (b"z" * 1000)

    def handler(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")
            for _ in range(300):
                writer.write(trailers * 300)
                await writer.drain()
            writer.write(b"\r\n")

        return handle

    async with outside(handler) as (server, host, running):
        before = resident(running)
        assert (await host.fetch("GET", f"http://127.0.0.1:{server.port}/")).body == b"hello"
        assert resident(running) - before < 40 << 20


@pytest.mark.parametrize("start", [b"0\r\nx-trailer: ", b"1;"], ids=["trailer", "chunk extension"])
@pytest.mark.parametrize("size", [5, 8_000_000], ids=["small body", "large body"])
async def test_a_piece_of_framing_without_end_is_broken_off(start: bytes, size: int) -> None:
    sent = 0

    def handler(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await server.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%b\r\n" % (size, bytes(size)) + start)
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"z" * 60_000)
                    await writer.drain()
                    sent += 60_000

        return handle

    async with outside(handler) as (server, host, _):
        answer = await host.fetch("GET", f"http://127.0.0.1:{server.port}/")
        assert len(answer.body) == size
        assert "framing beside its body is over" in answer.broken
        assert sent < 40_000_000, "what the sockets hold, and not in proportion to the body"


def resident(running: Egress) -> int:
    return int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[1]) * 4096


def echoing(server: Server) -> Handler:
    """Send the chunked body of a request back as it comes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int((await reader.readline()).split(b";")[0], 16):
            data = await reader.readexactly(size)
            await reader.readexactly(2)
            writer.write(b"%x\r\n%b\r\n" % (size, data))
            await writer.drain()
        await reader.readexactly(2)
        writer.write(b"0\r\n\r\n")

    return handle


async def test_bodies_stream_both_ways_at_once() -> None:
    async with outside(echoing) as (server, host, _):
        fetch = host.start("POST", f"http://127.0.0.1:{server.port}/", data=b"one ", end=False)
        async with asyncio.timeout(10):
            while fetch.answer.body != b"one ":
                fetch.changed.clear()
                await fetch.changed.wait()
            fetch.send(b"two ")
            while fetch.answer.body != b"one two ":
                fetch.changed.clear()
                await fetch.changed.wait()
            fetch.send(b"three", end=True)
            await fetch.done.wait()
    assert fetch.answer.body == b"one two three"
    assert "transfer-encoding: chunked" in server.heads[0]


async def test_large_body_goes_out_within_its_window() -> None:
    sent = 3 << 20
    data = os.urandom(32 << 10)
    async with outside(echoing) as (server, host, _):
        fetch = host.start("POST", f"http://127.0.0.1:{server.port}/", end=False)
        async with asyncio.timeout(30):
            for start in range(0, sent, len(data)):
                while fetch.granted < start + len(data):
                    fetch.changed.clear()
                    await fetch.changed.wait()
                fetch.send(data)
            fetch.send(b"", end=True)
            await fetch.done.wait()
    assert fetch.answer.body == data * (sent // len(data))


async def test_host_that_ignores_its_window_is_cut_off() -> None:
    def silent(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)

        return handle

    async with outside(silent) as (server, host, _):
        fetch = host.start("POST", f"http://127.0.0.1:{server.port}/", end=False)
        for _ in range(400):
            fetch.send(bytes(64 << 10))
        async with asyncio.timeout(10):
            await fetch.done.wait()
    assert "window" in fetch.answer.detail


async def test_response_stops_at_the_window_and_goes_on_when_it_opens() -> None:
    body = os.urandom(2 << 20)
    async with outside(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as (server, host, _):
        fetch = host.start("GET", f"http://127.0.0.1:{server.port}/", window=False)
        async with asyncio.timeout(20):
            while len(fetch.answer.body) < WINDOW_BYTES:
                fetch.changed.clear()
                await fetch.changed.wait()
            await asyncio.sleep(0.1)
            assert len(fetch.answer.body) == WINDOW_BYTES
            # Others are not held up.
            assert (await host.fetch("GET", "http://10.0.0.1/")).code == "blocked"
            fetch.grant(len(body))
            await fetch.done.wait()
    assert fetch.answer.body == body
    assert max(len(frame.data) for frame in fetch.answer.frames) <= 64 << 10


async def test_declared_length_is_kept_to() -> None:
    async with outside() as (server, host, _):
        url = f"http://127.0.0.1:{server.port}/"
        fetch = host.start("POST", url, [("content-length", "10")], b"12345", end=False)
        fetch.send(b"too much", end=True)
        short = host.start("POST", url, [("content-length", "10")], b"12345", end=False)
        short.send(b"", end=True)
        async with asyncio.timeout(10):
            await asyncio.gather(fetch.done.wait(), short.done.wait())
    assert "Content-Length" in fetch.answer.detail
    assert "Content-Length" in short.answer.detail


async def test_cancel_closes_the_connection_and_nothing_follows() -> None:
    closed = asyncio.Event()

    def endless(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await reader.read()
            closed.set()

        return handle

    async with outside(endless) as (server, host, _):
        fetch = host.start("GET", f"http://127.0.0.1:{server.port}/")
        async with asyncio.timeout(10):
            while not fetch.answer.body:
                fetch.changed.clear()
                await fetch.changed.wait()
            fetch.cancel()
            await closed.wait()
        seen = len(fetch.answer.frames)
        await host.fetch("GET", "http://10.0.0.1/")
    assert len(fetch.answer.frames) == seen


async def test_host_that_goes_away_takes_its_requests_with_it() -> None:
    closed = asyncio.Event()

    def silent(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            closed.set()

        return handle

    async with outside(silent) as (server, host, running):
        host.start("GET", f"http://127.0.0.1:{server.port}/")
        await server.until(lambda: server.connections > 0)
        host.close()
        async with asyncio.timeout(10):
            await closed.wait()
        assert (await (await running.host()).fetch("GET", "http://10.0.0.1/")).code == "blocked"


async def test_requests_over_the_cap_wait_for_their_turn_over_all_hosts_of_the_app() -> None:
    gate = asyncio.Event()

    def waiting(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await server.head(reader)
                await gate.wait()
                writer.write(HELLO)

        return handle

    async with outside(waiting) as (server, _, running):
        url = f"http://127.0.0.1:{server.port}/"
        hosts = [await running.host_of("app-1", SubrequestLimits(concurrent=20)) for _ in range(2)]
        other = await running.host_of("app-2", SubrequestLimits(concurrent=20))
        fetches = [hosts[number % 2].start("GET", f"{url}{number}") for number in range(80)]
        await server.until(lambda: server.connections >= 20)
        # An app that waits for its turn is in nobody's way.
        neighbours = other.start("GET", url + "neighbour")
        await server.until(lambda: any("/neighbour " in head for head in server.heads))
        assert server.connections == 21
        fetches[70].cancel()
        gate.set()
        async with asyncio.timeout(20):
            wanted = [fetch for number, fetch in enumerate(fetches) if number != 70]
            await asyncio.gather(*(fetch.done.wait() for fetch in [*wanted, neighbours]))
    assert {fetch.answer.body for fetch in [*wanted, neighbours]} == {b"hello"}
    assert not any("/70 " in head for head in server.heads)


def silent(server: Server) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    return handle


async def test_endlessly_many_requests_are_refused_in_the_end() -> None:
    async with outside(silent) as (server, _, running):
        host = await running.host_of("app-1", SubrequestLimits(concurrent=50))
        fetches = [host.start("GET", f"http://127.0.0.1:{server.port}/") for _ in range(1150)]
        async with asyncio.timeout(20):
            await asyncio.gather(*(fetch.done.wait() for fetch in fetches[1050:]))
    assert {(fetch.answer.code, fetch.answer.limit) for fetch in fetches[1050:]} == {
        ("limit", "max_concurrent_subrequests")
    }
    assert "max_concurrent_subrequests = 50" in fetches[1100].answer.detail
    assert not any(fetch.done.is_set() for fetch in fetches[:1050])


async def test_request_over_its_time_is_given_up() -> None:
    async with outside(silent) as (server, _, running):
        host = await running.host_of("app-1", SubrequestLimits(milliseconds=200))
        answer = await host.fetch("GET", f"http://127.0.0.1:{server.port}/")
    assert (answer.code, answer.limit) == ("limit", "subrequest_ms")
    assert "subrequest_ms = 200" in answer.detail


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_response_over_its_size_is_cut_off(coding: str) -> None:
    body = bytes(3 << 20)
    if coding:
        body = gzip.compress(body)
    named = f"Content-Encoding: {coding}\r\n".encode() if coding else b""
    response = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (named, len(body), body)
    async with outside(response) as (server, _, running):
        host = await running.host_of("app-1", SubrequestLimits(megabytes=1))
        answer = await host.fetch("GET", f"http://127.0.0.1:{server.port}/")
    assert (answer.status, answer.limit) == (200, "subrequest_mb")
    assert "the response's body is over the limit subrequest_mb = 1" in answer.broken
    assert len(answer.body) <= 1 << 20


async def test_request_body_over_its_size_is_refused() -> None:
    async with outside(echoing) as (server, _, running):
        host = await running.host_of("app-1", SubrequestLimits(megabytes=1))
        fetch = host.start("POST", f"http://127.0.0.1:{server.port}/", end=False)
        async with asyncio.timeout(20):
            for sent in range(0, 2 << 20, 32 << 10):
                await fetch.until(lambda sent=sent: fetch.done.is_set() or fetch.granted >= sent + (32 << 10))  # type: ignore[misc]
                fetch.send(bytes(32 << 10))
            await fetch.done.wait()
    assert "the request's body is over the limit subrequest_mb = 1" in fetch.answer.broken + fetch.answer.detail


BLOCKED = {
    "http://127.0.0.1:1/": "blocked",
    "http://localhost:1/": "blocked",
    "http://[::1]:1/": "blocked",
    "http://[::ffff:127.0.0.1]:1/": "blocked",
    "http://2130706433/": "blocked",
    "http://0x7f000001/": "blocked",
    "http://127.1/": "blocked",
    "http://0/": "blocked",
    "http://169.254.169.254/latest/meta-data/": "blocked",
    "http://10.0.0.1/": "blocked",
    "http://does-not-exist.invalid/": "dns",
    "ftp://example.com/": "protocol",
    "http://user:secret@example.com/": "protocol",
}


async def test_what_apps_must_not_reach_is_refused_with_a_reason() -> None:
    async with egress() as running:
        host = await running.host()
        for url, code in BLOCKED.items():
            answer = await host.fetch("GET", url)
            assert (url, answer.code) == (url, code)
            assert answer.detail
            assert answer.frames[0].status == 502
            assert answer.frames[0].type == Type.REFUSE


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("CONNECT", []),
        ("TRACE", []),
        ("GET x", []),
        ("GET", [("a b", "c")]),
        ("GET", [("A", "c")]),
        ("GET", [("a", "c\r\nx: y")]),
        ("GET", [("a", "b\0")]),
    ],
)
async def test_malformed_request_never_leaves(method: str, fields: list[tuple[str, str]]) -> None:
    async with outside() as (server, host, _):
        fetch = host.start(method, f"http://127.0.0.1:{server.port}/", [(n, v.replace("\n", "")) for n, v in fields])
        async with asyncio.timeout(10):
            await fetch.done.wait()
        assert fetch.answer.code == "protocol"
    assert server.connections == 0


async def test_nothing_listening_is_a_connect_error() -> None:
    async with serving(answering(HELLO)) as server:
        port = server.port
    async with egress(allow=["127.0.0.1"]) as running:
        answer = await (await running.host()).fetch("GET", f"http://127.0.0.1:{port}/")
    assert (answer.code, answer.detail) == ("connect", f"cannot connect to 127.0.0.1:{port}: connection refused")


# The node's own names


@contextlib.asynccontextmanager
async def inside(
    tmp_path: Path, response: bytes | Callable[[Server], Handler] = HELLO
) -> AsyncIterator[tuple[Server, Host, Egress]]:
    """An edge worker's Unix socket, and a host connected to an egress process that knows it."""
    path = str(tmp_path / "edge.sock")
    handler = answering(response) if isinstance(response, bytes) else response
    async with (
        serving(handler, path=path) as server,
        egress(edge_sockets=[path], edge_authorities=["127.0.0.1:8080", "localhost:8080"], db_hosts=()) as running,
    ):
        yield server, await running.host(), running


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/v1/db-x/v2/pipeline", "http://localhost:8080/", "https://localhost:8080/"],
)
async def test_own_names_are_reached_without_leaving_the_node(url: str, tmp_path: Path) -> None:
    async with inside(tmp_path) as (server, host, _):
        forwarded = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "gopher"), ("forwarded", "for=6.6.6.6")]
        fields = [("authorization", "Bearer t"), ("accept-encoding", "gzip"), *forwarded]
        answer = await host.fetch("POST", url, fields, b'{"requests":[]}')
    assert answer.body == b"hello"
    head = server.heads[0]
    assert f"host: {url.split('/')[2]}\r\n" in head
    assert "authorization: Bearer t" in head
    assert "content-length: 15" in head
    assert "6.6.6.6" not in head
    assert "gopher" not in head
    assert "accept-encoding" not in head
    assert ("x-forwarded-proto: https" in head) == url.startswith("https")


async def test_apps_names_are_reached_once_they_are_pushed(tmp_path: Path) -> None:
    async with inside(tmp_path) as (_, host, running):
        url = "http://shop.internal.invalid/"
        assert (await host.fetch("GET", url)).code == "dns"
        running.channel.send(LocalNames(["shop.internal.invalid", "*.apps.invalid"]))
        async with asyncio.timeout(10):
            # The list and the request come by different sockets.
            while (await host.fetch("GET", url)).body != b"hello":
                pass
        assert (await host.fetch("GET", "https://a.apps.invalid/")).body == b"hello"


async def test_answer_to_a_small_request_is_one_frame(tmp_path: Path) -> None:
    async with inside(tmp_path) as (_, host, _):
        answer = await host.fetch("POST", "http://localhost:8080/v1/x", data=b"x")
    assert len(answer.frames) == 1


async def test_own_connections_are_shared_and_kept(tmp_path: Path) -> None:
    async with inside(tmp_path) as (server, host, running):
        for _ in range(5):
            await host.fetch("POST", "http://localhost:8080/v1/x", data=b"x")
            await (await running.host()).fetch("GET", "http://127.0.0.1:8080/v1/x")
    assert server.connections == 1


async def test_other_edge_worker_answers_when_one_is_away(tmp_path: Path) -> None:
    path = str(tmp_path / "edge.sock")
    async with (
        serving(answering(HELLO), path=path) as server,
        egress(
            edge_sockets=[str(tmp_path / "gone.sock"), path], edge_authorities=["127.0.0.1:8080"], db_hosts=()
        ) as running,
    ):
        host = await running.host()
        assert (await host.fetch("GET", "http://127.0.0.1:8080/")).body == b"hello"
    assert server.connections == 1


async def test_edge_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    async with egress(
        edge_sockets=[str(tmp_path / "gone")], edge_authorities=["127.0.0.1:8080"], db_hosts=()
    ) as running:
        answer = await (await running.host()).fetch("GET", "http://127.0.0.1:8080/")
    assert (answer.code, answer.detail) == ("connect", "this node's edge cannot be reached at the moment")


# TLS


async def tls_answer(authority: Path | None, context: ssl.SSLContext) -> tuple[str, str, bytes]:
    async with (
        serving(answering(HELLO), tls=context) as server,
        egress(allow=[f"127.0.0.1:{server.port}"], ca_file=str(authority or "")) as running,
    ):
        answer = await (await running.host()).fetch("GET", f"https://127.0.0.1:{server.port}/")
        return answer.code, answer.detail, answer.body


async def test_tls_with_a_trusted_certificate(tmp_path: Path) -> None:
    assert await tls_answer(*certificates(tmp_path)) == ("", "", b"hello")


async def test_tls_with_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    code, detail, _ = await tls_answer(None, certificates(tmp_path)[1])
    assert code == "tls"
    assert "unable to get local issuer certificate" in detail


async def test_tls_with_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    code, detail, _ = await tls_answer(*certificates(tmp_path, days=-1))
    assert code == "tls"
    assert "expired" in detail


async def test_tls_with_another_name_is_refused(tmp_path: Path) -> None:
    code, detail, _ = await tls_answer(*certificates(tmp_path, name="127.0.0.2"))
    assert code == "tls"
    assert "mismatch" in detail


async def test_https_to_a_server_without_tls_is_a_tls_error() -> None:
    def plain(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1000)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        return handle

    async with outside(plain) as (server, host, _):
        answer = await host.fetch("GET", f"https://127.0.0.1:{server.port}/")
    assert answer.code == "tls"


# The process


async def test_statistics_are_reported() -> None:
    async with outside() as (server, host, running):
        await host.fetch("GET", f"http://127.0.0.1:{server.port}/")
        await host.fetch("GET", "http://10.0.0.1/")
        await host.fetch("GET", "http://nothing.invalid/")
        async with asyncio.timeout(10):
            while not running.stats or running.stats[-1].requests < 3:
                running.stats_changed.clear()
                await running.stats_changed.wait()
    last = running.stats[-1]
    assert (last.requests, last.refused, last.failed, last.connections) == (3, 1, 1, 1)


async def test_drain_finishes_what_is_in_flight_and_exits_0() -> None:
    gate = asyncio.Event()

    def slow(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.head(reader)
            await gate.wait()
            writer.write(HELLO)

        return handle

    async with outside(slow) as (server, host, running):
        fetch = host.start("GET", f"http://127.0.0.1:{server.port}/")
        await server.until(lambda: bool(server.heads))
        running.channel.send(Drain(grace_ms=10_000))
        await asyncio.sleep(0.1)
        gate.set()
        async with asyncio.timeout(10):
            await fetch.done.wait()
            assert await asyncio.to_thread(running.process.wait) == 0
    assert fetch.answer.body == b"hello"


async def test_process_ends_with_its_supervisor() -> None:
    async with egress() as running:
        running.channel.close()
        assert await asyncio.to_thread(running.process.wait) == 0


async def test_terminate_ends_it_and_interrupt_does_not() -> None:
    async with egress() as running:
        running.process.send_signal(signal.SIGINT)
        assert (await (await running.host()).fetch("GET", "http://10.0.0.1/")).code == "blocked"
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait) == 0


@pytest.mark.parametrize("ticket", [None, b"", seal(Identity("app-1", "build-1"), b"another key")])
async def test_nothing_is_done_for_a_host_without_a_ticket_of_this_node(ticket: bytes | None) -> None:
    async with egress() as running:
        host = await running.host(ticket)
        fetch = host.start("GET", "http://10.0.0.1/")
        async with asyncio.timeout(10):
            await host.closed.wait()
        assert not fetch.answer.frames


async def test_a_host_cannot_take_another_identity_later() -> None:
    async with egress() as running:
        host = await running.host()
        assert (await host.fetch("GET", "http://10.0.0.1/")).code == "blocked"
        host.write(encode(0, Type.IDENTIFY, data=seal(Identity("app-2", "build-2"), TICKET_KEY)))
        async with asyncio.timeout(10):
            await host.closed.wait()
