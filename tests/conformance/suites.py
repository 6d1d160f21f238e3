"""Which test files make up each suite (`suites.toml`), found in a checkout of web-platform-tests."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import msgspec

SUITES = Path(__file__).with_name("suites.toml")
META = re.compile(r"^//\s*META:\s*(\w+)=(.*)$", re.MULTILINE)
_SCOPES = {"worker", "dedicatedworker", "serviceworker", "jsshell"}
"""Values of `META: global=` that a runtime without documents may run."""


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the table."""

    files: list[str]
    """Globs within the checkout; `**` crosses folders."""
    left_out: dict[str, str] = {}
    """Glob to the reason why these files are not run."""
    variants: list[str] | None = None
    """Only these variants of files that have some."""
    dropped: dict[str, str] = {}
    """File to a regular expression: subtests that cannot run without a document or a server."""
    base_url: bool = False
    """Whether the tests hand relative URLs to `Request`: a worker has no base URL, so they get one."""
    hang_ms: int = 4_000
    """After how long a promise test fails that does not settle, instead of taking the rest of its file along."""
    node: bool = False
    """Whether the files need more of brrrd than an isolate host: they run in apps of a whole node then."""
    interfaces: list[str] | None = None
    """Of interface tests, count those about these interfaces only."""


class Unit(NamedTuple):
    """One script to run: a file, or one variant of it."""

    suite: str
    file: str
    variant: str

    @property
    def key(self) -> str:
        return self.file + self.variant


def load(path: Path = SUITES) -> dict[str, Suite]:
    """Read the suites by name. Raises `msgspec.ValidationError` where the file breaks the format."""
    return msgspec.toml.decode(path.read_bytes(), type=dict[str, Suite])


def units(checkout: Path, suites: dict[str, Suite]) -> list[Unit]:
    """Every file of every suite that a worker can run, once per variant, in a stable order."""
    return [
        Unit(name, file, variant)
        for name, suite in suites.items()
        for file in _files(checkout, suite)
        for variant in _variants((checkout / file).read_text(), suite, is_window=file.endswith(".window.js"))
    ]


def _files(checkout: Path, suite: Suite) -> Iterator[str]:
    seen: set[str] = set()
    for glob in suite.files:
        for path in sorted(checkout.glob(glob)):
            file = path.relative_to(checkout).as_posix()
            if file not in seen and not any(fnmatchcase(file, pattern) for pattern in suite.left_out):
                seen.add(file)
                yield file


def _variants(text: str, suite: Suite, *, is_window: bool) -> list[str]:
    """The variants of a file; none if no worker can run it. A `.window.js` that a suite names is taken at its word."""
    meta = META.findall(text)
    scopes = {scope.strip() for key, value in meta if key == "global" for scope in value.split(",")}
    if not is_window and scopes and not scopes & _SCOPES:
        return []
    found = [value.strip() for key, value in meta if key == "variant"]
    return [one for one in found if suite.variants is None or one in suite.variants] if found else [""]
