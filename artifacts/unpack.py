"""Unpacking a package (.tar.zst) from anybody into an empty directory.

Called by `artifacts.store`, in a thread. Whatever is in the archive, it must never write outside the directory, create
anything but regular files and directories, use more memory than a few chunks, or exceed its limits by more than one
chunk; the caller removes the directory when this raises.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from artifacts.errors import no_space, unsafe
from artifacts.paths import PathSet, checked_path, quoted
from artifacts.tar import TarReader
from artifacts.zst import ZstdSource

ENTRY_OVERHEAD_BYTES = 4096
"""Of the archive's own bytes, allowed per entry: header, extended header, padding."""


class StoreLimits(msgspec.Struct, frozen=True):
    """What one package may have; the operator's settings."""

    packed_bytes: int = 256 << 20
    """Size of the upload. 413 over it."""
    unpacked_bytes: int = 1 << 30
    """Sum of the sizes of all files. 422 over it."""
    files: int = 50_000
    """Files and directories together. 422 over it."""
    ratio: int = 250
    """How many times larger than the upload the content may be, once it is over 32 MiB. Real builds stay under 30."""


class UnpackedFile(NamedTuple):
    """One file that was written."""

    size: int
    sha256: bytes


class Unpacked(NamedTuple):
    """All that was written: files by path, relative and with forward slashes."""

    files: dict[str, UnpackedFile]
    total_bytes: int


def unpack(package: Path, directory: Path, limits: StoreLimits) -> Unpacked:
    """Unpack the file `package` into the existing, empty `directory`. Raises `PackageError`. Blocks."""
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(root, 0o755)
        with package.open("rb") as file:
            return _unpack(file, root, limits)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space() from None
        raise
    finally:
        os.close(root)


def _unpack(package: BinaryIO, root: int, limits: StoreLimits) -> Unpacked:
    max_bytes = limits.unpacked_bytes + limits.files * ENTRY_OVERHEAD_BYTES + (2 << 20)
    source = ZstdSource(package, max_bytes=max_bytes, max_ratio=limits.ratio)
    reader = TarReader(source.read)
    paths = PathSet()
    files: dict[str, UnpackedFile] = {}
    total = 0
    while (entry := reader.next()) is not None:
        path = checked_path(entry.name)
        if not path and not entry.is_directory:
            raise unsafe(f"the file {quoted(entry.name)} has no name")
        missing = paths.add_directory(path) if entry.is_directory else paths.add_file(path)
        if len(paths) > limits.files:
            raise unsafe(f"more than {limits.files:,} files and directories")
        for directory in missing:
            os.mkdir(directory, 0o755, dir_fd=root)
            os.chmod(directory, 0o755, dir_fd=root)  # noqa: S103 whatever the umask: see _write
        if entry.is_directory:
            continue
        total += entry.size
        if total > limits.unpacked_bytes:
            raise unsafe(f"its files have more than {limits.unpacked_bytes:,} bytes")
        files[path] = UnpackedFile(entry.size, _write(path, root, reader.content()))
    return Unpacked(files, total)


def _write(path: str, root: int, content: Iterator[bytes]) -> bytes:
    """Create the file and return its SHA-256. Nothing may be there yet, and no link is followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, flags, 0o644, dir_fd=root), "wb") as file:
        # Isolate hosts may run as another user. Nobody else gets here: the folders above are closed.
        os.fchmod(file.fileno(), 0o644)
        for chunk in content:
            digest.update(chunk)
            file.write(chunk)
    return digest.digest()
