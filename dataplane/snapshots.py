"""Consistent copies of database files, and putting one in the place of a database.

`take` and `prepare` run in a process of their own (`python -m dataplane.snapshots take|prepare SOURCE TARGET`), started
by the control API, because copying and checking a large file takes long and no database must wait for it. `take` reads
the file as one more reader of its write-ahead log: writers go on meanwhile, and the copy is the state of one moment,
that of its start. `swap` is the worker's, who has closed the file before.

At every step a crash leaves the database as it was or as it is to be, never without a file, and a target is complete
whenever it exists under its name.
"""

import ctypes as c
import logging
import os
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dataplane.engine import Engine, load
from dataplane.messages import SnapshotFailed, SnapshotTaken
from runtime import child
from runtime.framing import FD, encode

_OPEN_READWRITE = 0x2
_OPEN_READONLY = 0x1
_OPEN_URI = 0x40
_DBCONFIG_NO_CKPT_ON_CLOSE = 1006
_OK = 0
_ROW = 100
_DONE = 101
_ALL_PAGES = -1
_NICENESS = 10
_PARTIAL = ".partial"
log = logging.getLogger("brrrd.dataplane")


class SnapshotError(Exception):
    """A copy could not be made, or is not sound; the message says why."""


class _File:
    """A database file without the rules of `dataplane.connection`: nothing here comes from a tenant."""

    def __init__(self, path: Path, flags: int, query: str = "") -> None:
        self.engine: Engine = load()
        self.path = path
        self._handle = c.c_void_p()
        name = path.as_uri() + query if flags & _OPEN_URI else str(path)
        code = self.engine.open_v2(os.fsencode(name), c.byref(self._handle), flags, None)
        if code:
            error = self.error()
            self.engine.close_v2(self._handle)
            raise error

    @property
    def handle(self) -> int | None:
        return self._handle.value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.engine.close_v2(self._handle)

    def error(self) -> SnapshotError:
        """What the engine said last."""
        said = self.engine.errmsg(self._handle) if self._handle else b"out of memory"
        return SnapshotError(f"{self.path.name}: {said.decode('utf-8', 'replace')}")

    def first(self, sql: bytes) -> bytes:
        """Run a statement; the first column of its first row, or nothing."""
        engine = self.engine
        statement, tail = c.c_void_p(), c.c_void_p()
        text = c.create_string_buffer(sql)
        if engine.prepare_v3(self._handle, c.addressof(text), len(sql), 0, c.byref(statement), c.byref(tail)):
            raise self.error()
        try:
            code = engine.step(statement)
            if code == _DONE:
                return b""
            if code != _ROW:
                raise self.error()
            return c.string_at(engine.column_text(statement, 0), engine.column_bytes(statement, 0))
        finally:
            engine.finalize(statement)


def take(source: Path, target: Path) -> int:
    """Copy the database `source`, which may be in use, to the new file `target`; return its size in bytes.

    The file is checked, and on the disk, before it gets its name. A database that nobody has written to has no file
    and gives an empty one, which is a valid database. Raises `SnapshotError`, `OSError`.
    """
    draft = target.with_name(target.name + _PARTIAL)
    draft.unlink(missing_ok=True)
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if source.exists():
            _copy_pages(source, draft)
        return _finish(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def prepare(snapshot: Path, replacement: Path) -> int:
    """Copy a snapshot, which no one writes to, to where `swap` takes it from; return its size. Raises as `take`."""
    draft = replacement.with_name(replacement.name + _PARTIAL)
    draft.unlink(missing_ok=True)
    try:
        shutil.copyfile(snapshot, draft)
        draft.chmod(0o600)
        return _finish(draft, replacement)
    finally:
        draft.unlink(missing_ok=True)


def _copy_pages(source: Path, draft: Path) -> None:
    # Not VACUUM INTO: that renumbers rowids and makes indexes anew. Pages are copied as they are.
    with _File(source, _OPEN_READWRITE) as reader, _File(draft, _OPEN_READWRITE) as writer:
        engine = reader.engine
        # A reader leaves the write-ahead log alone, even if it is the last to go.
        engine.db_config(reader.handle, _DBCONFIG_NO_CKPT_ON_CLOSE, 1, None)
        reader.first(b"PRAGMA busy_timeout=10000")
        backup = engine.backup_init(writer.handle, b"main", reader.handle, b"main")
        if not backup:
            raise writer.error()
        # In one step, which is one read transaction: smaller ones begin anew whenever somebody has written.
        stepped = engine.backup_step(backup, _ALL_PAGES)
        finished = engine.backup_finish(backup)
        if stepped != _DONE or finished != _OK:
            raise writer.error()
        # The header says WAL, as that of the source: a single file is easier to hand around.
        writer.first(b"PRAGMA journal_mode=DELETE")


def _finish(draft: Path, target: Path) -> int:
    """Check a copy, put it on the disk and give it its name."""
    check(draft)
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    size = draft.stat().st_size
    draft.rename(target)
    sync_folder(target.parent)
    return size


def check(path: Path) -> None:
    """Raise `SnapshotError` if a file that nobody writes to is no sound database."""
    with _File(path, _OPEN_READONLY | _OPEN_URI, "?immutable=1") as file:
        found = file.first(b"PRAGMA integrity_check(1)")
    if found != b"ok":
        raise SnapshotError(f"{path.name} is damaged: {found.decode('utf-8', 'replace')}")


def swap(path: Path, replacement: Path, kept: Path) -> str | None:
    """Put `replacement` in the place of the database `path`, which nobody may have open; it lives on as `kept`.

    Returns why nothing was changed, or None. A crash before the last rename leaves a second name for the file that is
    in use, which `runtime.control.snapshots` recognises and removes. May be called again when whoever called it ended.
    """
    try:
        if kept.exists():
            if not replacement.exists():
                return None
            kept.unlink()
        path.touch(mode=0o600)  # a database that was never used has no file yet
        _empty_log(path)
        os.link(path, kept)
        try:
            sync_folder(kept.parent)
            replacement.rename(path)
        except OSError:
            kept.unlink()
            raise
        sync_folder(path.parent)
    except (OSError, SnapshotError) as error:
        log.error("%s was not replaced: %s", path, error)
        return str(error)
    return None


def _empty_log(path: Path) -> None:
    """Move what is in the write-ahead log to the file, and remove the log: it must not be applied to another file."""
    wal, shm = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if wal.exists() and wal.stat().st_size:
        with _File(path, _OPEN_READWRITE) as file:
            file.first(b"PRAGMA busy_timeout=2000")
            file.first(b"PRAGMA synchronous=FULL")
            if file.first(b"PRAGMA wal_checkpoint(TRUNCATE)") != b"0":
                raise SnapshotError("the database is being read by another process; try again")
        if wal.exists() and wal.stat().st_size:
            raise SnapshotError("the write-ahead log could not be emptied")
    wal.unlink(missing_ok=True)
    shm.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(arguments: list[str]) -> None:
    """Run one copy and tell the control channel how it went."""
    child.follow_supervisor()
    os.nice(_NICENESS)
    control = socket.socket(fileno=FD)
    work = {"take": take, "prepare": prepare}[arguments[0]]
    answer: Any
    try:
        answer = SnapshotTaken(work(Path(arguments[1]), Path(arguments[2])))
    except (SnapshotError, OSError) as error:
        answer = SnapshotFailed(str(error))
    with suppress(OSError):
        control.sendall(encode(answer))
        # Until the other side has read it: who waits for the end of a process may miss its last words.
        control.recv(1)


if __name__ == "__main__":
    main(sys.argv[1:])
