"""Floods over WebSockets, from either end: what they cost stays bounded, and nobody else notices."""

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.websocket.frames import Opcode, frame
from tests.hostile.conftest import Victim
from tests.hostile.neighbour import Neighbour
from tests.node_server import eventually

APP = """
const held = [];
export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (request.headers.get("upgrade") === null) return new Response("well");
    const [client, server] = Object.values(new WebSocketPair());
    held.push(server);
    if (pathname === "/deaf") return new Response(null, { status: 101, webSocket: client });
    server.accept();
    server.addEventListener("message", ({ data }) => {
      if (pathname === "/echo") server.send(data);
      if (pathname === "/slow") for (const until = Date.now() + 1; performance.now() < until; ) break;
    });
    if (pathname === "/loud") {
      const shout = () => {
        while (server.bufferedAmount < 1 << 20) server.send("x".repeat(50_000));
        setTimeout(shout, 0);
      };
      server.addEventListener("message", shout, { once: true });
    }
    return new Response(null, { status: 101, webSocket: client });
  },
};
"""
HOST = "loud-sockets"
FLOOD_SECONDS = 1.5
MOST_MB = 150
"""Growth of an edge worker: sixteen connections that are all behind, and what the allocator keeps."""


@pytest.fixture(scope="module", autouse=True)
def app(victim: Victim) -> None:
    limits = '{"version": 1, "main": "w.js", "limits": {"max_websockets": 300, "max_isolates": 1}}'
    victim.node.deploy({"w.js": APP, "brrrd.json": limits}, HOST)


@pytest.fixture(autouse=True)
def unharmed(victim: Victim, neighbour: Neighbour) -> Iterator[None]:
    """The neighbour gets its answers, edge workers stay small, and the app answers afterwards."""
    before, sizes = neighbour.seen.copy(), edge_sizes(victim)
    restarts = {process.pid for process in victim.node.processes("edge")}
    yield
    eventually(10, lambda: victim.node.get(HOST, "/well").text == "well")
    assert set(neighbour.seen - before) <= {"200"}
    assert {process.pid for process in victim.node.processes("edge")} == restarts
    assert max(size - sizes.get(pid, 0) for pid, size in edge_sizes(victim).items()) < MOST_MB << 20


def edge_sizes(victim: Victim) -> dict[int, int]:
    """Resident bytes of edge workers by process id."""
    page = resource.getpagesize()
    pids = [process.pid for process in victim.node.processes("edge")]
    return {pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids}


def open_raw(victim: Victim, path: str) -> tuple[socket.socket, int]:
    """A connection whose request for a WebSocket was answered, with the status."""
    sock = socket.create_connection(("127.0.0.1", victim.node.port), timeout=10)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {HOST}.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n"
    )
    sock.sendall(head.encode())
    answer = sock.recv(4096)
    return sock, int(answer.split(b" ")[1])


def flood(socks: list[socket.socket], data: bytes) -> int:
    """Send as much as is taken, and read nothing. Returns the bytes.

    Yields, since who floods is on another machine: what its computing costs here would be counted as the node's time.
    """
    sent, until = 0, time.monotonic() + FLOOD_SECONDS
    for sock in socks:
        sock.setblocking(False)
    while time.monotonic() < until:
        moved = 0
        for sock in socks:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                moved += sock.send(data)
        sent += moved
        os.sched_yield()
        if not moved:
            time.sleep(0.01)
    return sent


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return frame(opcode, payload, fin=fin, mask=b"\0\0\0\0")


FLOODS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "small messages that come back": ("/echo", lambda: masked(Opcode.TEXT, b"hi") * 5000),
    "empty messages": ("/echo", lambda: masked(Opcode.BINARY, b"") * 10_000),
    "large messages that come back": ("/echo", lambda: masked(Opcode.BINARY, b"x" * 900_000)),
    "messages that nobody takes": ("/deaf", lambda: masked(Opcode.BINARY, b"x" * 60_000) * 4),
    "large messages that nobody takes": ("/deaf", lambda: masked(Opcode.BINARY, b"x" * 1_000_000)),
    "pings": ("/echo", lambda: masked(Opcode.PING, b"x" * 125) * 2000),
    "empty fragments": (
        "/echo",
        lambda: (
            masked(Opcode.TEXT, b"", fin=False)
            + masked(Opcode.CONTINUATION, b"", fin=False) * 10_000
            + masked(Opcode.CONTINUATION, b"")
        ),
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_client_that_floods_and_never_reads(victim: Victim, name: str) -> None:
    path, data = FLOODS[name]
    opened = [open_raw(victim, path) for _ in range(8)]
    try:
        assert {status for _, status in opened} == {101}
        assert flood([sock for sock, _ in opened], data()) > 0
    finally:
        for sock, _ in opened:
            sock.close()


def test_an_app_that_floods_clients_which_never_read(victim: Victim) -> None:
    opened = [open_raw(victim, "/loud")[0] for _ in range(16)]
    try:
        for sock in opened:
            sock.sendall(masked(Opcode.TEXT, b"begin"))
        time.sleep(FLOOD_SECONDS)
    finally:
        for sock in opened:
            sock.close()


def test_hundreds_of_upgrades_at_once(victim: Victim) -> None:
    statuses: list[int] = []
    opened: list[socket.socket] = []
    try:
        for _ in range(400):
            sock, status = open_raw(victim, "/echo")
            opened.append(sock)
            statuses.append(status)
        # A few of other tests may be there still: nobody reads what their clients said, so their leaving shows late.
        assert 250 <= statuses.count(101) <= 300
        assert statuses.count(503) == 400 - statuses.count(101)
    finally:
        for sock in opened:
            sock.close()
    eventually(10, lambda: opens_again(victim))
    assert "max_websockets" in victim.node.cli("logs", "--app", HOST).stdout


def opens_again(victim: Victim) -> bool:
    sock, status = open_raw(victim, "/echo")
    sock.close()
    return status == 101


def test_handshakes_that_stop_in_the_middle(victim: Victim) -> None:
    opened = []
    for _ in range(100):
        sock = socket.create_connection(("127.0.0.1", victim.node.port), timeout=10)
        sock.sendall(f"GET /echo HTTP/1.1\r\nHost: {HOST}.localhost\r\nUpgrade: websocket\r\n".encode())
        opened.append(sock)
    for sock in opened:
        sock.sendall(os.urandom(64))
        sock.close()
