"""The platform in a real host: what needs the engine's own services, and unmodified bundles of well-known libraries."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

from isolates import wire
from isolates.messages import Limits, LoadFailed, Log, Retiring
from tests.isolates.driver import Edge, Host, Zygote, handler, request_frame
from tests.node import bundle, npm_project

PACKAGES = {"esbuild": "0.28.2", "hono": "4.13.19", "itty-router": "6.0.0", "zod": "4.6.7"}


@pytest.fixture
def host(platform_host: Host) -> Host:
    return platform_host


def body_of(edge: Edge, stream: int = 1) -> bytes:
    """Reads one response whole, granting what arrives."""
    body = b""
    while True:
        frame = edge.frame()
        if frame.stream != stream or frame.type == wire.Type.WINDOW:
            continue
        assert frame.type in (wire.Type.RESPONSE, wire.Type.DATA), frame
        body += frame.data
        if frame.flags & wire.END:
            return body
        credit = len(frame.data).to_bytes(4, "little")
        edge.sock.sendall(wire.encode(stream, wire.Type.WINDOW, data=credit))


@pytest.mark.parametrize(
    ("stands_by", "limits"),
    [(False, None), (True, None), (True, Limits(memory_mb=64))],
    ids=["forked for the app", "stood by", "stood by with another heap"],
)
def test_timers_set_while_an_app_is_evaluated_take_their_time(
    platform_zygote: Zygote, stands_by: bool, limits: Limits | None
) -> None:
    app = f"""
        const wall = Date.now(), mono = performance.now(), origin = performance.timeOrigin;
        await new Promise((resolve) => setTimeout(resolve, 300));
        const waited = [Date.now() - wall, performance.now() - mono, wall - origin];
        let later = new Promise((resolve) => setTimeout(() => resolve(Date.now() - wall), 300));
        {handler("return Response.json([...waited, await later]);")}"""
    host = platform_zygote.fork(stands_by=stands_by)
    try:
        edge = host.serve(app, limits=limits)
        edge.request(1)
        wall, mono, since_origin, later = json.loads(body_of(edge))
    finally:
        host.close()
    assert wall >= 299
    assert mono >= 299
    assert 0 <= since_origin < 10_000, "the time origin is before the app's first line, and not long before"
    assert later >= 599


def test_async_local_storage_follows_every_kind_of_waiting(host: Host) -> None:
    edge = host.serve("""
        const storage = new AsyncLocalStorage();
        async function flow(name) {
          const seen = [];
          await null; seen.push(storage.getStore());
          await new Promise((resolve) => setTimeout(resolve, 3)); seen.push(storage.getStore());
          await Promise.all([1, 2].map(async () => { await 0; seen.push(storage.getStore()); }));
          for await (const _ of (async function* () { yield 1; })()) seen.push(storage.getStore());
          await new Promise((resolve) => queueMicrotask(() => { seen.push(storage.getStore()); resolve(); }));
          for await (const _ of new Response('x').body) seen.push(storage.getStore());
          return seen.every((store) => store === name) && seen.length;
        }
        export default { async fetch() {
          return Response.json(await Promise.all(['a', 'b'].map((name) => storage.run(name, flow, name))));
        } };""")
    assert edge.ask() == "[7,7]"


def test_console_after_an_await_still_names_the_request(host: Host) -> None:
    app = "setTimeout(() => console.log(request.url), 5); await 0; console.log('now'); return new Response('x');"
    edge = host.serve(handler(app))
    edge.request(3, "http://a/three")
    edge.request(4, "http://a/four")
    logs = [host.end.expect(Log) for _ in range(4)]
    assert {(log.request_id, log.message) for log in logs} == {
        ("request-3", "now"),
        ("request-4", "now"),
        ("request-3", "http://a/three"),
        ("request-4", "http://a/four"),
    }


@pytest.mark.parametrize(("name", "algorithm"), [("SHA-1", "sha1"), ("SHA-256", "sha256"), ("SHA-512", "sha512")])
def test_digests(host: Host, name: str, algorithm: str) -> None:
    app = f"const data = await request.arrayBuffer(); return new Response(await crypto.subtle.digest('{name}', data))"
    edge = host.serve(handler(app))
    edge.request(1, method="POST", body=b"abc")
    assert body_of(edge) == hashlib.new(algorithm, b"abc").digest()


def test_a_digest_of_more_than_the_scratch_buffer_holds(host: Host) -> None:
    edge = host.serve(handler("return new Response(await crypto.subtle.digest('SHA-256', new Uint8Array(3e6)))"))
    edge.request(1)
    assert body_of(edge) == hashlib.sha256(bytes(3_000_000)).digest()


def test_a_slow_operation_counts_as_cpu_time_of_its_own(host: Host) -> None:
    derive = """const key = await crypto.subtle.importKey('raw', new Uint8Array(8), 'PBKDF2', false, ['deriveBits']);
        const salt = new Uint8Array(8), iterations = request.url.endsWith('slow') ? 20_000_000 : 1000;
        await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-512', salt, iterations }, key, 256);
        return new Response('derived');"""
    edge = host.serve(handler(derive), limits=Limits(cpu_ms=500))
    assert [edge.ask("http://a/", stream=number) for number in (1, 2, 3)] == ["derived"] * 3
    edge.request(4, "http://a/slow")
    assert host.end.expect(Retiring).limit == "cpu_ms"
    lines = [message.message for message in host.end.seen if isinstance(message, Log)]
    assert lines == ["An operation of crypto.subtle used 500 ms of CPU by itself (limit cpu_ms): the isolate was ended"]
    assert host.exit_status() == 3


def test_bodies_of_megabytes_both_ways(host: Host) -> None:
    edge = host.serve(handler("return new Response((await request.text()).toUpperCase())"))
    text = "grüße " * 400_000
    data = text.encode()
    head = b"POST\nhttp://a/\nid"
    edge.sock.sendall(wire.encode(1, wire.Type.REQUEST, head=head))
    sent, credit = 0, wire.WINDOW_BYTES
    while sent < len(data):
        if credit == 0:
            frame = edge.frame()
            assert frame.type == wire.Type.WINDOW
            credit += int.from_bytes(frame.data, "little")
            continue
        piece = data[sent : sent + min(wire.MAX_DATA_BYTES, credit)]
        sent += len(piece)
        credit -= len(piece)
        edge.sock.sendall(wire.encode(1, wire.Type.DATA, flags=wire.END if sent == len(data) else 0, data=piece))
    assert body_of(edge).decode() == text.upper()


def test_an_answer_does_not_wait_for_the_requests_that_came_with_its_own(host: Host) -> None:
    source = """
        export default {
          fetch(request) {
            const { pathname } = new URL(request.url);
            if (pathname === "/never") for (;;);
            for (const end = Date.now() + 5; pathname === "/soon" && Date.now() < end; );
            return new Response(pathname);
          },
        };
    """
    edge = host.serve(source, limits=Limits(wall_ms=3000))
    paths = ("/at-once", "/soon", "/never")
    edge.sock.sendall(b"".join(request_frame(number, url=f"http://a{path}") for number, path in enumerate(paths, 1)))
    frames = [edge.frame(), edge.frame()]
    assert [(frame.stream, frame.data) for frame in frames] == [(1, b"/at-once"), (2, b"/soon")]


def test_webassembly_compiles_in_the_background(host: Host) -> None:
    edge = host.serve(
        handler("""const bytes = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5,
          1, 1, 102, 0, 0, 10, 6, 1, 4, 0, 65, 42, 11]);
          const response = new Response(bytes, { headers: { 'content-type': 'application/wasm' } });
          const { instance } = await WebAssembly.instantiateStreaming(response);
          return new Response(String(instance.exports.f()));""")
    )
    assert edge.ask() == "42"


def test_the_string_proposal_is_not_left_open_to_apps(host: Host) -> None:
    edge = host.serve(
        handler("""const bytes = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 1, 103, 0]);
          return new Response(String(WebAssembly.validate(bytes)));""")
    )
    assert edge.ask() == "false"


def test_timers_interleave_with_microtasks(host: Host) -> None:
    edge = host.serve(
        handler("""const order = []; await new Promise((resolve) => {
          setTimeout(() => { order.push(1); Promise.resolve().then(() => order.push(2)); });
          setTimeout(() => { order.push(3); resolve(); }); }); return Response.json(order);""")
    )
    assert edge.ask() == "[1,2,3]"


def test_a_module_that_throws_is_refused_with_its_place(host: Host) -> None:
    host.load(
        {"main.js": "import './part.js';\nexport default {};", "part.js": "\n\n  throw new RangeError('bad part');"}
    )
    failed = host.end.expect(LoadFailed)
    assert (failed.file, failed.line, failed.message) == ("part.js", 3, "RangeError: bad part")


HONO = """
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { streamText } from 'hono/streaming';
const app = new Hono();
app.use('*', cors());
app.get('/hello/:name', (c) => c.text(`Hello ${c.req.param('name')} ${c.req.query('q')}`));
app.post('/form', async (c) => { const form = await c.req.parseBody(); return c.json({ a: form.a }, 201); });
app.get('/stream', (c) => streamText(c, async (stream) => {
  await stream.write('one ');
  await stream.sleep(2);
  await stream.write('two');
}));
app.get('/fail', () => { throw new Error('inner'); });
app.onError((error, c) => c.text(`caught ${error.message}`, 500));
app.notFound((c) => c.text('nothing here', 404));
export default app;
"""

ITTY = """
import { AutoRouter, error, json } from 'itty-router';
const router = AutoRouter({ base: '/api' });
router.get('/items/:id', ({ params, query }) => ({ id: params.id, q: query.q }));
router.post('/items', async (request) => json(await request.json(), { status: 201 }));
export default { ...router };
"""

ZOD = """
import { z } from 'zod';
const User = z.object({ name: z.string().min(2), email: z.email(), age: z.coerce.number().int().positive() });
export default { async fetch(request) {
  const parsed = User.safeParse(await request.json());
  return Response.json(parsed.success ? parsed.data : parsed.error.issues.map((issue) => issue.path.join('.')));
} };
"""


def bundled(tmp_path: Path, source: str) -> str:
    """The app bundled as its author would, minified."""
    entry, output = tmp_path / "entry.mjs", tmp_path / "worker.js"
    entry.write_text(source)
    bundle(npm_project("platform-libraries", PACKAGES), entry, output, "--minify")
    return output.read_text()


def test_hono(host: Host, tmp_path: Path) -> None:
    edge = host.serve(bundled(tmp_path, HONO))
    assert edge.ask("http://a/hello/w%C3%B6rld?q=1") == "Hello wörld 1"
    edge.request(1, "http://a/stream")
    assert body_of(edge) == b"one two"
    assert edge.ask("http://a/fail") == "caught inner"
    assert edge.ask("http://a/none") == "nothing here"
    head = b"POST\nhttp://a/form\nid\ncontent-type\napplication/x-www-form-urlencoded"
    edge.sock.sendall(wire.encode(9, wire.Type.REQUEST, flags=wire.END, head=head, data=b"a=1+2"))
    frame = edge.frame()
    assert (frame.status, frame.data) == (201, b'{"a":"1 2"}')
    assert b"access-control-allow-origin\n*" in frame.head


def test_itty_router(host: Host, tmp_path: Path) -> None:
    edge = host.serve(bundled(tmp_path, ITTY))
    assert edge.ask("http://a/api/items/7?q=x") == '{"id":"7","q":"x"}'
    edge.sock.sendall(request_frame(2, "http://a/api/items", method="POST", body=b'{"n":1}'))
    frame = edge.frame()
    assert (frame.status, frame.data) == (201, b'{"n":1}')


def test_zod(host: Host, tmp_path: Path) -> None:
    edge = host.serve(bundled(tmp_path, ZOD))
    assert edge.ask(body=b'{"name":"Ann","email":"a@b.co","age":"4"}') == '{"name":"Ann","email":"a@b.co","age":4}'
    assert edge.ask(body=b'{"name":"A","email":"x","age":-1}') == '["name","email","age"]'


def test_an_entry_class_has_an_instance_for_each_request(host: Host) -> None:
    edge = host.serve(
        """
        export default class {
          constructor(ctx, env) { this.env = env; this.count = 0; }
          fetch(request) { return new Response(`${this.env.NAME} ${++this.count} ${new URL(request.url).pathname}`); }
        }""",
        environment={"NAME": "value"},
    )
    assert [edge.ask("http://a/x", stream=stream) for stream in (1, 2)] == ["value 1 /x"] * 2


def test_a_class_without_a_handler_is_refused(host: Host) -> None:
    host.load("export default class { get() {} }")
    assert "has no handler" in host.end.expect(LoadFailed).message


def test_an_error_event_tells_where_app_code_threw(host: Host) -> None:
    edge = host.serve("""
        addEventListener('error', (event) => {
          event.preventDefault();
          globalThis.seen = `${event.filename}:${event.lineno} ${event.error}`;
        });
        export default () => {
          reportError(new RangeError('far'));
          const first = seen;
          reportError(7);
          return new Response(`${first} ${seen}`);
        };""")
    assert edge.ask() == "file:///main.js:7 RangeError: far file:///main.js:9 7"


def test_a_body_must_have_one_of_the_strongest_hashes_that_integrity_names(host: Host) -> None:
    hashes = {bits: base64.b64encode(hashlib.new(f"sha{bits}", b"abc").digest()).decode() for bits in (256, 384, 512)}
    wrong = "A" * 43 + "="
    good = [
        f"sha256-{hashes[256]}",
        f"sha384-{hashes[384].rstrip('=')}",
        f"sha512-{hashes[512].replace('+', '-').replace('/', '_')}?option",
        f"sha256-{wrong} sha256-{hashes[256]}",
        f"sha256-{wrong}\nsha512-{hashes[512]}",
        "md5-unknown",
    ]
    bad = [f"sha256-{wrong}", f"sha256-{hashes[256]} sha512-{wrong}"]
    edge = host.serve(
        handler(f"""
        const results = [];
        for (const integrity of {json.dumps([*good, *bad])}) {{
          const text = fetch('data:,abc', {{ integrity }}).then((response) => response.text());
          results.push(await text.catch((error) => error.name));
        }}
        const head = await fetch('data:,abc', {{ integrity: 'sha256-x', method: 'HEAD' }}).catch((error) => error.name);
        return Response.json([...results, head]);""")
    )
    assert json.loads(edge.ask()) == ["abc"] * len(good) + ["TypeError"] * (len(bad) + 1)
