"""Headless Chromium for tests, without the system's packages: the binary of the npm package `@sparticuz/chromium`.

That package brings what a bare machine lacks (NSS, a font) and needs no root. Playwright of PyPI drives it; its own
browsers would come from a host that is no package registry. It is there for x86-64 only; elsewhere, install a Chromium
and name it in `BRRRD_TEST_CHROMIUM`.
"""

import fcntl
import io
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import brotli
from playwright.sync_api import Browser, sync_playwright

from tests.node import CACHE, npm_project

VERSION = "153.0.0"
FONTS = """<?xml version="1.0"?>
<fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""


def chromium() -> Path:
    """The folder with the browser: `chromium`, `lib/`, and `fonts.conf` with what it names. Unpacked once."""
    if platform.machine() != "x86_64":
        raise RuntimeError(
            f"there is no Chromium for {platform.machine()} on npm: install one (apt-get install chromium) and set "
            "BRRRD_TEST_CHROMIUM=/usr/bin/chromium"
        )
    folder = CACHE / f"chromium-{VERSION}"
    if folder.is_dir():
        return folder
    packed = npm_project("chromium", {"@sparticuz/chromium": VERSION}) / "node_modules/@sparticuz/chromium/bin"
    with (CACHE / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        unfinished = Path(tempfile.mkdtemp(prefix=".chromium-", dir=CACHE))
        try:
            for name in ("al2023", "fonts"):
                archive = io.BytesIO(brotli.decompress((packed / f"{name}.tar.br").read_bytes()))
                with tarfile.open(fileobj=archive) as tar:
                    tar.extractall(unfinished, filter="data")
            (unfinished / "fonts.conf").write_text(FONTS.format(folder=folder))
            binary = unfinished / "chromium"
            binary.write_bytes(brotli.decompress((packed / "chromium.br").read_bytes()))
            binary.chmod(0o755)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


@contextmanager
def browser() -> Iterator[Browser]:
    """A running browser. For tests that are no coroutines: Playwright keeps a loop on this thread meanwhile."""
    program = os.environ.get("BRRRD_TEST_CHROMIUM")
    environment: dict[str, str | float | bool] = {**os.environ}
    if program is None:
        folder = chromium()
        program = str(folder / "chromium")
        environment |= {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_PATH": str(folder)}
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, env=environment)
        try:
            yield running
        finally:
            running.close()
