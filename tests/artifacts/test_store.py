"""The store on a real file system: a refusal leaves nothing, a restart finds everything, torn caches are made again."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from artifacts.errors import PackageError
from artifacts.index import AssetIndex
from artifacts.store import Build, Store, StoreLimits
from tests.artifacts.archives import chunks, file, package, packed

APP = package({"_worker.js": "export default {}", "public/a.txt": "hello"})
DIGEST = hashlib.sha256(APP).hexdigest()


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def deployed(store: Store, data: bytes = APP) -> Build:
    return await store.unpack(await store.receive(chunks(data)))


async def test_package_is_kept_under_its_digest_and_unpacked(tmp_path: Path) -> None:
    build = await deployed(Store(tmp_path))
    assert build.digest == DIGEST
    assert (build.directory / "_worker.js").read_text() == "export default {}"
    assert build.directory.is_absolute()
    assert build.has_worker
    assert build.manifest.main == "_worker.js"
    assert build.asset_index is not None
    found = AssetIndex.load(build.asset_index).find("/a.txt")
    assert found and (build.directory / found.file).read_text() == "hello"
    assert (tmp_path / "packages" / f"{DIGEST}.tar.zst").read_bytes() == APP
    assert files(tmp_path / "tmp") == set()


async def test_package_of_static_files_has_no_worker(tmp_path: Path) -> None:
    build = await deployed(Store(tmp_path), package({"index.html": "hi"}))
    assert not build.has_worker
    assert build.asset_index is not None


async def test_package_without_static_files_has_no_index(tmp_path: Path) -> None:
    assert (await deployed(Store(tmp_path), package({"index.js": "x"}))).asset_index is None


async def test_upload_over_the_limit_is_413_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, StoreLimits(packed_bytes=100_000))
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(10_000)

    with pytest.raises(PackageError) as refused:
        await store.receive(endless())
    assert refused.value.status == 413
    assert taken == 11
    assert files(tmp_path) == set()


async def test_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(2 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await Store(tmp_path).receive(broken())
    assert files(tmp_path) == set()


async def test_upload_whose_receiver_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Store(tmp_path).receive(stuck()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path) == set()


@pytest.mark.parametrize("data", [packed(file("../x", "y")), package({"a.txt": "x"}), b"garbage"])
async def test_refused_package_leaves_nothing(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(PackageError) as refused:
        await deployed(Store(tmp_path), data)
    assert refused.value.status == 422
    assert files(tmp_path) == set()
    assert list((tmp_path / "builds").iterdir()) == []


async def test_same_package_twice_at_once_is_unpacked_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    uploads = [await store.receive(chunks(APP)) for _ in range(4)]
    builds = await asyncio.gather(*(store.unpack(upload) for upload in uploads))
    assert len({build.directory for build in builds}) == 1
    assert files(tmp_path / "tmp") == set()


async def test_caller_that_gives_up_does_not_stop_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = [await store.receive(chunks(APP)) for _ in range(2)]
    leaving = asyncio.create_task(store.unpack(first))
    staying = asyncio.create_task(store.unpack(second))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).digest == DIGEST
    assert files(tmp_path / "tmp") == set()


async def test_restart_uses_the_cache_without_unpacking(tmp_path: Path) -> None:
    build = await deployed(Store(tmp_path))
    before = (build.directory / "_worker.js").stat()
    again = await Store(tmp_path).open(DIGEST)
    assert again == build
    assert (build.directory / "_worker.js").stat().st_ino == before.st_ino


TEARS = {
    "all of it gone": "",
    "marker gone": "build.msgpack",
    "index gone": "assets.msgpack",
    "file gone": "package/public/a.txt",
    "file cut short": "package/_worker.js",
    "marker damaged": "build.msgpack",
}


@pytest.mark.parametrize("name", TEARS)
async def test_torn_cache_is_made_again(name: str, tmp_path: Path) -> None:
    build = await deployed(Store(tmp_path))
    torn = tmp_path / "builds" / DIGEST / TEARS[name]
    if name.endswith("gone") and torn.is_dir():
        torn.rename(tmp_path / "elsewhere")
    elif name.endswith("gone"):
        torn.unlink()
    else:
        torn.write_bytes(b"x")
    assert await Store(tmp_path).open(DIGEST) == build
    assert (build.directory / "_worker.js").read_text() == "export default {}"
    assert (build.directory / "public/a.txt").read_text() == "hello"


async def test_package_damaged_on_disk_is_not_unpacked(tmp_path: Path) -> None:
    await deployed(Store(tmp_path))
    (tmp_path / "packages" / f"{DIGEST}.tar.zst").write_bytes(package({"_worker.js": "evil"}))
    (tmp_path / "builds" / DIGEST / "build.msgpack").unlink()
    with pytest.raises(PackageError, match="damaged"):
        await Store(tmp_path).open(DIGEST)


async def test_unknown_package_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Store(tmp_path).open("0" * 64)


@pytest.mark.parametrize("digest", ["", "..", "../" + "0" * 61, "0" * 63, "G" * 64])
async def test_what_is_no_digest_never_becomes_a_path(digest: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="not a package digest"):
        await store.open(digest)
    with pytest.raises(ValueError, match="not a package digest"):
        store.remove(digest)


async def test_remove_deletes_package_and_build(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await deployed(store)
    store.remove(DIGEST)
    store.remove(DIGEST)
    assert files(tmp_path) == set()
    assert (await deployed(store)).digest == DIGEST


async def test_sweep_removes_what_nothing_refers_to(tmp_path: Path) -> None:
    first = Store(tmp_path)
    kept = await deployed(first, package({"index.js": "kept"}))
    await deployed(first)
    (tmp_path / "tmp" / "upload-left-over").write_bytes(b"x")
    (tmp_path / "tmp" / "build-left-over").mkdir()
    (tmp_path / "tmp" / "build-left-over" / "x").write_bytes(b"x")
    assert Store(tmp_path).sweep({kept.digest}) == 1
    assert files(tmp_path / "tmp") == set()
    assert [path.name for path in (tmp_path / "builds").iterdir()] == [kept.digest]
    assert [path.name for path in (tmp_path / "packages").iterdir()] == [f"{kept.digest}.tar.zst"]


async def test_sweep_spares_what_is_under_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    build = await deployed(store)
    upload = await store.receive(chunks(package({"index.js": "other"})))
    assert store.sweep(set()) == 0
    assert (await store.open(DIGEST)) == build
    assert (await store.unpack(upload)).has_worker


CRASHING = """
import asyncio, os, sys
from pathlib import Path
import artifacts.store as store
from tests.artifacts.archives import chunks, package

steps = int(sys.argv[2])
def crash_after(function):
    def step(*args, **kwargs):
        global steps
        result = function(*args, **kwargs)
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), 9)
        return result
    return step
for name in ("unpack", "resolve", "sync_file_system", "sync_directory"):
    setattr(store, name, crash_after(getattr(store, name)))

async def main():
    this = store.Store(Path(sys.argv[1]))
    data = package({"_worker.js": "export default {}", "public/a.txt": "hello"})
    await this.unpack(await this.receive(chunks(data)))
asyncio.run(main())
"""


@pytest.mark.parametrize("step", range(1, 6))
async def test_crash_between_any_two_steps_leaves_nothing_or_all(step: int, tmp_path: Path) -> None:
    crashed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CRASHING, str(tmp_path), str(step)],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        timeout=60,
    )
    assert crashed.returncode == -9
    store = Store(tmp_path)
    store.sweep(set() if step < 5 else {DIGEST})
    if step < 5:
        assert files(tmp_path) == set()
    else:
        assert (await store.open(DIGEST)).has_worker
    assert (await deployed(store)).digest == DIGEST
