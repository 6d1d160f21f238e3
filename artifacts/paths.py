"""Which names files and directories of a package may have, and that no two of them meet. Pure; `artifacts.unpack` asks.

The rules are those under which a name means one and the same thing on every file system a node may use, so that a
package that one node takes is taken by all: relative, plain components, UTF-8, no control characters, and no two names
that differ only in case or in Unicode normalisation.
"""

import unicodedata

from artifacts.errors import unsafe

MAX_NAME_BYTES = 255
"""One component: what every Unix file system takes."""

MAX_PATH_BYTES = 1024
MAX_DEPTH = 100


def checked_path(name: str) -> str:
    """Return the path that the archive name `name` stands for, "" for the root itself. Raises `PackageError`.

    Only a leading "./" and a trailing "/", which every tar program writes, are taken away; nothing else is repaired.
    """
    shown = quoted(name)
    path = name
    while path.startswith("./"):
        path = path[2:]
    path = path.removesuffix("/")
    if path in ("", "."):
        if name.startswith("/"):
            raise unsafe(f"the path {shown} is absolute")
        return ""
    if path.startswith("/"):
        raise unsafe(f"the path {shown} is absolute")
    if not path.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise unsafe(f"the path {shown} has control characters")
    if "\\" in path:
        raise unsafe(f"the path {shown} has a backslash")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise unsafe(f"the path {shown} is longer than {MAX_PATH_BYTES} bytes")
    components = path.split("/")
    if len(components) > MAX_DEPTH:
        raise unsafe(f"the path {shown} is deeper than {MAX_DEPTH} directories")
    for component in components:
        if component == "..":
            raise unsafe(f'the path {shown} has a ".."')
        if component in ("", "."):
            raise unsafe(f'the path {shown} has an empty or "." component')
        if len(component.encode()) > MAX_NAME_BYTES:
            raise unsafe(f"the path {shown} has a name longer than {MAX_NAME_BYTES} bytes")
    return path


class PathSet:
    """The paths seen so far in one archive."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = {""}
        self._by_key: dict[str, str] = {}

    def __len__(self) -> int:
        """Return how many files and directories there are, directories that are only implied included."""
        return len(self._by_key)

    def add_file(self, path: str) -> list[str]:
        """Add a file and return the directories to create before it, outermost first. Raises `PackageError`."""
        if path in self._files:
            raise unsafe(f"the file {quoted(path)} is there twice")
        if path in self._directories:
            raise unsafe(f"{quoted(path)} is both a file and a directory")
        missing = self.add_directory(path.rpartition("/")[0])
        self._claim(path)
        self._files.add(path)
        return missing

    def add_directory(self, path: str) -> list[str]:
        """Add a directory, which may be there already, and return those to create, outermost first."""
        missing: list[str] = []
        while path not in self._directories:
            if path in self._files:
                raise unsafe(f"{quoted(path)} is both a file and a directory")
            missing.append(path)
            path = path.rpartition("/")[0]
        missing.reverse()
        for directory in missing:
            self._claim(directory)
            self._directories.add(directory)
        return missing

    def _claim(self, path: str) -> None:
        key = unicodedata.normalize("NFC", path).casefold()
        other = self._by_key.setdefault(key, path)
        if other != path:
            raise unsafe(f"{quoted(path)} and {quoted(other)} differ in case or Unicode form only; rename one of them")


def quoted(name: str) -> str:
    """Return `name` fit for a message: quoted, printable and not too long."""
    shown = name if len(name) <= 120 else name[:117] + "..."
    return '"' + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in shown) + '"'
