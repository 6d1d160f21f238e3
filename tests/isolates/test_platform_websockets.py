"""WebSockets on the ring: handing over, flow control both ways, ends, limits; frames as an edge worker sends them."""

import pytest

from isolates import wire
from isolates.wire import HEADER_BYTES, SOCKET_PIECE_BYTES, SOCKET_WINDOW_BYTES, Type
from tests.isolates.platform_driver import EGRESS, Platform, Response, window
from tests.isolates.platform_driver import request as plain_request

APP = """
const ends = [];
return { default: { async fetch(request, env, ctx) {
  const { pathname } = new URL(request.url);
  if (pathname === '/ends') return Response.json(ends);
  const [client, server] = Object.values(new WebSocketPair());
  if (pathname === '/accepted') client.accept();
  if (pathname === '/twice') new Response(null, { status: 101, webSocket: client });
  server.accept();
  server.addEventListener('message', ({ data }) => {
    if (data === 'big') server.send(new Uint8Array(100_000));
    else if (data === 'amount') console.log(server.bufferedAmount);
    else if (data === 'close') server.close(4000, 'bye');
    else if (data === 'log') console.log('heard');
    else server.send(data);
  });
  server.addEventListener('close', ({ code, reason, wasClean }) => ends.push([code, reason, wasClean]));
  if (pathname === '/work') ctx.waitUntil(new Promise((resolve) => server.addEventListener('close', resolve)));
  return new Response(null, { status: 101, webSocket: client, headers: { 'x-app': '1' } });
} } };
"""


def upgrade(stream: int, path: str = "/") -> bytes:
    head = f"GET\nhttp://app.test{path}\nreq-{stream}\nupgrade\nwebsocket"
    return wire.encode(stream, Type.REQUEST, flags=wire.UPGRADE, head=head.encode())


def message(stream: int, data: bytes, kind: int = wire.TEXT, *, more: bool = False) -> bytes:
    return wire.encode(stream, Type.MESSAGE, flags=wire.MORE if more else 0, status=kind, data=data)


def close(stream: int, code: int = 1000, reason: bytes = b"") -> bytes:
    return wire.encode(stream, Type.CLOSE, flags=wire.END, status=code, data=reason)


def opened(platform: Platform, stream: int = 1, path: str = "/") -> Response:
    platform.turn(upgrade(stream, path))
    platform.turn()
    response = platform.responses[stream]
    assert (response.status, response.ended, response.header("x-app")) == (101, False, "1")
    return response


def test_messages_go_both_ways_and_the_request_is_over() -> None:
    with Platform(APP) as platform:
        response = opened(platform)
        assert platform.counters["active"] == 0
        assert platform.counters["websockets"] == 1
        platform.turn(message(1, "grüße".encode()), message(1, b"\xff\0", wire.BINARY))
        platform.turn()
        assert [(frame.status, frame.data) for frame in response.messages] == [
            (wire.TEXT, "grüße".encode()),
            (wire.BINARY, b"\xff\0"),
        ]


def test_a_message_in_pieces() -> None:
    with Platform(APP) as platform:
        response = opened(platform)
        text = ("é" * 30_000).encode()
        platform.turn(message(1, text[:20_001], more=True), message(1, text[20_001:40_000], more=True))
        assert sum(int.from_bytes(frame.data, "little") for frame in platform.windows) == 40_000 + 2 * HEADER_BYTES
        platform.turn(message(1, text[40_000:]))
        platform.turn()
        assert b"".join(frame.data for frame in response.messages) == text
        assert [bool(frame.flags & wire.MORE) for frame in response.messages] == [True, False]


def test_the_window_holds_what_the_app_sends() -> None:
    with Platform(APP) as platform:
        response = opened(platform)
        platform.turn(message(1, b"big"), message(1, b"amount"), message(1, b"close"))
        assert [len(frame.data) for frame in response.messages] == [SOCKET_PIECE_BYTES] * 2
        assert platform.logs[0][2] == str(100_000 - 2 * SOCKET_PIECE_BYTES)
        platform.turn(window(1, SOCKET_WINDOW_BYTES))
        assert sum(len(frame.data) for frame in response.messages if frame.type == Type.MESSAGE) == 100_000
        assert (response.messages[-1].type, response.messages[-1].status) == (Type.CLOSE, 4000)
        platform.turn(window(1, SOCKET_WINDOW_BYTES))
        assert [frame.type for frame in response.messages].count(Type.CLOSE) == 1
        platform.turn(close(1, 4000, b"bye"))
        assert platform.counters["websockets"] == 0
        assert platform.fetch("http://app.test/ends").body == b'[[4000,"bye",true]]'


@pytest.mark.parametrize("how", ["close", "cancel", "connection"])
def test_every_end_is_an_event(how: str) -> None:
    with Platform(APP) as platform:
        opened(platform)
        if how == "close":
            platform.turn(close(1, 0))
        elif how == "cancel":
            platform.turn(wire.encode(1, Type.CANCEL, flags=wire.END, head=b"gone"))
        else:
            platform.turn(closed=True)
        platform.turn()
        assert platform.counters["websockets"] == 0
        expected = b'[[1005,"",true]]' if how == "close" else b'[[1006,"",false]]'
        assert platform.fetch("http://app.test/ends").body == expected


def test_events_belong_to_the_request() -> None:
    with Platform(APP) as platform:
        opened(platform, 7)
        platform.turn(message(7, b"log"))
        assert platform.logs == [(1, "req-7", "heard")]


def test_background_work_lasts_as_long_as_the_websocket() -> None:
    with Platform(APP) as platform:
        opened(platform, path="/work")
        platform.turn(advance_ms=60_000)
        platform.turn()
        assert platform.counters["background"] == 1
        platform.turn(close(1))
        platform.turn()
        assert platform.counters["background"] == 0
        assert platform.logs == []


def test_an_answer_of_101_needs_a_request_for_it_and_a_free_end() -> None:
    with Platform(APP) as platform:
        assert platform.fetch("http://app.test/").refused == "exception"
        assert "has no Upgrade: websocket" in platform.logs[-1][2]
        platform.turn(upgrade(9, "/accepted"))
        platform.turn()
        assert platform.responses[9].refused == "exception"
        assert platform.counters["websockets"] == 0


def test_over_the_limit_there_is_503() -> None:
    with Platform(APP, max_websockets=1) as platform:
        opened(platform)
        platform.turn(upgrade(2))
        assert (platform.responses[2].status, platform.responses[2].refused) == (503, "max_websockets")
        assert platform.limits[0][0] == "max_websockets"
        platform.turn(close(1))
        opened(platform, 3)


def test_a_client_is_a_request_to_the_egress() -> None:
    app = """return { default: () => {
        globalThis.socket = new WebSocket('wss://a.test/x', ['p']);
        return new Response('');
    } };"""
    with Platform(app) as platform:
        platform.turn(plain_request(1))
        sent = platform.sent[0]
        assert (sent.type, sent.flags) == (Type.REQUEST, wire.UPGRADE)
        assert sent.head.startswith(b"GET\nhttps://a.test/x\nreq-1\nsec-websocket-protocol\np\n")
        platform.turn(
            wire.encode(sent.stream, Type.RESPONSE, status=101, head=b"\nsec-websocket-protocol\np"),
            message(sent.stream, b"at once"),
            connection=EGRESS,
        )
        assert platform.counters["websockets"] == 1
        platform.turn(close(sent.stream), connection=EGRESS)
        assert platform.counters["websockets"] == 0


def test_a_client_that_left_before_the_answer_is_told_to_the_app() -> None:
    app = """const ends = [];
    return { default: { async fetch(request) {
      if (request.url.endsWith('/ends')) return Response.json(ends);
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.onclose = ({ code }) => ends.push(code);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return new Response(null, { status: 101, webSocket: client });
    } } };"""
    with Platform(app) as platform:
        platform.turn(upgrade(1))
        platform.turn(wire.encode(1, Type.CANCEL, flags=wire.END, head=b"client disconnected"))
        platform.turn(advance_ms=60)
        platform.turn()
        assert platform.fetch("http://app.test/ends").body == b"[1006]"


def test_a_message_in_very_many_pieces_costs_no_more_than_its_bytes() -> None:
    with Platform(APP) as platform:
        response = opened(platform)
        for _ in range(20):
            platform.turn(*[message(1, b"x", more=True) for _ in range(500)], *[message(1, b"", more=True)] * 500)
        platform.turn(message(1, b"end"), message(1, b"next"))
        platform.turn()
        assert [frame.data for frame in response.messages] == [b"x" * 10_000 + b"end", b"next"]
