"""Large bodies through a whole node, many at once, from clients and from apps, while processes come and go."""

import functools
import hashlib
import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.node_server import Node, eventually

MB = 1 << 20

HASH = """
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const bytes = pathname === "/stream" ? await new Response(request.body).bytes() : await request.bytes();
    return new Response(hex(await crypto.subtle.digest("SHA-256", bytes)));
  },
};
"""
FORWARD = """
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const body = pathname === "/whole" ? await request.bytes() : request.body;
    const [to, stream] = [`http://${new URL(request.url).hostname.replace("forward", "hash")}/`, "stream"];
    if (pathname === "/request") return fetch(new Request(to, request));
    return fetch(pathname === "/twice" ? to + stream : to, { method: "POST", body, duplex: "half" });
  },
};
"""


def upload(node: Node, app: str, path: str, body: bytes, chance: random.Random) -> bytes:
    """Send a body in pieces of any size on a connection of its own, and return the answer's body."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=60) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: {app}.localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        at = chance.choice([0, 1, 1000, 70_000])
        client.sendall(head + body[:at])
        while at < len(body):
            size = chance.choice([1, 100, 5000, 100_000, len(body)])
            client.sendall(body[at : at + size])
            at += size
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 64:
            piece = client.recv(65536)
            assert piece, answer
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return answer.partition(b"\r\n\r\n")[2].removeprefix(b"40\r\n")[:64]


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def storm(node: Node, app: str, paths: list[str], count: int) -> None:
    """Upload `count` bodies at the same time."""

    def one(number: int) -> None:
        chance = random.Random(number)
        body = chance.randbytes(chance.choice([MB, MB, 262_145, 300_000, 4 * MB, 4 * MB + 1, 200_000]))
        assert upload(node, app, chance.choice(paths), body, chance) == digest(body), number

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(count)))


@pytest.fixture(scope="module")
def hashing(node: Node) -> Node:
    node.deploy({"_worker.js": HASH}, "hash")
    node.deploy({"_worker.js": FORWARD}, "forward")
    return node


def test_many_large_bodies_at_once(hashing: Node) -> None:
    for _ in range(3):
        storm(hashing, "hash", ["/", "/stream"], 64)


def test_large_bodies_that_an_app_passes_on_to_another_app(hashing: Node) -> None:
    for path in ("/whole", "/passed", "/twice", "/request"):
        storm(hashing, "forward", [path], 12)


def test_a_first_upload_that_wakes_its_app(node: Node) -> None:
    for number in range(3):
        node.deploy({"_worker.js": HASH}, f"cold-{number}")
        body = random.Random(number).randbytes(2 * MB)
        assert upload(node, f"cold-{number}", "/", body, random.Random(number)) == digest(body)


class Held:
    """A client in the middle of its upload."""

    def __init__(self, node: Node, body: bytes) -> None:
        self._body = body
        self._sock = socket.create_connection(("127.0.0.1", node.port), timeout=60)
        head = f"POST / HTTP/1.1\r\nHost: hash.localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self._sock.sendall(head + body[: len(body) // 2])

    def finish(self) -> bytes:
        """The last 64 bytes of the answer; empty if the connection broke."""
        try:
            self._sock.sendall(self._body[len(self._body) // 2 :])
            answer = b""
            while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 64:
                piece = self._sock.recv(65536)
                if not piece:
                    return b""
                answer += piece
        except OSError:
            return b""
        finally:
            self._sock.close()
        return answer[-64:]


def answers(node: Node, app: str, body: bytes) -> bool:
    return node.request("POST", app, content=body).content == digest(body)


def mapped_by(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("brrrd-bodies")


@pytest.mark.parametrize("kind", ["edge", "host"])
def test_a_process_that_dies_in_mid_upload_costs_its_own_uploads_only(
    start_node: Callable[..., Node], kind: str
) -> None:
    node = start_node("--workers", "2")
    node.deploy({"_worker.js": HASH}, "hash")
    node.deploy({"_worker.js": HASH}, "other")
    bodies = [random.Random(number).randbytes(MB) for number in range(16)]
    uploads = [Held(node, body) for body in bodies]
    workers = node.processes("edge")
    # Bodies are being placed on both sides.
    eventually(20, lambda: any(mapped_by(worker.pid) for worker in workers))
    doomed = next(one for one in node.processes(kind) if mapped_by(one.pid))
    doomed.kill()
    outcomes = [upload.finish() for upload in uploads]
    if kind == "edge":
        right = [outcome == digest(body) for outcome, body in zip(outcomes, bodies, strict=True)]
        assert any(right) and not any(outcome and not fine for outcome, fine in zip(outcomes, right, strict=True))
    assert not doomed.is_alive()
    for app in ("other", "hash"):
        eventually(20, functools.partial(answers, node, app, bodies[0]))
    storm(node, "hash", ["/", "/stream"], 16)
    survivors = [one for one in workers if one.is_alive()]
    assert len(survivors) == (2 if kind == "host" else 1)
