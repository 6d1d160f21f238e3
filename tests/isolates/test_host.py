"""A forked host over its sockets: serving, limits, drain, death."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from isolates import wire
from isolates.log_budget import BYTES_AT_ONCE, BYTES_PER_SECOND, LINE_OVERHEAD, SHARE_BYTES_PER_SECOND
from isolates.messages import Drain, HostStats, Limits, LoadFailed, Log, LogLess, Retiring
from tests.isolates.driver import Edge, Host, egress_listener, is_alive, request_frame

HELLO = "export default (request) => 'hello ' + request.url + ' ' + request.body;"


def why_it_ended(edge: Edge) -> str:
    """The code that the host gives its edge workers before it goes."""
    frame = edge.frame()
    assert frame.type == wire.Type.GOAWAY
    return frame.head.decode().partition("\n")[0]


def test_a_request_is_answered(host: Host) -> None:
    assert host.serve(HELLO).ask("http://a/x", body=b"body") == "hello http://a/x body"


def test_many_requests_in_one_write_and_one_byte_at_a_time(host: Host) -> None:
    edge = host.serve(HELLO)
    edge.sock.sendall(b"".join(request_frame(number, f"http://a/{number}") for number in range(1, 501)))
    answers = {(frame := edge.frame()).stream: frame.data for _ in range(500)}
    assert answers == {number: f"hello http://a/{number} ".encode() for number in range(1, 501)}
    for byte in request_frame(501):
        edge.sock.sendall(bytes([byte]))
    assert edge.frame().data == b"hello http://a/ "


def test_frames_larger_than_a_read_keep_their_order(host: Host) -> None:
    edge = host.serve("export default (request) => request.body.length + request.body.slice(-1);")
    for number in range(1, 41):
        body = b"x" * (wire.MAX_DATA_BYTES - 1) + bytes([64 + number])
        edge.request(number, body=body)
    assert [edge.frame().data.decode() for _ in range(40)] == [f"65536{chr(64 + number)}" for number in range(1, 41)]


def test_several_edge_workers_are_served_at_once(host: Host) -> None:
    first = host.serve(HELLO)
    edges = [first] + [host.connect() for _ in range(4)]
    for number, edge in enumerate(edges):
        edge.request(7, f"http://edge/{number}")
    assert [edge.frame().data for edge in edges] == [f"hello http://edge/{n} ".encode() for n in range(5)]


def test_a_slow_reader_does_not_stop_others(host: Host) -> None:
    slow = host.serve("export default ({ url }) => 'x'.repeat(url.endsWith('big') ? 60000 : 1);")
    for number in range(1, 101):
        slow.request(number, "http://a/big")
    assert host.connect().ask() == "x"
    assert sum(len(slow.frame().data) for _ in range(100)) == 6_000_000


def test_output_larger_than_the_buffer_is_flushed(host: Host) -> None:
    edge = host.serve("export default () => { host.flushMany(40, 60000); return 'done'; };")
    assert edge.ask() == "done"


def test_a_closed_connection_is_told_to_javascript(host: Host) -> None:
    first = host.serve("export default () => host.closed();")
    second = host.connect()
    assert second.ask() == ""
    second.sock.close()
    deadline = time.monotonic() + 5
    while not (closed := first.ask()) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert closed == "4 "


def test_a_broken_frame_closes_the_connection_alone(host: Host) -> None:
    good = host.serve(HELLO)
    bad = host.connect()
    bad.sock.sendall(b"\x01" * 64)
    with pytest.raises(EOFError):
        bad.frame()
    assert good.ask().startswith("hello")


def test_timers_wake_the_loop(host: Host) -> None:
    edge = host.serve("export default () => new Promise((done) => setTimeout(() => done('after'), 50));")
    start = time.monotonic()
    assert edge.ask() == "after"
    assert time.monotonic() - start >= 0.049


def test_asynchronous_webassembly_compiles(host: Host) -> None:
    edge = host.serve(
        "const code = new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,"
        "10,9,1,7,0,32,0,32,1,106,11]);"
        "export default async () => (await WebAssembly.instantiate(code)).instance.exports.add(40, 2);"
    )
    assert edge.ask() == "42"


def test_continuation_data_survives_await(host: Host) -> None:
    edge = host.serve(
        "const { getContinuation: get, setContinuation: set } = host.native;"
        "export default async ({ url }) => { set(url); await null; await new Promise((r) => setTimeout(r, 5)); "
        "await 0; return get(); };"
    )
    edge.request(1, "http://a/1")
    edge.request(2, "http://a/2")
    assert {edge.frame().data for _ in range(2)} == {b"http://a/1", b"http://a/2"}


def test_operations(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": """
            const { call, scratchBytes: bytes } = host;
            const words = new Int32Array(host.native.scratch, 0, 8);
            const hex = (n) => Array.from(bytes.slice(64, 64 + n), (b) => b.toString(16).padStart(2, '0')).join('');
            const put = (text) => { for (let i = 0; i < text.length; i++) bytes[64 + i] = text.charCodeAt(i);
              return text.length; };
            export default () => {
              const out = [];
              call(2, 8); const first = hex(8); call(2, 8); out.push(first !== hex(8) && first.length);
              call(3, 256, put('abc')); out.push(words[1], hex(words[1]));
              call(4, 1); const handle = words[1];
              call(5, handle, put('ab')); call(5, handle, put('c')); call(6, handle);
              out.push(hex(words[1]));
              out.push(call(7, put('data/x.txt'), 0), words[1], hex(words[1]));
              out.push(call(7, put('../x'), 0), call(3, 6, 0), call(99), call(2, -1), call(2, 1 << 30), call(6, 1234));
              return out.join();
            };""",
            "data/x.txt": "AB",
        }
    )
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert edge.ask() == f"16,32,{sha256},{sha1},0,2,4142,-3,-2,-1,-2,-2,-2"


def test_configuration_reaches_javascript(host: Host) -> None:
    edge = host.serve(
        "const { app_id, build_id, main, environment, limits, node } = host.config;"
        "export default () => [app_id, build_id, main, limits.wall_ms, node, environment.KEY.length,"
        " environment.KEY === 'v\\xe4lue\\u2028\\ud83d\\ude00'].join();",
        environment={"KEY": "välue\u2028😀"},
        node=True,
    )
    assert edge.ask() == "app-1,build-1,main.js,30000,true,8,true"


def test_atomics_wait_is_off(host: Host) -> None:
    edge = host.serve(
        "export default () => { try { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); }"
        " catch (e) { return e.message; } };"
    )
    assert "cannot be called" in edge.ask()


def test_logs_and_counters_reach_the_supervisor(host: Host) -> None:
    edge = host.serve("export default ({ url }) => { log('line ' + url, 2); return 1; };")
    edge.ask("http://a/1")
    line = host.end.expect(Log)
    assert (line.level, line.request_id, line.message) == ("warn", "request-1", "line http://a/1")
    edge.ask("http://a/2", stream=2)
    stats = host.end.expect(HostStats)
    assert (stats.requests, stats.active) == (2, 0)
    assert 50_000 < stats.heap_bytes < 50_000_000


def test_a_log_flood_is_cut_and_said(host: Host) -> None:
    edge = host.serve("export default () => { host.flushMany(8000, 1000); return 'done'; };")
    started = time.monotonic()
    assert edge.ask() == "done"
    lines = 0
    while not (line := host.end.expect(Log)).message.endswith("(limit log_volume)"):
        lines += 1
    assert lines + int(line.message.split()[0]) == 8000
    most = BYTES_AT_ONCE + BYTES_PER_SECOND * (time.monotonic() - started + 1)
    assert BYTES_AT_ONCE // (1000 + LINE_OVERHEAD) <= lines <= most // (1000 + LINE_OVERHEAD)


def test_a_host_that_is_told_to_logs_less_and_says_why(host: Host) -> None:
    edge = host.serve("export default () => { host.flushMany(200, 1000); return 'done'; };")
    host.end.send(LogLess())
    assert edge.ask() == "done"
    lines = 0
    while not (line := host.end.expect(Log)).message.endswith("(limit log_volume)"):
        lines += 1
    assert "the node's apps log more than it takes" in line.message
    assert lines <= 3 * SHARE_BYTES_PER_SECOND // (1000 + LINE_OVERHEAD)


def test_deep_recursion_throws(host: Host) -> None:
    edge = host.serve(
        "function f(n) { return f(n + 1) + 1; }"
        "export default () => { try { f(0); } catch (e) { return e instanceof RangeError; } };"
    )
    assert [edge.ask(), edge.ask()] == ["true", "true"]


def test_a_saturating_edge_worker_does_not_shut_out_others(host: Host) -> None:
    busy = host.serve(HELLO)
    batch = b"".join(request_frame(number) for number in range(1, 65))
    stop = threading.Event()

    def saturate() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                busy.sock.sendall(batch)

    def drain() -> None:
        with contextlib.suppress(OSError):
            while busy.sock.recv(1 << 18):
                pass

    threads = [threading.Thread(target=saturate), threading.Thread(target=drain)]
    for thread in threads:
        thread.start()
    try:
        assert host.connect().ask().startswith("hello")
        host.end.send(Drain(grace_ms=100))
        stop.set()
        assert host.exit_status() == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# -- egress


def test_frames_for_connection_1_go_to_the_egress_process_behind_the_ticket(host: Host) -> None:
    with egress_listener(host.folder) as listener:
        edge = host.serve(
            "export default async () => { host.egress('GET\\nhttp://b/'); "
            "while (!globalThis.egressAnswer) await new Promise((r) => setTimeout(r, 1)); return egressAnswer; };",
            ticket=b"the ticket",
        )
        edge.request(1)
        egress, _ = listener.accept()
        with egress:
            frames: list[wire.Frame] = []
            data = b""
            while len(frames) < 2:
                data += egress.recv(1000)
                frames, _ = wire.decode(data)
            assert (frames[0].type, frames[0].data) == (wire.Type.IDENTIFY, b"the ticket")
            assert (frames[1].type, frames[1].head) == (wire.Type.REQUEST, b"GET\nhttp://b/")
            egress.sendall(wire.encode(1, wire.Type.RESPONSE, flags=wire.END, status=200, head=b"fine"))
            assert edge.frame().data == b"fine"


def test_a_missing_egress_process_is_a_closed_connection(host: Host) -> None:
    edge = host.serve(
        "export default async () => { host.egress('GET\\nhttp://b/'); "
        "while (!host.closed()) await new Promise((r) => setTimeout(r, 1)); return host.closed(); };"
    )
    assert edge.ask() == "1 "


# -- limits

SHORT = Limits(wall_ms=600)


@pytest.mark.parametrize(
    "code",
    [
        "for (;;);",
        "for (;;) { try { for (;;); } finally { continue; } }",
        "return (async () => { for (;;) await 0; })();",
        "/^(a+)+$/.test('a'.repeat(40) + 'b');",
    ],
    ids=["loop", "try-finally", "microtasks", "regexp"],
)
def test_javascript_that_does_not_yield_is_ended(host: Host, code: str) -> None:
    edge = host.serve(f"export default () => {{ {code} }};", limits=SHORT)
    start = time.monotonic()
    edge.request(1)
    assert host.end.expect(Retiring).limit == "wall_ms"
    assert time.monotonic() - start > 0.8
    assert why_it_ended(edge) == "wall_ms"
    with pytest.raises(EOFError):
        edge.frame()
    assert host.exit_status() == 3


def test_code_over_its_cpu_limit_is_ended_long_before_the_wall_clock(host: Host) -> None:
    edge = host.serve("export default () => { for (;;); };", limits=Limits(cpu_ms=100))
    edge.request(1)
    assert host.end.expect(Retiring).limit == "cpu_ms"
    assert why_it_ended(edge) == "cpu_ms"
    assert host.exit_status() == 3


def test_waiting_and_other_turns_do_not_count_as_cpu(host: Host) -> None:
    code = "const end = Date.now() + 40; while (Date.now() < end); return 'done';"
    edge = host.serve(f"export default () => {{ {code} }};", limits=Limits(cpu_ms=2000, wall_ms=30_000))
    assert [edge.ask() for _ in range(60)] == ["done"] * 60


def test_evaluation_that_does_not_yield_fails_the_load(host: Host) -> None:
    host.load("for (;;);", limits=SHORT)
    assert "wall_ms" in host.end.expect(LoadFailed).message
    host.exit_status()


def test_a_top_level_await_that_never_ends_fails_the_load(host: Host) -> None:
    host.load("await new Promise(() => {});", limits=SHORT)
    assert "wall_ms" in host.end.expect(LoadFailed).message
    assert host.exit_status() == 1


def test_an_idle_host_is_not_ended(host: Host) -> None:
    edge = host.serve("export default () => 1;", limits=Limits(wall_ms=500))
    time.sleep(2.2)
    assert edge.ask() == "1"


@pytest.mark.parametrize(
    "code",
    [
        "const a = []; for (;;) a.push({ x: 1 });",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, { i });",
        "new Array(5e8).fill(0);",
        "Array.from({ length: 4e8 });",
    ],
    ids=["push", "map", "fill", "from"],
)
def test_a_full_heap_ends_the_host_and_names_the_limit(host: Host, code: str) -> None:
    edge = host.serve(f"export default () => {{ {code} }};", limits=Limits(memory_mb=32))
    edge.request(1)
    retiring = host.end.expect(Retiring)
    assert retiring.limit == "memory_mb"
    assert "memory_mb = 32" in retiring.message
    assert why_it_ended(edge) == "memory_mb"
    with pytest.raises(EOFError):
        edge.frame()
    assert host.exit_status() == 3


def test_buffers_beyond_the_bound_throw_or_end_the_host(host: Host) -> None:
    edge = host.serve(
        "export default () => { const a = []; try { for (;;) a.push(new Uint8Array(1 << 24).fill(7)); } "
        "catch (e) { return e.name + ' ' + (a.length < 100); } };"
    )
    # Which of the two depends on whether the heap needs a page just when nothing is left.
    try:
        assert edge.ask() == "RangeError true"
    except EOFError:
        assert host.end.expect(Retiring).limit == "memory_mb"


# -- ends


def test_drain_finishes_what_is_in_flight_and_exits_0(host: Host) -> None:
    edge = host.serve(
        """let go; const told = new Promise((resolve) => { go = resolve; });
        export default ({ url }) => {
          if (url === "http://a/ready") return "ready";
          if (url === "http://a/go") go();
          waitUntil(told.then(() => new Promise((resolve) => setTimeout(resolve, 150))).then(() => log("later")));
          return told.then(() => "finished");
        };"""
    )
    edge.request(1)
    edge.request(2)
    assert edge.ask("http://a/ready", stream=3) == "ready", "the two before are under way"
    host.end.send(Drain(grace_ms=30_000))
    assert edge.frame().type == wire.Type.GOAWAY
    edge.request(4, "http://a/go")
    assert sorted((frame.stream, frame.data) for frame in (edge.frame() for _ in range(3))) == [
        (stream, b"finished") for stream in (1, 2, 4)
    ]
    assert any(isinstance(message, Log) and message.message == "later" for message in host.end.rest())
    assert host.exit_status() == 0


def test_a_request_that_crosses_the_goaway_is_answered(host: Host) -> None:
    edge = host.serve(HELLO)
    host.end.send(Drain(grace_ms=5000))
    assert edge.frame().type == wire.Type.GOAWAY
    assert edge.ask().startswith("hello")
    assert host.exit_status() == 0


def test_drain_ends_at_the_grace(host: Host) -> None:
    edge = host.serve("export default () => new Promise(() => {});")
    edge.request(1)
    host.end.send(Drain(grace_ms=100))
    assert host.exit_status() == 0


def test_new_connections_are_refused_while_draining(host: Host) -> None:
    edge = host.serve("export default () => new Promise(() => {});")
    edge.request(1)
    host.end.send(Drain(grace_ms=3000))
    assert edge.frame().type == wire.Type.GOAWAY
    with pytest.raises(ConnectionRefusedError):
        Edge(host.path)
    host.end.sock.close()


def test_a_standby_host_exits_when_its_channel_closes(host: Host) -> None:
    host.end.sock.close()
    assert host.exit_status() == 0


def test_a_serving_host_exits_when_its_channel_closes(host: Host) -> None:
    edge = host.serve(HELLO)
    host.end.sock.close()
    with pytest.raises(EOFError):
        edge.frame()
    assert host.exit_status() == 0


def test_a_killed_host_is_reported_with_its_signal(host: Host) -> None:
    host.serve(HELLO)
    os.kill(host.pid, signal.SIGKILL)
    assert host.exit_status() == -signal.SIGKILL
    assert not is_alive(host.pid)


def test_a_host_keeps_no_descriptor_of_the_zygote(host: Host) -> None:
    host.serve(HELLO).ask()
    own = [link for link in Path(f"/proc/{host.pid}/fd").iterdir() if int(link.name) > 2]
    # channel, listener, poller, the package and one edge worker
    assert len(own) == 5
