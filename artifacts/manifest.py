"""`brrrd.json`, version 1: what a package says of itself, and what is assumed of a package without one.

Called by `artifacts.store` on an unpacked package. The structs are the reference of the format: each key's docstring
says what it does and what it is by default. A key that is not here, or a value of another kind, is refused by name, so
that a misspelt limit is never silently ignored.
"""

import json
import re
import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from artifacts import cron, layouts, site_files
from artifacts.errors import PackageError, bad_manifest
from artifacts.paths import checked_path, quoted
from artifacts.rules import (
    HeaderRule,
    Redirect,
    Strict,
    count_problem,
    destination_problem,
    header_problem,
    size_problem,
    source_problem,
)
from runtime.bounds import MOST_CONCURRENT_REQUESTS

FILE_NAME = "brrrd.json"
MAX_MANIFEST_BYTES = 8 << 20
MAX_CRONS = 32
"""Those of a `wrangler.json` included."""
RelativePath = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class Assets(Strict, frozen=True):
    """Static files, served by the edge without waking the app."""

    directory: RelativePath
    """Directory in the package whose files are served at the root of the app's hosts; "." for the package itself."""

    not_found: RelativePath | None = None
    """Page for paths that nothing answers, relative to `directory`, sent with status 404. Only without `main`: an
    app with a worker answers for itself."""

    single_page: bool = False
    """Answer every path that is not a file with `index.html` and status 200, as apps that route in the browser want.
    Only without `main`."""


class Limits(Strict, frozen=True):
    """What the app may use, in place of the node's setting.

    `cpu_ms`, `response_mb` and those of subrequests can only be stricter than it.
    """

    wall_ms: Annotated[int, msgspec.Meta(ge=1, le=900_000)] | None = None
    """Milliseconds a request may take, its response stream included. 504 after it."""

    memory_mb: Annotated[int, msgspec.Meta(ge=16, le=4096)] | None = None
    """Heap of one isolate in MiB."""

    cpu_ms: Annotated[int, msgspec.Meta(ge=1, le=900_000)] | None = None
    """Milliseconds of CPU time that the app's code may use without a pause, or one operation of `crypto.subtle`; its
    isolate is ended then, and callers get 503."""

    response_mb: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] | None = None
    """MiB of one response's body. 502 over it, or the body is cut off there if it is a stream."""

    cron_wall_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)] | None = None
    """Milliseconds that one run of a cron may take, what it gives to `waitUntil` included."""

    max_concurrent_requests: Annotated[int, msgspec.Meta(ge=1, le=MOST_CONCURRENT_REQUESTS)] | None = None
    """Requests at once; as many more wait for a moment, further ones get 503."""

    max_websockets: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    """WebSockets that the app may have open, of clients and to others. Requests for more get 503."""

    websocket_message_kb: Annotated[int, msgspec.Meta(ge=1, le=65_536)] | None = None
    """KiB of one WebSocket message that arrives. A larger one closes its WebSocket with code 1009."""

    subrequests: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """Outgoing requests that one request, or one run of a cron, may make, redirects included. `fetch` throws then."""

    max_concurrent_subrequests: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    """Outgoing requests at once, over all isolates; more wait for their turn, and `fetch` throws when too many wait."""

    subrequest_ms: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)] | None = None
    """Milliseconds that an outgoing request may take, its response included, to the second. `fetch`, or reading the
    response, throws after it."""

    subrequest_mb: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] | None = None
    """MiB of one outgoing request's body, and of its response's, decoded. `fetch`, or reading, throws over it."""

    max_isolates: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """Isolates that may serve the app at the same time; each has its own memory. The node's own bound holds too."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `brrrd.json`."""

    version: Literal[1] = 1

    main: RelativePath | None = None
    """Entry module, an ES module that exports a handler. Without it and without `assets`, `artifacts.layouts` says
    what is taken."""

    assets: Assets | None = None
    """Static files. Without it `public` or `assets` is taken; without an entry too, the package itself if it has an
    `index.html`."""

    node: bool = False
    """Adds the `node:` modules, and what Node.js has on the global object (`Buffer`, `process`)."""

    crons: list[str] = []
    """When the entry's `scheduled` handler is called, in UTC: five fields, as in `["*/5 * * * *", "0 3 * * MON"]`.
    At most `MAX_CRONS`."""

    limits: Limits = Limits()
    headers: list[HeaderRule] = []
    redirects: list[Redirect] = []


_decoder = msgspec.json.Decoder(Manifest)


def parse(data: bytes) -> Manifest:
    """Decode and check `brrrd.json`, apart from whether its files exist. Raises `PackageError` naming the key."""
    try:
        manifest = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise bad_manifest(_explain(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise bad_manifest(f"{FILE_NAME} is not JSON: {_syntax_error(data)}") from None
    _check_rules(manifest)
    _check_crons(manifest.crons)
    if manifest.assets is not None and manifest.assets.not_found and manifest.assets.single_page:
        raise bad_manifest(_at("assets.not_found", "cannot be set together with assets.single_page"))
    return manifest


def resolve(directory: Path) -> Manifest:
    """Return what the unpacked package in `directory` is, with `main` and `assets` filled in (`artifacts.layouts`).

    Raises `PackageError` if `brrrd.json` is wrong, names a file that is not there, or if there is nothing to serve.
    Paths in the result are relative to `directory`, without "./", and exist.
    """
    manifest = _read(directory)
    main, assets = manifest.main, manifest.assets
    if main is not None:
        main = _existing_file(directory, "main", main)
    if assets is not None:
        assets = _existing_assets(directory, assets)
    if main is None and assets is None:
        layout = layouts.recognised(directory)
        main = layout.main
        if layout.directory is not None:
            assets = _existing_assets(directory, Assets(layout.directory, layout.not_found, layout.single_page))
        manifest = msgspec.structs.replace(
            manifest, node=manifest.node or layout.node, crons=manifest.crons or layout.crons
        )
        _check_crons(manifest.crons)
    if main is None:
        main = layouts.find_entry(directory, assets.directory if assets else None)
    if assets is None and (found := layouts.find_assets(directory, main)) is not None:
        assets = Assets(found)
    if main is None and assets is None:
        raise bad_manifest(_nothing_to_serve(directory))
    if main is None and manifest.crons:
        raise bad_manifest(_at("crons", "there is no worker in the package that could be called"))
    if main is not None and assets is not None and (assets.not_found or assets.single_page):
        key = "assets.not_found" if assets.not_found else "assets.single_page"
        raise bad_manifest(_at(key, f"has no effect with the worker {quoted(main)}, which answers such paths itself"))
    manifest = msgspec.structs.replace(manifest, main=main, assets=assets)
    return manifest if assets is None else _with_site_files(directory, manifest, assets)


def _with_site_files(directory: Path, manifest: Manifest, assets: Assets) -> Manifest:
    """Add the rules of `_headers` and `_redirects`. Those of `brrrd.json` go before them."""
    folder = directory / assets.directory
    headers = site_files.headers(_text(folder, site_files.HEADERS))
    redirects, single_page = site_files.redirects(_text(folder, site_files.REDIRECTS))
    if single_page and manifest.main is None and (folder / "index.html").is_file():
        assets = msgspec.structs.replace(assets, single_page=True, not_found=None)
    manifest = msgspec.structs.replace(
        manifest, assets=assets, headers=[*headers, *manifest.headers], redirects=[*manifest.redirects, *redirects]
    )
    for file, problem in (
        (site_files.HEADERS, count_problem(manifest.headers) or size_problem(manifest.headers)),
        (site_files.REDIRECTS, count_problem(manifest.redirects)),
    ):
        if problem is not None:
            raise bad_manifest(f"{file}: {problem}")
    return manifest


def ignored_files(directory: Path, assets: Assets) -> site_files.IgnoredFiles:
    """Return what the package's `.assetsignore` says is not to be served. Raises `PackageError`."""
    return site_files.IgnoredFiles(_text(directory / assets.directory, site_files.IGNORED))


def _text(folder: Path, name: str) -> str:
    file = folder / name
    if not file.is_file():
        return ""
    if file.stat().st_size > site_files.MAX_BYTES:
        raise bad_manifest(f"{name} is larger than {site_files.MAX_BYTES:,} bytes")
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise bad_manifest(f"{name} is not UTF-8") from None


def _read(directory: Path) -> Manifest:
    file = directory / FILE_NAME
    if not file.is_file():
        return Manifest()
    if file.stat().st_size > MAX_MANIFEST_BYTES:
        raise bad_manifest(f"{FILE_NAME} is larger than {MAX_MANIFEST_BYTES:,} bytes")
    return parse(file.read_bytes())


def _existing_assets(directory: Path, assets: Assets) -> Assets:
    path = _inside("assets.directory", assets.directory)
    folder = directory / path
    if not folder.is_dir():
        raise bad_manifest(_at("assets.directory", f"there is no directory {quoted(path)} in the package"))
    not_found = assets.not_found
    if not_found is not None:
        not_found = _existing_file(folder, "assets.not_found", not_found)
    if assets.single_page and not (folder / "index.html").is_file():
        raise bad_manifest(_at("assets.single_page", f"there is no index.html in {quoted(path)}"))
    return Assets(path or ".", not_found, assets.single_page)


def _existing_file(directory: Path, key: str, value: str) -> str:
    path = _inside(key, value)
    if not (directory / path).is_file():
        raise bad_manifest(_at(key, f"there is no file {quoted(path)} in the package"))
    return path


def _inside(key: str, value: str) -> str:
    try:
        return checked_path(value)
    except PackageError as error:
        raise bad_manifest(_at(key, error.detail)) from None


def _check_rules(manifest: Manifest) -> None:
    for number, rule in enumerate(manifest.headers):
        at = f"headers[{number}]"
        for name, value in rule.headers.items():
            _check(f"{at}.headers.{name}", header_problem(name, value))
        for name in rule.remove:
            _check(f"{at}.remove", header_problem(name))
        _check(f"{at}.source", source_problem(rule.source))
    for number, redirect in enumerate(manifest.redirects):
        _check(f"redirects[{number}].source", source_problem(redirect.source))
        _check(f"redirects[{number}].destination", destination_problem(redirect))
    _check("headers", count_problem(manifest.headers) or size_problem(manifest.headers))
    _check("redirects", count_problem(manifest.redirects))


def _check(key: str, problem: str | None) -> None:
    if problem is not None:
        raise bad_manifest(_at(key, problem))


def _check_crons(crons: list[str]) -> None:
    if len(crons) > MAX_CRONS:
        raise bad_manifest(_at("crons", f"expected at most {MAX_CRONS}, got {len(crons)}"))
    for number, expression in enumerate(crons):
        try:
            cron.check(expression, time.time())
        except cron.CronError as error:
            raise bad_manifest(_at(f"crons[{number}]", f"{quoted(expression[: cron.MAX_LENGTH])}: {error}")) from None
        if expression in crons[:number]:
            raise bad_manifest(_at(f"crons[{number}]", f"{quoted(expression)} is there twice"))


_LOCATED = re.compile(r"(?s)(.*) - at `\$\.?(.*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


def _explain(message: str) -> str:
    """Turn msgspec's "Expected `int`, got `str` - at `$.limits.wall_ms`" into a sentence that begins with the key."""
    located = _LOCATED.match(message)
    problem, path = (located[1], located[2]) if located else (message, "")
    if unknown := _UNKNOWN.fullmatch(problem):
        key = f"{path}.{unknown[1]}" if path else unknown[1]
        known = _KNOWN_KEYS.get(re.sub(r"\[\d+\]", "", path), ())
        return _at(key, "unknown key" + (f"; expected one of {', '.join(known)}" if known else ""))
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return _at(f"{path}.{missing[1]}" if path else missing[1], "is missing")
    problem = problem.replace("`", "")
    return _at(path, problem[:1].lower() + problem[1:])


_KNOWN_KEYS: dict[str, tuple[str, ...]] = {
    "": Manifest.__struct_fields__,
    "assets": Assets.__struct_fields__,
    "limits": Limits.__struct_fields__,
    "headers": HeaderRule.__struct_fields__,
    "redirects": Redirect.__struct_fields__,
}


def _at(key: str, problem: str) -> str:
    return f"{FILE_NAME}: {quoted(key)}: {problem}" if key else f"{FILE_NAME}: {problem}"


def _syntax_error(data: bytes) -> str:
    try:
        json.loads(data)
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    except (UnicodeDecodeError, RecursionError) as error:
        return str(error)
    return "malformed"


def _nothing_to_serve(directory: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in directory.iterdir())
    found = ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "nothing"
    return (
        f"the package has neither an entry nor static files: expected {FILE_NAME} with main or assets, one of "
        f"{', '.join(layouts.ENTRY_NAMES)}, a directory public or assets, or an index.html at its root; found {found}"
    )
