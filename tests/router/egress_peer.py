"""The two neighbours of an egress process in its tests: the supervisor that starts it, and a host that fetches."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from typing import cast

from dataplane.messages import Catalog
from isolates.wire import END, WINDOW_BYTES, Frame, Type, decode, encode
from router.identity import Identity, SubrequestLimits, seal
from router.messages import Applied, EgressSettings, EgressStats, FromEgress
from tests.router.service import LISTEN_FD, TICKET_KEY, Service, running

TICKET = seal(Identity("app-1", "build-1"), TICKET_KEY)


class Answer:
    """What a fetch came to."""

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.frames: list[Frame] = []
        self.code = ""
        self.detail = ""
        self.broken = ""
        self.limit = ""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)


class Fetch:
    """One stream. Its body is read as `Host.fetch` says; `done` is set when nothing more can come."""

    def __init__(self, host: "Host", stream: int, *, window: bool) -> None:
        self.answer = Answer()
        self.done = asyncio.Event()
        self.changed = asyncio.Event()
        self.granted = WINDOW_BYTES
        self._host = host
        self._stream = stream
        self._window = window

    def send(self, data: bytes, *, end: bool = False) -> None:
        self._host.write(encode(self._stream, Type.DATA, flags=END if end else 0, data=data))

    def grant(self, count: int) -> None:
        self._host.write(encode(self._stream, Type.WINDOW, data=count.to_bytes(4, "little")))

    def cancel(self) -> None:
        self._host.write(encode(self._stream, Type.CANCEL, head=b"no longer wanted"))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, looked at whenever a frame arrives."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def on_frame(self, frame: Frame) -> None:
        answer = self.answer
        answer.frames.append(frame)
        head = frame.head.decode("latin-1").split("\n")
        match frame.type:
            case Type.RESPONSE:
                answer.status, answer.reason = frame.status, head[0]
                answer.fields = list(zip(head[1::2], head[2::2], strict=True))
            case Type.REFUSE:
                answer.code, answer.detail, *named = head
                answer.limit = "".join(named)
                self.done.set()
            case Type.CANCEL:
                answer.broken, *named = head
                answer.limit = "".join(named)
                self.done.set()
            case Type.WINDOW:
                self.granted += int.from_bytes(frame.data, "little")
        if frame.type in (Type.RESPONSE, Type.DATA):
            answer.body += frame.data
            if self._window and frame.data:
                self.grant(len(frame.data))
            if frame.flags & END:
                self.done.set()
        self.changed.set()


class Host(asyncio.Protocol):
    """An isolate host's connection to the egress process."""

    def __init__(self, ticket: bytes | None = TICKET) -> None:
        self._ticket = ticket
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._fetches: dict[int, Fetch] = {}
        self._next = 1
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ticket is not None:
            self.write(encode(0, Type.IDENTIFY, data=self._ticket))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        frames, taken = decode(self._buffer)
        self._buffer = self._buffer[taken:]
        for frame in frames:
            self._fetches[frame.stream].on_frame(frame)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def stop_reading(self) -> None:
        assert self._transport is not None
        self._transport.pause_reading()

    def read_on(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def start(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        data: bytes = b"",
        *,
        end: bool = True,
        window: bool = True,
    ) -> Fetch:
        """Send a REQUEST. With `window`, the response's window is opened as it is read."""
        head = "\n".join([method, url, "req-1", *(part for field in headers for part in field)]).encode("latin-1")
        return self.open(head, data, end=end, window=window)

    def open(self, head: bytes, data: bytes = b"", *, end: bool = True, window: bool = True) -> Fetch:
        """Send a REQUEST with this head, see `start`."""
        stream, self._next = self._next, self._next + 1
        fetch = self._fetches[stream] = Fetch(self, stream, window=window)
        self.write(encode(stream, Type.REQUEST, flags=END if end else 0, head=head, data=data))
        return fetch

    async def fetch(self, method: str, url: str, headers: Iterable[tuple[str, str]] = (), data: bytes = b"") -> Answer:
        """Send a request and return what it came to."""
        return await self.result(self.start(method, url, headers, data))

    @staticmethod
    async def result(fetch: Fetch) -> Answer:
        """Return what a request came to."""
        async with asyncio.timeout(20):
            await fetch.done.wait()
        return fetch.answer


class Egress(Service):
    """The egress process."""

    module = "router.egress"
    messages = FromEgress

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.stats: list[EgressStats] = []
        self.stats_changed = asyncio.Event()
        self.applied: asyncio.Queue[int] = asyncio.Queue()
        """Versions of the catalogs that it serves."""

    def take(self, message: Applied | EgressStats) -> None:
        if isinstance(message, Applied):
            self.applied.put_nowait(message.version)
        else:
            self.stats.append(message)
            self.stats_changed.set()

    async def apply(self, catalog: Catalog) -> None:
        """Send a catalog and wait until it is in use."""
        self.channel.send(catalog)
        async with asyncio.timeout(10):
            while await self.applied.get() < catalog.version:
                pass

    async def host_of(self, app_id: str, limits: SubrequestLimits) -> Host:
        """Connect as a host of an app with such limits."""
        return await self.host(seal(Identity(app_id, "build-1", limits), TICKET_KEY))

    async def host(self, ticket: bytes | None = TICKET) -> Host:
        """Connect; `ticket` None: without saying who it is."""
        _, host = await asyncio.get_running_loop().create_unix_connection(lambda: Host(ticket), self.path)
        return host


@contextlib.asynccontextmanager
async def egress(
    *,
    allow: Iterable[str] = (),
    edge_sockets: Iterable[str] = (),
    edge_authorities: Iterable[str] = (),
    db_hosts: Iterable[str] = ("db.localhost", "localhost", "127.0.0.1"),
    environment: dict[str, str] | None = None,
    ca_file: str = "",
    token_key: bytes = b"",
) -> AsyncIterator[Egress]:
    """Start `python -m router.egress` as the supervisor does, ready to be connected to."""
    settings = EgressSettings(
        listen_fd=LISTEN_FD,
        allow=list(allow),
        edge_sockets=list(edge_sockets),
        edge_authorities=list(edge_authorities),
        db_hosts=list(db_hosts),
        ca_file=ca_file,
        ticket_key=TICKET_KEY,
        token_key=token_key,
    )
    with tempfile.TemporaryDirectory() as directory:
        async with running(Egress(f"{directory}/egress.sock"), settings, environment) as started:
            yield started
