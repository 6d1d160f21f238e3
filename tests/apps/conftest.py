"""Real applications, bundled as their authors would: esbuild from npm, one module out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.node import bundle, npm_project

APPS = Path(__file__).parent
PACKAGES = {
    "esbuild": "0.28.2",
    "hono": "4.13.19",
    "itty-router": "6.0.0",
    "zod": "4.6.7",
    "@libsql/client": "0.18.0",
}


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str | bytes]]:
    """`build("hono/index.js")`: the files of a package whose entry is that application."""

    def build(entry: str, *options: str) -> dict[str, str | bytes]:
        output = tmp_path_factory.mktemp("bundle") / "_worker.js"
        bundle(npm_project("apps", PACKAGES), APPS / entry, output, "--conditions=worker,browser", *options)
        return {"_worker.js": output.read_bytes()}

    return build
