"""Packages without `main` or `assets` in `brrrd.json`: what is assumed of them, from what frameworks write.

Called by `artifacts.manifest`. In this order, the first that is there:

    wrangler.json, also in one folder     its main, assets.directory, compatibility_flags and triggers.crons
    _worker.js, with .assetsignore or     the worker and, beside it, the static files (SvelteKit, Astro); `_worker.js`
      _routes.json                        may be a folder with index.js
    server/index.js and client/           worker and static files (React Router)
    server/index.mjs and public/          worker and static files (Nitro)
    _worker.js, index.js, worker.js       the worker, with `public` or `assets`
    index.html                            static files only
"""

import posixpath
from pathlib import Path
from typing import Any

import msgspec

from artifacts.errors import PackageError, bad_manifest
from artifacts.paths import checked_path, quoted

ENTRY_NAMES = ("_worker.js", "index.js", "worker.js")
"""Entry modules looked for, in this order, in a package that names none."""

ASSET_DIRECTORIES = ("public", "assets")
"""Directories of static files looked for, in this order, in a package that names none."""

WRANGLER = "wrangler.json"
_PAGES_MARKS = (".assetsignore", "_routes.json")
_PAIRS = (("server/index.js", "client"), ("server/index.mjs", "public"))


class Layout(msgspec.Struct, frozen=True):
    """What was found; paths are relative to the package and exist."""

    main: str | None = None
    directory: str | None = None
    """Of static files."""
    node: bool = False
    crons: list[str] = []
    not_found: str | None = None
    single_page: bool = False


class _Assets(msgspec.Struct, frozen=True):
    directory: str | None = None
    not_found_handling: str | None = None


class _Triggers(msgspec.Struct, frozen=True):
    crons: list[str] = []


class _Wrangler(msgspec.Struct, frozen=True):
    """The keys of a generated `wrangler.json` that mean something here."""

    main: str | None = None
    assets: _Assets | None = None
    compatibility_flags: list[str] = []
    triggers: _Triggers | None = None


def recognised(directory: Path) -> Layout:
    """Return what the unpacked package in `directory` looks like; empty if like nothing. Raises `PackageError`."""
    file = _wrangler_file(directory)
    if file is not None:
        return _from_wrangler(directory, file)
    if any((directory / mark).is_file() for mark in _PAGES_MARKS):
        for main in ("_worker.js", "_worker.js/index.js"):
            if (directory / main).is_file():
                return Layout(main, ".")
    for main, assets in _PAIRS:
        if (directory / main).is_file() and (directory / assets).is_dir():
            return Layout(main, assets)
    return Layout()


def find_entry(directory: Path, assets: str | None) -> str | None:
    """An index.js among the static files is a script for browsers, so only `_worker.js` is taken from there."""
    for name in ENTRY_NAMES:
        if (directory / name).is_file() and (assets != "." or name == "_worker.js"):
            return name
    return None


def find_assets(directory: Path, main: str | None) -> str | None:
    """Return the directory of static files of a package that names none."""
    for name in ASSET_DIRECTORIES:
        if (directory / name).is_dir():
            return name
    # Without this condition a package whose entry has another name would publish its own sources.
    if main is None and (directory / "index.html").is_file():
        return "."
    return None


def _wrangler_file(directory: Path) -> Path | None:
    if (directory / WRANGLER).is_file():
        return directory / WRANGLER
    found = [path for path in sorted(directory.glob(f"*/{WRANGLER}")) if path.is_file()]
    return found[0] if len(found) == 1 else None


def _from_wrangler(directory: Path, file: Path) -> Layout:
    name = file.relative_to(directory).as_posix()
    if file.stat().st_size > 1 << 20:
        raise bad_manifest(f"{name} is larger than 1 MiB")
    try:
        config = msgspec.json.decode(file.read_bytes(), type=_Wrangler)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_manifest(f"{name} is not what build tools write: {error}") from None
    folder = posixpath.dirname(name)
    layout: dict[str, Any] = {
        "node": any(flag.startswith("nodejs_compat") for flag in config.compatibility_flags),
        "crons": config.triggers.crons if config.triggers else [],
    }
    if config.main is not None:
        layout["main"] = _there(directory, name, "main", posixpath.join(folder, config.main))
    if config.assets is not None and config.assets.directory is not None:
        path = posixpath.join(folder, config.assets.directory)
        layout["directory"] = _there(directory, name, "assets.directory", path) or "."
        if config.main is None:
            layout["single_page"] = config.assets.not_found_handling == "single-page-application"
            layout["not_found"] = "404.html" if config.assets.not_found_handling == "404-page" else None
    return Layout(**layout)


def _there(directory: Path, file: str, key: str, path: str) -> str:
    try:
        checked = checked_path(posixpath.normpath(path))
    except PackageError as error:
        raise bad_manifest(f"{file}: {quoted(key)}: {error.detail}") from None
    if not (directory / checked).exists():
        raise bad_manifest(f"{file}: {quoted(key)}: there is no {quoted(checked)} in the package")
    return checked
