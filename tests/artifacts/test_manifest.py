"""brrrd.json: every mistake is answered with the key it is in; packages without one are understood."""

from pathlib import Path

import pytest

from artifacts.errors import PackageError
from artifacts.manifest import Assets, Limits, Manifest, parse, resolve

WRONG: dict[str, tuple[str | bytes, str]] = {
    "unknown key": ('{"man": "a.js"}', '"man": unknown key; expected one of version, main, assets'),
    "unknown key inside": (
        '{"assets": {"dir": "a", "directory": "b"}}',
        '"assets.dir": unknown key; expected one of dir',
    ),
    "unknown limit": ('{"limits": {"cpu": 1}}', '"limits.cpu": unknown key; expected one of wall_ms'),
    "unknown key in a list": (
        '{"redirects": [{"source": "/a", "destination": "/b"}, {"source": "/a", "destination": "/b", "to": 1}]}',
        '"redirects[1].to": unknown key; expected one of source',
    ),
    "missing key": ('{"assets": {}}', '"assets.directory": is missing'),
    "wrong type": ('{"limits": {"wall_ms": "30s"}}', '"limits.wall_ms": expected int'),
    "value too small": ('{"limits": {"memory_mb": 1}}', '"limits.memory_mb": expected int >= 16'),
    "value too large": (
        '{"limits": {"max_concurrent_requests": 100001}}',
        '"limits.max_concurrent_requests": expected',
    ),
    "other version": ('{"version": 2}', '"version": invalid enum value 2'),
    "not an object": ("[]", "brrrd.json: expected object, got array"),
    "syntax": ('{\n  "main": "a.js",\n}', "brrrd.json is not JSON: line 3, column 1"),
    "not UTF-8": (b'{"main": "\xff"}', "brrrd.json is not JSON"),
    "empty": ("", "brrrd.json is not JSON: line 1, column 1"),
    "header name": ('{"headers": [{"source": "/", "headers": {"a b": "c"}}]}', "is not a header name"),
    "header value": ('{"headers": [{"source": "/", "headers": {"a": "b\\nc"}}]}', "printable ASCII"),
    "header of the server": ('{"headers": [{"source": "/", "headers": {"Content-Length": "1"}}]}', "set by the server"),
    "source without slash": (
        '{"headers": [{"source": "a", "headers": {}}]}',
        '"headers[0].source": expected str matching',
    ),
    "star in the middle": ('{"redirects": [{"source": "/*/a/*", "destination": "/"}]}', '"redirects[0].source": a "*"'),
    "placeholder twice": ('{"redirects": [{"source": "/:a/:a", "destination": "/"}]}', '":a" stands for two parts'),
    "headers of any size": (
        '{"headers": [{"source": "/*", "headers": {"a": "LONG"}}, {"source": "/a", "headers": {"b": "LONG"}}]}'.replace(
            "LONG", "x" * 70_000
        ),
        '"headers": one response could get more than 131,072 bytes',
    ),
    "bad placeholder": ('{"redirects": [{"source": "/:1", "destination": "/"}]}', '":1" is not a name'),
    "unknown placeholder": ('{"redirects": [{"source": "/:a", "destination": "/:b"}]}', '":b" is not in source "/:a"'),
    "destination with a scheme": (
        '{"redirects": [{"source": "/a", "destination": "javascript:alert(1)"}]}',
        '"redirects[0].destination": expected a path',
    ),
    "destination with a line feed": ('{"redirects": [{"source": "/a", "destination": "/b\\r\\nx: y"}]}', "printable"),
    "redirect status": ('{"redirects": [{"source": "/a", "destination": "/b", "status": 200}]}', "redirects[0].status"),
    "cron": ('{"crons": ["* * * * *", "0 25 * * *"]}', '"crons[1]": "0 25 * * *": bad hour'),
    "many crons": (f'{{"crons": {["* * * * *"] * 33}}}'.replace("'", '"'), '"crons": expected at most 32, got 33'),
    "cron twice": ('{"crons": ["* * * * *", "* * * * *"]}', '"crons[1]": "* * * * *" is there twice'),
    "both fallbacks": (
        '{"assets": {"directory": "a", "not_found": "404.html", "single_page": true}}',
        "together with assets.single_page",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistake_is_named(name: str) -> None:
    text, expected = WRONG[name]
    with pytest.raises(PackageError) as refused:
        parse(text if isinstance(text, bytes) else text.encode())
    assert refused.value.status == 422
    assert expected in refused.value.detail


def test_every_key_is_understood() -> None:
    manifest = parse(
        b"""{"version": 1, "main": "dist/app.js", "node": true,
        "assets": {"directory": "public"},
        "limits": {"wall_ms": 5000, "memory_mb": 64, "cpu_ms": 50, "response_mb": 8, "max_concurrent_requests": 5},
        "headers": [{"source": "/static/*", "headers": {"Cache-Control": "max-age=1"}}],
        "redirects": [{"source": "/u/:id", "destination": "https://example.com:8443/:id", "status": 301}]}"""
    )
    assert manifest.main == "dist/app.js"
    assert manifest.limits == Limits(wall_ms=5000, memory_mb=64, cpu_ms=50, response_mb=8, max_concurrent_requests=5)
    assert manifest.redirects[0].status == 301


def tree(root: Path, *files: str, manifest: str | None = None) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    if manifest is not None:
        (root / "brrrd.json").write_text(manifest)
    return root


FOUND = {
    "worker and public": (["_worker.js", "public/a.txt"], None, "_worker.js", "public"),
    "worker before index": (["_worker.js", "index.js", "worker.js"], None, "_worker.js", None),
    "index before worker.js": (["index.js", "worker.js"], None, "index.js", None),
    "worker.js and assets": (["worker.js", "assets/a.txt"], None, "worker.js", "assets"),
    "public before assets": (["public/a", "assets/b"], None, None, "public"),
    "entry and index.html": (["index.js", "index.html"], None, "index.js", None),
    "only a page": (["index.html", "app.js"], None, None, "."),
    "manifest with limits only": (["index.js", "public/a"], '{"limits": {"wall_ms": 5}}', "index.js", "public"),
    "manifest with main only": (["a/b.js", "public/a"], '{"main": "./a/b.js"}', "a/b.js", "public"),
    "manifest with assets only": (["dist/a"], '{"assets": {"directory": "dist/"}}', None, "dist"),
    "assets beside a worker": (["dist/a", "_worker.js"], '{"assets": {"directory": "dist"}}', "_worker.js", "dist"),
    "assets are the package": (["index.html", "index.js"], '{"assets": {"directory": "."}}', None, "."),
    "worker inside the assets": (["index.html", "_worker.js"], '{"assets": {"directory": "."}}', "_worker.js", "."),
}


@pytest.mark.parametrize("name", FOUND)
def test_package_is_understood(name: str, tmp_path: Path) -> None:
    files, text, main, directory = FOUND[name]
    manifest = resolve(tree(tmp_path, *files, manifest=text))
    assert manifest.main == main
    assert (manifest.assets.directory if manifest.assets else None) == directory


NOT_FOUND = {
    "nothing": ([], None, "found nothing"),
    "neither entry nor page": (["readme.txt", "src/a.ts"], None, "found readme.txt, src/"),
    "missing main": (["index.js"], '{"main": "app.js"}', '"main": there is no file "app.js"'),
    "main is a directory": (["app/x.js"], '{"main": "app"}', '"main": there is no file "app"'),
    "main outside": (["index.js"], '{"main": "../app.js"}', '"main": the path "../app.js" has a ".."'),
    "main absolute": (["index.js"], '{"main": "/etc/passwd"}', '"main": the path "/etc/passwd" is absolute'),
    "missing assets": (["index.js"], '{"assets": {"directory": "dist"}}', 'no directory "dist"'),
    "assets outside": (["index.js"], '{"assets": {"directory": "../x"}}', '"assets.directory": the path'),
    "missing not_found": (
        ["dist/a"],
        '{"assets": {"directory": "dist", "not_found": "404.html"}}',
        '"assets.not_found": there is no file "404.html"',
    ),
    "single page without a page": (
        ["dist/a"],
        '{"assets": {"directory": "dist", "single_page": true}}',
        "no index.html",
    ),
    "single page with a worker": (
        ["dist/index.html", "_worker.js"],
        '{"assets": {"directory": "dist", "single_page": true}}',
        '"assets.single_page": has no effect with the worker "_worker.js"',
    ),
}


@pytest.mark.parametrize("name", NOT_FOUND)
def test_package_that_cannot_be_served_is_refused(name: str, tmp_path: Path) -> None:
    files, text, expected = NOT_FOUND[name]
    with pytest.raises(PackageError) as refused:
        resolve(tree(tmp_path, *files, manifest=text))
    assert refused.value.status == 422
    assert expected in refused.value.detail


def test_defaults_are_those_of_an_empty_manifest() -> None:
    assert parse(b"{}") == Manifest()
    assert Assets("public").single_page is False
