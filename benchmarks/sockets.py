"""Load over WebSockets: connections that keep so many messages on their way, and note how long each answer took.

The client is made to cost little beside the servers: it writes one frame that was made before, and of what comes back
it reads no more than the heads of frames.
"""

import asyncio
import time
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from benchmarks.load import Measurement, Target
from benchmarks.peers import PeerError
from router.websocket.frames import Opcode, frame

_MASK = b"\x01\x02\x03\x04"
_EXTENDED = {126: 2, 127: 8}
"""Bytes of the length that follow the first two of a frame (RFC 6455 §5.2)."""


class Exchange(NamedTuple):
    """What each connection does again and again: the same text, which one message answers."""

    title: str
    text: bytes
    ahead: int
    """Messages that are on their way at once."""
    path: str = "/"
    subprotocol: str = ""
    greeting: tuple[bytes, ...] = ()
    """Texts that are sent and answered once, before all others."""


def sent(text: bytes) -> bytes:
    """Return the frame of a client."""
    return frame(Opcode.TEXT, text, mask=_MASK)


def messages_in(buffer: bytearray) -> int:
    """Remove whole frames from the front of what a server has sent; return how many messages they end."""
    count = start = 0
    while len(buffer) >= start + 2:
        more = _EXTENDED.get(buffer[start + 1], 0)
        body = start + 2 + more
        size = int.from_bytes(buffer[start + 2 : body], "big") if more else buffer[start + 1]
        if len(buffer) < body + size:
            break
        is_message = (buffer[start] & 0x0F) < Opcode.CLOSE
        count += is_message and buffer[start] >= 0x80
        start = body + size
    del buffer[:start]
    return count


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, host: str, exchange: Exchange, times: list[float]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host = host
        self._exchange = exchange
        self._frame = sent(exchange.text)
        self._times = times
        self._starts: list[float] = []
        self._buffer = bytearray()
        self._greetings = len(exchange.greeting)
        """Answers that are to come before the load begins."""
        self._accepted = False
        self.running = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        chosen = self._exchange.subprotocol
        subprotocol = f"Sec-WebSocket-Protocol: {chosen}\r\n" if chosen else ""
        self._transport.write(
            f"GET {self._exchange.path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"{subprotocol}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self._accepted:
            if not data.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(PeerError(f"no WebSocket was opened: {data[:200]!r}"))
                return
            self._accepted = True
            self._transport.write(b"".join(map(sent, self._exchange.greeting)))
            data = data.partition(b"\r\n\r\n")[2]
        self._buffer += data
        count = messages_in(self._buffer)
        if not self.opened.done():
            self._greetings -= count
            if self._greetings <= 0:
                self.opened.set_result(None)
        elif count:
            now = time.perf_counter()
            self._times += [now - start for start in self._starts[:count]]
            del self._starts[:count]
            if self.running:
                self._send(count, now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.running = False
        if not self.opened.done():
            self.opened.set_exception(PeerError("the WebSocket was closed before the load began"))

    def start(self) -> None:
        self.running = True
        self._send(self._exchange.ahead, time.perf_counter())

    def stop(self) -> None:
        self.running = False
        self._transport.abort()

    def _send(self, count: int, now: float) -> None:
        self._starts += [now] * count
        self._transport.write(self._frame * count)


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
