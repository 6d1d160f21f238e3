"""Hostile and odd archives: refused with a sentence that says why, and never anything outside the directory."""

import os
import stat
import tarfile
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from artifacts.errors import PackageError
from artifacts.unpack import StoreLimits, Unpacked, unpack
from tests.artifacts.archives import END, file, header, package, packed, pax

LIMITS = StoreLimits(packed_bytes=1 << 20, unpacked_bytes=4 << 20, files=20)


def unpacked(data: bytes, tmp_path: Path, limits: StoreLimits = LIMITS) -> tuple[Unpacked, Path]:
    source = tmp_path / "package.tar.zst"
    source.write_bytes(data)
    directory = tmp_path / "outer" / "inner"
    directory.mkdir(parents=True)
    return unpack(source, directory, limits), directory


REFUSED = {
    "absolute path": (packed(file("/etc/passwd", "x")), '"/etc/passwd" is absolute'),
    "absolute directory": (packed(header("/", kind=b"5")), "is absolute"),
    "parent directory": (packed(file("../evil", "x")), 'has a ".."'),
    "parent directory inside": (packed(file("a/../../evil", "x")), 'has a ".."'),
    "parent directory by pax": (packed(pax({"path": "../../evil"}), file("a", "x")), 'has a ".."'),
    "parent directory by a GNU long name": (
        packed(file("././@LongLink", b"../evil\0", kind=b"L"), file("a", "x")),
        'has a ".."',
    ),
    "parent directory by prefix": (packed(file("evil", "x", prefix="..")), 'has a ".."'),
    "empty component": (packed(file("a//b", "x")), "empty"),
    "dot component": (packed(file("a/./b", "x")), "component"),
    "backslash": (packed(file("a\\..\\b", "x")), "backslash"),
    "line feed in a name": (packed(file("a\nb", "x")), "control characters"),
    "escape sequence in a name": (packed(file("a\x1b[2Jb", "x")), "control characters"),
    "NUL in a pax name": (packed(pax({"path": "a\0b"}), file("a", "x")), "control characters"),
    "name that is not UTF-8": (packed(file(b"caf\xe9", "x")), "not UTF-8"),
    "long name": (packed(pax({"path": "a" * 256}), file("a", "x")), "longer than 255"),
    "long path": (packed(pax({"path": "/".join(["a" * 200] * 6)}), file("a", "x")), "longer than 1024"),
    "deep path": (packed(pax({"path": "/".join(["a"] * 101)}), file("a", "x")), "deeper than"),
    "symbolic link": (packed(header("a", kind=b"2", link="/etc")), "is a symbolic link"),
    "symbolic link written through": (
        packed(header("a", kind=b"2", link="/tmp"), file("a/evil", "x")),
        "is a symbolic link",
    ),
    "hard link": (packed(file("a", "x"), header("b", kind=b"1", link="a")), "is a hard link"),
    "character device": (packed(header("a", kind=b"3")), "is a character device"),
    "block device": (packed(header("a", kind=b"4")), "is a block device"),
    "named pipe": (packed(header("a", kind=b"6")), "is a named pipe"),
    "sparse file": (packed(file("a", "x", kind=b"S")), "is a sparse file"),
    "sparse file by pax": (packed(pax({"GNU.sparse.major": "1"}), file("a", "x")), "sparse"),
    "unknown type": (packed(file("a", "x", kind=b"Z")), "unknown entry type"),
    "same file twice": (packed(file("a", "x"), file("a", "y")), "there twice"),
    "same file twice, spelt differently": (packed(file("a", "x"), file("./a", "y")), "there twice"),
    "file and directory": (packed(file("a", "x"), file("a/b", "y")), "both a file and a directory"),
    "directory and file": (packed(file("a/b", "x"), file("a", "y")), "both a file and a directory"),
    "same name but for case": (packed(file("Logo.png", "x"), file("logo.png", "y")), "differ in case"),
    "same directory but for case": (packed(file("A/x", "x"), file("a/y", "y")), "differ in case"),
    "same name but for normalisation": (packed(file("e\u0301", "x"), file("\xe9", "y")), "differ in case or Unicode"),
    "directory with content": (packed(file("a", "x", kind=b"5")), "has content"),
    "file without a name": (packed(file("./", "x")), "has no name"),
    "broken checksum": (packed(b"\x01" + file("a", "x")[1:]), "checksum"),
    "broken number": (packed(header("a").replace(b"00000000000\0", b"0000000009x\0")), "checksum"),
    "no tar at all": (packed(b"hello, this is text" * 100), "not a tar archive"),
    "empty stream": (packed(end=b""), "cut off"),
    "empty file": (b"", "cut off"),
    "no zstd at all": (b"hello, this is text", "not a zstd stream"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "not a zstd stream"),
    "cut off in a file": (packed(file("a", b"x" * 2000)[:1500], end=b""), "cut off in the middle of a file"),
    "cut off in a header": (packed(file("a", "x")[:300], end=b""), "cut off in the middle of a header"),
    "no end mark": (packed(file("a", "x"), end=b""), "cut off"),
    "half an end mark": (packed(file("a", "x"), end=bytes(512)), "end mark"),
    "data after the end": (packed(file("a", "x"), end=END + file("b", "y")), "follows the end"),
    "zeros without end": (packed(file("a", "x"), end=bytes(2 << 20)), "zeros follow"),
    "garbage after the zstd frame": (packed(file("a", "x")) + b"garbage", "not a zstd stream"),
    "zstd stream cut off": (package({"a": os.urandom(5000)})[:-10], "cut off"),
    "large pax header": (packed(file("p", b"x" * 70_000, kind=b"x"), file("a", "x")), "extended header of"),
    "broken pax header": (packed(file("p", b"9999 path=a\n", kind=b"x"), file("a", "x")), "broken extended header"),
    "pax record of length 0": (packed(file("p", b"0 path=a\n", kind=b"x"), file("a", "x")), "broken extended header"),
    "two pax headers": (packed(pax({"path": "a"}), pax({"path": "b"}), file("c", "x")), "two extended headers"),
    "pax header without entry": (packed(pax({"path": "a"})), "ends after an extended header"),
    "global pax header with a path": (packed(pax({"path": "a"}, kind=b"g"), file("b", "x")), "global extended header"),
    "negative pax size": (packed(pax({"size": "-1"}), file("b", "x")), "bad size"),
    "more files than allowed": (packed(*(file(str(n)) for n in range(21))), "more than 20 files"),
    "more implied directories than allowed": (packed(file("/".join("abcdefghijklmnopqrstu"), "x")), "more than 20"),
    "more bytes than allowed": (packed(file("a", bytes(5 << 20))), "more than 4,194,304 bytes"),
    "size far beyond the data": (packed(header("a", size=1 << 30)), "more than 4,194,304 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_archive_is_refused(name: str, tmp_path: Path) -> None:
    data, why = REFUSED[name]
    with pytest.raises(PackageError) as refused:
        unpacked(data, tmp_path)
    assert refused.value.status == 422
    assert why in refused.value.detail
    assert refused.value.detail.isprintable()
    assert {path.name for path in tmp_path.iterdir()} == {"package.tar.zst", "outer"}
    assert [path.name for path in (tmp_path / "outer").iterdir()] == ["inner"]


def test_files_and_directories_come_out_as_they_went_in(tmp_path: Path) -> None:
    result, directory = unpacked(
        packed(
            header("./", kind=b"5"),
            file("./_worker.js", "export default {}"),
            header("empty", kind=b"5"),
            file("public/caf\xe9 \u4f60.txt", b"\0\xff" * 3000),
        ),
        tmp_path,
    )
    assert (directory / "_worker.js").read_text() == "export default {}"
    assert (directory / "public/caf\xe9 \u4f60.txt").read_bytes() == b"\0\xff" * 3000
    assert (directory / "empty").is_dir()
    assert set(result.files) == {"_worker.js", "public/caf\xe9 \u4f60.txt"}
    assert result.total_bytes == 6017


def test_modes_of_the_archive_are_ignored(tmp_path: Path) -> None:
    _, directory = unpacked(packed(file("a", "x", mode=0o6777), header("d", kind=b"5", mode=0o000)), tmp_path)
    assert stat.S_IMODE((directory / "a").stat().st_mode) & 0o7133 == 0
    assert stat.S_IMODE((directory / "d").stat().st_mode) & 0o700 == 0o700


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_the_standard_tools_is_read(format: int, tmp_path: Path) -> None:
    long = "/".join(["directory-with-a-long-name"] * 5) + "/file.js"
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        info = tarfile.TarInfo(long)
        info.size = 3
        tar.addfile(info, BytesIO(b"abc"))
    result, directory = unpacked(zstandard.ZstdCompressor().compress(buffer.getvalue()), tmp_path)
    assert (directory / long).read_bytes() == b"abc"
    assert list(result.files) == [long]


def test_several_zstd_frames_are_one_stream(tmp_path: Path) -> None:
    archive = file("a", b"x" * 5000) + file("b", "y") + END
    frames = [
        zstandard.ZstdCompressor().compress(archive[start : start + 700]) for start in range(0, len(archive), 700)
    ]
    result, _ = unpacked(b"".join(frames), tmp_path)
    assert set(result.files) == {"a", "b"}


def test_header_that_git_archive_writes_is_harmless(tmp_path: Path) -> None:
    result, _ = unpacked(packed(pax({"comment": "0123abcd"}, kind=b"g"), file("a", "x")), tmp_path)
    assert list(result.files) == ["a"]


def test_bomb_is_refused_before_it_has_gone_off(tmp_path: Path) -> None:
    bomb = packed(file("a", bytes(200 << 20)))
    assert len(bomb) < 20_000
    with pytest.raises(PackageError) as refused:
        unpacked(bomb, tmp_path, StoreLimits(unpacked_bytes=1 << 30, ratio=250))
    assert "250 times larger" in refused.value.detail
    written = sum(path.stat().st_size for path in (tmp_path / "outer/inner").iterdir())
    assert written < 80 << 20


def test_memory_stays_bounded_whatever_the_archive_expands_to(tmp_path: Path) -> None:
    bomb = packed(file("a", bytes(150 << 20)))
    tracemalloc.start()
    try:
        unpacked(bomb, tmp_path, StoreLimits(unpacked_bytes=1 << 30, ratio=1 << 30))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 120 << 20


NAMES = st.one_of(
    st.text(min_size=0, max_size=40),
    st.sampled_from(["..", "../x", "a/../b", "/a", "a/", "./", ".", "a", "A", "a/b", "a/b/c", "brrrd.json", "a\\b"]),
)
ENTRIES = st.lists(
    st.tuples(NAMES, st.sampled_from([b"0", b"\0", b"1", b"2", b"5", b"6", b"7", b"L", b"x"]), st.binary(max_size=700)),
    max_size=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=ENTRIES, cut=st.integers(0, 2000), flip=st.integers(0, 5000))
@example(entries=[("a", b"0", b"x"), ("a/b", b"0", b"y")], cut=0, flip=0)
def test_whatever_comes_it_is_unpacked_inside_or_refused(
    entries: list[tuple[str, bytes, bytes]], cut: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("any")
    raw = bytearray(
        b"".join(file(name.encode("utf-8", "replace"), data, kind=kind) for name, kind, data in entries) + END
    )
    if flip < len(raw):
        raw[flip] ^= 0x41
    data = zstandard.ZstdCompressor().compress(bytes(raw[: len(raw) - cut] if cut < 600 else raw))
    try:
        result, root = unpacked(data, directory)
    except PackageError as error:
        assert error.status == 422
        root = directory / "outer" / "inner"
        result = None
    found = {path for path in directory.rglob("*") if path.is_file()} - {directory / "package.tar.zst"}
    assert all(path.is_relative_to(root) and not path.is_symlink() for path in found)
    if result is not None:
        assert {str(path.relative_to(root)) for path in found} == set(result.files)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=3000))
def test_random_bytes_are_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(PackageError):
        unpacked(data, tmp_path_factory.mktemp("random"))
