"""Requests that wait for JavaScript which does not yield are sent back."""

import pytest

from isolates import wire
from isolates.connection import _without_requests
from isolates.messages import Blocked, Drain, Log, Probe
from isolates.relief import BLOCKED_SECONDS, is_blocked
from isolates.wire import Type, encode
from tests.isolates.driver import Host

REQUEST = encode(1, Type.REQUEST, flags=wire.END, head=b"GET\nhttp://a/\nid")
UPLOAD = encode(2, Type.REQUEST, head=b"POST\nhttp://a/\nid")
DATA = encode(2, Type.DATA, flags=wire.END, data=b"x" * 100)

BLOCKING = """
export default ({ url }) => {
  if (url.endsWith('/block')) {
    log('at work');
    host.call(1);
    for (const until = Date.now() + 700; Date.now() < until;);
  }
  return url;
};"""


@pytest.mark.parametrize(
    ("busy_since", "now", "blocked"),
    [(None, 10.0, False), (10.0, 10.0, False), (10.0, 10.0 + BLOCKED_SECONDS, True), (9.0, 10.0, True)],
)
def test_a_turn_that_takes_too_long_blocks(busy_since: float | None, now: float, blocked: bool) -> None:
    assert is_blocked(busy_since, now) is blocked


@pytest.mark.parametrize(
    ("data", "streams", "rest"),
    [
        (b"", [], b""),
        (REQUEST, [1], b""),
        (REQUEST + UPLOAD + DATA, [1], UPLOAD + DATA),
        (DATA + REQUEST, [1], DATA),
        (REQUEST + UPLOAD[:-1], [1], UPLOAD[:-1]),
        (REQUEST[:10], [], REQUEST[:10]),
        (b"\x00" * 32 + REQUEST, [], b"\x00" * 32 + REQUEST),
    ],
    ids=["nothing", "one", "uploads stay", "order", "unfinished", "unfinished head", "not a frame"],
)
def test_only_whole_requests_are_taken_out(data: bytes, streams: list[int], rest: bytes) -> None:
    assert _without_requests(data) == (streams, rest)


def test_requests_are_sent_back_while_javascript_does_not_yield(host: Host) -> None:
    edge = host.serve(BLOCKING)
    edge.request(1, "http://a/block")
    assert host.end.expect(Log).message == "at work"
    edge.request(2, "http://a/waiting")
    edge.sock.sendall(encode(3, Type.REQUEST, head=b"POST\nhttp://a/upload\nid"))
    host.end.send(Probe())
    assert host.end.expect(Blocked).blocked
    busy, refused = edge.frame(), edge.frame()
    assert (busy.stream, busy.type, busy.status) == (0, Type.BUSY, 1)
    assert (refused.stream, refused.type, refused.status) == (2, Type.REFUSE, 503)
    assert refused.head.split(b"\n")[0] == wire.BLOCKED.encode()
    # The request that blocks goes on, the upload was kept, and edge workers are told once it is over.
    assert not host.end.expect(Blocked).blocked
    frames = {(frame.stream, frame.type, frame.status) for frame in [edge.frame() for _ in range(3)]}
    assert frames == {(1, Type.RESPONSE, 200), (0, Type.BUSY, 0), (3, Type.RESPONSE, 200)}
    assert edge.ask("http://a/after", stream=4) == "http://a/after"


def test_a_host_that_yields_keeps_its_requests(host: Host) -> None:
    edge = host.serve("export default () => new Promise((done) => setTimeout(() => done('slow'), 300));")
    edge.request(1)
    for _ in range(3):
        host.end.send(Probe())
    frame = edge.frame()
    assert (frame.stream, frame.type) == (1, Type.RESPONSE)
    assert not [message for message in host.end.seen if isinstance(message, Blocked)]


def test_requests_that_crossed_the_drain_are_sent_back_or_answered(host: Host) -> None:
    edge = host.serve(BLOCKING)
    host.end.send(Drain(5000))
    assert edge.frame().type == Type.GOAWAY
    edge.request(1, "http://a/late")
    answer = edge.frame()
    assert answer.type == Type.RESPONSE or answer.head.startswith(wire.DRAINING.encode())
