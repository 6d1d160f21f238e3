"""Hosts with the real platform: the two halves of the isolates room together."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolates import wire
from isolates.messages import Drain, Limits, LoadFailed, Log, Retiring
from tests.isolates.driver import Host, Zygote, egress_listener, request_frame


@pytest.fixture(scope="module")
def platform_zygote(tmp_path_factory: pytest.TempPathFactory, snapshots: Path) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("platform"), snapshots, platform=None) as running:
        yield running


@pytest.fixture
def host(platform_zygote: Zygote) -> Iterator[Host]:
    forked = platform_zygote.fork()
    yield forked
    forked.close()


def worker(body: str) -> str:
    return f"export default {{ async fetch(request, env, ctx) {{ {body} }} }};"


def test_the_platform_is_in_a_snapshot(platform_zygote: Zygote, snapshots: Path) -> None:
    assert max(file.stat().st_size for file in snapshots.iterdir()) > 1_000_000


def test_a_request_is_answered_with_a_response(host: Host) -> None:
    edge = host.serve(worker("return new Response('hello ' + request.url, { status: 201, headers: { 'x-a': 'b' } });"))
    edge.request(5, "http://a/x")
    frame = edge.frame()
    assert (frame.stream, frame.type, frame.status, frame.data) == (5, wire.Type.RESPONSE, 201, b"hello http://a/x")
    assert b"x-a\nb" in frame.head


def test_environment_and_request_body(host: Host) -> None:
    edge = host.serve(worker("return new Response(env.KEY + (await request.text()).length);"), environment={"KEY": "é"})
    assert edge.ask(body=b"x" * 50_000) == "é50000"


def test_a_large_response_respects_the_window_and_arrives_whole(host: Host) -> None:
    edge = host.serve(worker("return new Response(new Uint8Array(3_000_000).map((_, i) => i * 7));"))
    edge.sock.sendall(request_frame(1))
    body, open_window, ended = b"", wire.WINDOW_BYTES, False
    while not ended:
        frame = edge.frame()
        body += frame.data
        ended = bool(frame.flags & wire.END)
        assert len(body) <= open_window
        if open_window - len(body) < wire.WINDOW_BYTES // 2:
            open_window += wire.WINDOW_BYTES
            edge.sock.sendall(wire.encode(1, wire.Type.WINDOW, data=wire.WINDOW_BYTES.to_bytes(4, "little")))
    assert body == bytes(i * 7 & 255 for i in range(256)) * (3_000_000 // 256) + bytes(
        i * 7 & 255 for i in range(3_000_000 % 256)
    )


def test_digests_and_random_bytes_come_from_the_host(host: Host) -> None:
    edge = host.serve(
        worker(
            "const data = new Uint8Array(2_500_000).fill(65);"
            "const hex = (b) => Array.from(new Uint8Array(b), (x) => x.toString(16).padStart(2, '0')).join('');"
            "return new Response(hex(await crypto.subtle.digest('SHA-256', data)) + ' ' + crypto.randomUUID());"
        )
    )
    digest, uuid = edge.ask().split()
    assert digest == hashlib.sha256(b"A" * 2_500_000).hexdigest()
    assert len(uuid) == 36


def test_console_and_exceptions_reach_the_log_with_the_request(host: Host) -> None:
    edge = host.serve(worker("console.warn('careful'); throw new TypeError('broken');"))
    edge.request(3)
    frame = edge.frame()
    assert (frame.type, frame.status) == (wire.Type.REFUSE, 500)
    assert frame.head.startswith(b"exception\n")
    first, second = host.end.expect(Log), host.end.expect(Log)
    assert (first.level, first.message, first.request_id) == ("warn", "careful", "request-3")
    assert (second.level, second.request_id) == ("error", "request-3")
    assert "TypeError: broken" in second.message
    assert "main.js:1" in second.message


@pytest.mark.parametrize(
    ("files", "place", "message"),
    [
        ({"main.js": "import './x.js'", "x.js": "\nlet a = ;"}, ("x.js", 2), "Unexpected token"),
        ({"main.js": "\n\nnull.x;"}, ("main.js", 3), "Cannot read properties of null"),
        ({"main.js": "\nawait 0;\nthrow new Error('later')"}, ("main.js", 3), "later"),
        ({"main.js": "export const x = 1;"}, ("main.js", 0), "fetch"),
    ],
    ids=["syntax", "throw", "throw-after-await", "no-handler"],
)
def test_a_build_that_cannot_run_is_refused(
    host: Host, files: dict[str, str], place: tuple[str, int], message: str
) -> None:
    host.load(files)
    failed = host.end.expect(LoadFailed)
    assert message in failed.message
    assert (
        (failed.file, failed.line) in {place[:2], ("", 0)} if not place[1] else (failed.file, failed.line) == place[:2]
    )


def test_fetch_goes_to_the_egress_process_and_streams_back(host: Host) -> None:
    with egress_listener(host.folder) as listener:
        edge = host.serve(worker("const r = await fetch('http://b.example/'); return new Response(await r.text());"))
        edge.request(1)
        egress, _ = listener.accept()
        with egress:
            (frame,), _ = wire.decode(egress.recv(10_000))
            assert frame.head.split(b"\n")[:2] == [b"GET", b"http://b.example/"]
            egress.sendall(
                wire.encode(frame.stream, wire.Type.RESPONSE, status=200, head=b"OK")
                + wire.encode(frame.stream, wire.Type.DATA, data=b"one ")
                + wire.encode(frame.stream, wire.Type.DATA, flags=wire.END, data=b"two")
            )
            assert edge.frame().data == b"one two"


def test_fetch_fails_while_the_egress_process_is_down_and_works_again(host: Host) -> None:
    edge = host.serve(
        worker("try { return await fetch('http://b.example/'); } catch (e) { return new Response(e.name); }")
    )
    assert edge.ask(stream=1) == "TypeError"
    with egress_listener(host.folder) as listener:
        edge.request(2)
        egress, _ = listener.accept()
        with egress:
            (frame,), _ = wire.decode(egress.recv(10_000))
        assert edge.frame().data == b"TypeError"
        edge.request(3)
        egress, _ = listener.accept()
        with egress:
            (frame,), _ = wire.decode(egress.recv(10_000))
            egress.sendall(wire.encode(frame.stream, wire.Type.RESPONSE, flags=wire.END, status=204, head=b""))
            assert edge.frame().status == 204


def test_the_cap_queues_and_then_refuses(host: Host) -> None:
    limits = Limits(max_concurrent_requests=2, queue_ms=200)
    edge = host.serve(worker("await new Promise((r) => setTimeout(r, 1000)); return new Response('x');"), limits=limits)
    for number in range(1, 7):
        edge.request(number)
    frames = [edge.frame() for _ in range(6)]
    refused = [frame for frame in frames if frame.type == wire.Type.REFUSE]
    assert [frame.status for frame in refused] == [503] * 4
    assert all(frame.head.startswith(b"overloaded\n") for frame in refused)


@pytest.mark.parametrize(
    "code",
    [
        "for (;;);",
        "(async () => { for (;;) await 0; })();",
        "queueMicrotask(function again() { queueMicrotask(again); });",
        "await null; for (;;);",
    ],
)
def test_javascript_that_does_not_yield_is_ended(host: Host, code: str) -> None:
    edge = host.serve(worker(f"{code} await new Promise(() => {{}});"), limits=Limits(wall_ms=300))
    edge.request(1)
    assert host.end.expect(Retiring).limit == "wall_ms"
    assert host.exit_status() == 3


def test_stringref_is_off_for_apps(host: Host) -> None:
    # A function type with a stringref (0x67) parameter.
    code = "new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 0x60, 1, 0x67, 0])"
    edge = host.serve(worker(f"return new Response(String(WebAssembly.validate({code})));"))
    assert edge.ask() == "false"


def test_apps_do_not_see_the_host(host: Host) -> None:
    names = "['SharedArrayBuffer', '__brrrd_boot', '__brrrd_ring', '__timer_manager', 'native']"
    edge = host.serve(
        worker(f"return new Response({names}.filter((n) => globalThis[n] !== undefined) + typeof Atomics.wait);")
    )
    assert edge.ask() == "undefined"


def test_background_work_is_finished_while_draining(host: Host) -> None:
    edge = host.serve(
        worker(
            "ctx.waitUntil(new Promise((r) => setTimeout(r, 200)).then(() => console.log('later')));"
            "return new Response('now');"
        )
    )
    assert edge.ask() == "now"
    host.end.send(Drain(grace_ms=5000))
    assert any(isinstance(message, Log) and message.message == "later" for message in host.end.rest())
    assert host.exit_status() == 0


def test_more_output_in_one_turn_than_the_buffer_holds(host: Host) -> None:
    edge = host.serve(worker("return new Response('x'.repeat(60000) + request.url.slice(-2));"))
    edge.sock.sendall(b"".join(request_frame(number, f"http://a/{number}") for number in range(10, 90)))
    answers = {(frame := edge.frame()).stream: frame.data[-2:] for _ in range(80)}
    assert answers == {number: str(number).encode() for number in range(10, 90)}
