"""Packing a folder into a package (.tar.zst), as the command line does before it uploads.

The same files give the same bytes, so that the store knows an unchanged build again: entries are sorted, and owners,
times and modes are fixed. Symbolic links that stay inside the folder are packed as what they point to, as a node takes
regular files only.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard

from artifacts.errors import PackageError
from artifacts.manifest import FILE_NAME
from artifacts.paths import PathSet, checked_path, quoted

LEVEL = 9
"""Above this, zstd gains little on bundles and costs whole seconds."""

CHUNK_BYTES = 256 << 10
SKIPPED = frozenset([".git", ".hg", ".svn", ".DS_Store", ".brrrd"])
"""Names never packed, wherever they are: version control, litter and data of `brrrd dev`, never part of a build."""


class _Source(NamedTuple):
    path: str
    """In the package; a directory's ends with a slash."""
    file: Path
    size: int


class Packing(Iterator[bytes]):
    """The bytes of a package in order, made while they are taken.

    `total_bytes` and `done_bytes` count content before compression, for a progress bar; `files` counts files.
    """

    def __init__(self, directory: Path, manifest: Path | None = None) -> None:
        self._sources = list(_walk(directory))
        if manifest is not None:
            others = [source for source in self._sources if source.path != FILE_NAME]
            self._sources = [_Source(FILE_NAME, manifest, manifest.stat().st_size), *others]
        self.files = sum(not source.path.endswith("/") for source in self._sources)
        self.total_bytes = sum(source.size for source in self._sources)
        self.done_bytes = 0
        self._chunks = self._packed()

    def __iter__(self) -> "Packing":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def __repr__(self) -> str:
        return f"<Packing [{self.files} files, {self.done_bytes}/{self.total_bytes} bytes]>"

    def _packed(self) -> Iterator[bytes]:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).chunker(chunk_size=CHUNK_BYTES)
        for piece in self._tar():
            yield from compressor.compress(piece)
        yield from compressor.finish()  # type: ignore[no-untyped-call]

    def _tar(self) -> Iterator[bytes]:
        for source in self._sources:
            yield _header(source)
            if not source.path.endswith("/"):
                yield from self._content(source)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _content(self, source: _Source) -> Iterator[bytes]:
        left = source.size
        with source.file.open("rb") as file:
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                self.done_bytes += len(chunk)
                yield chunk
            if left or file.read(1):
                raise _refused(f"{quoted(source.path)} changed while it was packed; try again when the build is done")
        yield bytes(-source.size % tarfile.BLOCKSIZE)


def pack(directory: Path | str, manifest: Path | None = None) -> Packing:
    """Return the package of a folder as an iterator of bytes with its totals.

    The file `manifest` becomes its `brrrd.json`, in the place of one that is there.

    Raises `PackageError` if the folder is missing or empty, or holds what a node would refuse; while it is iterated,
    if a file changes meanwhile, and `OSError` if one cannot be read.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise _refused(f"{folder} is not a folder")
    if manifest is not None and not manifest.is_file():
        raise _refused(f"{manifest} is not a file")
    packing = Packing(folder.resolve(), manifest)
    if not packing.files:
        raise _refused(f"{folder} has no files")
    return packing


def _walk(root: Path) -> Iterator[_Source]:
    """Yield directories and files in order of their paths, what is wrong with a name found before anything is sent."""
    seen = PathSet()
    pending: list[tuple[str, Path, frozenset[Path]]] = [("", root, frozenset([root]))]
    while pending:
        prefix, directory, above = pending.pop()
        inner: list[tuple[str, Path, frozenset[Path]]] = []
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.name in SKIPPED:
                continue
            path, file = prefix + entry.name, Path(entry.path)
            if entry.is_symlink():
                file = _followed(path, file, root)
            _check_encoding(path)
            checked_path(path)
            if file.is_dir():
                if file in above:
                    raise _refused(f"the link {quoted(path)} leads in a circle")
                seen.add_directory(path)
                yield _Source(path + "/", file, 0)
                inner.append((path + "/", file, above | {file}))
            elif file.is_file():
                seen.add_file(path)
                yield _Source(path, file, file.stat().st_size)
            else:
                raise _refused(f"{quoted(path)} is not a regular file")
        pending += reversed(inner)


def _followed(path: str, link: Path, root: Path) -> Path:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        raise _refused(f"the link {quoted(path)} leads nowhere") from None
    if not target.is_relative_to(root):
        raise _refused(f"the link {quoted(path)} leads out of the folder, to {target}; copy the file instead")
    return target


def _check_encoding(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise _refused(f"the name {quoted(path)} is not UTF-8") from None


def _header(source: _Source) -> bytes:
    info = tarfile.TarInfo(source.path)
    is_directory = source.path.endswith("/")
    info.type = tarfile.DIRTYPE if is_directory else tarfile.REGTYPE
    info.mode = 0o755 if is_directory else 0o644
    info.size = source.size
    return info.tobuf(tarfile.PAX_FORMAT)


def _refused(detail: str) -> PackageError:
    return PackageError(422, "Cannot be packed", detail)
