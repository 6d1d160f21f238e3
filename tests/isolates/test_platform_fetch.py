"""fetch() as the egress process sees it: REQUEST frames on connection 1 and what is answered to them."""

import struct

import pytest

from isolates import wire
from isolates.wire import Frame, Type
from tests.isolates.platform_driver import EGRESS, Platform, request, window

APP = """
return { default: { async fetch(request) {
  try {
    const [url, init] = JSON.parse(await request.text());
    const response = await fetch(url, init);
    const { status, url: from, redirected, headers } = response;
    return Response.json([status, from, redirected, headers.get('x-a'), await response.text()]);
  } catch (error) {
    return new Response(`${error.name}: ${error.message}`);
  }
} } };
"""


def answer(
    stream: int, status: int = 200, headers: tuple[str, ...] = (), body: bytes = b"", *, end: bool = True
) -> bytes:
    head = "\n".join(["OK", *headers]).encode("latin-1")
    return wire.encode(stream, Type.RESPONSE, flags=wire.END if end else 0, status=status, head=head, data=body)


def start(platform: Platform, arguments: str) -> Frame:
    """Has the app fetch; returns the frame that the egress gets."""
    platform.turn(request(1, method="POST", body=arguments.encode()))
    platform.turn()
    return platform.sent[-1]


def fields(frame: Frame) -> list[str]:
    return frame.head.decode("latin-1").split("\n")


def headers(frame: Frame) -> dict[str, str]:
    parts = fields(frame)[3:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def result(platform: Platform) -> str:
    platform.turn()
    return platform.responses[1].body.decode()


def test_a_get() -> None:
    with Platform(APP) as platform:
        frame = start(
            platform, '["http://x.test/p?q#frag", {"headers": {"X-B": "1", "host": "evil", "connection": "x"}}]'
        )
        assert (frame.type, frame.flags) == (Type.REQUEST, wire.END)
        assert fields(frame)[:2] == ["GET", "http://x.test/p?q"]
        assert headers(frame) == {"x-b": "1", "accept": "*/*", "user-agent": "brrrd/1.2.3"}
        platform.turn(answer(frame.stream, 200, ("x-a", "v"), b"text"), connection=EGRESS)
        assert result(platform) == '[200,"http://x.test/p?q",false,"v","text"]'


def test_a_post_and_a_response_in_pieces() -> None:
    with Platform(APP) as platform:
        frame = start(platform, '["http://x.test/", {"method": "POST", "body": "grüße"}]')
        assert (frame.flags, frame.data) == (wire.END, "grüße".encode())
        assert headers(frame)["content-length"] == "7"
        platform.turn(answer(frame.stream, 201, (), b"a", end=False), connection=EGRESS)
        for piece in (b"b" * 65536, b"c" * 65536):
            platform.turn(wire.encode(frame.stream, Type.DATA, data=piece), connection=EGRESS)
        assert sum(struct.unpack("<I", sent.data)[0] for sent in platform.sent if sent.type == Type.WINDOW) > 65536
        platform.turn(wire.encode(frame.stream, Type.DATA, flags=wire.END, data=b"d"), connection=EGRESS)
        assert result(platform).endswith('cd"]')


def test_a_large_request_body_keeps_to_the_window() -> None:
    app = """return { default: { async fetch() {
      await fetch('http://x.test/', { method: 'PUT', body: new Uint8Array(400000) });
      return new Response('sent') } } };"""
    with Platform(app) as platform:
        platform.turn(request(1))
        platform.turn()
        stream = platform.sent[0].stream
        assert sum(len(frame.data) for frame in platform.sent) == wire.WINDOW_BYTES
        platform.turn(window(stream, 1_000_000), connection=EGRESS)
        assert sum(len(frame.data) for frame in platform.sent) == 400_000
        assert platform.sent[-1].flags == wire.END


def test_redirects_are_followed_by_the_rules() -> None:
    with Platform(APP) as platform:
        init = '{"method": "POST", "body": "x", "headers": {"authorization": "secret", "content-type": "a/b"}}'
        frame = start(platform, f'["http://x.test/a", {init}]')
        platform.turn(answer(frame.stream, 307, ("location", "/b")), connection=EGRESS)
        platform.turn()
        frame = platform.sent[-1]
        assert (fields(frame)[:2], frame.data) == (["POST", "http://x.test/b"], b"x")
        assert headers(frame)["authorization"] == "secret"
        platform.turn(answer(frame.stream, 302, ("location", "http://y.test/c")), connection=EGRESS)
        platform.turn()
        frame = platform.sent[-1]
        assert (fields(frame)[:2], frame.data) == (["GET", "http://y.test/c"], b"")
        assert not {"authorization", "content-type", "content-length"} & headers(frame).keys()
        platform.turn(answer(frame.stream, 200, (), b"there"), connection=EGRESS)
        assert result(platform) == '[200,"http://y.test/c",true,null,"there"]'


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("manual", '[302,"http://x.test/",false,null,""]'),
        ("error", "TypeError: fetch failed: the server sent a redirect"),
    ],
)
def test_redirect_modes(mode: str, outcome: str) -> None:
    with Platform(APP) as platform:
        frame = start(platform, f'["http://x.test/", {{"redirect": "{mode}"}}]')
        platform.turn(answer(frame.stream, 302, ("location", "/b")), connection=EGRESS)
        assert result(platform) == outcome


STREAMING = """
return { default: { async fetch(request) {
  const body = new ReadableStream({ start(controller) {
    controller.enqueue(new TextEncoder().encode("x"));
    controller.close();
  } });
  try {
    const response = await fetch("http://x.test/", { method: "POST", body, duplex: "half" });
    return new Response(await response.text());
  } catch (error) {
    return new Response(`${error.name}: ${error.message}`);
  }
} } };
"""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_body_that_is_a_stream_is_never_sent_twice(status: int) -> None:
    with Platform(STREAMING) as platform:
        platform.turn(request(1, method="POST", body=b""))
        platform.turn()
        first = next(frame for frame in platform.sent if frame.type == Type.REQUEST)
        platform.turn(answer(first.stream, status, ("location", "/b")), connection=EGRESS)
        platform.turn()
        second = platform.sent[-1]
        if status == 303:
            assert (fields(second)[:2], second.flags) == (["GET", "http://x.test/b"], wire.END)
            platform.turn(answer(second.stream, 200, (), b"there"), connection=EGRESS)
            assert result(platform) == "there"
        else:
            assert sum(frame.type == Type.REQUEST for frame in platform.sent) == 1
            assert "it was a stream" in result(platform)


@pytest.mark.parametrize("location", ["ftp://x.test/", "data:,x", "http://[", "javascript:1"])
def test_a_redirect_that_leads_nowhere_is_an_error(location: str) -> None:
    with Platform(APP) as platform:
        frame = start(platform, '["http://x.test/"]')
        platform.turn(answer(frame.stream, 302, ("location", location)), connection=EGRESS)
        assert result(platform).startswith("TypeError: fetch failed: ")
        assert sum(frame.type == Type.REQUEST for frame in platform.sent) == 1


def test_credentials_do_not_come_back_with_the_origin() -> None:
    with Platform(APP) as platform:
        init = '{"headers": {"authorization": "secret", "cookie": "a=1", "x-kept": "1"}}'
        frame = start(platform, f'["http://x.test/", {init}]')
        for location in ("http://y.test/", "http://x.test/", "https://x.test/"):
            platform.turn(answer(frame.stream, 302, ("location", location)), connection=EGRESS)
            platform.turn()
            frame = platform.sent[-1]
            assert fields(frame)[1] == location
            assert not {"authorization", "cookie", "referer"} & headers(frame).keys()
            assert headers(frame)["x-kept"] == "1"


def test_redirects_without_end() -> None:
    with Platform(APP) as platform:
        start(platform, '["http://x.test/"]')
        for _ in range(21):
            platform.turn(answer(platform.sent[-1].stream, 302, ("location", "/again")), connection=EGRESS)
            platform.turn()
        assert result(platform) == "TypeError: fetch failed: more than 20 redirects"


def test_a_refusal_becomes_a_type_error_that_says_why() -> None:
    with Platform(APP) as platform:
        frame = start(platform, '["http://127.0.0.1/"]')
        refusal = wire.encode(frame.stream, Type.REFUSE, flags=wire.END, head=b"denied\n127.0.0.1 is not public")
        platform.turn(refusal, connection=EGRESS)
        assert result(platform) == "TypeError: fetch failed: 127.0.0.1 is not public"


def test_a_lost_egress_connection_fails_what_is_outstanding() -> None:
    with Platform(APP) as platform:
        start(platform, '["http://x.test/"]')
        platform.turn(connection=EGRESS, closed=True)
        assert result(platform) == "TypeError: fetch failed: the connection to the network was lost"


def test_a_response_body_that_breaks_off_rejects() -> None:
    with Platform(APP) as platform:
        frame = start(platform, '["http://x.test/"]')
        platform.turn(answer(frame.stream, 200, (), b"part", end=False), connection=EGRESS)
        platform.turn(wire.encode(frame.stream, Type.CANCEL, flags=wire.END, head=b"reset by peer"), connection=EGRESS)
        assert result(platform) == "TypeError: fetch failed: reset by peer"


def test_an_abort_is_sent_to_the_egress() -> None:
    app = """return { default: { async fetch() {
      try { await fetch('http://x.test/', { signal: AbortSignal.timeout(10) }); }
      catch (error) { return new Response(error.name) }
    } } };"""
    with Platform(app) as platform:
        platform.turn(request(1))
        platform.turn()
        platform.turn(advance_ms=20)
        assert platform.sent[-1].type == Type.CANCEL
        assert result(platform) == "TimeoutError"


def test_a_request_can_be_passed_on_as_it_came() -> None:
    app = "return { default: { fetch: (request) => fetch('http://up.test/', request) } };"
    with Platform(app) as platform:
        platform.turn(request(1, method="POST", headers=[("x-a", "1")], body=b"first", end=False))
        platform.turn()
        frame = platform.sent[0]
        assert fields(frame)[:3] == ["POST", "http://up.test/", "req-1"]
        assert headers(frame)["x-a"] == "1"
        platform.turn(wire.encode(1, Type.DATA, flags=wire.END, data=b"second"))
        platform.turn()
        assert b"".join(sent.data for sent in platform.sent if sent.type != Type.WINDOW) == b"firstsecond"
        platform.turn(answer(frame.stream, 203, ("x-b", "2"), b"body"), connection=EGRESS)
        platform.turn()
        response = platform.responses[1]
        assert (response.status, response.header("x-b"), response.body) == (203, "2", b"body")


def test_a_limit_that_the_egress_keeps_is_an_error_and_a_line_of_the_log() -> None:
    with Platform(APP) as platform:
        frame = start(platform, '["http://x.test/"]')
        refusal = wire.encode(frame.stream, Type.REFUSE, status=502, head=b"limit\ntoo many wait\nsome_limit")
        platform.turn(refusal, connection=EGRESS)
        assert result(platform) == "TypeError: fetch failed: too many wait"
        assert platform.limits == [("some_limit", "fetch: too many wait")]


def test_what_a_request_waits_for_is_a_line_of_the_log_at_most_once_a_second() -> None:
    with Platform(APP) as platform:
        frame = start(platform, '["http://x.test/"]')
        told = wire.encode(frame.stream, Type.LIMIT, head=b"some_limit\nothers run")
        platform.turn(told, told, connection=EGRESS)
        assert platform.limits == [("some_limit", "fetch: others run"), ("some_limit", "")]


def test_a_limit_in_mid_response_is_an_error_of_the_body() -> None:
    with Platform(APP) as platform:
        frame = start(platform, '["http://x.test/"]')
        cancel = wire.encode(frame.stream, Type.CANCEL, head=b"too large\nsome_limit")
        platform.turn(answer(frame.stream, 200, (), b"part", end=False), cancel, connection=EGRESS)
        assert result(platform) == "TypeError: fetch failed: too large"
        assert platform.limits == [("some_limit", "fetch: too large")]


def test_the_response_to_head_has_no_body() -> None:
    handler = "async fetch() { return Response.json((await fetch('http://x/', { method: 'HEAD' })).body) }"
    app = f"return {{ default: {{ {handler} }} }}"
    with Platform(app) as platform:
        frame = start(platform, "")
        assert fields(frame)[0] == "HEAD"
        platform.turn(answer(frame.stream, headers=("content-length", "5")), connection=EGRESS)
        assert result(platform) == "null"
