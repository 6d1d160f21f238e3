"""Bodies of responses as the platform sends them: within windows, from streams, arrays and text."""

import pytest

from isolates import wire
from isolates.wire import Type
from tests.isolates.platform_driver import Platform, handler, request, window


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
