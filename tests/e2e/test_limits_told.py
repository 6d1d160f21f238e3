"""Each limit tells three people: the caller by an error, the app's owner by a log line that names it, the operator by a
metric."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.node_server import Node, eventually

CUT = 0
"""Instead of a status: the response broke off."""
FAR = "fetch('http://told-far.localhost:PORT/' + what)"
FILL = """
const all = [];
for (let size = 1e7; size > 1e6; size /= 2) { try { for (;;) all.push(new Uint8Array(size).fill(1)); } catch {} }"""
"""All memory is taken but a megabyte or so."""
FAR_APP = """
export default { fetch(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/never") return new Promise(() => {});
  return new Response(pathname === "/much" ? new Uint8Array(3e6) : "far");
} };
"""


@dataclass(frozen=True)
class Case:
    """`script` is the body of the handler; `answer` what the caller sees: a status, and what is in the text."""

    name: str
    limit: str
    script: str
    answer: int
    text: str = ""
    limits: dict[str, int] = field(default_factory=dict)


CASES = [
    Case("no answer", "wall_ms", "await new Promise(() => {});", 504, "deadline", {"wall_ms": 300}),
    Case("no yielding", "wall_ms", "for (;;);", 504, "deadline", {"wall_ms": 300}),
    Case(
        "no end",
        "wall_ms",
        "return new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array(1)); } }));",
        CUT,
        limits={"wall_ms": 300},
    ),
    Case("CPU", "cpu_ms", "for (;;);", 503, "cpu_ms", {"cpu_ms": 100}),
    Case("heap", "memory_mb", "const all = []; for (;;) all.push([all.length]);", 503, "memory_mb", {"memory_mb": 32}),
    Case(
        "buffers",
        "memory_mb",
        "const all = []; for (;;) all.push(new Uint8Array(1e7).fill(1));",
        200,
        "RangeError",
        {"memory_mb": 32},
    ),
    Case(
        "pages",
        "memory_mb",
        "const all = []; for (;;) all.push(new Uint8Array(1e5));",
        503,
        "memory_mb",
        {"memory_mb": 32},
    ),
    Case(
        "objects beside buffers",
        "memory_mb",
        f"{FILL} const objects = []; for (;;) objects.push([objects.length]);",
        503,
        "memory_mb",
        {"memory_mb": 32},
    ),
    Case(
        "encryption",
        "memory_mb",
        """
        const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"]);
        const all = [], iv = new Uint8Array(12), data = new Uint8Array(3e6);
        for (;;) all.push(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, data));""",
        200,
        "Error",
        {"memory_mb": 32},
    ),
    Case(
        "a thread",
        "memory_mb",
        f"""{FILL}
        const parameters = {{ name: "PBKDF2", hash: "SHA-256", salt: new Uint8Array(8), iterations: 100_000 }};
        const key = await crypto.subtle.importKey("raw", new Uint8Array(8), "PBKDF2", false, ["deriveBits"]);
        await crypto.subtle.deriveBits(parameters, key, 256);""",
        503,
        "memory_mb",
        {"memory_mb": 32},
    ),
    Case(
        "decompression",
        "memory_mb",
        f"""
        const through = (bytes, stream) => new Response(new Blob([bytes]).stream().pipeThrough(stream)).bytes();
        const packed = await through(new Uint8Array(2e7), new CompressionStream("gzip"));
        {FILL}
        for (;;) all.push(await through(packed, new DecompressionStream("gzip")));""",
        503,
        "memory_mb",
        {"memory_mb": 32},
    ),
    Case(
        "response", "response_mb", "return new Response(new Uint8Array(2e6));", 502, "response_mb", {"response_mb": 1}
    ),
    Case(
        "subrequests",
        "subrequests",
        f"const what = ''; await {FAR}; await {FAR};",
        200,
        "subrequests = 1",
        {"subrequests": 1},
    ),
    Case(
        "time of a subrequest",
        "subrequest_ms",
        f"const what = 'never'; await {FAR};",
        200,
        "subrequest_ms = 200",
        {"subrequest_ms": 200},
    ),
    Case(
        "size of a subrequest",
        "subrequest_mb",
        f"const what = 'much'; await (await {FAR}).bytes();",
        200,
        "subrequest_mb = 1",
        {"subrequest_mb": 1},
    ),
    Case("log", "log_volume", "for (let i = 0; i < 100; i++) console.log('x'.repeat(16_000));", 200),
    Case("timers", "timers", "for (;;) setTimeout(() => {}, 1e6);", 200, "More than 100000 timers"),
    Case(
        "compression",
        "compression_streams",
        """
        const streams = Array.from({ length: 300 }, () => new CompressionStream("gzip"));
        await Promise.all(streams.map(({ readable, writable }) => {
          writable.getWriter().write(new Uint8Array(1)).catch(() => {});
          return readable.getReader().read();
        }));""",
        200,
        "Too many compression streams",
    ),
    Case("messages", "broadcast", "new BroadcastChannel('a').postMessage('x'.repeat(1e5));", 200, "65536 bytes"),
    Case("cache", "cache", "await caches.open('x'.repeat(1e5));", 200, "QuotaExceededError"),
]


def app(case: Case) -> str:
    return f"told-{CASES.index(case)}"


@pytest.fixture(scope="module")
def told(node: Node) -> Iterator[Node]:
    """A node on which every case was deployed."""
    node.deploy({"w.js": FAR_APP, "brrrd.json": '{"main": "w.js"}'}, "told-far")
    for case in CASES:
        script = case.script.replace("PORT", str(node.port))
        worker = f"""export default {{ async fetch() {{
          try {{ {script} }} catch (error) {{ return new Response(error + ""); }}
          return new Response("done");
        }} }};"""
        manifest = {"main": "w.js", "limits": {"max_isolates": 1, **case.limits}}
        node.deploy({"w.js": worker, "brrrd.json": json.dumps(manifest)}, app(case))
    yield node


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_caller_owner_and_operator_are_told(told: Node, case: Case) -> None:
    try:
        answer = told.get(app(case))
        status, text = answer.status_code, answer.text
    except httpx.RemoteProtocolError:
        status, text = CUT, ""
    assert status == case.answer, text
    assert case.text in text
    eventually(10, lambda: case.limit in owner_reads(told, app(case)), every=0.1)
    eventually(10, lambda: counted(told, app(case), case.limit) >= 1, every=0.1)


def test_a_body_that_is_too_large(told: Node) -> None:
    name = app(CASES[0])
    head = f"POST / HTTP/1.1\r\nHost: {name}.localhost\r\nContent-Length: 1000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", told.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    eventually(10, lambda: "max_body_bytes" in owner_reads(told, name), every=0.1)
    eventually(10, lambda: counted(told, name, "max_body_bytes") == 1, every=0.1)


def owner_reads(node: Node, name: str) -> str:
    """The app's log but for what it wrote itself."""
    lines = node.control("GET", f"/v1/projects/default/apps/{name}/logs?limit=5").text.splitlines()
    return "\n".join(line["message"] for line in map(json.loads, lines) if line["level"] in ("warn", "error"))


def counted(node: Node, name: str, limit: str) -> float:
    metrics = httpx.get(f"{node.control_url}/metrics", trust_env=False).text.splitlines()
    wanted = f'brrrd_host_limits_total{{app="{name}",limit="{limit}",project="default"}} '
    return sum(float(line.removeprefix(wanted)) for line in metrics if line.startswith(wanted))


def test_no_slot_is_lost_to_an_app_that_has_all_its_timers_pending(node: Node) -> None:
    worker = """
    export default { fetch(request, env, ctx) {
      try { for (;;) setTimeout(() => {}, 1e6); } catch {}
      ctx.waitUntil(new Promise(() => {}));
      return new Response("well");
    } };"""
    manifest = '{"main": "w.js", "limits": {"max_isolates": 1, "max_concurrent_requests": 1}}'
    node.deploy({"w.js": worker, "brrrd.json": manifest}, "told-timers")
    assert [node.get("told-timers").text for _ in range(3)] == ["well"] * 3
    assert "Uncaught" not in node.control("GET", "/v1/projects/default/apps/told-timers/logs").text


def test_the_owner_is_told_of_an_end_that_is_no_limit(node: Node) -> None:
    worker = """
    export default { fetch({ url }) {
      if (url.endsWith("/long")) return new Response("x".repeat(3e8).split("").length);
      return new Response("well");
    } };"""
    node.deploy({"w.js": worker, "brrrd.json": '{"main": "w.js", "limits": {"max_isolates": 1}}'}, "told-ends")
    assert node.get("told-ends", "/long").status_code == 503
    eventually(10, lambda: "V8 failed: it met an array or a string" in owner_reads(node, "told-ends"), every=0.1)
    assert node.get("told-ends").text == "well"
    app_id = node.control("GET", "/v1/projects/default/apps/told-ends").json()["app"]["app_id"]
    hosts = node.control("GET", "/v1/status").json()["hosts"]
    os.kill(next(host["pid"] for host in hosts if host["app_id"] == app_id), signal.SIGKILL)
    eventually(10, lambda: "it was ended by SIGKILL" in owner_reads(node, "told-ends"), every=0.1)
