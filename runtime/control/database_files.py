"""What the files of a database say of it, read from outside while it is used. Must never open it, or lock anything.

The write-ahead log is never cut while the database is open: when all of it has been copied into the database file, new
frames overwrite old ones. So where it stands is not in its size but in the wal-index, the `-shm` file
(https://sqlite.org/walformat.html#the_wal_index_file_format), which is mapped memory of the database worker.
"""

import struct
from pathlib import Path
from typing import NamedTuple

WAL_HEADER = struct.Struct(">8I")
"""Magic, version, page size, checkpoint sequence number, two salts, two checksums."""
INDEX_HEADER = struct.Struct("=IIIBBHII24x")
"""Version, unused, change counter, whether it is set up, byte order of checksums, page size, valid frames, pages."""
INDEX_COPIED = struct.Struct("=I")
"""Frames copied into the database file, behind two copies of the header."""


class FileFacts(NamedTuple):
    """What the files of a database say."""

    storage_bytes: int
    """Of database and log. The wal-index is not counted: it is memory, of the same size whatever is stored."""
    generation: int
    """Checkpoint sequence number of the write-ahead log."""
    frames: int
    """Valid frames in the log."""
    checkpointed: int
    """How many of them are in the database file as well."""
    page_bytes: int


def facts(folder: Path) -> FileFacts:
    """Read the files in a database's folder; zeros for what is not there."""
    storage = generation = frames = checkpointed = page = 0
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        try:
            storage += 0 if file.name.endswith("-shm") else file.stat().st_size
            if file.name.endswith("-wal"):
                with file.open("rb") as stream:
                    header = stream.read(WAL_HEADER.size)
                if len(header) == WAL_HEADER.size:
                    _, _, page, generation, *_ = WAL_HEADER.unpack(header)
            elif file.name.endswith("-shm"):
                with file.open("rb") as stream:
                    frames, checkpointed = index(stream.read(2 * INDEX_HEADER.size + INDEX_COPIED.size))
        except FileNotFoundError:
            continue  # the last connection was closed meanwhile, which takes it away
    return FileFacts(storage, generation, frames, checkpointed, page)


def written(database: Path) -> float | None:
    """Return the Unix time at which a database was last written to, by its files; None if it has none.

    A log without a frame does not count: opening a database makes one, though it be to read.
    """
    found = None
    for file in (database, database.with_name(database.name + "-wal")):
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        if status.st_size:
            found = max(status.st_mtime, found or 0.0)
    return found


def index(data: bytes) -> tuple[int, int]:
    """Valid frames, and how many are copied, from the start of a wal-index; zeros while it is being set up."""
    if len(data) < 2 * INDEX_HEADER.size + INDEX_COPIED.size:
        return 0, 0
    _, _, _, is_set_up, _, _, frames, _ = INDEX_HEADER.unpack_from(data)
    (copied,) = INDEX_COPIED.unpack_from(data, 2 * INDEX_HEADER.size)
    return (frames, min(copied, frames)) if is_set_up else (0, 0)
