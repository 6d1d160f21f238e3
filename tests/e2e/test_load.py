"""Many requests at once: every answer is whole, and is the answer to its own request."""

import asyncio
import hashlib
import random

import httpx

from tests.node_server import Node

MIXED = """
export default { async fetch(request) {
  const url = new URL(request.url);
  const size = Number(url.searchParams.get("size"));
  const seed = Number(url.searchParams.get("seed"));
  const bytes = (from, length) => {
    // The pattern repeats after 256 bytes: the test is about carrying them, not about making them.
    const made = new Uint8Array(length);
    for (let i = 0; i < Math.min(256, length); i++) made[i] = (from + i) * 31 + seed;
    for (let done = 256; done < length; done *= 2) made.copyWithin(done, 0, Math.min(done, length - done));
    return made;
  };
  if (url.pathname === "/echo") return new Response(request.body);
  if (url.pathname === "/whole") return new Response(bytes(0, size));
  if (url.pathname === "/text") return new Response(`ä${seed};`.repeat(size >> 3));
  let at = 0;
  return new Response(new ReadableStream({ async pull(controller) {
    if (seed % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const length = Math.min(size - at, 4000 + (seed * 977) % 30000);
    if (length > 0) controller.enqueue(bytes(at, length));
    at += length;
    if (at >= size) controller.close();
  } }));
} }"""


def expected(path: str, size: int, seed: int) -> bytes:
    if path == "/text":
        return f"ä{seed};".encode() * (size >> 3)
    period = bytes((at * 31 + seed) & 255 for at in range(256))
    return (period * (size // 256 + 1))[:size]


async def test_bodies_of_every_size_keep_apart_under_load(node: Node) -> None:
    node.deploy({"_worker.js": MIXED}, "mixed")
    draw = random.Random(20_000)
    sizes = [0, 1, 1000, 65_535, 65_536, 65_537, 262_144, 300_000, 1_500_000]
    calls = [(draw.choice(["/echo", "/whole", "/text", "/stream"]), draw.choice(sizes), n) for n in range(240)]
    limits = httpx.Limits(max_connections=48)
    async with httpx.AsyncClient(
        base_url=node.url, headers={"Host": "mixed.localhost"}, trust_env=False, timeout=60, limits=limits
    ) as client:

        async def call(path: str, size: int, seed: int) -> None:
            # An echo is limited by what the client sends before it reads.
            size = min(size, 65_537) if path == "/echo" else size
            body = expected(path, size, seed)
            answer = await client.request(
                "POST" if path == "/echo" else "GET",
                path,
                params={"size": size, "seed": seed},
                content=body if path == "/echo" else None,
            )
            assert answer.status_code == 200, (path, size, answer.text[:300])
            assert hashlib.sha256(answer.content).digest() == hashlib.sha256(body).digest(), (path, size, seed)

        await asyncio.gather(*(call(*one) for one in calls))
    assert "broke the wire format" not in node.log()
