"""Logs of apps for their owners: one file of JSON lines per app with rotation, the newest lines in memory, followers.

The supervisor writes (`write`), the control API reads (`tail`, `follow`). Memory and disk per app are bounded; a
follower that reads too slowly loses lines and is told how many.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import msgspec

from isolates.messages import Log

FILE_BYTES = 10_000_000
FILES = 3
LINES_IN_MEMORY = 1000
BYTES_IN_MEMORY = 512 << 10
"""Of one app: a thousand lines of the longest kind are a hundred megabytes."""
MAX_MESSAGE_CHARACTERS = 65_536
FOLLOWER_LINES = 1000
FLUSH_SECONDS = 0.2
REMOVED_REMEMBERED = 1000
"""Deleted apps whose requests in flight may still have something to say."""


class Line(msgspec.Struct, frozen=True):
    """One line as it is kept and sent."""

    time: float
    """Seconds since the epoch."""
    level: str
    request_id: str
    build_id: str
    message: str


_encode = msgspec.json.Encoder().encode


class _AppLog:
    """One app's file and the newest lines of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: deque[bytes] = deque()
        self._bytes = 0
        for line in _last_lines(path, LINES_IN_MEMORY):
            self._remember(line)
        self.file: BinaryIO = path.open("ab")
        self.size = self.file.tell()

    def append(self, line: bytes) -> None:
        if self.size + len(line) > FILE_BYTES:
            self.rotate()
        self.file.write(line)
        self.size += len(line)
        self._remember(line)

    def _remember(self, line: bytes) -> None:
        self.lines.append(line)
        self._bytes += len(line)
        while len(self.lines) > LINES_IN_MEMORY or (self._bytes > BYTES_IN_MEMORY and len(self.lines) > 1):
            self._bytes -= len(self.lines.popleft())

    def rotate(self) -> None:
        self.file.close()
        for number in range(FILES - 2, 0, -1):
            older = self.path.with_suffix(f".log.{number}")
            if older.exists():
                older.rename(self.path.with_suffix(f".log.{number + 1}"))
        with contextlib.suppress(FileNotFoundError):  # somebody took it away
            self.path.rename(self.path.with_suffix(".log.1"))
        self.file = self.path.open("ab")
        self.size = 0

    def delete(self) -> None:
        self.file.close()
        for file in self.path.parent.glob(self.path.name + "*"):
            file.unlink(missing_ok=True)


class AppLogs:
    """Logs of all apps, in `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._apps: dict[str, _AppLog] = {}
        self._followers: dict[str, set[_Follower]] = {}
        self._removed: dict[str, None] = {}
        self._flush: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<AppLogs {len(self._apps)} open, {sum(map(len, self._followers.values()))} followers>"

    def write(self, app_id: str, build_id: str, line: Log) -> None:
        """Keep a line and hand it to whoever follows. A full disk loses lines, never the node."""
        if app_id in self._removed:
            return
        message = line.message
        if len(message) > MAX_MESSAGE_CHARACTERS:
            message = message[:MAX_MESSAGE_CHARACTERS] + f"… ({len(message) - MAX_MESSAGE_CHARACTERS} characters cut)"
        encoded = _encode(Line(line.time, line.level, line.request_id, build_id, message)) + b"\n"
        with contextlib.suppress(OSError):
            self._app(app_id).append(encoded)
        for follower in self._followers.get(app_id, ()):
            follower.put(encoded)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_all)

    def tail(self, app_id: str, limit: int) -> list[bytes]:
        """The newest lines, oldest first, at most `limit` and what of them is in memory."""
        lines = self._app(app_id).lines
        return [lines[index] for index in range(max(0, len(lines) - limit), len(lines))]

    async def follow(self, app_id: str, limit: int) -> AsyncIterator[bytes]:
        """The newest lines, then every further one; an empty one now and then, so that a dead reader is noticed."""
        follower = _Follower()
        followers = self._followers.setdefault(app_id, set())
        followers.add(follower)
        try:
            for line in self.tail(app_id, limit):
                yield line
            async for line in follower.lines():
                yield line
        finally:
            followers.discard(follower)

    def end_following(self) -> None:
        """The node is stopping: let every follower end with the lines it has."""
        for followers in self._followers.values():
            for follower in followers:
                follower.end()

    def remove(self, app_id: str) -> None:
        """The app was deleted. What its last requests say is nobody's any more."""
        self._removed[app_id] = None
        if len(self._removed) > REMOVED_REMEMBERED:
            del self._removed[next(iter(self._removed))]
        for follower in self._followers.pop(app_id, ()):
            follower.end()
        log = self._apps.pop(app_id, None) or _AppLog(self._path(app_id))
        log.delete()

    def close(self) -> None:
        """Write out what is buffered."""
        if self._flush is not None:
            self._flush.cancel()
        for log in self._apps.values():
            with contextlib.suppress(OSError):
                log.file.close()
        self._apps.clear()

    def _path(self, app_id: str) -> Path:
        return self._directory / f"{app_id}.log"

    def _app(self, app_id: str) -> _AppLog:
        log = self._apps.get(app_id)
        if log is None:
            log = self._apps[app_id] = _AppLog(self._path(app_id))
        return log

    def _flush_all(self) -> None:
        self._flush = None
        for log in self._apps.values():
            with contextlib.suppress(OSError):
                log.file.flush()


class _Follower:
    """A bounded queue to one reader."""

    HEARTBEAT_SECONDS = 15.0

    def __init__(self) -> None:
        # One place more than `put` fills, for the end.
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(FOLLOWER_LINES + 1)
        self._lost = 0

    def put(self, line: bytes) -> None:
        if self._queue.qsize() < FOLLOWER_LINES:
            self._queue.put_nowait(line)
        else:
            self._lost += 1

    def end(self) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)

    async def lines(self) -> AsyncIterator[bytes]:
        while True:
            try:
                line = await asyncio.wait_for(self._queue.get(), self.HEARTBEAT_SECONDS)
            except TimeoutError:
                yield b"\n"
                continue
            if line is None:
                return
            yield line
            if self._lost and self._queue.empty():
                lost, self._lost = self._lost, 0
                time = msgspec.json.decode(line, type=Line).time
                yield _encode(Line(time, "warn", "", "", f"{lost} lines were left out: the reader is too slow")) + b"\n"


def _last_lines(path: Path, count: int) -> list[bytes]:
    """The last complete lines of a file, from its last megabyte."""
    try:
        with FileIO(path, "r") as file:
            size = file.seek(0, 2)
            start = file.seek(max(0, size - 1_000_000))
            lines = file.readall().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    if start:
        del lines[:1]
    return [line for line in lines[-count:] if line.endswith(b"\n")]
