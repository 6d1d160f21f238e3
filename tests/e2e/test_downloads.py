"""Large responses through a whole node, many at once, to clients of all kinds, while processes come and go."""

import functools
import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.test_uploads import mapped_by
from tests.node_server import Node, eventually

MB = 1 << 20
SIZES = [MB, MB, 65_537, 262_144, 262_145, 300_000, 4 * MB, 4 * MB + 1, 60_000]

BYTES = """
export default {
  fetch(request) {
    const { searchParams } = new URL(request.url);
    return new Response(new Uint8Array(+searchParams.get("size")).fill(+searchParams.get("byte")));
  },
};
"""
FORWARD = """
export default {
  async fetch(request) {
    const response = await fetch(request.url.replace("forward", "bytes"));
    return new URL(request.url).pathname === "/whole" ? new Response(await response.arrayBuffer()) : response;
  },
};
"""


def begun(node: Node, app: str, size: int, byte: int, path: str = "/") -> socket.socket:
    """A client that has asked on a connection of its own."""
    client = socket.create_connection(("127.0.0.1", node.port), timeout=60)
    client.sendall(f"GET {path}?size={size}&byte={byte} HTTP/1.1\r\nHost: {app}.localhost\r\n\r\n".encode())
    return client


def rest(client: socket.socket, size: int, piece: int = 1 << 16) -> bytes | None:
    """What is left of the answer's body, as far as it comes; None if the answer is another one."""
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < size:
        try:
            data = client.recv(piece)
        except OSError:
            break
        if not data:
            break
        answer += data
        if not b"HTTP/1.1 200 ".startswith(answer[:13]):
            break
    client.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if not head or head.startswith(b"HTTP/1.1 200 ") else None


def storm(node: Node, app: str, paths: list[str], count: int) -> None:
    """Download `count` bodies at the same time; some clients leave in the middle."""

    def one(number: int) -> None:
        chance = random.Random(number)
        size, byte = chance.choice(SIZES), number % 256
        client = begun(node, app, size, byte, chance.choice(paths))
        if number % 5 == 0:
            client.recv(chance.choice([1, 1000, 100_000]))
            client.close()
            return
        body = rest(client, size, chance.choice([1000, 1 << 16, 1 << 20]))
        assert body == bytes([byte]) * size, number

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(count)))


@pytest.fixture(scope="module")
def serving(node: Node) -> Node:
    node.deploy({"_worker.js": BYTES}, "bytes")
    node.deploy({"_worker.js": FORWARD}, "forward")
    return node


def test_many_large_bodies_at_once(serving: Node) -> None:
    for _ in range(3):
        storm(serving, "bytes", ["/"], 64)


def test_large_bodies_of_another_app_that_are_passed_on(serving: Node) -> None:
    storm(serving, "forward", ["/whole", "/stream"], 16)


def right(node: Node, size: int) -> bool:
    return rest(begun(node, "bytes", size, 7), size) == bytes([7]) * size


@pytest.mark.parametrize("kind", ["edge", "host"])
def test_a_process_that_dies_in_mid_response_costs_its_own_responses_only(
    start_node: Callable[..., Node], kind: str
) -> None:
    node = start_node("--workers", "2")
    node.deploy({"_worker.js": BYTES}, "bytes")
    clients = [begun(node, "bytes", 4 * MB, number) for number in range(12)]
    workers = node.processes("edge")
    eventually(20, lambda: any(mapped_by(worker.pid) for worker in workers))
    doomed = next(one for one in node.processes(kind) if mapped_by(one.pid))
    doomed.kill()
    for number, client in enumerate(clients):
        # As much of it as came, and nothing else.
        body = rest(client, 4 * MB)
        assert body is None or body == bytes([number]) * len(body)
    eventually(20, functools.partial(right, node, MB))
    storm(node, "bytes", ["/"], 16)
