"""The modules that come with the platform: `node:x` and the like, bundled into `isolates/js/dist/modules`.

Read once by the zygote, whose hosts share the text, and compiled in an isolate when its app imports them.
"""

from collections.abc import Mapping
from pathlib import Path

PLATFORM_VALUES = "internal:platform"
"""What the platform's script hands to these modules: a module whose default export is an object."""


class Builtins:
    """Sources by module name. `node` says whether the app has the `node:` ones."""

    def __init__(self, sources: Mapping[str, bytes], *, node: bool = False) -> None:
        self._sources = sources
        self.node = node

    def __repr__(self) -> str:
        return f"<Builtins {len(self._sources)} modules{', node' if self.node else ''}>"

    def __contains__(self, name: str) -> bool:
        return name in self._sources or name == PLATFORM_VALUES

    def source(self, name: str) -> bytes:
        """Return a module's text. Raises `KeyError`."""
        return self._sources[name]


def read(folder: Path) -> dict[str, bytes]:
    """Return the modules in a folder by name; none if it is not there."""
    return {
        module_name(file.relative_to(folder).as_posix()): file.read_bytes() for file in sorted(folder.rglob("*.js"))
    }


def module_name(path: str) -> str:
    """Return the name of the module in a file: `node/fs/promises.js` holds `node:fs/promises`."""
    return path.removesuffix(".js").replace("/", ":", 1)
