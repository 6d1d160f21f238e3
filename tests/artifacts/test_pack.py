"""Packing a folder: deterministic, complete, and always something that a node takes."""

import os
from pathlib import Path

import pytest

from artifacts.errors import PackageError
from artifacts.pack import pack
from artifacts.store import Store
from tests.artifacts.archives import chunks


def folder(root: Path) -> Path:
    (root / "public/deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "_worker.js").write_text("export default {}")
    (root / "public/deep/\xe9.bin").write_bytes(os.urandom(700_000))
    (root / ".git").mkdir()
    (root / ".git/config").write_text("secret")
    return root


async def test_packed_folder_comes_out_of_a_store_as_it_was(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    packing = pack(source)
    assert packing.total_bytes == 700_017
    assert packing.files == 2
    store = Store(tmp_path / "store")
    build = await store.unpack(await store.receive(chunks(packing)))
    assert packing.done_bytes == packing.total_bytes
    assert {str(path.relative_to(build.directory)) for path in build.directory.rglob("*")} == {
        "_worker.js",
        "empty",
        "public",
        "public/deep",
        "public/deep/\xe9.bin",
    }
    assert (build.directory / "public/deep/\xe9.bin").read_bytes() == (source / "public/deep/\xe9.bin").read_bytes()


async def test_a_manifest_from_elsewhere_goes_before_the_folders_own(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (source / "brrrd.json").write_text("{}")
    (tmp_path / "mine.json").write_text('{"node": true}')
    packing = pack(source, tmp_path / "mine.json")
    assert packing.files == 3
    store = Store(tmp_path / "store")
    assert (await store.unpack(await store.receive(chunks(packing)))).manifest.node
    with pytest.raises(PackageError, match=r"none\.json is not a file"):
        pack(source, tmp_path / "none.json")


def test_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    source = folder(tmp_path / "one")
    before = b"".join(pack(source))
    (source / "_worker.js").chmod(0o700)
    os.utime(source / "_worker.js", (0, 0))
    source.rename(tmp_path / "two")
    assert b"".join(pack(tmp_path / "two")) == before


async def test_links_inside_the_folder_become_files(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (source / "index.js").symlink_to("_worker.js")
    (source / "linked").symlink_to("public/deep")
    store = Store(tmp_path / "store")
    build = await store.unpack(await store.receive(chunks(pack(source))))
    assert (build.directory / "index.js").read_text() == "export default {}"
    assert not (build.directory / "index.js").is_symlink()
    assert (build.directory / "linked/\xe9.bin").is_file()


async def test_very_long_paths_are_packed(tmp_path: Path) -> None:
    deep = tmp_path / "source" / Path(*["a-directory-of-thirty-characters"] * 8)
    deep.mkdir(parents=True)
    (deep / "x.js").write_text("x")
    (tmp_path / "source" / "index.js").write_text("x")
    store = Store(tmp_path / "store")
    build = await store.unpack(await store.receive(chunks(pack(tmp_path / "source"))))
    assert build.files == 2


def spoil(root: Path, how: str) -> None:
    match how:
        case "leads out of the folder":
            (root / "x").symlink_to("/etc/hostname")
        case "leads nowhere":
            (root / "x").symlink_to("missing")
        case "leads in a circle":
            (root / "x").symlink_to(".")
        case "not a regular file":
            os.mkfifo(root / "x")
        case "not UTF-8":
            (root / os.fsdecode(b"caf\xe9")).write_text("x")
        case "backslash":
            (root / "a\\b").write_text("x")
        case "differ in case":
            (root / "Public").mkdir()


@pytest.mark.parametrize(
    "how",
    [
        "leads out of the folder",
        "leads nowhere",
        "leads in a circle",
        "not a regular file",
        "not UTF-8",
        "backslash",
        "differ in case",
    ],
)
def test_what_a_node_would_refuse_is_refused_before_upload(how: str, tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    spoil(source, how)
    with pytest.raises(PackageError, match=how):
        pack(source)


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="not a folder"):
        pack(tmp_path / "missing")
    with pytest.raises(PackageError, match="has no files"):
        pack(tmp_path)


def test_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    packing = pack(source)
    (source / "_worker.js").write_text("shorter")
    with pytest.raises(PackageError, match="changed while it was packed"):
        b"".join(packing)
