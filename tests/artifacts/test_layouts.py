"""Packages without `main` and `assets`: what frameworks write is understood."""

from pathlib import Path

import pytest

from artifacts.errors import PackageError
from artifacts.manifest import Assets, Manifest, resolve

NITRO = (
    '{"main": "index.mjs", "assets": {"binding": "ASSETS", "directory": "../public"}, "name": "x", '
    '"compatibility_flags": ["nodejs_compat", "no_nodejs_compat_v2"], "triggers": {"crons": ["0 3 * * *"]}}'
)


def package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def resolved(folder: Path, files: dict[str, str]) -> tuple[str | None, str | None, bool]:
    manifest = resolve(package(folder, files))
    return manifest.main, manifest.assets.directory if manifest.assets else None, manifest.node


@pytest.mark.parametrize(
    ("files", "main", "directory", "node"),
    [
        (
            {"server/wrangler.json": NITRO, "server/index.mjs": "", "public/a.css": ""},
            "server/index.mjs",
            "public",
            True,
        ),
        ({"server/index.mjs": "", "public/a.css": ""}, "server/index.mjs", "public", False),
        ({"server/index.js": "", "client/a.css": ""}, "server/index.js", "client", False),
        ({"_worker.js": "", "_routes.json": "{}", "a.css": ""}, "_worker.js", ".", False),
        ({"_worker.js/index.js": "", ".assetsignore": "", "a.css": ""}, "_worker.js/index.js", ".", False),
        ({"_worker.js": "", "lib.js": ""}, "_worker.js", None, False),
        ({"wrangler.json": '{"main": "w.js"}', "w.js": "", "public/a.css": ""}, "w.js", "public", False),
        ({"wrangler.json": '{"assets": {"directory": "dist"}}', "dist/index.html": ""}, None, "dist", False),
    ],
)
def test_layouts(tmp_path: Path, files: dict[str, str], main: str, directory: str, node: bool) -> None:
    assert resolved(tmp_path, files) == (main, directory, node)


def test_a_generated_configuration_brings_its_crons(tmp_path: Path) -> None:
    files = {"server/wrangler.json": NITRO, "server/index.mjs": "", "public/a.css": ""}
    assert resolve(package(tmp_path, files)).crons == ["0 3 * * *"]


def test_crons_of_a_generated_configuration_are_no_more_than_those_of_a_manifest(tmp_path: Path) -> None:
    crons = ", ".join(f'"{minute} * * * *"' for minute in range(33))
    files = {"wrangler.json": f'{{"main": "index.js", "triggers": {{"crons": [{crons}]}}}}', "index.js": ""}
    with pytest.raises(PackageError, match="at most 32, got 33"):
        resolve(package(tmp_path, files))


def test_what_is_said_goes_before_what_is_recognised(tmp_path: Path) -> None:
    files = {"brrrd.json": '{"main": "a.js"}', "a.js": "", "server/index.js": "", "client/a.css": ""}
    assert resolved(tmp_path, files) == ("a.js", None, False)


def test_other_keys_join_what_is_recognised(tmp_path: Path) -> None:
    files = {"brrrd.json": '{"node": true, "limits": {"wall_ms": 5}}', "server/index.js": "", "client/a.css": ""}
    manifest = resolve(package(tmp_path, files))
    assert (manifest.main, manifest.node, manifest.limits.wall_ms) == ("server/index.js", True, 5)


def test_single_page_applications(tmp_path: Path) -> None:
    config = '{"assets": {"directory": ".", "not_found_handling": "single-page-application"}}'
    assert resolve(package(tmp_path, {"wrangler.json": config, "index.html": ""})).assets == Assets(".", None, True)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ('{"main": "none.js"}', 'wrangler.json: "main": there is no "server/none.js" in the package'),
        ('{"main": "../../x.js"}', 'wrangler.json: "main": the path "../x.js" has a ".."'),
        ('{"assets": {"directory": 1}}', "wrangler.json is not what build tools write: Expected `str | null`"),
        ("{", "wrangler.json is not what build tools write"),
        ('{"x":' + "[" * 100_000, "wrangler.json is not what build tools write"),
    ],
)
def test_a_wrong_configuration_is_refused(tmp_path: Path, config: str, problem: str) -> None:
    with pytest.raises(PackageError) as refused:
        resolve(package(tmp_path, {"server/wrangler.json": config, "server/index.js": ""}))
    assert problem in refused.value.detail


def test_an_empty_package_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="neither an entry nor static files"):
        resolve(package(tmp_path, {"a.txt": ""}))
    assert Manifest().main is None
