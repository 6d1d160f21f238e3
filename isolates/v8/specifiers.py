"""What an import means: a file of the package and how it is taken, or a module that comes with the platform. Pure.

Called by `isolates.v8.modules` for every import. Specifiers are relative to the importing module (`./x`, `../x`) or to
the package (`/x`, `file:///x`), or they name a module of the platform (`node:x`, `x` for the same,
`cloudflare:workers`), and nothing else: bundlers resolve packages before a build is made. No path leads out of
the package.
"""

import posixpath
from enum import Enum
from typing import NamedTuple

from isolates.v8.builtins import Builtins, module_name

ROOT = "file:///"
_INTERNAL = "internal:"
_NODE = "node:"


class Kind(Enum):
    """What a module is made of."""

    SCRIPT = "script"
    """An ES module of the package."""
    BUILTIN = "builtin"
    """An ES module of the platform; `Target.path` is its name."""
    JSON = "json"
    TEXT = "text"
    """Its default export is the file as a string."""
    BUFFER = "buffer"
    """Its default export is the file as an ArrayBuffer."""
    BYTES = "bytes"
    """Its default export is the file as a Uint8Array."""
    WASM = "wasm"
    """Its default export is the file as a WebAssembly.Module."""


class Target(NamedTuple):
    """What a specifier leads to. `path` is relative to the package, or the name of a builtin module."""

    kind: Kind
    path: str

    @property
    def url(self) -> str:
        """The module's resource name."""
        return self.path if self.kind is Kind.BUILTIN else ROOT + self.path


HOST = Target(Kind.SCRIPT, "")
"""The host's own script as a referrer, whose specifiers are paths in the package."""

_BY_EXTENSION = {
    ".json": Kind.JSON,
    ".txt": Kind.TEXT,
    ".html": Kind.TEXT,
    ".sql": Kind.TEXT,
    ".bin": Kind.BUFFER,
    ".wasm": Kind.WASM,
}
_BY_ATTRIBUTE = {"json": Kind.JSON, "text": Kind.TEXT, "bytes": Kind.BYTES}


class ResolutionError(LookupError):
    """A specifier that leads to no module, or a file that is not what it is imported as."""


def resolve(specifier: str, referrer: Target, attribute: str | None, builtins: Builtins) -> Target:
    """Return what `specifier` means in the module `referrer`, imported with the attribute `type`, if it has one.

    Raises `ResolutionError` for names that are not there, other schemes and paths that leave the package.
    """
    if referrer.kind is Kind.BUILTIN or specifier.startswith(_INTERNAL):
        return _within_platform(specifier, referrer, builtins)
    if (name := _builtin_name(specifier, referrer, builtins)) is not None:
        return Target(Kind.BUILTIN, name)
    path = posixpath.normpath(_path(specifier.removesuffix("?module"), referrer.path))
    if path.startswith(("../", "/")) or path in {"..", "."} or "\0" in path:
        raise ResolutionError(f"Cannot import '{specifier}': it is outside the package")
    return Target(_kind(path, attribute), path)


def _path(specifier: str, referrer: str) -> str:
    if specifier.startswith(ROOT):
        return specifier[len(ROOT) :]
    if specifier.startswith("/"):
        return specifier[1:]
    if specifier.startswith(("./", "../")) or not referrer:
        return posixpath.join(posixpath.dirname(referrer), specifier)
    raise ResolutionError(f"Cannot find package '{specifier}': bundle dependencies into the build")


def _kind(path: str, attribute: str | None) -> Kind:
    if attribute is None:
        return _BY_EXTENSION.get(posixpath.splitext(path)[1], Kind.SCRIPT)
    kind = _BY_ATTRIBUTE.get(attribute)
    if kind is None:
        raise ResolutionError(f"Cannot import '{path}' as type \"{attribute}\": expected json, text or bytes")
    return kind


def _builtin_name(specifier: str, referrer: Target, builtins: Builtins) -> str | None:
    """Return the name of the platform's module that a specifier in the package means; None: a path."""
    if specifier.startswith((".", "/", ROOT)):
        return None
    name = specifier if specifier in builtins else _NODE + specifier
    if name in builtins and (referrer.path or ":" in specifier):
        if name.startswith(_NODE) and not builtins.node:
            raise ResolutionError(
                f"Cannot import '{specifier}': this app has no Node.js modules; "
                'set "node": true in brrrd.json (or nodejs_compat in wrangler.json)'
            )
        return name
    if specifier.startswith(_NODE):
        raise ResolutionError(f"Cannot find module '{specifier}': there is no such Node.js module here")
    return None


def _within_platform(specifier: str, referrer: Target, builtins: Builtins) -> Target:
    """Modules of the platform import each other by name or relative path; the host's script may import any of them."""
    name = specifier
    if specifier.startswith("."):
        folder = posixpath.dirname(referrer.path.replace(":", "/", 1))
        name = module_name(posixpath.normpath(posixpath.join(folder, specifier)))
    if name not in builtins or (referrer.kind is not Kind.BUILTIN and referrer.path):
        raise ResolutionError(f"Cannot find module '{specifier}'")
    return Target(Kind.BUILTIN, name)
