"""Outbound HTTP/1.1: the egress process between a host's frames and servers, whatever these say."""

import asyncio
import contextlib
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.router.egress_peer import Egress, egress
from tests.router.scripted_server import HELLO, Handler, Server, answering, outside, serving


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
    async with outside(once(response)) as (server, host, _):
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


def resident(running: Egress) -> int:
    return int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[1]) * 4096


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
