"""One stream of a host's connection: the frames of an answer, and its flow-control window.

`Answering` sends the body of an entry, `Storing` takes that of a new one. Small bodies need neither: they come and go
in one frame.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from isolates.wire import END, GRANT_BYTES, MAX_DATA_BYTES, WINDOW_BYTES, Type, encode
from router.cache.calls import CallError
from router.cache.changes import New
from router.cache.matching import Part
from router.cache.store import Store

INLINE_BYTES = MAX_DATA_BYTES
"""Bodies up to this size are in the index."""
READ_BYTES = 4 * MAX_DATA_BYTES
IDLE_SECONDS = 60.0
"""How long a body that is being stored may bring nothing."""


class Sender(Protocol):
    """What an exchange needs of its connection."""

    def send(self, frame: bytes) -> None:
        """Queue a frame."""

    def finished(self, stream: int) -> None:
        """Forget the exchange."""

    async def writable(self) -> None:
        """Wait until the other side has read most of what was sent."""


class Exchange:
    """Base of both: a task that the connection starts. It is never cancelled, since threads use its descriptor."""

    def __init__(self, sender: Sender, stream: int, store: Store, app_id: str) -> None:
        self._sender = sender
        self._stream = stream
        self._store = store
        self._app_id = app_id
        self._woken = asyncio.Event()
        self._failure: CallError | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._stream}>"

    def give_up(self) -> None:
        """The host, or the app in it, wants no more of it."""
        self._failure = CallError("cancelled")
        self._woken.set()

    def take_body(self, data: bytes, end: bool) -> None:
        """A DATA frame of the host."""

    def take_window(self, count: int) -> None:
        """A WINDOW frame of the host."""

    async def run(self) -> None:
        """Do all of it."""
        raise NotImplementedError


class Answering(Exchange):
    """Sends `part` of the file that `descriptor` is open on, behind the response's head, which has left."""

    def __init__(self, sender: Sender, stream: int, store: Store, app_id: str, descriptor: int, part: Part) -> None:
        super().__init__(sender, stream, store, app_id)
        self._descriptor = descriptor
        self._at = part.start
        self._end = part.start + part.length
        self._window = WINDOW_BYTES

    def take_window(self, count: int) -> None:
        self._window += count
        self._woken.set()

    async def run(self) -> None:
        try:
            while self._at < self._end:
                if self._failure is not None:
                    raise self._failure
                await self._sender.writable()
                self._woken.clear()
                count = min(self._window, self._end - self._at, READ_BYTES)
                if count < min(MAX_DATA_BYTES, self._end - self._at):
                    await self._woken.wait()
                    continue
                self._send(await self._store.read(lambda: os.pread(self._descriptor, count, self._at)))  # noqa: B023
        except CallError as error:
            self._sender.send(encode(self._stream, Type.CANCEL, flags=END, head=error.detail.encode("latin-1")))
        finally:
            os.close(self._descriptor)
            self._sender.finished(self._stream)

    def _send(self, data: bytes) -> None:
        if not data:
            raise CallError("storage", "the body of the cache entry is incomplete")
        self._window -= len(data)
        for start in range(0, len(data), MAX_DATA_BYTES):
            piece = data[start : start + MAX_DATA_BYTES]
            self._at += len(piece)
            flags = END if self._at == self._end else 0
            self._sender.send(encode(self._stream, Type.DATA, flags=flags, data=piece))


class Storing(Exchange):
    """Takes the body of a new entry: into memory while it is small, then into a file. `make` gives the entry."""

    def __init__(
        self,
        sender: Sender,
        stream: int,
        store: Store,
        app_id: str,
        make: Callable[[int, bytes | None, str | None], New],
        done: Callable[[int, CallError | None], None],
    ) -> None:
        super().__init__(sender, stream, store, app_id)
        self._make = make
        self._done = done
        self._arrived: list[bytes] = []
        self._ended = False
        self._held = 0
        self._size = 0
        self._granted = 0
        self._file: str | None = None
        self._descriptor = -1

    def take_body(self, data: bytes, end: bool) -> None:
        if self._failure is not None or self._ended:
            return
        self._held += len(data)
        self._ended = end
        self._woken.set()
        try:
            if self._held > WINDOW_BYTES:
                raise CallError("protocol", "more of the body was sent than the window allows")
            self._store.reserve(self._app_id, self._size + len(data), len(data))
        except CallError as error:
            self._failure = error
            return
        self._size += len(data)
        if data:
            self._arrived.append(data)

    async def run(self) -> None:
        failure: CallError | None = None
        stored = False
        try:
            body = await self._receive()
            await self._store.insert(self._app_id, self._make(self._size, body, self._file))
            stored = True
        except CallError as error:
            failure = error
        except TimeoutError:
            failure = CallError("timeout", f"the body to store brought nothing for {IDLE_SECONDS:.0f} s")
        finally:
            self._store.release(self._app_id, self._size)
            self._close(keep=stored)
            self._sender.finished(self._stream)
        self._done(self._stream, failure)

    async def _receive(self) -> bytes | None:
        """Take all of the body; returns it if it is small. Raises `CallError`, `TimeoutError`."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._ended and self._file is None and self._size <= INLINE_BYTES:
                return b"".join(self._arrived)
            if self._arrived and (self._file is not None or self._size > INLINE_BYTES):
                await self._write()
            elif self._ended:
                await self._store.write(lambda: os.fdatasync(self._descriptor))
                return None
            else:
                self._woken.clear()
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._woken.wait()

    async def _write(self) -> None:
        if self._file is None:
            self._file = self._store.new_file()
            path = self._store.path(self._file)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            self._descriptor = await self._store.write(lambda: os.open(path, flags, 0o600))
        data, self._arrived = b"".join(self._arrived), []
        await self._store.write(lambda: _write_all(self._descriptor, data))
        self._held -= len(data)
        self._granted += len(data)
        if self._granted >= GRANT_BYTES and not self._ended:
            self._sender.send(encode(self._stream, Type.WINDOW, data=self._granted.to_bytes(4, "little")))
            self._granted = 0

    def _close(self, *, keep: bool) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if self._file is not None and not keep:
            self._store.path(self._file).unlink(missing_ok=True)


class Listing(Exchange):
    """The window of a list."""

    _window = WINDOW_BYTES

    def take_window(self, count: int) -> None:
        self._window += count
        self._woken.set()

    async def may_send(self, count: int) -> bool:
        """Wait until there is a window for so many bytes; False: nobody wants them."""
        while self._failure is None and self._window < count:
            self._woken.clear()
            await self._woken.wait()
        self._window -= count
        return self._failure is None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
