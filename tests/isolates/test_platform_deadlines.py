"""What ends a request of the platform's before its answer, and work that goes on behind the answer."""

import json

import pytest

from isolates.wire import Type
from tests.isolates.platform_driver import EDGE, Platform, cancel, handler, request


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
