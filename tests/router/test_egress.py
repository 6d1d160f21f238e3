"""The egress process itself, started as the supervisor does, between a host's frames and real servers."""

import asyncio
import gzip
import os
import signal

import pytest

from isolates.wire import WINDOW_BYTES, Type, encode
from router.identity import Identity, SubrequestLimits, seal
from router.messages import Drain
from tests.router.egress_peer import egress
from tests.router.scripted_server import HELLO, Handler, Server, answering, outside, serving
from tests.router.service import TICKET_KEY


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
