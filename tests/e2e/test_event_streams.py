"""Server-sent events: each one leaves at once, and a client that goes away is noticed."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.node_server import Node, eventually

APP = """
const encoder = new TextEncoder();
const state = { aborted: false, cancelled: false, pulls: 0 };
let proceed = () => {};
export default { async fetch(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/next") { proceed(); return new Response("ok"); }
  if (pathname === "/state") return Response.json(state);
  if (pathname === "/flood") {
    request.signal.addEventListener("abort", () => { state.aborted = true; });
    return new Response(new ReadableStream({
      async pull(controller) {
        state.pulls++;
        await new Promise((resolve) => setTimeout(resolve, 10));
        controller.enqueue(encoder.encode(`data: ${"x".repeat(1000)}\\n\\n`));
      },
      cancel() { state.cancelled = true; },
    }), { headers: { "content-type": "text/event-stream" } });
  }
  let number = Number(request.headers.get("last-event-id") ?? 0);
  return new Response(new ReadableStream({
    async pull(controller) {
      // The next event only after the client has the one before, and has said so.
      const asked = new Promise((resolve) => { proceed = resolve; });
      controller.enqueue(encoder.encode(`id: ${++number}\\ndata: ${JSON.stringify({ number })}\\n\\n`));
      if (number % 5 === 0) controller.close();
      else await asked;
    },
  }), { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
} };"""
HOST = {"Host": "events.localhost"}


@pytest.fixture(scope="module")
def events(node: Node) -> Node:
    node.deploy({"_worker.js": APP, "brrrd.json": json.dumps({"limits": {"wall_ms": 120_000}})}, "events")
    return node


def data_of(answer: httpx.Response) -> Iterator[int]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])["number"]


@pytest.mark.parametrize("accepted", ["identity", "gzip, br"])
def test_each_event_arrives_before_the_next_one_is_made(events: Node, accepted: str) -> None:
    seen = []
    with httpx.Client(trust_env=False, timeout=20) as client:
        headers = HOST | {"accept": "text/event-stream", "accept-encoding": accepted, "last-event-id": "10"}
        with client.stream("GET", events.url, headers=headers) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            assert "content-encoding" not in answer.headers
            for number in data_of(answer):
                seen.append(number)
                if number < 15:
                    assert client.get(f"{events.url}/next", headers=HOST).text == "ok"
    assert seen == [11, 12, 13, 14, 15]


def test_a_client_that_goes_away_aborts_the_signal_and_cancels_the_stream(events: Node) -> None:
    with httpx.stream("GET", f"{events.url}/flood", headers=HOST, trust_env=False, timeout=20) as answer:
        for _ in zip(answer.iter_lines(), range(4), strict=False):
            pass

    def noticed() -> bool:
        state = events.get("events", "/state").json()
        return bool(state["aborted"] and state["cancelled"])

    eventually(10, noticed)
    pulls = events.get("events", "/state").json()["pulls"]
    assert events.get("events", "/state").json()["pulls"] <= pulls + 1
