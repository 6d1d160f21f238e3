"""A host's connection to the cache process: calls in, answers out.

Most calls are answered at once, from the index. A host that sends many gets its turn between others': after
`CALLS_PER_TURN` the rest waits for the next turn of the loop, and its socket is not read meanwhile.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

from isolates.wire import END, MAX_DATA_BYTES, Frame, FrameError, Type, encode
from router.cache.calls import Call, CallError, call, entry_id, joined, listed, pairs, stored
from router.cache.changes import New, new_entry
from router.cache.exchange import INLINE_BYTES, Answering, Exchange, Listing, Storing
from router.cache.freshness import storable
from router.cache.index import Entry, Listed
from router.cache.matching import Part, part
from router.cache.store import Store
from router.host_connection import FramedConnection
from router.identity import IdentityError

log = logging.getLogger("router.cache")

CALLS_PER_TURN = 16
MOST_CALLS = 2000
"""Of one host, under way at once."""
MOST_BODIES = 256
"""Of one host that do not fit into a frame, under way at once."""
MOST_STORING = 64
"""Of those, bodies on their way in, which may wait for the disk with a whole window each."""


class Counters:
    """What one app did, since the process started."""

    __slots__ = ("hits", "misses", "refused", "stores")

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.stores = 0
        self.refused = 0


class HostConnection(FramedConnection):
    """One accepted connection. `counters` gives those of an app; `on_close` is called when it is gone."""

    log = log

    def __init__(
        self,
        store: Store,
        ticket_key: bytes,
        counters: Callable[[str], Counters],
        on_close: Callable[["HostConnection"], None],
    ) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        super().__init__(ticket_key, self._tasks)
        self._store = store
        self._counters_of = counters
        self._counters: Counters
        self._on_close = on_close
        self._working = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._exchanges: dict[int, Exchange] = {}

    def __repr__(self) -> str:
        return f"<HostConnection of {self.app_id} [{len(self._tasks)} under way, {len(self._frames)} waiting]>"

    @property
    def in_flight(self) -> int:
        """Calls not yet answered in full."""
        return len(self._tasks) + len(self._frames)

    # asyncio.Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outbox.close()
        self._frames.clear()
        self._writable.set()
        for exchange in list(self._exchanges.values()):
            exchange.give_up()
        self._on_close(self)

    def pause_writing(self) -> None:
        self._writable.clear()
        self._read_on()

    def resume_writing(self) -> None:
        self._writable.set()
        if not self._working:
            self._work()

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._reader.feed(data)
        except FrameError as error:
            self._broken(error)
            return
        self._frames.extend(frames)
        if not self._working:
            self._work()

    async def writable(self) -> None:
        """Wait until the host has read most of what was sent."""
        await self._writable.wait()

    # Turns

    def _work(self) -> None:
        """Take some frames, and the rest in the next turns, or when the host has read what it was answered."""
        for _ in range(CALLS_PER_TURN):
            if not self._frames or self._transport is None or not self._writable.is_set():
                break
            try:
                self._take(self._frames.popleft())
            except (FrameError, IdentityError) as error:
                self._broken(error)
                return
        self._working = bool(self._frames) and self._writable.is_set()
        if self._working:
            self._backlog.add(self._work)
        self._read_on()

    def _read_on(self) -> None:
        """Read the socket unless enough is waiting already, in either direction."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._frames or not self._writable.is_set():
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _take(self, frame: Frame) -> None:
        if not self._identified or frame.type == Type.IDENTIFY:
            self._identify(frame.type, frame.data)
            self._counters = self._counters_of(self.identity.app_id)
        elif frame.type == Type.REQUEST:
            self._called(frame)
        elif (exchange := self._exchanges.get(frame.stream)) is not None:
            if frame.type == Type.DATA:
                exchange.take_body(frame.data, bool(frame.flags & END))
            elif frame.type == Type.WINDOW:
                exchange.take_window(int.from_bytes(frame.data[:4], "little"))
            elif frame.type == Type.CANCEL:
                exchange.give_up()

    # Calls

    def _called(self, frame: Frame) -> None:
        if frame.stream in self._exchanges:
            raise FrameError(f"stream {frame.stream} was opened twice")
        try:
            if len(self._tasks) >= MOST_CALLS:
                raise CallError("quota", f"{MOST_CALLS} calls to the cache are under way, which is the limit")
            self._do(frame.stream, call(frame.head), frame)
        except CallError as error:
            self._refuse(frame.stream, error)

    def _do(self, stream: int, asked: Call, frame: Frame) -> None:
        app_id, now = self.identity.app_id, time.time()
        match asked.operation:
            case b"match":
                self._match(stream, asked, self._store.lookup.match(app_id, asked, now))
            case b"get":
                entry = self._store.lookup.get(app_id, entry_id(asked), now)
                self._match(stream, asked, iter(() if entry is None else (entry,)))
            case b"put":
                self._put(stream, asked, frame, now)
            case b"list":
                self._spawn(self._list(stream, asked, now), stream)
            case b"delete":
                self._spawn(self._delete(stream, asked, now), stream)
            case b"has":
                self._answer(stream, found=self._store.lookup.has(app_id, asked.cache))
            case b"names":
                self._say(stream, b"\n".join(self._store.lookup.names(app_id)))
            case b"open":
                opened = self._store.change(lambda changes: changes.open(app_id, asked.cache) > 0)
                self._spawn(self._tell(stream, opened), stream)
            case b"drop":
                dropped = self._store.change(lambda changes: changes.drop(app_id, asked.cache))
                self._spawn(self._tell(stream, dropped), stream)
            case _:
                raise CallError("protocol", "the cache has no such operation")

    def _match(self, stream: int, asked: Call, search: Iterator[Entry | None]) -> None:
        """Look at a page or two; a search that needs more goes on between others' calls."""
        for _ in range(2):
            entry = next(search, False)
            if entry is not None:
                self._found(stream, asked, entry if isinstance(entry, Entry) else None)
                return
        self._spawn(self._search(stream, asked, search), stream)

    async def _search(self, stream: int, asked: Call, search: Iterator[Entry | None]) -> None:
        entry: Entry | None = None
        for entry in search:
            if entry is not None:
                break
            await asyncio.sleep(0)
        self._found(stream, asked, entry)

    def _found(self, stream: int, asked: Call, entry: Entry | None) -> None:
        if entry is None:
            self._counters.misses += 1
            self._refuse(stream, CallError("miss"))
            return
        self._store.touch(entry, time.time())
        reason, kind, url, *rest = entry.response.split(b"\n")
        wanted = part(asked.asked, entry.status, reason, pairs(rest), entry.size)
        head = joined(wanted.reason, kind, url, fields=wanted.fields)
        if entry.file is not None and wanted.length:
            self._spawn(self._answer_file(stream, entry, entry.file, wanted, head), stream)
            return
        self._counters.hits += 1
        body = entry.body or b""
        if wanted.length != len(body):
            body = body[wanted.start : wanted.start + wanted.length]
        self.send(encode(stream, Type.RESPONSE, flags=END, status=wanted.status, head=head, data=body))

    async def _answer_file(self, stream: int, entry: Entry, file: str, wanted: Part, head: bytes) -> None:
        if len(self._exchanges) >= MOST_BODIES:
            raise CallError("quota", f"{MOST_BODIES} bodies are being read from the cache, which is the limit")
        path = self._store.path(file)
        try:
            descriptor = await self._store.read(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            # It was replaced or removed since the index was asked.
            self._counters.misses += 1
            app_id = self.identity.app_id
            self._store.change(lambda changes: changes.delete(app_id, [entry.id]))
            raise CallError("miss") from None
        self._counters.hits += 1
        if self._transport is None:
            os.close(descriptor)
            return
        exchange = Answering(self, stream, self._store, self.identity.app_id, descriptor, wanted)
        self._exchanges[stream] = exchange
        self.send(encode(stream, Type.RESPONSE, status=wanted.status, head=head))
        await exchange.run()

    def _put(self, stream: int, asked: Call, frame: Frame, now: float) -> None:
        brought = stored(asked)
        app_id, limits = self.identity.app_id, self._store.limits
        allowed = storable(brought.response, now)
        if allowed is None or not limits.app_bytes:
            # It counts as done all the same: that it must not be stored is what the response says.
            request = joined(fields=brought.request)
            gone = self._store.change(lambda changes: changes.replace_nothing(app_id, asked.cache, asked.url, request))
            self._spawn(self._tell_put(stream, gone), stream)
            return
        expires = allowed.expires
        kept = [field for field in brought.response if field[0] not in allowed.without]

        def make(size: int, body: bytes | None, file: str | None) -> New:
            return new_entry(asked, brought, kept, expires, size, body, file)

        if frame.flags & END and len(frame.data) <= INLINE_BYTES:
            if len(frame.data) > limits.entry_bytes:
                raise CallError("quota", f"the response is over the limit cache_entry_mb = {limits.entry_bytes >> 20}")
            new = make(len(frame.data), frame.data, None)
            self._spawn(self._tell_put(stream, self._store.insert(app_id, new)), stream)
            return
        if sum(isinstance(one, Storing) for one in self._exchanges.values()) >= MOST_STORING:
            raise CallError("quota", f"{MOST_STORING} bodies are being stored, which is the limit")
        exchange = Storing(self, stream, self._store, app_id, make, self._put_done)
        self._exchanges[stream] = exchange
        exchange.take_body(frame.data, bool(frame.flags & END))
        self._spawn(exchange.run(), stream)

    def _put_done(self, stream: int, failure: CallError | None) -> None:
        if failure is None:
            self._counters.stores += 1
            self._answer(stream, found=True)
        else:
            self._refuse(stream, failure)

    async def _tell_put(self, stream: int, work: Awaitable[None]) -> None:
        await work
        self._counters.stores += 1
        self._answer(stream, found=True)

    async def _tell(self, stream: int, work: "asyncio.Future[bool]") -> None:
        self._answer(stream, found=await work)

    async def _list(self, stream: int, asked: Call, now: float) -> None:
        """Send what is in a cache page by page, never more than the host has let in."""
        exchange = self._exchanges[stream] = Listing(self, stream, self._store, self.identity.app_id)
        try:
            async for page in self._pages(asked, now):
                records = b"".join(listed(entry.id, entry.url, entry.request) for entry in page)
                for start in range(0, len(records), MAX_DATA_BYTES):
                    piece = records[start : start + MAX_DATA_BYTES]
                    if not await exchange.may_send(len(piece)):
                        return
                    self.send(encode(stream, Type.DATA, data=piece))
            self.send(encode(stream, Type.DATA, flags=END))
        finally:
            self.finished(stream)

    async def _delete(self, stream: int, asked: Call, now: float) -> None:
        found = False
        app_id = self.identity.app_id
        async for page in self._pages(asked, now):
            if page:
                found = True
                ids = [entry.id for entry in page]
                await self._store.change(lambda changes: changes.delete(app_id, ids))  # noqa: B023 awaited
        self._answer(stream, found=found)

    async def _pages(self, asked: Call, now: float) -> AsyncIterator[list[Listed]]:
        for cache in self._store.lookup.caches(self.identity.app_id, asked):
            last: int | None = 0
            while last is not None:
                last, matching = self._store.lookup.page(cache, asked, now, last)
                yield matching
                await asyncio.sleep(0)

    # Answers

    def finished(self, stream: int) -> None:
        """Forget an exchange."""
        self._exchanges.pop(stream, None)

    def _answer(self, stream: int, *, found: bool) -> None:
        self.send(encode(stream, Type.RESPONSE, flags=END, status=200 if found else 404))

    def _say(self, stream: int, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA_BYTES):
            self.send(encode(stream, Type.DATA, data=data[start : start + MAX_DATA_BYTES]))
        self.send(encode(stream, Type.DATA, flags=END))

    def _refuse(self, stream: int, error: CallError) -> None:
        if error.code not in ("miss", "cancelled"):
            self._counters.refused += 1
        self.send(encode(stream, Type.REFUSE, status=500, head=f"{error.code}\n{error.detail}".encode("latin-1")))

    def _spawn(self, work: Coroutine[Any, Any, None], stream: int) -> None:
        task = self._loop.create_task(self._guard(work, stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None], stream: int) -> None:
        try:
            await work
        except CallError as error:
            self._refuse(stream, error)
        except Exception:  # the room's door
            log.exception("a call to the cache")
            self._refuse(stream, CallError("storage", "the node could not do it"))
