"""`python -m benchmarks websockets`: an echo over WebSockets on workerd and on brrrd, in turn, in one run.

The client is made to cost little beside the servers: it writes one frame that was made before, and of what comes back
it counts the bytes.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import uvloop
from rich.console import Console

from benchmarks.comparison import Report, Row, compare, describe_machine, publish_beside
from benchmarks.load import Measurement, Target
from benchmarks.peers import Peer, PeerError, brrrd, workerd
from benchmarks.workloads import Workload
from router.websocket.frames import Opcode, frame

WARM_UP_SECONDS = 1.0
ECHO = Workload("websocket", "echo")


class Exchange(NamedTuple):
    """What each connection does again and again."""

    title: str
    size: int
    """Bytes of one message."""
    ahead: int
    """Messages that are on their way at once."""


EXCHANGES = (
    Exchange("one text of 32 bytes", 32, 1),
    Exchange("texts of 32 bytes, 32 at once", 32, 32),
    Exchange("one text of 16 KiB", 16 << 10, 1),
)


class Client(asyncio.Protocol):
    """One connection: keeps `ahead` messages on their way and notes how long each took."""

    def __init__(self, host: str, exchange: Exchange, times: list[float]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host = host
        payload = b"x" * exchange.size
        self._sent = frame(Opcode.TEXT, payload, mask=b"\x01\x02\x03\x04")
        self._answer = len(frame(Opcode.TEXT, payload))
        self._ahead = exchange.ahead
        self._times = times
        self._starts: list[float] = []
        self._got = 0
        self.running = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            f"GET / HTTP/1.1\r\nHost: {self._host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            if data.startswith(b"HTTP/1.1 101 "):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(PeerError(f"no WebSocket was opened: {data[:200]!r}"))
            return
        self._got += len(data)
        count, self._got = divmod(self._got, self._answer)
        if not count:
            return
        now = time.perf_counter()
        self._times += [now - start for start in self._starts[:count]]
        del self._starts[:count]
        if self.running:
            self._send(count, now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.running = False

    def start(self) -> None:
        self.running = True
        self._send(self._ahead, time.perf_counter())

    def stop(self) -> None:
        self.running = False
        self._transport.abort()

    def _send(self, count: int, now: float) -> None:
        self._starts += [now] * count
        self._transport.write(self._sent * count)


async def load(target: Target, exchange: Exchange, connections: int, seconds: float) -> Measurement:
    """Raises `PeerError` when a connection is refused."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    place = urlsplit(target.url)
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(target.hosts[0], exchange, times), str(place.hostname), place.port or 80
        )
        clients.append(client)
    await asyncio.gather(*(client.opened for client in clients))
    began = time.perf_counter()
    for client in clients:
        client.start()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    failed = sum(not client.running for client in clients)
    for client in clients:
        client.stop()
    await asyncio.sleep(0.05)
    times.sort()
    at = [times[int(len(times) * share)] * 1e6 for share in (0.5, 0.99)] if times else [0.0, 0.0]
    return Measurement(rate=len(times) / took, p50=at[0], p99=at[1], failed=failed, refused=0)


def run(
    *, connections: Sequence[int], seconds: float, rounds: int, json_file: Path | None, markdown_file: Path | None
) -> None:
    console = Console()
    with ExitStack() as stack:
        with console.status("starting workerd and brrrd"):
            peers = [stack.enter_context(start([ECHO], "http://127.0.0.1:1")) for start in (workerd, brrrd)]
        rows = _rows(console, peers, connections, seconds, rounds)
    report = Report(describe_machine(), seconds, rounds, rows)
    publish_beside(console, report, [peer.name for peer in peers], json_file=json_file, markdown_file=markdown_file)


def _rows(
    console: Console, peers: Sequence[Peer], connections: Sequence[int], seconds: float, rounds: int
) -> list[Row]:
    targets = {peer.name: peer.targets[ECHO.name] for peer in peers}
    rows = []
    for exchange in EXCHANGES:
        for count in connections:

            def one(name: str, exchange: Exchange = exchange, count: int = count) -> Measurement:
                return uvloop.run(load(targets[name], exchange, count, seconds))

            for target in targets.values():
                uvloop.run(load(target, exchange, count, WARM_UP_SECONDS))
            row = compare(list(targets), rounds, one, workload=exchange.title, connections=count)
            rows.append(row)
            console.print(row.rates(), highlight=False)
    return rows
