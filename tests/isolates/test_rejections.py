"""Promises that are rejected while nobody listens, in a real host."""

from isolates.messages import Limits, Log
from tests.isolates.driver import Host, handler


def logs_until_end(host: Host) -> list[Log]:
    """All lines up to the one that says `end`, that one excluded."""
    lines = []
    while (line := host.end.expect(Log)).message != "end":
        lines.append(line)
    return lines


END = "setTimeout(() => console.log('end'), 20);"
ANSWER = "return new Response('x');"


def test_a_rejection_nobody_sees_is_logged_with_its_stack_and_request(platform_host: Host) -> None:
    edge = platform_host.serve(
        "async function forgotten() { await 0; throw new RangeError('lost'); }\n"
        + handler("forgotten();" + END + ANSWER)
    )
    edge.request(7)
    (line,) = logs_until_end(platform_host)
    assert (line.level, line.request_id) == ("error", "request-7")
    assert line.message.startswith("Uncaught (in promise) RangeError: lost\n    at forgotten (file:///main.js:1:")


def test_a_rejection_that_is_seen_in_time_is_not_logged(platform_host: Host) -> None:
    edge = platform_host.serve(
        handler(
            """
            const fail = async () => { throw new Error('seen'); };
            try { await fail(); } catch {}
            await Promise.all(Array.from({ length: 5000 }, fail)).catch(() => {});
            await Promise.allSettled([fail(), Promise.reject(1)]);
            await Promise.race([fail(), fail(), fail()]).catch(() => {});
            const late = fail(); await 0; await 0; late.catch(() => {});
            ctx.waitUntil(Promise.resolve());
            await Promise.any([fail(), 1]);
            """
            + END
            + ANSWER
        )
    )
    edge.ask()
    assert logs_until_end(platform_host) == []


def test_the_platform_itself_leaves_no_rejection_unseen(platform_host: Host) -> None:
    edge = platform_host.serve(
        handler(
            """
            const caught = (promise) => promise.then(() => 'no error', () => {});
            const failing = () => new ReadableStream({ pull() { throw new Error('pull'); } });
            await caught(new Response(failing()).text());
            await caught(failing().pipeTo(new WritableStream()));
            await caught(new Response(failing().pipeThrough(new TextDecoderStream())).text());
            await caught(new Response(failing().pipeThrough(new CompressionStream('gzip'))).text());
            await caught(new Response(new Blob(['x']).stream().pipeThrough(new DecompressionStream('gzip'))).text());
            const [one, two] = failing().tee(); await caught(new Response(one).text()); await caught(two.cancel());
            await caught(fetch('nonsense:'));
            await caught(fetch('http://a/', { signal: AbortSignal.abort() }));
            await caught(fetch('http://a/'));
            await caught(new Response('{').json());
            await caught(crypto.subtle.importKey('raw', new Uint8Array(3), 'AES-GCM', false, ['encrypt']));
            await caught(crypto.subtle.digest('nothing', new Uint8Array(3)));
            const body = new TransformStream(); const writer = body.writable.getWriter();
            const aborted = caught(writer.abort(new Error("aborted")));
            await caught(body.readable.cancel()); await aborted;
            await caught(import('./nothing.js'));
            """
            + END
            + ANSWER
        )
    )
    edge.ask()
    assert logs_until_end(platform_host) == []


def test_a_response_stream_that_fails_is_logged_once(platform_host: Host) -> None:
    edge = platform_host.serve(
        handler(END + "return new Response(new ReadableStream({ pull() { throw new Error('pull'); } }));")
    )
    edge.request(1)
    assert len(logs_until_end(platform_host)) == 1


def test_listeners_get_events_and_may_cancel_the_log(platform_host: Host) -> None:
    edge = platform_host.serve(
        """
        const seen = [];
        addEventListener('unhandledrejection', (event) => {
          seen.push([event.type, event.reason, event.promise instanceof Promise, event.cancelable, event.isTrusted]);
          if (event.reason !== 'shown') event.preventDefault();
        });
        onrejectionhandled = (event) => seen.push([event.type, event.reason, event.cancelable]);
        export default { async fetch() {
          const first = Promise.reject('first');
          Promise.reject('shown');
          await new Promise((resolve) => setTimeout(resolve, 5));
          first.catch(() => {});
          await new Promise((resolve) => setTimeout(resolve, 5));
          setTimeout(() => console.log('end'), 5);
          return Response.json(seen);
        } };"""
    )
    assert edge.ask() == (
        '[["unhandledrejection","first",true,true,true],["unhandledrejection","shown",true,true,true],'
        '["rejectionhandled","first",false]]'
    )
    assert [line.message for line in logs_until_end(platform_host)] == ["Uncaught (in promise) 'shown'"]


def test_a_flood_is_counted_rather_than_told_one_by_one(platform_host: Host) -> None:
    edge = platform_host.serve(handler("for (let i = 0; i < 50_000; i++) Promise.reject(i);" + END + ANSWER))
    edge.request(1)
    lines = [line.message for line in logs_until_end(platform_host)]
    assert len(lines) == 1001
    assert lines[-1] == "49000 more promises were rejected without a handler, too many at once to tell each"


def test_a_rejection_does_not_hide_that_code_was_ended(platform_host: Host) -> None:
    edge = platform_host.serve(
        "export default { fetch() { for (;;) Promise.reject(0); } };",
        limits=Limits(wall_ms=300),
    )
    edge.request(1)
    assert "did not yield" in platform_host.end.expect(Log).message
    assert platform_host.exit_status() == 3


def test_listeners_of_node_s_process_hear_of_them_too(platform_host: Host) -> None:
    edge = platform_host.serve(
        "import process from 'node:process';\n"
        "process.on('unhandledRejection', (reason, promise) => console.log(reason, promise instanceof Promise));\n"
        "process.once('uncaughtException', (error) => console.log(error));\n"
        + handler(f"Promise.reject('lost'); setTimeout(() => {{ throw 'thrown'; }}); {END} {ANSWER}"),
        node=True,
    )
    edge.request(1)
    assert [line.message for line in logs_until_end(platform_host)] == ["lost true", "thrown"]
