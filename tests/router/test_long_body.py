"""Long bodies of known length at the edge, of which the parser sees only the beginning."""

import hashlib

import pytest

from tests.router.edge import EdgeProcess, RawClient
from tests.router.test_http1 import GET, cancelled, head, is_closed

LONG = bytes(range(256)) * 4096


def upload(*lines: str) -> bytes:
    return head("POST", "/hash", f"Content-Length: {len(LONG)}", *lines, host="big.localhost")


@pytest.mark.parametrize("first", [0, 1, 70_000, len(LONG) - 1, len(LONG)])
def test_a_long_body_in_two_pieces_and_what_follows_it(client: RawClient, first: int) -> None:
    post = upload()
    client.send(post + LONG[:first])
    client.send(LONG[first:] + GET + post[:20])
    client.send(post[20:] + LONG + GET)
    for _ in range(2):
        assert client.response()[2].decode() == hashlib.sha256(LONG).hexdigest()
        assert client.response()[2] == b"hello world"


def test_a_long_body_whose_end_comes_byte_by_byte(client: RawClient) -> None:
    client.send(upload() + LONG[:-40])
    for byte in LONG[-40:] + GET:
        client.send(bytes([byte]))
    assert client.response()[2].decode() == hashlib.sha256(LONG).hexdigest()
    assert client.response()[2] == b"hello world"


def test_a_long_body_behind_another_request(client: RawClient) -> None:
    client.send(head("GET", "/pieces") + upload() + LONG + GET)
    assert client.response()[2] == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert client.response()[2].decode() == hashlib.sha256(LONG).hexdigest()
    assert client.response()[2] == b"hello world"


def test_nothing_is_read_behind_a_long_body_that_ends_the_connection(client: RawClient) -> None:
    client.send(upload("Connection: close") + LONG + GET)
    _, headers, body = client.response()
    assert (headers["connection"], body.decode()) == ("close", hashlib.sha256(LONG).hexdigest())
    assert is_closed(client)


def test_nonsense_behind_a_long_body_does_not_cost_its_answer(client: RawClient) -> None:
    client.send(upload() + LONG + b"\0nonsense\r\n\r\n")
    assert client.response()[2].decode() == hashlib.sha256(LONG).hexdigest()
    assert is_closed(client)


def test_a_long_body_that_breaks_off_is_told_to_the_host(edge: EdgeProcess) -> None:
    with edge.connect() as client:
        client.send(upload() + LONG[:-1])
    assert cancelled(edge, "/hash client disconnected")
