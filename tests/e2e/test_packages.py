"""Packages that try to harm: refused with 422, a sentence, and nothing left behind."""

import io
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from tests.node_server import Node

WORKER = b"export default { fetch: () => new Response('well') }"


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A package of a good worker, then these entries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, content in (file("_worker.js", WORKER), *entries):
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return zstandard.ZstdCompressor().compress(buffer.getvalue())


def file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


HOSTILE: dict[str, bytes] = {
    "absolute path": archive(file("/tmp/brrrd-escaped")),
    "parent path": archive(file("public/../../brrrd-escaped")),
    "symbolic link": archive(special("public/link", tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": archive(special("public/link", tarfile.LNKTYPE, "_worker.js")),
    "device": archive(special("public/null", tarfile.CHRTYPE)),
    "fifo": archive(special("public/pipe", tarfile.FIFOTYPE)),
    "file in place of a directory": archive(file("public"), file("public/index.html")),
    "control character": archive(file("public/a\nb")),
    "too deep": archive(file("/".join(["d"] * 2000))),
    "truncated": archive(file("public/x", b"y" * 100_000))[:-20],
    "not zstandard": b"PK\x03\x04" + bytes(1000),
    "not tar": zstandard.ZstdCompressor().compress(b"x" * 5000),
    "empty": b"",
    "bomb": archive(file("public/zeros", bytes(60_000_000))),
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ("--workers", "1", "--max-unpacked-bytes", "50000000", "--max-package-files", "1000")
    with Node(tmp_path_factory.mktemp("strict") / "data", *options) as node:
        node.deploy({"public/index.html": "old"}, "target")
        yield node


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_unsafe_package_is_422_and_leaves_nothing(strict: Node, kind: str) -> None:
    before = files_below(strict.data_dir)
    answer = strict.upload(HOSTILE[kind], "target")
    assert answer.status_code == 422, answer.text
    assert len(answer.json()["detail"]) > 10
    assert files_below(strict.data_dir) == before
    assert not Path("/tmp/brrrd-escaped").exists()
    assert strict.get("target").text == "old"


def test_too_many_files_are_422(strict: Node) -> None:
    answer = strict.upload(archive(*(file(f"public/{number}") for number in range(1001))), "target")
    assert answer.status_code == 422
    assert "1000" in answer.json()["detail"] or "1,000" in answer.json()["detail"]


def test_an_upload_that_breaks_off_changes_nothing(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1")
    node.deploy({"public/index.html": "well"}, "broken-off")
    before = files_below(node.data_dir)
    with socket.create_connection(("127.0.0.1", node.control_port)) as connection:
        connection.sendall(
            b"POST /v1/projects/default/apps/broken-off/deployments HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: Bearer {node.token}\r\n".encode()
            + b"Content-Length: 1000000\r\n\r\n"
            + b"x" * 1000
        )
    assert node.get("broken-off").text == "well"
    assert node.control("GET", "/v1/status").status_code == 200
    assert files_below(node.data_dir) == before
