"""The asset index of a build: what the edge answers for a URL path without waking the app.

`build` makes it from an unpacked package (called by `artifacts.store`, in a thread), `save` writes it beside the build,
and every edge worker loads it and asks `find` once per GET or HEAD request. Looking up a path never touches the file
system, so no path in a request can reach a file that was not put into the index.

How paths and files meet, for a directory of static files with `about.html` and `blog/index.html`:

    /about.html, /about     about.html
    /about/                 308 to /about
    /blog/                  blog/index.html
    /blog                   308 to /blog/ (unless there is a blog.html), so that relative links in the page work
    /blog/index.html        blog/index.html

Never in the index: the entry module and its source map, `brrrd.json`, names that begin with a dot (apart from
`.well-known`), `node_modules` at the package's root, `_headers`, `_redirects` and `_routes.json`, a folder `_worker.js`
that has the entry, and what `.assetsignore` names.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote, unquote_to_bytes

import msgspec

from artifacts.content_types import content_type, has_known_extension
from artifacts.manifest import FILE_NAME, Manifest
from artifacts.patterns import Pattern, Values
from artifacts.rules import HeaderRule, Redirect, is_pattern
from artifacts.site_files import CONTROL_FILES, IgnoredFiles
from artifacts.unpack import UnpackedFile

CACHE_CONTROL = "public, max-age=0, must-revalidate"
"""Sent unless a header rule says otherwise: stored anywhere, but asked for again, which costs a 304 at most."""

MAX_MEMO = 10_000


class Asset(msgspec.Struct, frozen=True):
    """One answer of the edge: a file, or a redirect."""

    status: int
    """200, 404 for the not_found page, or 301, 302, 303, 307, 308 for a redirect."""
    file: str
    """Path relative to the package's root (`router.messages.App.directory`); "" for a redirect."""
    content_type: str
    etag: str
    """Strong, quotes included, from the content alone: the same file has the same ETag in every build. "" for a
    redirect."""
    size: int
    """Bytes."""
    headers: tuple[tuple[str, str], ...]
    """Further response headers, names in lower case: cache-control, those of the manifest's rules, and for a redirect
    `location`, to which the request's query is to be appended unless it has a "?"."""


class _Stored(msgspec.Struct, frozen=True):
    """The index as saved."""

    files: dict[str, Asset]
    """By decoded URL path of the file itself."""
    headers: list[HeaderRule]
    redirects: list[Redirect]
    fallback: str | None
    """URL path of the page for paths without an answer, and its status: only in packages without a worker."""
    fallback_status: int


Rule = TypeVar("Rule", HeaderRule, Redirect)
_PLACEHOLDER = re.compile(r":([A-Za-z_]\w*)")


class _Rules(Generic[Rule]):
    """Rules in the manifest's order. Those for one path are found by it; each of the others is tried as a pattern."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._patterns: list[tuple[int, Pattern, Rule]] = []
        self._by_path: dict[str, list[tuple[int, Rule]]] = {}
        self.any = bool(rules)
        for number, rule in enumerate(rules):
            if is_pattern(rule.source):
                self._patterns.append((number, Pattern(rule.source), rule))
            else:
                self._by_path.setdefault(rule.source, []).append((number, rule))

    def matching(self, url_path: str) -> Iterator[tuple[Rule, Values]]:
        """Yield each rule whose source matches, with the values of its placeholders."""
        exact = self._by_path.get(url_path, [])
        at = 0
        for number, pattern, rule in self._patterns:
            while at < len(exact) and exact[at][0] < number:
                yield exact[at][1], {}
                at += 1
            if (values := pattern.match(url_path)) is not None:
                yield rule, values
        for _, rule in exact[at:]:
            yield rule, {}


class AssetIndex:
    """Static files, redirects and header rules of one build."""

    def __init__(self, stored: _Stored) -> None:
        self._stored = stored
        self._by_path = _with_aliases(stored.files)
        self._redirects = _Rules(stored.redirects)
        self._headers = _Rules(stored.headers)
        self._memo: dict[str, Asset] = {}

    def __repr__(self) -> str:
        return f"<AssetIndex [{len(self._stored.files)} files, {len(self._stored.redirects)} redirects]>"

    @classmethod
    def build(
        cls, manifest: Manifest, files: Mapping[str, UnpackedFile], ignored: IgnoredFiles | None = None
    ) -> "AssetIndex":
        """Make the index of a package from its resolved manifest and its files by path, without those `ignored`."""
        assets = {
            "/" + url: Asset(
                200, path, content_type(path), _etag(file.sha256), file.size, (("cache-control", CACHE_CONTROL),)
            )
            for path, file in sorted(files.items())
            if (url := _url_path(path, manifest)) is not None and (ignored is None or url not in ignored)
        }
        fallback, status = None, 404
        if manifest.main is None and manifest.assets is not None:
            if manifest.assets.single_page:
                fallback, status = "/index.html", 200
            elif manifest.assets.not_found:
                fallback = "/" + manifest.assets.not_found
        return cls(_Stored(assets, manifest.headers, manifest.redirects, fallback, status))

    @classmethod
    def load(cls, path: Path | str) -> "AssetIndex":
        """Read an index that `save` wrote. Raises `OSError`, or `msgspec.MsgspecError` if it is damaged."""
        return cls(msgspec.msgpack.decode(Path(path).read_bytes(), type=_Stored))

    def save(self, path: Path) -> None:
        """Write the index to `path`."""
        path.write_bytes(msgspec.msgpack.encode(self._stored))

    def find(self, url_path: str) -> Asset | None:
        """Return the answer for a request's path as received (percent-encoded, without query), None if there is none.

        None means: the app answers, or 404 without one. The single_page and not_found pages of a package without a
        worker are found here too.
        """
        if self._redirects.any and (redirected := self._redirect(url_path)) is not None:
            return redirected
        asset = self._by_path.get(url_path)
        path = url_path
        if asset is None and "%" in url_path:
            path = _decoded(url_path)
            asset = self._by_path.get(path)
        if asset is None:
            return self._fallback(path)
        return self._with_headers(path, asset) if self._headers.any else asset

    def _fallback(self, path: str) -> Asset | None:
        stored = self._stored
        if stored.fallback is None or (page := stored.files.get(stored.fallback)) is None:
            return None
        if stored.fallback_status == 200 and has_known_extension(path):
            # A missing script or image answered with HTML is the classic riddle of single-page apps.
            return None
        if self._headers.any:
            page = self._with_headers(stored.fallback, page)
        return msgspec.structs.replace(page, status=stored.fallback_status)

    def _redirect(self, url_path: str) -> Asset | None:
        for redirect, values in self._redirects.matching(url_path):
            return _redirect_to(_filled(redirect.destination, values), redirect.status)
        return None

    def _with_headers(self, path: str, asset: Asset) -> Asset:
        """Apply the header rules for `path`; answers are remembered, as there are few paths."""
        found = self._memo.get(path)
        if found is None:
            headers = dict(asset.headers)
            for rule, _ in self._headers.matching(path):
                for name in rule.remove:
                    headers.pop(name.lower(), None)
                headers.update((name.lower(), value) for name, value in rule.headers.items())
            kind = headers.pop("content-type", asset.content_type)
            found = msgspec.structs.replace(asset, content_type=kind, headers=tuple(headers.items()))
            if len(self._memo) < MAX_MEMO:
                self._memo[path] = found
        return found


def _with_aliases(files: Mapping[str, Asset]) -> dict[str, Asset]:
    """Return the answer for every path by the table in the module's docstring."""
    by_path = dict(files)
    for path, asset in files.items():
        if path.endswith("/index.html"):
            folder = path.removesuffix("index.html")
            by_path[folder] = asset
            bare = folder.removesuffix("/")
            if bare and bare not in files and f"{bare}.html" not in files:
                by_path[bare] = _redirect_to(quote(folder), 308)
        elif path.endswith(".html"):
            bare = path.removesuffix(".html")
            if bare not in files:
                by_path[bare] = asset
            if f"{bare}/index.html" not in files:
                by_path[f"{bare}/"] = _redirect_to(quote(bare), 308)
    return by_path


def _filled(destination: str, values: Values) -> str:
    """Put what a rule's source matched into its destination; the scheme's colon is no placeholder."""
    scheme, separator, rest = destination.partition("://")
    if separator:
        return scheme + separator + _PLACEHOLDER.sub(lambda match: values.get(match[1]) or "", rest)
    path = _PLACEHOLDER.sub(lambda match: values.get(match[1]) or "", destination)
    # "/*" to "/:splat" must not turn the path "//evil.example" into another site.
    return "/" + path.lstrip("/\\") if path.startswith(("//", "/\\")) else path


def _redirect_to(location: str, status: int) -> Asset:
    return Asset(status, "", "", "", 0, (("location", location),))


def _url_path(path: str, manifest: Manifest) -> str | None:
    """Return the decoded URL path, without its leading slash, of the file `path`, or None if it is not to be served."""
    assets = manifest.assets
    if assets is None or path == FILE_NAME or path in (manifest.main, f"{manifest.main}.map"):
        return None
    url = path
    if assets.directory != ".":
        if not path.startswith(assets.directory + "/"):
            return None
        url = path[len(assets.directory) + 1 :]
    elif path.startswith("node_modules/"):
        return None
    if url in CONTROL_FILES or (manifest.main == "_worker.js/index.js" and path.startswith("_worker.js/")):
        return None
    if any(part.startswith(".") and part != ".well-known" for part in url.split("/")):
        return None
    return url


def _etag(sha256: bytes) -> str:
    """Return 144 of the hash's bits: 24 characters, without padding."""
    return f'"{base64.urlsafe_b64encode(sha256[:18]).decode()}"'


def _decoded(url_path: str) -> str:
    """Percent-decode a path; one that is not UTF-8 afterwards matches nothing, as it has a replacement character."""
    return unquote_to_bytes(url_path).decode("utf-8", "replace")
