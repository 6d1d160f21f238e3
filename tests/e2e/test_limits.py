"""What an app may use, what its caller is told at the limit, and that a neighbour notices nothing."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.node_server import Node, eventually

HOSTILE = """
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const acts = {
  "/": () => new Response("well"),
  "/sleep": async () => { await sleep(60_000); return new Response("late"); },
  "/loop": () => { while (true); },
  "/microtasks": async () => { for (;;) await 0; },
  "/try": () => { for (;;) { try { for (;;); } finally { continue; } } },
  "/regexp": () => new Response(String(/^(a+)+$/.test("a".repeat(40) + "b"))),
  "/array": () => new Response(String(new Array(5e8).fill(0).length)),
  "/heap": () => { const all = []; for (;;) all.push({ text: "x".repeat(1000) + all.length }); },
  "/recursion": () => { const deeper = () => deeper(); return deeper(); },
  "/unended": () => new Response(new ReadableStream({ start(controller) { controller.enqueue(new Uint8Array(8)); } })),
};
export default { fetch: (request) => acts[new URL(request.url).pathname]() };
"""
MANIFEST = '{"main": "_worker.js", "limits": {"wall_ms": 1500}}'


@pytest.fixture(scope="module")
def hostile(node: Node) -> str:
    node.deploy({"_worker.js": HOSTILE, "brrrd.json": MANIFEST}, "hostile")
    node.deploy({"_worker.js": "export default { fetch: () => new Response('fine') }"}, "neighbour")
    return "hostile"


@contextmanager
def steady_load(node: Node, app: str) -> Iterator[Counter[int | str]]:
    """Requests one after the other to `app` while the block runs; what came back, by status or error."""
    seen: Counter[int | str] = Counter()
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(trust_env=False, timeout=10, headers={"Host": f"{app}.localhost"}) as client:
            while not stop.wait(0.005):
                try:
                    seen[client.get(node.url).status_code] += 1
                except httpx.TransportError as error:
                    seen[repr(error)] += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def answers_again(node: Node, app: str) -> bool:
    return node.get(app).status_code == 200


@pytest.mark.parametrize("path", ["/sleep", "/loop", "/microtasks", "/try", "/regexp"])
def test_the_wall_clock_ends_a_request_with_504(node: Node, hostile: str, path: str) -> None:
    with steady_load(node, "neighbour") as seen:
        started = time.monotonic()
        answer = node.get(hostile, path)
        took = time.monotonic() - started
        # Code that yields loses its own request only; code that does not yield loses its isolate.
        eventually(10, lambda: answers_again(node, hostile))
    assert answer.status_code == 504
    assert 1.4 < took < 5
    assert set(seen) == {200}


@pytest.mark.parametrize("path", ["/array", "/heap"])
def test_too_much_memory_is_503_and_hurts_nobody_else(node: Node, hostile: str, path: str) -> None:
    with steady_load(node, "neighbour") as seen:
        answer = node.get(hostile, path)
        eventually(10, lambda: answers_again(node, hostile))
    assert answer.status_code in (503, 504)
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) >= 0
    assert set(seen) == {200}


def test_deep_recursion_is_an_ordinary_exception(node: Node, hostile: str) -> None:
    assert node.get(hostile, "/recursion").status_code == 500
    assert node.get(hostile).text == "well"


def test_a_response_stream_that_never_ends_is_cut_at_the_wall_clock(node: Node, hostile: str) -> None:
    started = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        node.get(hostile, "/unended")
    assert time.monotonic() - started < 5


def test_requests_over_the_cap_wait_and_beyond_that_get_503(node: Node) -> None:
    node.deploy(
        {
            "_worker.js": """
            let running = 0, most = 0;
            export default { async fetch(request) {
              if (request.url.endsWith("/most")) return new Response(String(most));
              most = Math.max(most, ++running);
              await new Promise((resolve) => setTimeout(resolve, 1000));
              running--;
              return new Response("done");
            } }"""
        },
        "capped",
        max_concurrent_requests=2,
    )
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: node.get("capped"), range(8)))
    statuses = Counter(answer.status_code for answer in answers)
    # Two run and two wait, over all edge workers; a slow client thread may come after the first two are done.
    assert statuses[503] >= 2
    assert statuses[200] >= 4
    assert statuses[200] + statuses[503] == 8
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert node.get("capped", "/most").text == "2"
