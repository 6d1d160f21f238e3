"""Outbound HTTP/2: the egress process between a host's frames and servers that choose h2 in the TLS handshake."""

import asyncio
import contextlib
import gzip
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from isolates.wire import WINDOW_BYTES
from tests.router.certificates import certificates
from tests.router.egress_peer import Egress, Host, egress
from tests.router.http2_server import Call, Handler, Http2Server, http2_server
from tests.router.scripted_server import HELLO, answering, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("h2"))[0].with_name("server.pem")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(certificate: Path) -> AsyncIterator[Egress]:
    """One egress process for all tests: it has to survive every server of this module."""
    async with egress(allow=["127.0.0.1"], ca_file=str(certificate.with_name("ca.pem"))) as running:
        yield running


@contextlib.asynccontextmanager
async def to(
    handler: Handler, running: Egress, certificate: Path, settings: dict[int, int] | None = None
) -> AsyncIterator[tuple[Http2Server, Host]]:
    async with http2_server(handler, certificate, settings) as server:
        yield server, await running.host()


async def hello(call: Call) -> None:
    await call.complete.wait()
    call.respond(200, ("content-type", "text/plain"))
    await call.send(b"hello " + call.body, end=True)


async def test_request_and_response_keep_what_is_theirs(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        await call.complete.wait()
        call.respond(207, ("set-cookie", "a=1"), ("x-y", "z"), ("set-cookie", "b=2"))
        await call.send(b"hello", end=True)

    async with to(handler, running, certificate) as (server, host):
        forbidden = [(name, "evil") for name in ("host", "connection", "te", "upgrade", "transfer-encoding", "expect")]
        fields = [*forbidden, ("cookie", "c=1; d=2"), ("x-mine", "1"), ("x-mine", "2")]
        answer = await host.fetch("POST", f"{server.url}/a?b=c", fields, b"abc")
    assert (answer.status, answer.reason, answer.body) == (207, "", b"hello")
    assert answer.fields == [("set-cookie", "a=1"), ("x-y", "z"), ("set-cookie", "b=2")]
    [call] = server.calls
    assert call.headers[:4] == [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", f"127.0.0.1:{server.port}"),
        (":path", "/a?b=c"),
    ]
    assert sorted(call.headers[4:]) == [
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("content-length", "3"),
        ("cookie", "c=1; d=2"),
        ("user-agent", "brrrd"),
        ("x-mine", "1"),
        ("x-mine", "2"),
    ]


async def test_requests_share_one_connection_of_their_app(running: Egress, certificate: Path) -> None:
    gate = asyncio.Event()

    async def handler(call: Call) -> None:
        if len(server.calls) == 20:
            gate.set()
        await gate.wait()
        await hello(call)

    async with to(handler, running, certificate) as (server, host):
        fetches = [host.start("POST", server.url + f"/{number}", data=b"%d" % number) for number in range(20)]
        async with asyncio.timeout(20):
            await asyncio.gather(*(fetch.done.wait() for fetch in fetches))
        assert [fetch.answer.body for fetch in fetches] == [b"hello %d" % number for number in range(20)]
        assert len(server.connections) == 1
        await (await running.host()).fetch("GET", server.url)
        assert len(server.connections) == 2


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_response_without_a_body(running: Egress, certificate: Path, method: str, status: int) -> None:
    async def handler(call: Call) -> None:
        call.respond(status, *([("content-length", "5000")] if method == "HEAD" else []), end=True)

    async with to(handler, running, certificate) as (server, host):
        answer = await host.fetch(method, server.url)
    assert (answer.status, answer.body, answer.broken, answer.code) == (status, b"", "", "")


async def test_interim_responses_and_trailers_are_ignored(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        call.respond(103, ("link", "</a.css>"))
        call.respond(200, ("x-final", "1"), ("content-encoding", "gzip"))
        await call.send(gzip.compress(b"hello"))
        call.connection.h2.send_headers(call.stream, [("x-trailer", "1")], end_stream=True)
        call.connection.flush()

    async with to(handler, running, certificate) as (server, host):
        answer = await host.fetch("GET", server.url)
    assert (answer.status, answer.fields, answer.body) == (200, [("x-final", "1")], b"hello")


async def echo(call: Call) -> None:
    call.respond(200)
    sent = 0
    while True:
        ended = call.complete.is_set()
        piece, sent = call.body[sent:], len(call.body)
        await call.send(piece, end=ended)
        if ended:
            return
        call.arrived.clear()
        if sent == len(call.body) and not call.complete.is_set():
            await call.arrived.wait()


async def test_bodies_stream_both_ways_at_once(running: Egress, certificate: Path) -> None:
    async with to(echo, running, certificate) as (server, host):
        fetch = host.start("POST", server.url, data=b"one ", end=False)
        async with asyncio.timeout(10):
            await fetch.until(lambda: fetch.answer.body == b"one ")
            fetch.send(b"two ")
            await fetch.until(lambda: fetch.answer.body == b"one two ")
            fetch.send(b"three", end=True)
            await fetch.done.wait()
    assert fetch.answer.body == b"one two three"


async def test_large_bodies_pass_within_the_windows(running: Egress, certificate: Path) -> None:
    piece, pieces = os.urandom(32 << 10), 96
    async with to(echo, running, certificate) as (server, host):
        fetch = host.start("POST", server.url, end=False)
        async with asyncio.timeout(60):
            for number in range(1, pieces + 1):
                while fetch.granted < number * len(piece):
                    fetch.changed.clear()
                    await fetch.changed.wait()
                fetch.send(piece)
            fetch.send(b"", end=True)
            await fetch.done.wait()
    assert fetch.answer.body == piece * pieces


async def test_slow_reader_holds_up_only_its_own_stream(running: Egress, certificate: Path) -> None:
    body = os.urandom(2 << 20)

    async def handler(call: Call) -> None:
        call.respond(200)
        await call.send(body if call.path == "/large" else b"small", end=True)

    async with to(handler, running, certificate) as (server, host):
        fetch = host.start("GET", server.url + "/large", window=False)
        async with asyncio.timeout(30):
            await fetch.until(lambda: len(fetch.answer.body) >= WINDOW_BYTES)
            for _ in range(5):
                assert (await host.fetch("GET", server.url + "/small")).body == b"small"
            assert len(fetch.answer.body) == WINDOW_BYTES
            fetch.grant(len(body))
            await fetch.done.wait()
    assert fetch.answer.body == body
    assert len(server.connections) == 1


async def test_cancel_resets_the_stream_and_leaves_the_connection(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        call.respond(200)
        await call.send(b"hello", end=call.path == "/short")

    async with to(handler, running, certificate) as (server, host):
        fetch = host.start("GET", server.url)
        async with asyncio.timeout(10):
            await fetch.until(lambda: bool(fetch.answer.body))
            fetch.cancel()
            await server.calls[0].reset.wait()
        assert (await host.fetch("GET", server.url + "/short")).body == b"hello"
    assert len(server.connections) == 1


async def test_answer_before_the_end_of_the_request_stops_the_upload(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        call.respond(413, end=True)

    async with to(handler, running, certificate) as (server, host):
        fetch = host.start("POST", server.url, data=b"begin", end=False)
        async with asyncio.timeout(10):
            await fetch.done.wait()
            await server.calls[0].reset.wait()
        assert fetch.answer.status == 413
        assert (await host.fetch("GET", server.url)).status == 413
    assert len(server.connections) == 1


async def test_refused_requests_are_sent_again_whatever_their_method(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        if len(server.calls) == 1:
            call.connection.h2.reset_stream(call.stream, ErrorCodes.REFUSED_STREAM)
            call.connection.flush()
        else:
            await hello(call)

    async with to(handler, running, certificate) as (server, host):
        assert (await host.fetch("POST", server.url, data=b"again")).body == b"hello again"
    assert len(server.calls) == 2


async def test_request_that_is_refused_for_ever_fails(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        call.connection.h2.reset_stream(call.stream, ErrorCodes.REFUSED_STREAM)
        call.connection.flush()

    async with to(handler, running, certificate) as (server, host):
        answer = await host.fetch("GET", server.url)
    assert (answer.code, len(server.calls)) == ("connect", 4)
    assert "REFUSED_STREAM" in answer.detail


@pytest.mark.parametrize("head_first", [False, True])
async def test_reset_is_an_error_of_the_request_alone(running: Egress, certificate: Path, head_first: bool) -> None:
    async def handler(call: Call) -> None:
        if call.path == "/fine":
            await hello(call)
            return
        if head_first:
            call.respond(200)
            await call.send(b"part")
        call.connection.h2.reset_stream(call.stream, ErrorCodes.INTERNAL_ERROR)
        call.connection.flush()

    async with to(handler, running, certificate) as (server, host):
        answer = await host.fetch("GET", server.url)
        assert "INTERNAL_ERROR" in answer.broken + answer.detail
        assert (await host.fetch("GET", server.url + "/fine")).status == 200
    assert (len(server.connections), len(server.calls)) == (1, 2)


def goaway(last: int, code: int = 0) -> bytes:
    return b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big")


async def test_goaway_ends_nothing_that_was_seen_and_repeats_what_was_not(running: Egress, certificate: Path) -> None:
    """As servers do it that are restarted, or have had enough requests on a connection."""
    gone = asyncio.Event()

    async def handler(call: Call) -> None:
        if call.path == "/slow":
            call.respond(200)
            await call.send(b"before ")
            await gone.wait()
            await call.send(b"after", end=True)
        elif call.path == "/unseen" and len(server.connections) == 1:
            call.connection.raw(goaway(server.calls[0].stream))
            gone.set()
        else:
            await hello(call)

    async with to(handler, running, certificate) as (server, host):
        slow = host.start("GET", server.url + "/slow")
        async with asyncio.timeout(10):
            await slow.until(lambda: bool(slow.answer.body))
            unseen = host.start("POST", server.url + "/unseen", data=b"once")
            await asyncio.gather(slow.done.wait(), unseen.done.wait(), server.connections[0].closed.wait())
    assert (slow.answer.body, slow.answer.broken) == (b"before after", "")
    assert unseen.answer.body == b"hello once"
    assert [call.connection is server.connections[0] for call in server.calls] == [True, True, False]


async def test_connection_that_ends_breaks_what_is_on_it(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        if call.path == "/cut":
            call.respond(200, ("content-length", "10"))
            await call.send(b"hello")
        await asyncio.sleep(0.1)
        call.connection.transport.close()

    async with to(handler, running, certificate) as (server, host):
        posted = host.start("POST", server.url, data=b"pay")
        cut = host.start("GET", server.url + "/cut")
        async with asyncio.timeout(10):
            await asyncio.gather(posted.done.wait(), cut.done.wait())
    assert posted.answer.code == "connect"
    assert "closed the connection" in cut.answer.broken
    assert len(server.calls) == 2


async def test_servers_limit_of_streams_is_kept(running: Egress, certificate: Path) -> None:
    most = 0

    async def handler(call: Call) -> None:
        nonlocal most
        most = max(most, call.connection.h2.open_inbound_streams)
        await asyncio.sleep(0.05)
        await hello(call)

    settings = {int(SettingCodes.MAX_CONCURRENT_STREAMS): 2}
    async with to(handler, running, certificate, settings) as (server, host):
        await host.fetch("GET", server.url)
        fetches = [host.start("GET", server.url) for _ in range(8)]
        async with asyncio.timeout(20):
            await asyncio.gather(*(fetch.done.wait() for fetch in fetches))
    assert {fetch.answer.body for fetch in fetches} == {b"hello "}
    assert most == 2
    assert len(server.connections) > 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


OK_HEAD = b"\x88"  # :status: 200, from the static table
HOSTILE = {
    "no frames": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" * 9,
    "a frame too large": frame(0, 0, 1, bytes(20_000)),
    "a flood of PING": frame(6, 0, 0, b"12345678") * 5000,
    "a flood of SETTINGS": frame(4, 0, 0, b"\0\3\0\0\0\x64") * 5000,
    "a flood of empty DATA": frame(1, 4, 1, OK_HEAD) + frame(0, 0, 1) * 5000,
    "a flood of padding": frame(1, 4, 1, OK_HEAD) + frame(0, 8, 1, b"\1\0") * 5000,
    "a flood of PRIORITY": frame(2, 0, 1, b"\0\0\0\0\1") * 5000,
    "a flood of interim responses": frame(1, 4, 1, b"\x08\x03103") * 5000,
    "a flood of unknown frames": frame(0xAA, 0, 1, b"x") * 5000,
    "a flood of GOAWAY": goaway(1) * 5000,
    "a flood of CONTINUATION": frame(1, 0, 1, OK_HEAD) + frame(9, 0, 1) * 5000,
    "a header bomb": frame(1, 0, 1, OK_HEAD + b"\x40\x01a\x7f\x81\x1e" + b"x" * 4000)
    + frame(9, 4, 1, b"\xbe" * 16_000),
    "a push": frame(5, 4, 1, b"\0\0\0\2" + OK_HEAD),
    "a head without a status": frame(1, 5, 1, b"\x40\x01a\x01b"),
    "an upper-case name": frame(1, 5, 1, OK_HEAD + b"\x40\x01A\x01b"),
    "a line feed in a value": frame(1, 5, 1, OK_HEAD + b"\x40\x01a\x03b\nc"),
    "a hop-by-hop field": frame(1, 5, 1, OK_HEAD + b"\x40\x0aconnection\x05close"),
    "less than its length": frame(1, 4, 1, OK_HEAD + b"\x0f\x0d\x0210") + frame(0, 1, 1, b"hello"),
    "more than its length": frame(1, 4, 1, OK_HEAD + b"\x0f\x0d\x012") + frame(0, 1, 1, b"hello"),
    "too much window": frame(8, 0, 1, b"\x7f\xff\xff\xff") * 3,
    "more than the window": frame(1, 4, 1, OK_HEAD) + frame(0, 0, 1, bytes(16_000)) * 40,
    "data for nobody": frame(0, 0, 7, b"hello"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_server_costs_its_own_caller_an_error(name: str, running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        call.connection.raw(HOSTILE[name])

    async with to(handler, running, certificate) as (server, host):
        fetch = host.start("GET", server.url, window=False)
        async with asyncio.timeout(30):
            await fetch.done.wait()
    answer = fetch.answer
    assert answer.code in ("protocol", "connect") or answer.broken
    assert "127.0.0.1" in answer.detail + answer.broken


async def test_flood_of_tiny_frames_leaves_time_for_others(running: Egress, certificate: Path) -> None:
    async def handler(call: Call) -> None:
        call.connection.raw(frame(1, 4, 1, OK_HEAD) + frame(0, 0, 1, b"x") * 20_000)

    async with to(handler, running, certificate) as (server, host):
        flooded = host.start("GET", server.url)
        async with asyncio.timeout(60):
            await flooded.until(lambda: bool(flooded.answer.body))
            neighbour = await running.host()
            for _ in range(20):
                assert (await neighbour.fetch("GET", "http://10.0.0.1/")).code == "blocked"
            assert len(flooded.answer.body) < 20_000
            await flooded.until(lambda: len(flooded.answer.body) == 20_000)


async def test_servers_without_http2_are_spoken_to_as_before(running: Egress, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["http/1.1"])
    async with serving(answering(HELLO), tls=context) as server:
        host = await running.host()
        url = f"https://127.0.0.1:{server.port}/"
        fetches = [host.start("GET", url) for _ in range(4)]
        async with asyncio.timeout(20):
            await asyncio.gather(*(fetch.done.wait() for fetch in fetches))
        assert {fetch.answer.body for fetch in fetches} == {b"hello"}
        connections = server.connections
        assert (await host.fetch("GET", url)).body == b"hello"
        assert server.connections == connections
