"""`_headers`, `_redirects` and `.assetsignore`: what build tools for static hosts write beside the files.

Called by `artifacts.manifest` with their text. A rule that is not understood refuses the package with its line, so that
none is silently lost. Rules for other hosts (`https://…` in front) mean nothing here and are left out. Pure.
"""

import re
from collections.abc import Iterator
from fnmatch import translate
from itertools import takewhile
from typing import Literal, NamedTuple

from artifacts.errors import PackageError, bad_manifest
from artifacts.paths import MAX_PATH_BYTES, quoted
from artifacts.rules import HeaderRule, Redirect, destination_problem, header_problem, source_problem

HEADERS = "_headers"
REDIRECTS = "_redirects"
IGNORED = ".assetsignore"
CONTROL_FILES = frozenset((HEADERS, REDIRECTS, IGNORED, "_routes.json", "wrangler.json"))
"""Never served."""

MAX_BYTES = 1 << 20
MAX_PATTERNS = 100
"""Of an `.assetsignore`: each is compared with each file."""

_STATUSES: dict[str, Literal[301, 302, 303, 307, 308]] = {"301": 301, "302": 302, "303": 303, "307": 307, "308": 308}


def headers(text: str) -> list[HeaderRule]:
    """Parse `_headers`. Raises `PackageError` that names the line."""
    rules: list[tuple[HeaderRule, dict[str, list[str]]]] = []
    skipping = False
    for number, line in _lines(text):
        if line.startswith(("/", "https://", "http://")):
            skipping = not line.startswith("/")
            if not skipping:
                _check(HEADERS, number, source_problem(line))
                rules.append((HeaderRule(line, {}, []), {}))
        elif skipping:
            continue
        elif not rules:
            raise _wrong(HEADERS, number, "expected a path that starts with /")
        elif line.startswith("!"):
            _check(HEADERS, number, header_problem(line[1:].strip()))
            rules[-1][0].remove.append(line[1:].strip())
        else:
            name, colon, value = (part.strip() for part in line.partition(":"))
            _check(HEADERS, number, header_problem(name, value) if colon else 'expected "Name: value", or "! Name"')
            rules[-1][1].setdefault(name, []).append(value)
    for rule, values in rules:
        rule.headers.update((name, ", ".join(several)) for name, several in values.items())
    return [rule for rule, _ in rules]


def redirects(text: str) -> tuple[list[Redirect], bool]:
    """Parse `_redirects`; also tell whether it has the rule of single-page apps, `/* /index.html 200`.

    Raises `PackageError` that names the line.
    """
    rules: list[Redirect] = []
    single_page = False
    for number, line in _lines(text):
        parts = line.split()
        if not parts[0].startswith("/"):
            if parts[0].startswith(("https://", "http://")):
                continue
            raise _wrong(REDIRECTS, number, "expected a path that starts with /")
        if len(parts) not in (2, 3):
            raise _wrong(REDIRECTS, number, "expected a source, a destination and maybe a status")
        source, destination, status = (*parts, "302")[:3]
        if (source, status) == ("/*", "200") and destination in ("/index.html", "/"):
            single_page = True
        elif status not in _STATUSES:
            raise _wrong(REDIRECTS, number, f"the status {quoted(status)} is none of 301, 302, 303, 307 and 308")
        else:
            rule = Redirect(source, destination, _STATUSES[status])
            _check(REDIRECTS, number, source_problem(source) or destination_problem(rule))
            rules.append(rule)
    return rules, single_page


class IgnoredFiles:
    """The patterns of an `.assetsignore`, which are those of a `.gitignore`.

    Asked for one file after the other in the order of their paths, it looks at each folder once.
    """

    def __init__(self, text: str) -> None:
        lines = list(_lines(text))
        if len(lines) > MAX_PATTERNS:
            raise bad_manifest(f"{IGNORED} has more than {MAX_PATTERNS} patterns")
        for number, line in lines:
            _check(IGNORED, number, "the pattern is longer than any path" if len(line) > MAX_PATH_BYTES else None)
        self._patterns = [_Pattern(line) for _, line in lines]
        self._folders: list[str] = []
        """Of the file that was asked for last."""

    def __repr__(self) -> str:
        return f"<IgnoredFiles {len(self._patterns)} patterns>"

    def __contains__(self, path: str) -> bool:
        """Whether the file at `path`, relative to the static files, is not to be served."""
        *folders, name = path.split("/")
        known = sum(1 for _ in takewhile(bool, map(str.__eq__, folders, self._folders)))
        self._folders = folders
        ignored = False
        for pattern in self._patterns:
            if pattern.matches(folders, name, known):
                ignored = not pattern.negated
        return ignored


class _Reached(NamedTuple):
    """How far a pattern has come in a path."""

    steps: set[int]
    """How many steps of it may be taken."""
    inside: bool
    """The path is a folder that the pattern means, or is in one."""


class _Pattern:
    """One line. Steps are compared one by one, so that no pattern is slow on any path."""

    def __init__(self, line: str) -> None:
        self.negated = line.startswith("!")
        text = line.removeprefix("!")
        self._folders_only = text.endswith("/")
        text = text.removesuffix("/")
        anchored = "/" in text
        steps = text.removeprefix("/").split("/")
        if not anchored and steps != ["**"]:
            steps.insert(0, "**")
        # Several `**` in a row mean what one does. fnmatch's patterns have atomic groups: they do not backtrack.
        once = [step for step, before in zip(steps, ["", *steps], strict=False) if step != "**" or before != "**"]
        self._steps = [None if step == "**" else re.compile(translate(step)) for step in once]
        self._reached = [_Reached({0}, False)]
        """At the root, and in each of the folders that led to the last file."""

    def matches(self, folders: list[str], name: str, known: int) -> bool:
        """Whether the pattern means the file `name` in `folders`, or a folder that it is in.

        The first `known` of the folders are those of the last call.
        """
        del self._reached[known + 1 :]
        for folder in folders[known:]:
            before = self._reached[-1]
            steps = self._after(before.steps, folder)
            self._reached.append(_Reached(steps, before.inside or len(self._steps) in self._closed(steps)))
        steps, inside = self._reached[-1]
        return inside or (not self._folders_only and len(self._steps) in self._closed(self._after(steps, name)))

    def _after(self, reached: set[int], step: str) -> set[int]:
        return {after for at in self._closed(reached) for after in self._taken(at, step)}

    def _closed(self, reached: set[int]) -> set[int]:
        """Add where one gets by taking a `**` for nothing."""
        closed = set(reached)
        for at in reached:
            if at < len(self._steps) - 1 and self._steps[at] is None:
                closed.add(at + 1)
        return closed

    def _taken(self, at: int, step: str) -> Iterator[int]:
        if at == len(self._steps):
            return
        pattern = self._steps[at]
        if pattern is None:
            yield at
            if at == len(self._steps) - 1:
                yield at + 1
        elif pattern.match(step):
            yield at + 1


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield what is no comment and not empty, with its number from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line


def _check(file: str, number: int, problem: str | None) -> None:
    if problem is not None:
        raise _wrong(file, number, problem)


def _wrong(file: str, number: int, problem: str) -> PackageError:
    return bad_manifest(f"{file}, line {number}: {problem}")
