from pathlib import Path

import pytest

from artifacts.index import Asset
from router.assets import SmallFiles, answer, chunks

ASSET = Asset(200, "public/a.txt", "text/plain; charset=utf-8", '"e1"', 10, (("cache-control", "max-age=1"),))


def ask(*headers: tuple[bytes, bytes], method: str = "GET", asset: Asset = ASSET) -> tuple[int, int, int]:
    found = answer(asset, "/builds/1", method, list(headers), b"")
    return found.status, found.offset, found.length


def test_a_file_is_sent_with_its_type_validator_and_headers() -> None:
    found = answer(ASSET, "/builds/1", "GET", [], b"")
    assert found.path == "/builds/1/public/a.txt"
    assert dict(found.fields) == {
        b"cache-control": b"max-age=1",
        b"etag": b'"e1"',
        b"content-type": b"text/plain; charset=utf-8",
        b"accept-ranges": b"bytes",
        b"content-length": b"10",
    }


def test_head_announces_the_length_and_sends_nothing() -> None:
    found = answer(ASSET, "/builds/1", "HEAD", [], b"")
    assert found.length == 0
    assert dict(found.fields)[b"content-length"] == b"10"


@pytest.mark.parametrize("condition", [b'"e1"', b'W/"e1"', b'"x", "e1"', b"*"])
def test_a_client_that_has_the_file_gets_304(condition: bytes) -> None:
    assert ask((b"if-none-match", condition)) == (304, 0, 0)


def test_a_client_that_has_another_version_gets_the_file() -> None:
    assert ask((b"if-none-match", b'"e0"')) == (200, 0, 10)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (b"bytes=0-3", (206, 0, 4)),
        (b"bytes=4-", (206, 4, 6)),
        (b"bytes=-3", (206, 7, 3)),
        (b"bytes=-99", (206, 0, 10)),
        (b"bytes=5-99", (206, 5, 5)),
        (b"bytes=10-", (416, 0, 0)),
        (b"bytes=-0", (416, 10, 0)),
        (b"bytes=5-4", (200, 0, 10)),
        (b"bytes=0-1,3-4", (200, 0, 10)),
        (b"bytes=-", (200, 0, 10)),
        (b"lines=0-1", (200, 0, 10)),
    ],
)
def test_a_single_range_is_served_and_others_are_ignored(wanted: bytes, expected: tuple[int, int, int]) -> None:
    assert ask((b"range", wanted)) == expected


def test_a_range_of_another_version_is_not_mixed_with_this_one() -> None:
    assert ask((b"range", b"bytes=0-3"), (b"if-range", b'"e0"')) == (200, 0, 10)
    assert ask((b"range", b"bytes=0-3"), (b"if-range", b'"e1"')) == (206, 0, 4)


def test_a_redirect_keeps_the_query() -> None:
    asset = Asset(308, "", "", "", 0, (("location", "/blog/"),))
    assert (b"location", b"/blog/?page=2") in answer(asset, "/b", "GET", [], b"page=2").fields


def test_small_files_are_bounded(tmp_path: Path) -> None:
    files = SmallFiles(limit=250)
    for number in range(5):
        path = tmp_path / str(number)
        path.write_bytes(b"%d" % number * 100)
        assert files.read(str(path)) == b"%d" % number * 100
    assert repr(files) == "<SmallFiles 2 files, 200 bytes>"
    (tmp_path / "4").unlink()
    assert files.read(str(tmp_path / "4")) == b"4" * 100


async def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 1000)
    pieces = [piece async for piece in chunks(str(path), 100, 200_000)]
    assert b"".join(pieces) == path.read_bytes()[100:200_100]
    assert max(map(len, pieces)) == 65536


async def test_a_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"abc")
    with pytest.raises(OSError, match="shorter"):
        [piece async for piece in chunks(str(path), 0, 10)]
