"""HTTP/1.1 at the edge, byte by byte: what a client may send and what it must get."""

import json
import random
import socket
import time
from pathlib import Path

import pytest

from tests.node_server import eventually
from tests.router.edge import EdgeProcess, RawClient

GET = b"GET /hello HTTP/1.1\r\nHost: a.localhost\r\n\r\n"


def head(method: str, path: str, *lines: str, host: str = "a.localhost") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", "")).encode("latin-1")


def shown(answer: tuple[int, dict[str, str], bytes]) -> dict[str, object]:
    assert answer[0] == 200
    return dict(json.loads(answer[2]))


def is_closed(client: RawClient) -> bool:
    return client.sock.recv(1) == b""


def test_a_connection_is_kept_for_further_requests(client: RawClient) -> None:
    for _ in range(3):
        client.send(GET)
        status, headers, body = client.response()
        assert (status, body) == (200, b"hello world")
        assert headers["content-length"] == "11"
        assert "connection" not in headers
        assert headers["date"].endswith("GMT")
        assert len(headers["x-request-id"]) == 24


def test_pipelined_requests_are_answered_in_order(client: RawClient) -> None:
    slow = head("GET", "/pieces")
    post = head("POST", "/show?n=3", "Content-Length: 3") + b"abc"
    client.send(slow + GET + post + GET)
    assert client.response()[2] == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert client.response()[2] == b"hello world"
    assert shown(client.response())["body"] == "abc"
    assert client.response()[2] == b"hello world"


def test_a_hundred_pipelined_requests(client: RawClient) -> None:
    client.send(GET * 100)
    for _ in range(100):
        assert client.response()[2] == b"hello world"


def test_a_request_may_arrive_byte_by_byte(client: RawClient) -> None:
    for byte in head("POST", "/show", "Content-Length: 2") + b"hi":
        client.send(bytes([byte]))
    assert shown(client.response())["body"] == "hi"


def test_connection_close_is_honoured_and_said(client: RawClient) -> None:
    client.send(head("GET", "/hello", "Connection: close") + GET)
    _, headers, body = client.response()
    assert body == b"hello world"
    assert headers["connection"] == "close"
    assert is_closed(client)


def test_http_10_closes_by_default(client: RawClient) -> None:
    client.send(b"GET /hello HTTP/1.0\r\nHost: a.localhost\r\n\r\n")
    assert client.response()[2] == b"hello world"
    assert is_closed(client)


def test_http_10_may_be_kept_alive(client: RawClient) -> None:
    for _ in range(2):
        client.send(b"GET /hello HTTP/1.0\r\nHost: a.localhost\r\nConnection: keep-alive\r\n\r\n")
        _, headers, body = client.response()
        assert (headers["connection"], body) == ("keep-alive", b"hello world")


def test_http_10_gets_a_stream_up_to_the_end_of_the_connection(client: RawClient) -> None:
    client.send(b"GET /pieces HTTP/1.0\r\nHost: a.localhost\r\nConnection: keep-alive\r\n\r\n")
    status, headers, body = client.response()
    assert (status, body) == (200, b"data: 0\n\ndata: 1\n\ndata: 2\n\n")
    assert "transfer-encoding" not in headers


def test_chunked_bodies_pass_both_ways(client: RawClient) -> None:
    client.send(head("POST", "/echo", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert client.until(b"hello\r\n") == b"5\r\nhello\r\n"
    client.send(b"6;ext=1\r\n world\r\n0\r\ntrailer: 1\r\n\r\n")
    assert client.until(b"0\r\n\r\n") == b"6\r\n world\r\n0\r\n\r\n"


def test_a_head_request_gets_no_body(client: RawClient) -> None:
    client.send(head("HEAD", "/hello") + head("HEAD", "/stream?bytes=100&length=100") + GET)
    assert client.response(head_only=True)[0] == 200
    status, headers, _ = client.response(head_only=True)
    assert (status, headers["content-length"]) == (200, "100")
    assert client.response()[2] == b"hello world"


@pytest.mark.parametrize(("status", "length"), [(204, None), (304, None), (205, "0")])
def test_statuses_without_a_body_get_none(client: RawClient, status: int, length: str | None) -> None:
    client.send(head("GET", f"/status?status={status}&body=oops") + GET)
    answered, headers, body = client.response()
    assert (answered, body, headers.get("content-length")) == (status, b"", length)
    assert client.response()[2] == b"hello world"


def test_a_reason_of_the_app_is_kept(client: RawClient) -> None:
    client.send(head("GET", "/status?status=200&reason=Quite+fine"))
    assert client.until(b"\r\n") == b"HTTP/1.1 200 Quite fine\r\n"


def test_an_unusual_status_is_passed_on(client: RawClient) -> None:
    client.send(head("GET", "/status?status=299"))
    assert client.until(b"\r\n") == b"HTTP/1.1 299 \r\n"


def test_set_cookie_is_never_merged(client: RawClient) -> None:
    fields = '[["set-cookie","a=1"],["set-cookie","b=2, c"],["connection","x"],["date","then"]]'
    client.send(head("GET", f"/status?status=200&headers={fields.replace(' ', '%20')}"))
    _, headers, _ = client.response()
    assert headers["set-cookie"] == "a=1\nb=2, c"
    assert headers["date"] == "then"
    assert "connection" not in headers


def test_expect_continue_is_asked_for_the_body(client: RawClient) -> None:
    client.send(head("POST", "/show", "Content-Length: 2", "Expect: 100-continue"))
    assert client.response()[0] == 100
    client.send(b"ok")
    answer = shown(client.response())
    assert answer["body"] == "ok"
    assert "expect" not in dict(answer["headers"])  # type: ignore[call-overload]


def test_a_too_large_body_is_refused_before_it_is_sent(client: RawClient) -> None:
    client.send(head("POST", "/show", "Content-Length: 100001", "Expect: 100-continue"))
    status, headers, body = client.response()
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["request_id"] == headers["x-request-id"]


def test_a_too_large_chunked_body_is_refused_while_it_is_sent(client: RawClient) -> None:
    client.send(head("POST", "/show", "Transfer-Encoding: chunked"))
    for _ in range(4):
        client.send(b"7530\r\n" + b"x" * 0x7530 + b"\r\n")
    assert client.response()[0] == 413
    assert client.rest() == b""


def test_a_too_large_chunked_body_that_comes_with_its_head_is_refused(client: RawClient) -> None:
    client.send(head("POST", "/show", "Transfer-Encoding: chunked") + b"1d4c0\r\n" + b"x" * 120_000 + b"\r\n0\r\n\r\n")
    assert client.response()[0] == 413


ENDLESS = {
    "trailers": (b"0\r\n", b"a: b\r\n" * 10_000),
    "a trailer": (b"0\r\na: ", b"b" * 60_000),
    "a trailer of a large body": (b"15f90\r\n" + b"x" * 90_000 + b"\r\n0\r\na: ", b"b" * 60_000),
    "a chunk extension": (b"1;", b"a" * 60_000),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_is_no_body_does_not_grow_without_end_behind_a_head(client: RawClient, what: str) -> None:
    start, more = ENDLESS[what]
    client.send(head("POST", "/show?n=1", "Transfer-Encoding: chunked") + start + more * 20)
    assert client.response()[0] == 431
    assert is_closed(client)


def test_trailers_and_crumbs_are_read_and_passed_to_nobody(client: RawClient) -> None:
    body = b"1;a=b\r\nx\r\n" * 50_000 + b"0\r\nhost: b.localhost\r\nx-trailer: b\r\n\r\n"
    client.send(head("POST", "/show?n=50000", "Transfer-Encoding: chunked") + body + GET)
    answer = client.response()
    assert (shown(answer)["body"], b"x-trailer" in answer[2]) == ("x" * 50_000, False)
    frames = shown(answer)["frames"]
    assert isinstance(frames, int) and frames < 1_000
    assert client.response()[2] == b"hello world"


def test_an_early_answer_reaches_a_client_that_still_sends(client: RawClient) -> None:
    client.send(head("POST", "/early", "Content-Length: 90000") + b"x" * 45000)
    status, headers, body = client.response()
    assert (status, headers["connection"], body) == (401, "close", b"no")


def test_a_large_body_waits_for_the_app(client: RawClient) -> None:
    body = b"0123456789" * 9000
    client.send(head("POST", "/show", f"Content-Length: {len(body)}") + body)
    assert shown(client.response())["body"] == body.decode()


def test_a_large_stream_arrives_whole(client: RawClient) -> None:
    client.send(head("GET", "/stream?bytes=3000000"))
    time.sleep(0.2)
    status, _, body = client.response()
    assert (status, len(body)) == (200, 3_000_000)
    client.send(head("GET", "/stream?bytes=3000000&length=3000000"))
    assert len(client.response()[2]) == 3_000_000


@pytest.mark.parametrize("end", ["cancel", "short", "long"])
def test_a_broken_stream_is_seen_as_broken(client: RawClient, end: str) -> None:
    query = {"cancel": "bytes=10&end=cancel", "short": "bytes=10&length=11", "long": "bytes=12&length=11"}[end]
    client.send(head("GET", "/stream?" + query))
    with pytest.raises(EOFError):
        client.response()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.localhost\r\nHost: a.localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n", 404),
        (b"GET / HTTP/2.0\r\nHost: a.localhost\r\n\r\n", 505),
        (b"TRACE / HTTP/1.1\r\nHost: a.localhost\r\n\r\n", 405),
        (b"CONNECT a.localhost:80 HTTP/1.1\r\nHost: a.localhost\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\nHost: a.localhost\r\n\r\n", 501),
        (b"GET ftp://a.localhost/ HTTP/1.1\r\nHost: a.localhost\r\n\r\n", 400),
        (b"GET http://a.localhost/ HTTP/1.1\r\nHost: a.localhost\r\nHost: b.localhost\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\nHost: a.localhost\r\n\r\n", 400),
        (b"GET /#x HTTP/1.1\r\nHost: a.localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nHost: a.localhost\r\nX: " + b"x" * 70000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 70000, 431),
        (b"POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a.localhost\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.localhost\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.localhost\r\nX : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a.localhost\r\nX: a\0b\r\n\r\n", 400),
    ],
)
def test_what_is_not_a_request_to_an_app_gets_a_definite_answer(
    client: RawClient, request_bytes: bytes, status: int
) -> None:
    client.send(request_bytes)
    answered, headers, body = client.response()
    assert answered == status
    assert json.loads(body)["request_id"] == headers["x-request-id"]


def test_nonsense_behind_a_good_request_does_not_cost_its_answer(client: RawClient) -> None:
    client.send(head("GET", "/pieces") + b"nonsense\r\n\r\n")
    assert client.response()[0] == 200
    assert is_closed(client)


def test_the_absolute_form_decides_about_the_host(client: RawClient) -> None:
    client.send(head("GET", "http://a.localhost/show?x=1", host="other.localhost"))
    answer = shown(client.response())
    assert answer["url"] == "http://a.localhost/show?x=1"
    assert ["host", "a.localhost"] in answer["headers"]  # type: ignore[operator]


def test_a_declined_upgrade_is_answered_in_http(client: RawClient) -> None:
    client.send(head("GET", "/hello", "Connection: Upgrade", "Upgrade: h2c") + GET)
    assert client.response()[2] == b"hello world"
    assert client.response()[2] == b"hello world"


@pytest.mark.parametrize("size", [3, 90_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_the_body_of_a_declined_upgrade_is_no_request(
    client: RawClient, size: int, chunked: bool, at_once: bool
) -> None:
    """Java's HttpClient asks for HTTP/2 so with its first request."""
    body = (GET * (size // len(GET) + 1))[:size]
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    first = head("POST", "/show", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x", framing)
    rest = (b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked else body) + GET
    if at_once:
        client.send(first + rest)
    else:
        client.send(first)
        client.send(rest[:2])
        client.send(rest[2:])
    assert shown(client.response())["body"] == body.decode()
    assert client.response()[2] == b"hello world"
    client.send(GET)
    assert client.response()[2] == b"hello world"


def test_the_body_of_a_declined_upgrade_may_be_the_last(client: RawClient) -> None:
    lines = ("Connection: Upgrade, close", "Upgrade: h2c", "Content-Length: 3")
    client.send(head("POST", "/show", *lines) + b"abc" + GET)
    assert shown(client.response())["body"] == "abc"
    assert is_closed(client)


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def test_a_websocket_reaches_the_data_plane(client: RawClient) -> None:
    client.send(head("GET", "/v1/x", *UPGRADE, host="db.localhost"))
    assert client.response()[0] == 101
    client.send(b"\x81\x82\0\0\0\0hi")
    assert client.exactly(4) == b"\x81\x02HI"


def test_an_app_answers_a_request_for_a_websocket_as_any_other(client: RawClient) -> None:
    client.send(head("GET", "/early", *UPGRADE))
    status, headers, body = client.response()
    assert (status, headers["connection"], body) == (401, "close", b"no")
    assert is_closed(client)


def open_websocket(client: RawClient, path: str = "/socket", early: bytes = b"") -> None:
    client.send(head("GET", path, *UPGRADE) + early)
    status, headers, _ = client.response(head_only=True)
    assert (status, headers["upgrade"], headers["x-echo"]) == (101, "websocket", "1")
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_messages_and_pings_of_a_websocket(client: RawClient) -> None:
    open_websocket(client)
    client.send(b"\x81\x82\0\0\0\0hi" + b"\x89\x81\0\0\0\0?" + b"\x82\x80\0\0\0\0")
    # A pong may be there before the messages have been to the host and back.
    assert sorted(client.exactly(9)) == sorted(b"\x81\x02hi" + b"\x8a\x01?" + b"\x82\x00")
    client.send(b"\x88\x82\0\0\0\0\x0f\xa0")
    assert client.rest() == b"\x88\x02\x0f\xa0"


def test_what_a_client_says_before_the_answer_is_not_lost(client: RawClient) -> None:
    open_websocket(client, "/socket?seconds=0.2", b"\x81\x82\0\0\0\0hi")
    assert client.exactly(4) == b"\x81\x02hi"


def test_a_client_that_says_too_much_before_the_answer_is_cut_off(client: RawClient) -> None:
    client.send(head("GET", "/hold", *UPGRADE) + b"x" * 70_000)
    assert is_closed(client)


@pytest.mark.parametrize(
    ("sent", "code"), [(b"\x81\x02hi", 1002), (b"\x81\x81\0\0\0\0\xff", 1007), (b"\x83\x80\0\0\0\0", 1002)]
)
def test_a_client_that_breaks_the_protocol_hears_the_code(client: RawClient, sent: bytes, code: int) -> None:
    open_websocket(client)
    client.send(sent)
    closing = client.rest()
    assert (closing[0], int.from_bytes(closing[2:4], "big")) == (0x88, code)


def test_a_handshake_that_is_none(client: RawClient) -> None:
    client.send(head("GET", "/socket", *UPGRADE[:3], "Sec-WebSocket-Key: short"))
    assert client.response()[0] == 400
    assert is_closed(client)


def test_a_handshake_of_another_version_is_told_the_right_one(client: RawClient) -> None:
    client.send(head("GET", "/socket", *UPGRADE[:2], "Sec-WebSocket-Version: 8", UPGRADE[3]))
    status, headers, _ = client.response()
    assert (status, headers["sec-websocket-version"]) == (426, "13")


def test_a_websocket_behind_another_request(client: RawClient) -> None:
    client.send(head("GET", "/hello") + head("GET", "/socket", *UPGRADE))
    assert client.response()[2] == b"hello world"
    assert client.response(head_only=True)[0] == 101
    client.send(b"\x81\x82\0\0\0\0hi")
    assert client.exactly(4) == b"\x81\x02hi"


def test_nothing_is_read_behind_an_answer_that_ends_the_connection(client: RawClient) -> None:
    refused = head("POST", "/show", "Content-Length: 100001", host="a.localhost")
    client.send(b"GET http:///x HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n" + refused)
    assert client.response()[0] == 400
    assert is_closed(client)


def test_the_path_is_passed_on_undecoded(client: RawClient) -> None:
    client.send(head("GET", "/show/%2e%2E/a%2Fb//c;d?q=%20&q=a+b"))
    assert shown(client.response())["url"] == "http://a.localhost/show/%2e%2E/a%2Fb//c;d?q=%20&q=a+b"


def test_a_client_that_leaves_is_told_to_the_host(edge: EdgeProcess) -> None:
    before = int(asked(edge, "/held"))
    with edge.connect() as leaving:
        leaving.send(head("POST", "/hold?leaving", "Content-Length: 10") + b"12345")
        eventually(10, lambda: int(asked(edge, "/held")) > before)
    assert cancelled(edge, "/hold client disconnected")


def asked(edge: EdgeProcess, path: str) -> bytes:
    """The host's answer on a connection of its own."""
    with edge.connect() as client:
        client.send(head("GET", path))
        return client.response()[2]


def cancelled(edge: EdgeProcess, entry: str) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if entry in json.loads(asked(edge, "/cancelled")):
            return True
        time.sleep(0.02)
    return False


def test_a_body_that_nobody_reads_stops_the_client(edge: EdgeProcess) -> None:
    with edge.connect() as client:
        client.send(head("POST", "/hold", "Transfer-Encoding: chunked", host="big.localhost"))
        client.sock.settimeout(0.5)
        sent = 0
        with pytest.raises((TimeoutError, ConnectionError)):
            while sent < 50_000_000:
                client.send(b"fff0\r\n" + b"x" * 0xFFF0 + b"\r\n")
                sent += 0xFFF0
        assert sent < 50_000_000


def test_a_client_that_does_not_read_does_not_fill_the_edge(edge: EdgeProcess) -> None:
    with edge.connect() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.send(head("GET", "/stream?bytes=100000000"))
        time.sleep(0.5)
        statm = Path(f"/proc/{edge.process.pid}/statm").read_text()
        assert int(statm.split()[1]) * 4096 < 120_000_000


def test_the_unix_socket_serves_too(edge: EdgeProcess) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(edge.unix_path)
    with RawClient(sock) as client:
        client.send(head("GET", "/show"))
        answer = shown(client.response())
        assert ["x-forwarded-for", "127.0.0.1"] in answer["headers"]  # type: ignore[operator]


def test_the_data_host_leads_to_the_data_plane(client: RawClient) -> None:
    body = b"select 1" * 20000
    request = head("POST", "/v1/a%20b", f"Content-Length: {len(body)}", host="DB.localhost:80")
    client.send(request + body + GET)
    answer = shown(client.response())
    assert (answer["path"], answer["body"]) == ("/v1/a b", body.decode())
    assert client.response()[2] == b"hello world"


def test_mutilated_requests_get_an_answer_or_an_end_and_never_an_internal_error(edge: EdgeProcess) -> None:
    dice = random.Random(7)
    seeds = [
        GET,
        head("POST", "/show", "Content-Length: 5", "X-A: b") + b"12345" + GET,
        head("POST", "/echo", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
        head("GET", "http://a.localhost/show?x", "Connection: Upgrade", "Upgrade: h2c"),
        head("HEAD", "/stream?bytes=9&length=9", "Connection: close"),
        head("PUT", "/v1/x", "Content-Length: 1", "Expect: 100-continue", host="db.localhost"),
    ]
    for _ in range(300):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(data))
            piece = dice.choice([b"", b"\0", b"\r\n", b" ", b":", b"\xff", b"0", b"/", bytes([dice.randrange(256)])])
            data[place : place + dice.randint(0, 3)] = piece
        with edge.connect() as client:
            client.send(bytes(data))
            client.sock.shutdown(socket.SHUT_WR)
            assert b"HTTP/1.1 500" not in client.rest()
    with edge.connect() as client:
        client.send(GET)
        assert client.response()[0] == 200
