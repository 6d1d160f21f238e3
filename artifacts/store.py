"""Content-addressed packages on this node, and the cache of their unpacked builds.

Called by the supervisor's control API. Under the store's root:

    packages/<digest>.tar.zst    packages as uploaded, durable; <digest> is the SHA-256 of their bytes in hex
    builds/<digest>/             what can be made again from the package:
        package/                 the unpacked package
        assets.msgpack           its `AssetIndex`, if it has static files
        build.msgpack            `_Marker`: the build is complete, and what it should hold
    tmp/                         uploads and builds in the making; empty after `sweep`

A package and its build appear under their names by rename only, once they are whole and on disk, so that a crash at any
moment leaves either nothing or all of it. Nothing here blocks the event loop: file work is done in threads.
"""

import asyncio
import errno
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from artifacts.disk import delete, sync_directory, sync_file_system
from artifacts.errors import no_space, too_large, unsafe
from artifacts.index import AssetIndex
from artifacts.manifest import Manifest, ignored_files, resolve
from artifacts.unpack import StoreLimits, unpack

__all__ = ["Build", "Store", "StoreLimits", "Upload"]

FORMAT = 2
"""Grows when what is in `builds/` changes; builds of another format are made again from their packages."""

WRITE_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Upload(msgspec.Struct, frozen=True):
    """A package that was received whole, not yet looked into. Give it to `Store.unpack`, which takes the file over."""

    digest: str
    path: Path
    size: int
    """Bytes."""


class Build(msgspec.Struct, frozen=True):
    """An unpacked package, ready to be served."""

    digest: str
    directory: Path
    """Absolute path of the package's root."""
    manifest: Manifest
    """With `main` and `assets` as found out for packages that do not name them; both are relative to `directory`."""
    asset_index: Path | None
    """Absolute path for `AssetIndex.load`; None if the package has no static files, redirects included."""
    has_worker: bool
    files: int
    total_bytes: int
    """Unpacked."""


class _Marker(msgspec.Struct, frozen=True):
    format: int
    manifest: Manifest
    has_index: bool
    files: int
    total_bytes: int


class Store:
    """Packages and builds under `root`, which is created; one store per directory and process."""

    def __init__(self, root: Path, limits: StoreLimits | None = None) -> None:
        self._root = root.absolute()
        self._limits = limits or StoreLimits()
        self._packages = self._root / "packages"
        self._builds = self._root / "builds"
        self._tmp = self._root / "tmp"
        for directory in (self._packages, self._builds, self._tmp):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._working: set[str] = set()
        self._made: set[str] = set()
        self._tasks: dict[str, asyncio.Task[Build]] = {}

    def __repr__(self) -> str:
        return f"<Store {self._root} [{len(self._tasks)} unpacking]>"

    async def receive(self, chunks: AsyncIterator[bytes]) -> Upload:
        """Write an upload to disk while hashing it, and return it once it is durable.

        Raises `PackageError` 413 as soon as it is over the limit, 507 if the disk is full. Nothing is kept then, nor if
        `chunks` raises or the caller is cancelled.
        """
        name = self._temporary("upload")
        path = self._tmp / name
        digest = hashlib.sha256()
        size = 0
        try:
            with path.open("xb") as file:
                pending = bytearray()
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._limits.packed_bytes:
                        raise too_large(self._limits.packed_bytes)
                    pending += chunk
                    if len(pending) >= WRITE_BYTES:
                        await asyncio.to_thread(_append, file, pending, digest)
                        pending = bytearray()
                await asyncio.to_thread(_append, file, pending, digest, sync=True)
        except BaseException as error:
            path.unlink(missing_ok=True)
            self._working.discard(name)
            if isinstance(error, OSError) and _is_full(error):
                raise no_space() from None
            raise
        return Upload(digest.hexdigest(), path, size)

    async def unpack(self, upload: Upload) -> Build:
        """Unpack an upload, keep its package, and return the build. Raises `PackageError`; nothing is kept then.

        A package that is there already is not unpacked again, and one that comes twice at once is unpacked once.
        """
        if (task := self._tasks.get(upload.digest)) is not None:
            self.discard(upload)
        else:
            task = self._start(upload.digest, upload)
        return await asyncio.shield(task)

    def discard(self, upload: Upload) -> None:
        """Remove an upload that is not going to be unpacked."""
        upload.path.unlink(missing_ok=True)
        self._working.discard(upload.path.name)

    async def open(self, digest: str) -> Build:
        """Return a build made before, unpacked again from its package if the cache is missing or torn.

        Raises `FileNotFoundError` if the package is not in the store, `PackageError` if it can no longer be unpacked
        (a limit that was lowered since).
        """
        _check_digest(digest)
        return await asyncio.shield(self._tasks.get(digest) or self._start(digest, None))

    def remove(self, digest: str) -> None:
        """Forget a package and its build. Blocks while files are deleted; call it through `asyncio.to_thread`.

        Does nothing if it is not there. A crash in the middle leaves files that the next `sweep` removes.
        """
        _check_digest(digest)
        self._made.discard(digest)
        # The build first: without its package it would look complete and could never be made again.
        self._remove_tree(self._builds / digest)
        (self._packages / f"{digest}.tar.zst").unlink(missing_ok=True)

    def sweep(self, keep: set[str]) -> int:
        """Remove what no desired state refers to, and what a crash left over; return how many packages went.

        `keep` holds the digests in use. Packages taken since this store was opened stay, so that a sweep never
        competes with a deployment that is under way. Blocks; call it at start or through `asyncio.to_thread`.
        """
        keep = keep | self._made | set(self._tasks)
        removed = 0
        for directory in list(self._builds.iterdir()):
            if directory.name not in keep:
                self._remove_tree(directory)
        for package in list(self._packages.iterdir()):
            if package.name.removesuffix(".tar.zst") not in keep:
                package.unlink(missing_ok=True)
                removed += 1
        for leftover in list(self._tmp.iterdir()):
            if leftover.name not in self._working:
                delete(leftover)
        return removed

    def _start(self, digest: str, upload: Upload | None) -> asyncio.Task[Build]:
        """Start the one task that makes a build; callers shield it, so that one of them giving up stops no other."""
        task = asyncio.create_task(asyncio.to_thread(self._open_or_make, digest, upload))
        self._tasks[digest] = task
        task.add_done_callback(lambda done: self._done(digest, done))
        return task

    def _done(self, digest: str, task: asyncio.Task[Build]) -> None:
        self._tasks.pop(digest, None)
        if not task.cancelled() and task.exception() is None:
            self._made.add(digest)

    def _open_or_make(self, digest: str, upload: Upload | None) -> Build:
        package = self._packages / f"{digest}.tar.zst"
        try:
            if package.exists():
                return self._complete(digest) or self._make(digest, _verified(package, digest))
            if upload is None:
                raise FileNotFoundError(errno.ENOENT, "this package is not in the store", str(package))
            build = self._make(digest, upload.path)
            upload.path.rename(package)
            sync_directory(self._packages)
            return build
        finally:
            if upload is not None:
                self.discard(upload)

    def _complete(self, digest: str) -> Build | None:
        """Return the cached build if all of it is there: a lost file would be a 404 that no deployment explains."""
        directory = self._builds / digest
        try:
            marker = _markers.decode((directory / "build.msgpack").read_bytes())
        except (OSError, msgspec.MsgspecError):
            return None
        whole = (
            marker.format == FORMAT
            and _measure(directory / "package") == (marker.files, marker.total_bytes)
            and (not marker.has_index or (directory / "assets.msgpack").is_file())
        )
        return self._described(digest, marker) if whole else None

    def _make(self, digest: str, package: Path) -> Build:
        name = self._temporary("build")
        temporary = self._tmp / name
        try:
            (temporary / "package").mkdir(parents=True)
            unpacked = unpack(package, temporary / "package", self._limits)
            manifest = resolve(temporary / "package")
            has_index = manifest.assets is not None or bool(manifest.redirects)
            if has_index:
                assets = manifest.assets
                ignored = ignored_files(temporary / "package", assets) if assets is not None else None
                AssetIndex.build(manifest, unpacked.files, ignored).save(temporary / "assets.msgpack")
            marker = _Marker(FORMAT, manifest, has_index, len(unpacked.files), unpacked.total_bytes)
            (temporary / "build.msgpack").write_bytes(msgspec.msgpack.encode(marker))
            sync_file_system(temporary)
            self._remove_tree(self._builds / digest)
            temporary.rename(self._builds / digest)
            sync_directory(self._builds)
            return self._described(digest, marker)
        except OSError as error:
            if _is_full(error):
                raise no_space() from None
            raise
        finally:
            delete(temporary)
            self._working.discard(name)

    def _described(self, digest: str, marker: _Marker) -> Build:
        directory = self._builds / digest
        return Build(
            digest=digest,
            directory=directory / "package",
            manifest=marker.manifest,
            asset_index=directory / "assets.msgpack" if marker.has_index else None,
            has_worker=marker.manifest.main is not None,
            files=marker.files,
            total_bytes=marker.total_bytes,
        )

    def _remove_tree(self, directory: Path) -> None:
        """Take a build away in one step, then delete it: a half-deleted build must not be found under its name."""
        name = self._temporary("removed")
        try:
            directory.rename(self._tmp / name)
        except FileNotFoundError:
            return
        finally:
            self._working.discard(name)
        delete(self._tmp / name)

    def _temporary(self, kind: str) -> str:
        name = f"{kind}-{secrets.token_hex(8)}"
        self._working.add(name)
        return name


_markers = msgspec.msgpack.Decoder(_Marker)


def _check_digest(digest: str) -> None:
    """A digest becomes a path, so that anything else than one is a mistake of the caller."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"not a package digest: {digest!r}")


def _append(file: BinaryIO, data: bytearray, digest: "hashlib._Hash", *, sync: bool = False) -> None:
    digest.update(data)
    file.write(data)
    if sync:
        file.flush()
        os.fsync(file.fileno())


def _verified(package: Path, digest: str) -> Path:
    """Return `package` if its bytes are still those of `digest`."""
    with package.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise unsafe("this node's copy of the package is damaged on its disk; deploy it again")
    return package


def _measure(directory: Path) -> tuple[int, int]:
    """Return the number of files below `directory` and the sum of their sizes in bytes."""
    files = total = 0
    pending = [os.fspath(directory)]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            return -1, -1
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    files += 1
                    total += entry.stat(follow_symlinks=False).st_size
    return files, total


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
