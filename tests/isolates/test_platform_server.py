"""The platform's side of requests: admission, handlers, bodies both ways, aborts, deadlines, background work."""

import json
import struct

import pytest

from isolates import wire
from isolates.wire import Type
from tests.isolates.platform_driver import EDGE, Platform, request, window

HELLO = "return { default: { fetch: () => new Response('hello world') } };"


def handler(body: str) -> str:
    """An app whose handler has this body."""
    return f"return {{ default: {{ async fetch(request, env, ctx) {{ {body} }} }} }};"


def data(stream: int, content: bytes, *, end: bool = False) -> bytes:
    return wire.encode(stream, Type.DATA, flags=wire.END if end else 0, data=content)


def cancel(stream: int, why: str = "client closed") -> bytes:
    return wire.encode(stream, Type.CANCEL, flags=wire.END, head=why.encode())


@pytest.mark.parametrize(
    "app",
    [
        HELLO,
        "return { default: (request, env, ctx) => new Response('hello world') };",
        "return { fetch: async () => new Response('hello world') };",
        "class App { text = 'hello world'; fetch() { return new Response(this.text); } } return { default: new App };",
    ],
    ids=["object", "function", "named export", "instance"],
)
def test_every_form_of_a_handler(app: str) -> None:
    with Platform(app) as platform:
        assert platform.load is not None
        assert platform.load.type == Type.LOADED
        response = platform.fetch()
        assert (response.status, response.body) == (200, b"hello world")
        assert response.header("content-type") == "text/plain;charset=UTF-8"
        assert response.header("content-length") == "11"


def test_a_module_without_a_handler_says_what_is_expected() -> None:
    with Platform("return { default: { queue() {} } };") as platform:
        assert platform.load is not None
        assert platform.load.type == Type.FAILED
        assert platform.load.head == b"index.js\n\n"
        assert b"must export a default object or class with a fetch" in platform.load.data


def test_a_module_that_throws_says_where() -> None:
    with Platform(
        "const e = new TypeError('no'); e.__location = { file: 'a.js', line: 3, column: 7 }; throw e;"
    ) as platform:
        assert platform.load is not None
        assert (platform.load.type, platform.load.head) == (Type.FAILED, b"a.js\n3\n7")
        assert platform.load.data == b"TypeError: no"


def test_one_frame_answers_a_small_request() -> None:
    with Platform(HELLO) as platform:
        platform.turn(request(7))
        assert platform.responses[7].ended
        assert platform.counters == {
            "active": 0, "queued": 0, "total": 1, "refused": 0, "exceptions": 0, "background": 0, "websockets": 0,
        }  # fmt: skip


def test_what_the_handler_sees_of_a_request() -> None:
    app = handler(
        """return Response.json([request.method, request.url, [...request.headers], env.NAME, Object.isFrozen(env),
        await request.text()])"""
    )
    with Platform(app, environment={"NAME": "value"}) as platform:
        headers = [("host", "app.test"), ("x-a", "1"), ("x-a", "2"), ("x-latin", "caf\xe9")]
        response = platform.fetch("http://app.test/p?q=1", "PUT", headers=headers, body="grüße".encode())
        assert response.body.decode() == (
            '["PUT","http://app.test/p?q=1",[["host","app.test"],["x-a","1, 2"],["x-latin","caf\xe9"]],'
            '"value",true,"grüße"]'
        )


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("http://a.test/x'y", "http://a.test/x'y"),
        ("http://a.test/a/../b", "http://a.test/b"),
        ('http://a.test/"', "http://a.test/%22"),
    ],
)
def test_a_url_that_is_not_in_normal_form_is_normalised(given: str, seen: str) -> None:
    with Platform(handler("return new Response(request.url)")) as platform:
        assert platform.fetch(given).body.decode() == seen


def test_headers_of_a_response() -> None:
    app = handler(
        """const headers = new Headers({ 'X-A': 'caf\xe9' });
        headers.append('set-cookie', 'a=1'); headers.append('set-cookie', 'b=2');
        return new Response('x', { status: 418, headers })"""
    )
    with Platform(app) as platform:
        response = platform.fetch()
        assert response.status == 418
        assert response.headers == [
            ("x-a", "caf\xe9"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("content-type", "text/plain;charset=UTF-8"),
            ("content-length", "1"),
        ]


@pytest.mark.parametrize(
    ("method", "made", "length"),
    [
        ("HEAD", "new Response('12345')", "5"),
        ("GET", "new Response(null, { status: 204 })", None),
        ("GET", "new Response(null, { status: 304 })", None),
        ("GET", "new Response(null)", "0"),
        ("HEAD", "new Response(ReadableStream.from([]))", None),
    ],
)
def test_responses_without_content(method: str, made: str, length: str | None) -> None:
    with Platform(handler(f"return {made}")) as platform:
        response = platform.fetch(method=method)
        assert (response.body, response.ended, response.header("content-length")) == (b"", True, length)


def test_a_binary_body_arrives_unchanged() -> None:
    body = bytes(range(256)) * 10
    with Platform(handler("return new Response(await request.arrayBuffer())")) as platform:
        assert platform.fetch(method="POST", body=body).body == body


def test_a_request_body_in_many_frames_is_granted_as_it_is_consumed() -> None:
    with Platform(handler("return new Response(String((await request.arrayBuffer()).byteLength))")) as platform:
        platform.turn(request(1, method="POST", body=b"x" * 60000, end=False))
        for _ in range(4):
            platform.turn(data(1, b"y" * 60000))
        granted = sum(struct.unpack("<I", frame.data)[0] for frame in platform.windows)
        assert 300000 - (64 << 10) <= granted <= 300000
        platform.turn(data(1, b"", end=True))
        assert platform.responses[1].body == b"300000"


@pytest.mark.parametrize("length", [None, "6", "3", "9", "0", "1000000000000", "word"])
def test_a_body_arrives_whole_whatever_its_length_is_said_to_be(length: str | None) -> None:
    headers = [("content-length", length)] if length else []
    with Platform(handler("return new Response(await request.arrayBuffer())")) as platform:
        platform.turn(request(1, method="POST", headers=headers, body=b"a", end=False))
        for piece in (b"bc", b"d", b"", b"e"):
            platform.turn(data(1, piece))
        platform.turn(data(1, b"f", end=True))
        assert platform.responses[1].body == b"abcdef"


COUNT = handler("return new Response(String((await request.arrayBuffer()).byteLength));")


def granted(platform: Platform, stream: int) -> int:
    return sum(struct.unpack("<I", frame.data)[0] for frame in platform.windows if frame.stream == stream)


def test_a_body_that_is_collected_is_granted_as_a_whole() -> None:
    length, first = 1_000_000, 60_000
    with Platform(COUNT) as platform:
        platform.turn(request(1, method="POST", headers=[("content-length", str(length))], end=False))
        assert granted(platform, 1) == length - wire.WINDOW_BYTES
        for at in range(0, length, first):
            platform.turn(data(1, b"x" * min(first, length - at), end=at + first >= length))
        assert len(platform.windows) == 1
        assert platform.responses[1].body == b"1000000"


def test_a_body_that_is_longer_than_it_was_said_to_be_does_not_stall() -> None:
    with Platform(COUNT) as platform:
        platform.turn(request(1, method="POST", headers=[("content-length", "300000")], end=False))
        left, sent = 2_000_000, 0
        while left:
            count = min(60_000, left, wire.WINDOW_BYTES + granted(platform, 1) - sent)
            assert count, "it waits for a window that does not come"
            left, sent = left - count, sent + count
            platform.turn(data(1, b"x" * count, end=not left))
        assert platform.responses[1].body == b"2000000"


def test_many_bodies_that_are_collected_are_granted_no_more_than_a_few_at_once() -> None:
    length = 1_000_000
    with Platform(COUNT) as platform:
        headers = [("content-length", str(length))]
        platform.turn(*(request(stream, method="POST", headers=headers, end=False) for stream in range(1, 51)))
        beyond = [granted(platform, stream) for stream in range(1, 51)]
        assert sum(beyond) == 4 << 20
        assert beyond[0] == length - wire.WINDOW_BYTES
        assert beyond[-1] == 0
        # What goes leaves its share to the next one, whether it was answered or not.
        platform.turn(*(cancel(stream) for stream in range(1, 51)))
        platform.turn(request(51, method="POST", headers=headers, end=False))
        assert granted(platform, 51) == length - wire.WINDOW_BYTES


def test_a_request_body_that_is_not_read_is_not_granted() -> None:
    with Platform(handler("await new Promise(() => {})")) as platform:
        platform.turn(request(1, method="POST", body=b"x" * 60000, end=False))
        platform.turn(data(1, b"y" * 60000))
        assert platform.windows == []


def test_a_request_body_is_streamed() -> None:
    app = handler(
        """const out = []; for await (const chunk of request.body) out.push(chunk.length);
        return Response.json(out)"""
    )
    with Platform(app) as platform:
        platform.turn(request(1, method="POST", body=b"abc", end=False))
        platform.turn(data(1, b"de"))
        platform.turn(data(1, b"", end=True))
        assert platform.responses[1].body == b"[3,2]"


def test_an_echo_streams_both_ways() -> None:
    with Platform(handler("return new Response(request.body)")) as platform:
        platform.turn(request(1, method="POST", end=False))
        for piece in (b"one", b"two"):
            platform.turn(data(1, piece))
            assert platform.responses[1].body.endswith(piece)
        platform.turn(data(1, b"", end=True))
        assert platform.responses[1].ended


@pytest.mark.parametrize("made", ["'x'.repeat(400000)", "new Uint8Array(400000).fill(7)", "stream()"])
def test_many_large_bodies_share_what_is_under_way(made: str) -> None:
    app = f"""const stream = () => new ReadableStream({{
        start(controller) {{ this.left = 25; }},
        pull(controller) {{
          controller.enqueue(new Uint8Array(16000));
          if (--this.left === 0) controller.close();
        }},
      }});
      {handler(f"return new Response({made})")}"""
    numbers = range(1, 81)
    with Platform(app) as platform:
        platform.turn(*map(request, numbers))
        seen = [len(platform.responses[number].body) for number in numbers]
        assert seen[-1] <= 64 << 10
        assert sum(seen) < 12 << 20
        granted = dict.fromkeys(numbers, 0)
        while waiting := [number for number in numbers if not platform.responses[number].ended]:
            grants = []
            for number in waiting:
                come = len(platform.responses[number].body) - granted[number]
                if come >= wire.GRANT_BYTES:
                    granted[number] += come
                    grants.append(window(number, come))
            assert grants
            platform.turn(*grants)
        assert {len(response.body) for response in platform.responses.values()} == {400_000}


@pytest.mark.parametrize("made", ["'x'.repeat(1000000)", "new Uint8Array(1000000).fill(7)"])
def test_a_large_body_keeps_to_the_window(made: str) -> None:
    with Platform(handler(f"return new Response({made})")) as platform:
        platform.turn(request(1))
        response = platform.responses[1]
        assert len(response.body) == wire.WINDOW_BYTES
        assert response.header("content-length") == "1000000"
        platform.turn(window(1, 100_000))
        assert len(response.body) == wire.WINDOW_BYTES + 100_000
        platform.turn(window(1, 1_000_000))
        assert (len(response.body), response.ended) == (1_000_000, True)
        assert platform.counters["active"] == 0


@pytest.mark.parametrize("size", [10_000, 600_000])
def test_arrays_are_sent_as_they_were_when_the_response_was_made(size: int) -> None:
    # Their copies are made in memory that the copies of responses before were in.
    source = f"""const data = new Uint8Array({size}); let made = 0;
      return {{ async fetch(request) {{
        const size = {size} - made;
        const mine = ++made;
        data.fill(mine);
        const [copy, shared] = [new Response(data.subarray(0, size)), new Response(data.subarray(0, size))];
        const other = shared.clone();
        data.fill(0);
        if (mine % 2 == 0) await null;
        const last = await (mine % 3 == 0 ? shared : other).bytes();
        if (!last.every((byte) => byte === mine && last.length === size)) throw new Error("wrong bytes");
        return mine % 3 == 0 ? other : copy;
      }} }};"""
    with Platform(source) as platform:
        platform.turn(request(1), request(2), request(3))
        platform.turn(wire.encode(2, Type.CANCEL), window(3, 1_000_000))
        for stream in range(4, 9):
            platform.turn(request(stream))
        for stream in (4, 1, 5, 8, 7, 6):
            platform.turn(window(stream, 1_000_000))
        for stream in (1, 3, 4, 5, 6, 7, 8):
            response = platform.responses[stream]
            assert (response.ended, response.body) == (True, bytes([stream]) * (size - stream + 1))


def test_more_output_than_the_ring_holds_is_flushed() -> None:
    with Platform(handler("return new Response('x'.repeat(60000))")) as platform:
        platform.turn(*[request(stream) for stream in range(1, 41)])
        assert [len(platform.responses[stream].body) for stream in range(1, 41)] == [60000] * 40


def test_a_response_stream_keeps_to_the_window() -> None:
    app = handler(
        """let n = 0; return new Response(new ReadableStream({ pull(c) {
          c.enqueue(new Uint8Array(50000)); if (++n === 10) c.close(); } }))"""
    )
    with Platform(app) as platform:
        platform.turn(request(1))
        platform.turn()
        response = platform.responses[1]
        assert len(response.body) == 250_000  # the small rest of the window is saved up
        platform.turn(window(1, 1_000_000))
        platform.turn()
        assert (len(response.body), response.ended) == (500_000, True)


def test_a_client_that_goes_away_cancels_the_stream_and_aborts_the_signal() -> None:
    app = """let seen = []; return { default: { async fetch(request) {
      if (request.url.endsWith('/seen')) return Response.json(seen);
      request.signal.addEventListener('abort', () => seen.push(request.signal.reason.name));
      return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(9)); return new Promise(() => {}); },
        cancel(reason) { seen.push('cancel ' + reason.name); } }));
    } } };"""
    with Platform(app) as platform:
        platform.turn(request(1))
        assert platform.counters["active"] == 1
        platform.turn(cancel(1))
        assert platform.counters["active"] == 0
        assert platform.fetch("http://app.test/seen").body == b'["cancel AbortError","AbortError"]'


def test_a_lost_connection_aborts_all_of_its_requests() -> None:
    app = """let aborted = 0; return { default: { async fetch(request) {
      if (request.url.endsWith('/seen')) return new Response(String(aborted));
      request.signal.onabort = () => aborted++;
      await new Promise(() => {});
    } } };"""
    with Platform(app) as platform:
        platform.turn(request(1), request(2))
        platform.turn(connection=EDGE, closed=True)
        assert platform.counters["active"] == 0
        platform.turn(request(3, "http://app.test/seen"), connection=EDGE + 1)
        assert platform.responses[3].body == b"2"


def test_a_stream_that_fails_is_cut_off_and_logged() -> None:
    app = handler(
        """return new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array(3)); },
        pull() { throw new Error('broken pipe') } }))"""
    )
    with Platform(app) as platform:
        platform.turn(request(1))
        platform.turn()
        response = platform.responses[1]
        assert (response.status, response.cancelled) == (200, "the response body failed")
        assert (platform.logs[-1][:2]) == (3, "req-1")
        assert "broken pipe" in platform.logs[-1][2]
        assert platform.counters["active"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("throw new RangeError('boom')", "RangeError: boom"),
        ("return 'text'", "The handler must return a Response"),
        ("return new Response(new Response('x').body.pipeThrough(1))", "TypeError"),
        ("const r = new Response('x'); await r.text(); return r", "already used"),
        ("return Response.error()", "Response.error()"),
        ("throw null", "Uncaught null"),
    ],
)
def test_an_exception_is_refused_and_its_stack_logged(body: str, message: str) -> None:
    with Platform(handler(body)) as platform:
        response = platform.fetch()
        assert (response.status, response.refused) == (500, "exception")
        assert [log[:2] for log in platform.logs] == [(3, "req-1")]
        assert message in platform.logs[0][2]
        assert platform.counters["exceptions"] == 1


def test_the_cap_the_queue_and_what_is_over_both() -> None:
    app = """let go; const gate = new Promise((resolve) => (go = resolve)); return { default: { async fetch(request) {
      if (request.url.endsWith('/go')) go();
      await gate;
      return new Response('done');
    } } };"""
    with Platform(app, max_concurrent_requests=2) as platform:
        platform.turn(*[request(stream) for stream in range(1, 6)])
        assert (platform.counters["active"], platform.counters["queued"], platform.counters["refused"]) == (2, 2, 1)
        assert (platform.responses[5].status, platform.responses[5].refused) == (503, "overloaded")
        platform.turn(cancel(1))
        assert (platform.counters["active"], platform.counters["queued"]) == (2, 1)
        platform.turn(cancel(4))
        assert (platform.counters["active"], platform.counters["queued"]) == (2, 0)
        platform.turn(cancel(2))
        platform.turn(request(6, "http://app.test/go"))
        assert {stream for stream, response in platform.responses.items() if response.body == b"done"} == {3, 6}
        assert platform.counters["active"] == 0


def test_waiting_too_long_in_the_queue_is_refused() -> None:
    with Platform(handler("await new Promise(() => {})"), max_concurrent_requests=1, queue_ms=200) as platform:
        platform.turn(request(1), request(2))
        assert 0 < platform.next_timer <= 200
        platform.turn(advance_ms=250)
        assert (platform.responses[2].status, platform.responses[2].refused) == (503, "overloaded")
        assert platform.counters["queued"] == 0


def test_a_queue_of_synchronous_requests_drains_at_once() -> None:
    app = """let first = true; return { default: { fetch(request) {
      if (!first) return new Response('quick');
      first = false;
      return new Promise((resolve) => setTimeout(() => resolve(new Response('slow')), 10));
    } } };"""
    with Platform(app, max_concurrent_requests=1) as platform:
        platform.turn(request(1), request(2))
        platform.turn(advance_ms=50)
        assert [platform.responses[stream].body for stream in (1, 2)] == [b"slow", b"quick"]


def test_the_deadline_aborts_a_request() -> None:
    app = """let seen; return { default: { async fetch(request) {
      if (request.url.endsWith('/seen')) return new Response(seen);
      request.signal.onabort = () => (seen = request.signal.reason.name);
      await new Promise(() => {});
    } } };"""
    with Platform(app, wall_ms=1000) as platform:
        platform.turn(request(1))
        platform.turn(advance_ms=900)
        assert 1 not in platform.responses
        platform.turn(advance_ms=250)
        assert (platform.responses[1].status, platform.responses[1].refused) == (504, "deadline")
        assert platform.fetch("http://app.test/seen").body == b"TimeoutError"


def test_background_work_is_counted_and_bounded() -> None:
    app = handler(
        """ctx.waitUntil(new Promise(() => {}));
        ctx.waitUntil(Promise.reject(new Error('late'))); return new Response('x')"""
    )
    with Platform(app) as platform:
        platform.fetch()
        platform.turn()
        assert platform.counters["background"] == 1
        assert "late" in platform.logs[0][2]
        platform.turn(advance_ms=30_100)
        assert platform.counters["background"] == 0
        [(limit, message)] = platform.limits
        assert limit == "wait_until"
        assert "still pending 30 s after the response" in message


def test_given_up_background_work_has_its_timers_and_fetches_ended() -> None:
    app = """
    let [kept, ended] = [0, 0];
    setInterval(() => kept++, 1000);
    return { default: { fetch(request, env, ctx) {
      if (!request.url.endsWith('/work')) return Response.json([kept, ended]);
      setInterval(() => ended++, 1000);
      ctx.waitUntil(fetch('http://slow.test/'));
      return new Response('x');
    } } };"""
    with Platform(app) as platform:
        platform.fetch("http://app.test/work")
        for _ in range(60):
            platform.turn(advance_ms=1100)
        kept, ended = json.loads(platform.fetch("http://app.test/").body)
        assert 0 < ended <= 30 < kept
        asked, cancelled = platform.sent
        assert (cancelled.type, cancelled.stream) == (Type.CANCEL, asked.stream)
        assert platform.logs == []


@pytest.mark.parametrize("registers", [False, True], ids=["nothing", "work for waitUntil"])
def test_a_request_past_its_deadline_has_its_timers_and_fetches_ended(registers: bool) -> None:
    app = """
    let [finish, ended] = [null, 0];
    return { default: { fetch(request, env, ctx) {
      if (request.url.endsWith('/finish')) finish();
      if (!request.url.endsWith('/work')) return new Response(ended);
      setInterval(() => ended++, 1000);
      if (REGISTERS) ctx.waitUntil(new Promise((resolve) => finish = resolve));
      return fetch('http://slow.test/');
    } } };""".replace("REGISTERS", str(registers).lower())
    with Platform(app, wall_ms=5000) as platform:
        platform.turn(request(100, "http://app.test/work"))
        turns(platform, 10)
        ticks = int(platform.fetch("http://app.test/").body)
        assert ticks == (10 if registers else 4), ticks
        if registers:
            assert [frame.type for frame in platform.sent] == [Type.REQUEST]
            ticks = int(platform.fetch("http://app.test/finish").body)
        turns(platform, 10)
        assert int(platform.fetch("http://app.test/").body) == ticks
        asked, cancelled = platform.sent
        assert (cancelled.type, cancelled.stream) == (Type.CANCEL, asked.stream)


def turns(platform: Platform, count: int) -> None:
    for _ in range(count):
        platform.turn(advance_ms=1100)


@pytest.mark.parametrize(
    ("stream", "replaced"),
    [
        ("new ReadableStream({ pull(c) { c.enqueue(new Uint8Array([111, 107])); c.close(); } })", True),
        ("Object.create(ReadableStream.prototype)", False),
    ],
    ids=["with getReader replaced", "forged"],
)
def test_an_answer_ends_whatever_the_app_makes_of_streams(stream: str, replaced: bool) -> None:
    app = f"""
    if ({str(replaced).lower()}) ReadableStream.prototype.getReader = () => {{ throw new Error('mine'); }};
    return {{ default: {{ fetch: () => new Response({stream}) }} }};"""
    with Platform(app) as platform:
        answer = platform.fetch("http://app.test/")
        assert answer.ended
        assert (answer.body == b"ok") is replaced


def test_console_lines_carry_level_and_request_id() -> None:
    app = """console.debug('at load'); return { default: { fetch() {
      console.log('%s is %d', 'x', 4.5, { a: { b: { c: {} } } }, [1, , 'two'], new Map([[1, new Set([2])]]));
      console.error(new TypeError('bad'));
      const cycle = { name: 'c' }; cycle.self = cycle; console.warn(cycle);
      console.log(new Proxy({}, { ownKeys() { throw 1 } }), 'y'.repeat(100000));
      console.table([{ a: 1 }]);
      return new Response('x');
    } } };"""
    with Platform(app) as platform:
        platform.fetch()
        assert platform.logs[0] == (0, "", "at load")
        levels = [(level, request_id) for level, request_id, _ in platform.logs[1:]]
        assert levels == [(1, "req-1"), (3, "req-1"), (2, "req-1"), (1, "req-1"), (1, "req-1")]
        lines = [text for _, _, text in platform.logs]
        assert lines[1] == (
            "x is 4.5 { a: { b: { c: {} } } } [ 1, <1 empty item>, 'two' ] Map(1) { 1 => Set(1) { 2 } }"
        )
        assert lines[2].startswith("TypeError: bad\n    at ")
        assert lines[3] == "<ref *1> { name: 'c', self: [Circular *1] }"
        assert len(lines[4]) < 20_000
        assert "│ 0       │ 1" in lines[5]


CONSOLE = {
    "new URLSearchParams('a=1&a=2')": "URLSearchParams { 'a' => '1', 'a' => '2' }",
    "[new URLSearchParams(), new Blob(['ab'])]": "[ URLSearchParams {}, Blob { size: 2, type: '' } ]",
    "(() => { const form = new FormData(); form.append('f', new File(['abc'], 'n.txt')); return form; })()": (
        "FormData { 'f' => File { name: 'n.txt', size: 3, type: '' } }"
    ),
    "Object('text')": "[String: 'text']",
    "Array.from({ length: 30 }, (_, i) => i + 70)": (
        "[\n  70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87,"
        "\n  88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99\n]"
    ),
    "'%s, %s', { toString: () => 'its own' }, { a: 1 }": "its own, { a: 1 }",
    "'%s', { toString() { throw new Error('none'); } }": "{ toString: [Function: toString] }",
}


def test_console_shows_what_values_hold() -> None:
    lines = "".join(f"console.log({arguments});" for arguments in CONSOLE)
    with Platform(f"return {{ default: {{ fetch() {{ {lines} return new Response('x'); }} }} }};") as platform:
        platform.fetch()
        assert [text for _, _, text in platform.logs] == list(CONSOLE.values())


def test_console_tables_and_dir() -> None:
    app = """return { default: { fetch() {
      console.table(new Map([['k', 1], [{ a: 1 }, 'x']]));
      console.table(new Set(['日本']));
      console.dir({ a: { b: { c: { d: { e: '100%s' } } } } }, { depth: null });
      console.dir({ a: { b: 1 } }, { depth: 0 });
      return new Response('x');
    } } };"""
    with Platform(app) as platform:
        platform.fetch()
        of_map, of_set, whole, shallow = (text for _, _, text in platform.logs)
        assert of_map.splitlines()[1::2] == [
            "│ (iteration index) │ Key      │ Values │",
            "│ 0                 │ 'k'      │ 1      │",
            "└───────────────────┴──────────┴────────┘",
        ]
        assert of_set.splitlines()[3] == "│ 0                 │ '日本' │"
        assert whole == "{ a: { b: { c: { d: { e: '100%s' } } } } }"
        assert shallow == "{ a: [Object] }"


@pytest.mark.parametrize("native_text", [True, False])
def test_apps_that_overwrite_the_language_do_not_stop_the_loop(native_text: bool) -> None:
    app = """
    const RealError = Error;
    const boom = () => { throw new RealError('overwritten') };
    const targets = [
      [Promise.prototype, ['then', 'catch', 'finally']],
      [Array.prototype, ['push', 'shift', 'splice', 'forEach', Symbol.iterator]],
      [Map.prototype, ['get', 'set', 'delete', 'forEach']],
      [Set.prototype, ['add', 'forEach']],
      [Math, ['min', 'max', 'floor']],
      [String.prototype, ['split', 'slice', 'charCodeAt', 'toLowerCase']],
      [Function.prototype, ['call', 'apply', 'bind']],
      [Object.getPrototypeOf(Uint8Array.prototype), ['set', 'subarray', 'slice']],
      [Reflect, ['apply']],
      [Date, ['now']],
      [globalThis, ['Promise', 'Response', 'Uint8Array', 'Error', 'Map', 'Set', 'Object', 'Array', 'String', 'Symbol',
        'setTimeout', 'queueMicrotask']],
    ];
    for (let i = 0; i < targets.length; i++)
      for (let j = 0; j < targets[i][1].length; j++) targets[i][0][targets[i][1][j]] = boom;
    return { default: { async fetch(request) { request.url; request.method; return answer(); } } };
    """
    prelude = "const Kept = Response; function answer() { return new Kept('hello'); }"
    with Platform(prelude + app, native_text=native_text) as platform:
        for _ in range(3):
            response = platform.fetch(headers=[("host", "a")])
            assert (response.status, response.body) == (200, b"hello"), platform.logs
        platform.turn(request(50, method="POST", body=b"x", end=False))
        assert platform.responses[50].body == b"hello"


def test_a_window_that_comes_before_the_response_counts() -> None:
    with Platform(handler("return new Response('x'.repeat(400000))")) as platform:
        platform.turn(request(1), window(1, 1_000_000))
        assert (len(platform.responses[1].body), platform.responses[1].ended) == (400_000, True)


def test_a_large_text_of_long_characters_is_sent_whole_in_small_windows() -> None:
    text = "aé€😀" * 30_000
    with Platform(handler("return new Response('aé€😀'.repeat(30000))")) as platform:
        platform.turn(request(1))
        for credit in (1, 5, 100, 7, 64_000, 13, 70_000):
            platform.turn(window(1, credit))
        assert len(platform.responses[1].body) <= wire.WINDOW_BYTES + 134_126
        platform.turn(window(1, 1_000_000))
        assert platform.responses[1].body.decode() == text
        assert platform.responses[1].ended


OVERRIDDEN = {
    "class B extends Blob { get size() { ran(); } get type() { ran(); } }; console.log(new B(['ab']))": (
        "B { size: 2, type: '' }"
    ),
    "class F extends File { get name() { ran(); } }; console.log(new F(['ab'], 'n'))": (
        "F { name: 'n', size: 2, type: '' }"
    ),
    "class U extends URL { get href() { ran(); } }; console.log(new U('http://a/'))": "URL { href: 'http://a/' }",
    "class A extends Uint8Array { get length() { ran(); } }; console.log(new A(2))": "A(2) [ 0, 0 ]",
    "const e = new Error('m'); Object.defineProperty(e, 'stack', { get: ran }); console.log(e)": "Error: m",
    "console.table([{ get a() { throw 1; } }])": "[ { a: [Getter] } ]",
}
"""What an app might make of platform objects, and the first line that the console shows all the same."""


@pytest.mark.parametrize("script", OVERRIDDEN)
def test_console_runs_no_getters_of_the_app(script: str) -> None:
    counting = "let runs = 0; const ran = () => { runs++; throw 1; };"
    app = counting + handler(script + "; return new Response(`${runs}`);")
    with Platform(app) as platform:
        assert platform.fetch().body == b"0"
        assert [text.split("\n")[0] for _, _, text in platform.logs] == [OVERRIDDEN[script]]


@pytest.mark.parametrize("base, made", [("Error", "'m'"), ("DOMException", "'m', 'N'")])
def test_console_shows_errors_whose_getters_throw(base: str, made: str) -> None:
    # V8 itself asks for name and message when it puts the stack's text together.
    getters = "get name() { throw 1; } get message() { throw 2; }"
    script = f"class E extends {base} {{ {getters} }} console.log(new E({made})); return new Response('x');"
    with Platform(handler(script)) as platform:
        assert platform.fetch().body == b"x"
        assert platform.logs[0][2].split("\n")[0] == ("Error: m" if base == "Error" else "N: m")
