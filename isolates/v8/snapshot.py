"""A start-up snapshot: a V8 heap in which the web platform has already been evaluated.

An isolate made from one is ready in a few milliseconds instead of the time it takes to evaluate the bundle. Some
scripts make V8 abort while the snapshot is taken, so that is done in a forked child of a process that has no isolate;
if it fails, the caller evaluates the bundle in each isolate.
"""

import contextlib
import ctypes
import hashlib
import mmap
import os
import select
import signal
import sys
import time
from pathlib import Path

from isolates.v8.engine import Engine
from isolates.v8.symbols import VERSION, StartupData

_KEEP_FUNCTION_CODE = 1
_MAKE_SECONDS = 30.0


class Snapshot:
    """A snapshot mapped into memory, shared by every process forked from this one."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # A private mapping: writable as ctypes demands, yet its pages stay those of the file.
            self._map = mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._view = (ctypes.c_char * size).from_buffer(self._map)
        self._data = StartupData(ctypes.addressof(self._view), size)
        self.path = path
        self.address = ctypes.addressof(self._data)

    def __repr__(self) -> str:
        return f"<Snapshot {self.path.name}, {self._data.raw_size} bytes>"


def cached(engine: Engine, source: bytes, rehearsal: bytes, folder: Path) -> Snapshot | None:
    """Return the snapshot of a classic script, made now unless `folder` holds it; None if V8 cannot make one.

    `rehearsal` is a script that uses what `source` made, in a context that is thrown away: the snapshot then holds the
    compiled code of all functions that it called. If it fails, or is empty, there is a snapshot without. The file's
    name carries the digest of scripts and engine, so another version never reads it.
    """
    digest = hashlib.sha256(b"\0".join((VERSION.encode(), engine.name.encode(), source, rehearsal))).hexdigest()[:32]
    path = folder / f"platform-{digest}.snapshot"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{path.name}.{os.getpid()}"
        made = _make(engine, source, rehearsal, partial)
        if not made and rehearsal:
            made = _make(engine, source, b"", partial)
            if made:
                print("V8 could not rehearse the platform: first requests will be slower", file=sys.stderr, flush=True)
        if not made:
            partial.unlink(missing_ok=True)
            return None
        partial.rename(path)
    return Snapshot(path)


def _make(engine: Engine, source: bytes, rehearsal: bytes, path: Path) -> bool:
    """Write the snapshot of `source` to `path` in a forked child; tell whether that worked."""
    child = os.fork()
    if child == 0:
        try:
            blob = engine.create_snapshot(_KEEP_FUNCTION_CODE, source, 0)
            if blob.data and rehearsal:
                blob = engine.warm_up_snapshot(blob, rehearsal)
            if blob.data:
                path.write_bytes(ctypes.string_at(blob.data, blob.raw_size))
                os._exit(0)
        finally:
            os._exit(1)
    return _wait(child, _MAKE_SECONDS) == 0


def _wait(child: int, seconds: float) -> int:
    """Return the child's exit code, negative for a signal; kill it after `seconds`."""
    descriptor = os.pidfd_open(child)
    try:
        deadline = time.monotonic() + seconds
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            _readable(descriptor, 1.0)
    finally:
        os.close(descriptor)


def _readable(descriptor: int, seconds: float) -> None:
    select.select([descriptor], [], [], seconds)
