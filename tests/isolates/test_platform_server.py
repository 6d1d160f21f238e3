"""The platform's side of requests: handlers, what they see and answer, admission, exceptions."""

import pytest

from isolates.wire import Type
from tests.isolates.platform_driver import Platform, cancel, handler, request

HELLO = "return { default: { fetch: () => new Response('hello world') } };"


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
