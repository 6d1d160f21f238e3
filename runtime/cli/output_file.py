"""A file that a command writes: it has its name only when it is complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from runtime.cli.errors import CommandError


@contextmanager
def output_file(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Open `path` for writing under a temporary name beside it; an error leaves what was there. Raises `CommandError`.

    The default mode is for content that not every user of the machine may read. A device or a pipe, as /dev/stdout is
    one, is written to as it is: a file must not take its place.
    """
    try:
        with path.open("wb") if _is_no_file(path) else _complete_file(path.resolve(), mode) as file:
            yield file
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def _is_no_file(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def _complete_file(path: Path, mode: int) -> Iterator[BinaryIO]:
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
