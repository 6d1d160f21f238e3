"""The two neighbours of a cache process in its tests: the supervisor that starts it, and a host with an app."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from router.identity import Identity, seal
from router.messages import AppCacheStats, CacheEmptied, CacheSettings, CacheStats, FromCache
from tests.router.egress_peer import Answer, Fetch, Host
from tests.router.service import LISTEN_FD, TICKET_KEY, Service, running

Headers = Iterable[tuple[str, str]]
DEFAULT = "-"


class App:
    """A host of one app, with the calls of the Cache API as it would send them."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def call(
        self, *head: str, headers: Headers = (), data: bytes = b"", end: bool = True, window: bool = True
    ) -> Fetch:
        """Send a call with the operation, cache, URL and flags of `head`."""
        text = "\n".join([*head, *(part for field in headers for part in field)])
        return self.host.open(text.encode("latin-1"), data, end=end, window=window)

    async def ask(self, *head: str, headers: Headers = ()) -> Answer:
        return await self.host.result(self.call(*head, headers=headers))

    async def match(self, url: str, cache: str = DEFAULT, flags: str = "", headers: Headers = ()) -> Answer:
        return await self.ask("match", cache, url, flags, headers=headers)

    def start_put(
        self,
        url: str,
        data: bytes = b"",
        *,
        cache: str = DEFAULT,
        status: int = 200,
        request: Headers = (),
        response: Headers = (),
        end: bool = True,
    ) -> Fetch:
        asked = list(request)
        fields = [part for field in asked for part in field]
        head = ["put", cache, url, str(len(asked)), *fields, str(status), "OK", "default", ""]
        return self.call(*head, headers=response, data=data, end=end)

    async def put(
        self, url: str, data: bytes = b"", *, cache: str = DEFAULT, request: Headers = (), response: Headers = ()
    ) -> Answer:
        return await self.host.result(self.start_put(url, data, cache=cache, request=request, response=response))

    async def put_large(self, url: str, size: int, *, cache: str = DEFAULT) -> Answer:
        """Put a body that comes in frames, as fast as the window lets it."""
        fetch = self.start_put(url, cache=cache, end=False)
        sent = 0
        while sent < size and not fetch.done.is_set():
            fetch.changed.clear()
            room = min(size - sent, fetch.granted - sent, 64 << 10)
            if room <= 0:
                await fetch.changed.wait()
                continue
            fetch.send(_piece(sent, room), end=sent + room == size)
            sent += room
        return await self.host.result(fetch)


def _piece(start: int, count: int) -> bytes:
    """A part of an endless body in which every 8 bytes tell where they are."""
    first, last = start // 8, (start + count + 7) // 8
    return b"".join(number.to_bytes(8, "big") for number in range(first, last))[start % 8 : start % 8 + count]


def body(size: int) -> bytes:
    """What `App.put_large` stores."""
    return _piece(0, size)


class Cache(Service):
    """The cache process, with what it keeps in `folder`."""

    module = "router.cache"
    messages = FromCache

    def __init__(self, path: str, folder: Path) -> None:
        super().__init__(path)
        self.folder = folder
        self.stats: dict[str, AppCacheStats] = {}
        self.emptied: asyncio.Queue[CacheEmptied] = asyncio.Queue()
        self.changed = asyncio.Event()

    def take(self, message: CacheStats | CacheEmptied) -> None:
        if isinstance(message, CacheStats):
            self.stats |= message.apps
            self.changed.set()
        else:
            self.emptied.put_nowait(message)

    async def app(self, app_id: str = "app-1") -> App:
        ticket = seal(Identity(app_id, "build-1"), TICKET_KEY)
        _, host = await asyncio.get_running_loop().create_unix_connection(lambda: Host(ticket), self.path)
        return App(host)

    async def until(self, app_id: str, **figures: int) -> None:
        """Wait until an app's figures are these."""
        async with asyncio.timeout(20):
            while any(getattr(self.stats.get(app_id), name, None) != value for name, value in figures.items()):
                self.changed.clear()
                await self.changed.wait()

    @staticmethod
    async def eventually(condition: Callable[[], bool]) -> None:
        """Wait until something holds that nobody tells."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def files(self) -> list[Path]:
        """Bodies on the disk."""
        return list((self.folder / "bodies").iterdir())


@contextlib.asynccontextmanager
async def cache(
    folder: Path,
    *,
    app_bytes: int = 64 << 20,
    total_bytes: int = 256 << 20,
    entry_bytes: int = 32 << 20,
    apps: Iterable[str] = ("app-1", "app-2"),
) -> AsyncIterator[Cache]:
    """Start `python -m router.cache` as the supervisor does, ready to be connected to."""
    cache = Cache(str(folder / "cache.s"), folder / "cache")
    settings = CacheSettings(
        listen_fd=LISTEN_FD,
        directory=str(cache.folder),
        app_bytes=app_bytes,
        total_bytes=total_bytes,
        entry_bytes=entry_bytes,
        app_ids=list(apps),
        ticket_key=TICKET_KEY,
    )
    async with running(cache, settings) as started:
        yield started
