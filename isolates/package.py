"""The files of one unpacked package, read through one descriptor of its folder.

So a host needs no right to look up the path that leads to the folder, and nothing outside of it can be named: every
step of a path is opened by itself, never through a symbolic link.
"""

import errno
import os
import stat

DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_STEPS = frozenset(("", ".", ".."))


class FileTooLarge(Exception):
    """A file has more bytes than the reader takes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size:,} bytes")
        self.size = size


class Package:
    """See the module. Opens `directory`; raises `OSError` if it is not there."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __repr__(self) -> str:
        return f"<Package {self.directory}>"

    def read(self, path: str, most: int | None = None) -> bytes:
        """Return a file's bytes. `path` is relative to the package, normalised, with forward slashes.

        Raises `OSError`, with ELOOP for a symbolic link, and `FileTooLarge` above `most` bytes.
        """
        *folders, name = steps = path.split("/")
        if not _NO_STEPS.isdisjoint(steps):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        at = self.descriptor
        try:
            for folder in folders:
                deeper = os.open(folder, DIRECTORY, dir_fd=at)
                self._leave(at)
                at = deeper
            file = os.open(name, FILE, dir_fd=at)
        finally:
            self._leave(at)
        with os.fdopen(file, "rb", buffering=0) as stream:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if most is not None and status.st_size > most:
                raise FileTooLarge(status.st_size)
            return stream.readall()

    def close(self) -> None:
        """Nothing can be read any more."""
        os.close(self.descriptor)

    def _leave(self, descriptor: int) -> None:
        if descriptor != self.descriptor:
            os.close(descriptor)
