"""What the edge answers for a path, from a table of files."""

import hashlib
import time
from pathlib import Path

import msgspec
import pytest

from artifacts.content_types import content_type
from artifacts.index import AssetIndex
from artifacts.manifest import Assets, Manifest
from artifacts.rules import MAX_PATTERNS, HeaderRule, Redirect
from artifacts.unpack import UnpackedFile


def index(*paths: str, **manifest: object) -> AssetIndex:
    files = {path: UnpackedFile(len(path), hashlib.sha256(path.encode()).digest()) for path in paths}
    return AssetIndex.build(msgspec.convert({"assets": Assets("public"), **manifest}, Manifest), files)


SITE = index(
    "_worker.js",
    "brrrd.json",
    "public/index.html",
    "public/about.html",
    "public/blog/index.html",
    "public/docs.html",
    "public/docs/index.html",
    "public/app.js",
    "public/a b+\xe9.txt",
    "public/100%.txt",
    "public/.env",
    "public/.git/config",
    "public/.well-known/security.txt",
    "secret/key.pem",
    main="_worker.js",
)

ANSWERS = {
    "/": "public/index.html",
    "/index.html": "public/index.html",
    "/about": "public/about.html",
    "/about.html": "public/about.html",
    "/about/": "308 /about",
    "/blog/": "public/blog/index.html",
    "/blog": "308 /blog/",
    "/blog/index.html": "public/blog/index.html",
    "/docs": "public/docs.html",
    "/docs/": "public/docs/index.html",
    "/app.js": "public/app.js",
    "/a%20b+%C3%A9.txt": "public/a b+\xe9.txt",
    "/100%.txt": "public/100%.txt",
    "/100%25.txt": "public/100%.txt",
    "/.well-known/security.txt": "public/.well-known/security.txt",
    "/.env": None,
    "/.git/config": None,
    "/missing": None,
    "/public/app.js": None,
    "/_worker.js": None,
    "/../_worker.js": None,
    "/%2e%2e/_worker.js": None,
    "/..%2f_worker.js": None,
    "/app.js/": None,
    "//app.js": None,
    "/app.js%00": None,
    "/%ff": None,
    "": None,
    "/secret/key.pem": None,
    "/brrrd.json": None,
}


@pytest.mark.parametrize("path", ANSWERS)
def test_path_is_answered(path: str) -> None:
    asset = SITE.find(path)
    expected = ANSWERS[path]
    if expected is None:
        assert asset is None
    elif expected.startswith("308"):
        assert asset is not None
        assert (asset.status, dict(asset.headers)["location"]) == (308, expected[4:])
    else:
        assert asset is not None
        assert (asset.status, asset.file) == (200, expected)


def test_entry_manifest_and_source_map_are_never_served() -> None:
    found = index(
        "index.html",
        "_worker.js",
        "_worker.js.map",
        "app.js.map",
        "brrrd.json",
        "node_modules/x/index.js",
        assets=Assets("."),
        main="_worker.js",
    )
    assert [
        path
        for path in ("/_worker.js", "/_worker.js.map", "/brrrd.json", "/node_modules/x/index.js")
        if found.find(path)
    ] == []
    assert found.find("/app.js.map") is not None


def test_etag_depends_on_the_content_alone() -> None:
    one = AssetIndex.build(Manifest(assets=Assets("a")), {"a/x.txt": UnpackedFile(1, b"h" * 32)}).find("/x.txt")
    two = AssetIndex.build(Manifest(assets=Assets("b")), {"b/y.css": UnpackedFile(1, b"h" * 32)}).find("/y.css")
    other = AssetIndex.build(Manifest(assets=Assets("a")), {"a/x.txt": UnpackedFile(1, b"i" * 32)}).find("/x.txt")
    assert one and two and other
    assert one.etag == two.etag != other.etag
    assert one.etag[0] == one.etag[-1] == '"'


def test_single_page_app_answers_every_page_but_no_missing_file() -> None:
    found = index("public/index.html", "public/app.js", assets=Assets("public", single_page=True))
    page = found.find("/users/john.doe")
    assert page and (page.status, page.file) == (200, "public/index.html")
    assert found.find("/old-chunk.js") is None


def test_not_found_page_has_status_404() -> None:
    found = index("public/index.html", "public/404.html", assets=Assets("public", not_found="404.html"))
    page = found.find("/missing.js")
    assert page and (page.status, page.file) == (404, "public/404.html")


def redirected(source: str, destination: str, path: str) -> str | None:
    asset = index("public/a.txt", redirects=[Redirect(source, destination)]).find(path)
    return dict(asset.headers)["location"] if asset else None


REDIRECTS = {
    ("/old", "/new", "/old"): "/new",
    ("/old", "/new", "/older"): None,
    ("/a.txt", "/new", "/a.txt"): "/new",
    ("/u/:id", "/users/:id", "/u/7"): "/users/7",
    ("/u/:id", "/users/:id", "/u/7/8"): None,
    ("/u/:id", "https://example.com:8443/u/:id?x=1", "/u/7"): "https://example.com:8443/u/7?x=1",
    ("/blog/*", "/news/:splat", "/blog/a/b"): "/news/a/b",
    ("/blog/*", "/news/:splat", "/blog"): "/news/",
    ("/*", "https://example.com/:splat", "/x"): "https://example.com/x",
    ("/*", "/:splat", "//evil.example/x"): "/evil.example/x",
    ("/go/*", "/:splat", "/go//evil.example"): "/evil.example",
    ("/a.b", "/c", "/axb"): None,
    ("/*.htm", "/:splat.html", "/a/b.htm"): "/a/b.html",
    ("/v*/:page", "/:splat/:page", "/v1/2/x"): "/1/2/x",
    ("/v*/:page", "/:splat/:page", "/v1"): None,
    ("/*-:id/edit", "/:id", "/a-b-7/edit"): "/7",
    ("/*-:id/edit", "/:id", "/a-b/7/edit"): None,
    ("/a*/a", "/b", "/a"): None,
}


@pytest.mark.parametrize("rule", REDIRECTS)
def test_redirect(rule: tuple[str, str, str]) -> None:
    assert redirected(*rule) == REDIRECTS[rule]


def test_two_hundred_rules_made_to_be_slow_are_not() -> None:
    names = "/".join(f":n{number}" for number in range(300))
    rules = [Redirect(f"/*/{names}/{number}", "/") for number in range(MAX_PATTERNS)]
    site = index("public/a.txt", redirects=rules)
    started = time.process_time()
    assert site.find("/a" * 30_000) is None
    assert time.process_time() - started < 1, "minutes, if every place of the path was tried for the *"


def test_header_rules_apply_in_order_and_replace_the_default() -> None:
    found = index(
        "public/static/a.js",
        "public/index.html",
        headers=[
            HeaderRule("/*", {"X-A": "1", "X-B": "1"}),
            HeaderRule(
                "/static/*", {"X-B": "2", "Cache-Control": "max-age=31536000, immutable", "Content-Type": "text/x"}
            ),
        ],
    )
    script, page = found.find("/static/a.js"), found.find("/")
    assert script and page
    assert dict(script.headers) == {"cache-control": "max-age=31536000, immutable", "x-a": "1", "x-b": "2"}
    assert script.content_type == "text/x"
    assert dict(page.headers)["cache-control"] == "public, max-age=0, must-revalidate"
    assert found.find("/static/a.js") == script


def test_index_survives_saving_and_loading(tmp_path: Path) -> None:
    SITE.save(tmp_path / "assets.msgpack")
    loaded = AssetIndex.load(tmp_path / "assets.msgpack")
    assert all(loaded.find(path) == SITE.find(path) for path in ANSWERS)


def test_damaged_index_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "assets.msgpack").write_bytes(b"\x93damaged")
    with pytest.raises(msgspec.MsgspecError):
        AssetIndex.load(tmp_path / "assets.msgpack")


TYPES = {
    "a.html": "text/html; charset=utf-8",
    "A.HTM": "text/html; charset=utf-8",
    "a.js": "text/javascript; charset=utf-8",
    "a.mjs": "text/javascript; charset=utf-8",
    "a.css": "text/css; charset=utf-8",
    "a.svg": "image/svg+xml; charset=utf-8",
    "a.json": "application/json",
    "a.js.map": "application/json",
    "site.webmanifest": "application/manifest+json",
    "a.wasm": "application/wasm",
    "a.woff2": "font/woff2",
    "a.avif": "image/avif",
    "favicon.ico": "image/x-icon",
    "a.mp4": "video/mp4",
    "a.tar.gz": "application/gzip",
    "robots.txt": "text/plain; charset=utf-8",
    ".well-known/apple-app-site-association": "application/json",
    "unknown.xyz123": "application/octet-stream",
    "noextension": "application/octet-stream",
}


@pytest.mark.parametrize("name", TYPES)
def test_content_type(name: str) -> None:
    assert content_type(name) == TYPES[name]
