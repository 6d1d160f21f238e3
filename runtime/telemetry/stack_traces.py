"""Stack traces of apps, told in their sources: `file:///worker.js:1:2345` in a line becomes `src/index.ts:12:5`.

Lines of apps pass through here on their way to the logs (`runtime.telemetry.reports`), and the place of a refused
build does (`runtime.control.deployments`). Source maps are looked for when a trace first names a file that may have
one: one at a time on the node, small ones in a thread, large ones in a process of their own. What was read is kept
while it is in use, within bounds. A line that has to wait for that holds back the lines of its app behind it, for a
bounded time; the event loop does not wait.

A line's text is the app's: whatever it names, only files of its own package are read.
"""

import asyncio
import logging
import os
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from artifacts.errors import PackageError
from artifacts.paths import checked_path
from isolates.messages import Log
from runtime.source_map_reader import read_elsewhere
from runtime.source_maps import MAX_MAP_BYTES, Position, SourceMap, SourceMapError, inline_map, map_path, map_reference

CACHE_BYTES = 64 << 20
ENTRY_BYTES = 200
"""What is kept of a file without a map."""
READ_SECONDS = 20.0
"""For one map."""
SMALL_BYTES = 64 << 10
"""A map of this size is decoded in a few tens of milliseconds, about as long as a process takes to start."""
WAIT_SECONDS = 10.0
"""For all maps of one line. What takes longer is there for later lines."""
REST_FACTOR = 4
"""After reading maps for t seconds, an app reads none for this many times t."""
REST_FREE_SECONDS = 2.0
"""Reading that took less needs no rest."""
LINES_WAITING = 1000
PLACES_PER_LINE = 200

_PLACE = re.compile(r"file:///([^\s()<>\"':]{1,1024}+):(\d{1,7}+):(\d{1,9}+)")
"""As V8 writes a place. It never looks at a character twice, so that no line can keep the event loop busy."""

log = logging.getLogger("brrrd.logs")


class _Line(NamedTuple):
    build_id: str
    directory: str
    line: Log


class _Read(NamedTuple):
    """How looking for a map went."""

    seconds: float
    wrong: str | None
    """For the app's owner."""


class _MapFile(NamedTuple):
    path: str
    """In the package; sources are relative to it."""
    content: bytes


class Maps:
    """Source maps of unpacked builds, by folder and path; the least recently used go first."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._found: OrderedDict[tuple[str, str], SourceMap | None] = OrderedDict()
        self._size = 0
        self._cache_bytes = cache_bytes
        self._reading: dict[tuple[str, str], asyncio.Task[_Read]] = {}
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Maps {len(self._found)} files, {self._size} bytes>"

    def knows(self, directory: str, path: str) -> bool:
        """Whether `find` can tell about a file; if not, `read` comes first."""
        return (directory, path) in self._found

    def find(self, directory: str, path: str, line: int, column: int) -> Position | None:
        """The source of a place in a file whose map was read."""
        source_map = self._found.get((directory, path))
        if source_map is None:
            return None
        self._found.move_to_end((directory, path))
        return source_map.find(line, column)

    async def read(self, directory: str, path: str) -> "_Read":
        """Look for the map of a file. That goes on, and its result is kept, when the caller is cancelled."""
        key = (directory, path)
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.get_running_loop().create_task(self._read(directory, path))
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)

    async def _read(self, directory: str, path: str) -> "_Read":
        async with self._one_at_a_time:
            if self.knows(directory, path):
                return _Read(0.0, None)
            start = time.monotonic()
            try:
                found, wrong = await _find_map(Path(directory), path), None
            except SourceMapError as error:
                found, wrong = None, f"The source map of {path} cannot be used: {error}."
            self._keep((directory, path), found)
            return _Read(time.monotonic() - start, wrong)

    def _keep(self, key: tuple[str, str], found: SourceMap | None) -> None:
        self._found[key] = found
        self._size += _cost(found)
        while self._size > self._cache_bytes and len(self._found) > 1:
            _, oldest = self._found.popitem(last=False)
            self._size -= _cost(oldest)


class StackTraces:
    """Maps the lines of all apps and gives them to `write(app_id, build_id, line)`, those of one app in their order."""

    def __init__(self, write: Callable[[str, str, Log], None]) -> None:
        self._write = write
        self._maps = Maps()
        self._waiting: dict[str, deque[_Line]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._rest_until: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<StackTraces {self._maps!r}, {sum(map(len, self._waiting.values()))} lines waiting>"

    def line(self, app_id: str, build_id: str, directory: str, line: Log) -> None:
        """Take a line of an app whose build is unpacked in `directory`."""
        entry = _Line(build_id, directory, line)
        waiting = self._waiting.get(app_id)
        if waiting is not None:
            waiting.append(entry)
            if len(waiting) > LINES_WAITING:
                self._give_up(app_id)
        elif self._is_ready(app_id, entry):
            self._write(app_id, build_id, self._mapped(entry))
        else:
            self._waiting[app_id] = deque([entry])
            self._tasks[app_id] = asyncio.get_running_loop().create_task(self._serve(app_id))

    async def place(self, app_id: str, directory: str, file: str, line: int, column: int) -> Position | None:
        """The source of one place in a build."""
        path = _path(file)
        if path is None:
            return None
        await self._read(app_id, directory, [path])
        return self._maps.find(directory, path, line, column)

    def forget(self, app_id: str) -> None:
        """The app was deleted: its lines lead nowhere."""
        self._rest_until.pop(app_id, None)
        self._waiting.pop(app_id, None)
        task = self._tasks.pop(app_id, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Write out the lines that wait, as they are."""
        for app_id in list(self._waiting):
            self._give_up(app_id)

    def _is_ready(self, app_id: str, entry: _Line) -> bool:
        if "file:///" not in entry.line.message:
            return True
        return not self._unknown(entry) or time.monotonic() < self._rest_until.get(app_id, 0)

    def _unknown(self, entry: _Line) -> list[str]:
        """Files that the line names and whose maps were not looked for."""
        paths = dict.fromkeys(_path(found[1]) for found in _places(entry.line.message))
        return [path for path in paths if path is not None and not self._maps.knows(entry.directory, path)]

    async def _serve(self, app_id: str) -> None:
        """Write the waiting lines of one app, each when its maps were read."""
        waiting = self._waiting[app_id]
        try:
            while waiting:
                entry = waiting[0]
                if not self._is_ready(app_id, entry):
                    for wrong in await self._read(app_id, entry.directory, self._unknown(entry)):
                        warning = Log(entry.line.time, "warn", entry.line.request_id, wrong)
                        self._write(app_id, entry.build_id, warning)
                waiting.popleft()
                self._write(app_id, entry.build_id, self._mapped(entry))
            del self._waiting[app_id], self._tasks[app_id]
        except Exception:
            log.exception("mapping stack traces failed; lines of %s are written as they are", app_id)
            self._give_up(app_id)

    async def _read(self, app_id: str, directory: str, paths: Iterable[str]) -> list[str]:
        """Read maps while there is time; what is left out is looked for with a later line."""
        wrong = []
        took = 0.0
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                for path in paths:
                    read = await self._maps.read(directory, path)
                    took += read.seconds
                    if read.wrong is not None:
                        wrong.append(read.wrong)
        except TimeoutError:
            took += WAIT_SECONDS
        if took > REST_FREE_SECONDS:
            self._rest_until[app_id] = time.monotonic() + took * REST_FACTOR
        return wrong

    def _give_up(self, app_id: str) -> None:
        waiting = self._waiting.pop(app_id, None)
        task = self._tasks.pop(app_id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        for entry in waiting or ():
            self._write(app_id, entry.build_id, entry.line)

    def _mapped(self, entry: _Line) -> Log:
        message = entry.line.message
        if "file:///" not in message:
            return entry.line

        def source(found: re.Match[str]) -> str:
            path = _path(found[1])
            place = self._maps.find(entry.directory, path, int(found[2]), int(found[3])) if path is not None else None
            return found[0] if place is None else f"{place.file}:{place.line}:{place.column}"

        return msgspec.structs.replace(entry.line, message=_PLACE.sub(source, message, count=PLACES_PER_LINE))


def _places(message: str) -> Iterable[re.Match[str]]:
    for number, found in enumerate(_PLACE.finditer(message)):
        if number == PLACES_PER_LINE:
            return
        yield found


@lru_cache(maxsize=1024)
def _path(name: str) -> str | None:
    """The path in the package that a module's URL names, or None if no package can have it."""
    try:
        return checked_path(unquote(name)) or None
    except (PackageError, UnicodeEncodeError):
        return None


async def _find_map(directory: Path, path: str) -> SourceMap | None:
    """Find and decode the map of a file. None: it has none. Raises `SourceMapError`."""
    file = await asyncio.to_thread(_map_file, directory, path)
    if file is None:
        return None
    if len(file.content) > SMALL_BYTES:
        return await read_elsewhere(file.content, file.path, READ_SECONDS)
    return await asyncio.to_thread(SourceMap.parse, file.content, file.path, time.monotonic() + READ_SECONDS)


def _map_file(directory: Path, path: str) -> "_MapFile | None":
    built = _content(directory, path)
    if built is None:
        return None
    url = map_reference(built)
    place = path
    content = inline_map(url) if url is not None else None
    if content is None:
        named = _path(map_path(path, url))
        if named is None:
            return None
        place, content = named, _content(directory, named)
    return _MapFile(place, content) if content is not None else None


def _content(directory: Path, path: str) -> bytes | None:
    """A file of the package, whose files are regular ones; None if it is not there. Raises `SourceMapError`."""
    limit = 2 * MAX_MAP_BYTES
    try:
        with (directory / path).open("rb") as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise SourceMapError(f"{path} is larger than {limit >> 20} MiB")
            return file.read(limit)
    except OSError:
        return None


def _cost(found: SourceMap | None) -> int:
    return ENTRY_BYTES + (found.size if found is not None else 0)
