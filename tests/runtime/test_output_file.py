"""Files that commands write: complete or not there, and nothing else in their place."""

import os
import threading
from pathlib import Path

import pytest

from runtime.cli.errors import CommandError
from runtime.cli.output_file import output_file


def test_a_file_has_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_text("before")
    with pytest.raises(RuntimeError), output_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "before"
    with output_file(path) as file:
        file.write(b"whole")
        assert path.read_text() == "before"
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with output_file(pipe) as file:
        file.write(b"text")
    reader.join(20)
    assert read == [b"text"]
    assert pipe.is_fifo()


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to("folder/file")
    with output_file(link) as file:
        file.write(b"text")
    assert link.is_symlink()
    assert (tmp_path / "folder/file").read_bytes() == b"text"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "file"):
        with pytest.raises(CommandError, match=f"{path} cannot be written: "), output_file(path):
            pass
