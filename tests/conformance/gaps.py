"""The known gaps and the judgement over a run: what failed that should not, and what passes that is said to fail.

Pure; the command prints what `judge` finds. A gap that has been closed is an error like a new failure: otherwise the
list would go stale, and the next regression in that place would pass unseen.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.conformance.outcome import Outcome

KNOWN_GAPS = Path(__file__).with_name("known_gaps.toml")


class Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Subtests of one file that do not pass, and why."""

    file: str
    """Path within web-platform-tests, with the variant (`?…`) if the file has variants."""
    subtests: list[str]
    """Names of subtests; `*` stands for any text."""
    reason: str
    outdated: bool = False
    """The tests follow an older edition of a standard: a checkout with newer ones may pass them, or have others."""

    def patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        return [(name, _pattern(name)) for name in self.subtests]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    gap: list[Gap] = []


class Finding(NamedTuple):
    """Something that the run and the list of known gaps disagree about."""

    file: str
    subtest: str
    message: str


class Verdict(NamedTuple):
    failures: list[Finding]
    """Failed, and no gap says so."""
    passes: list[Finding]
    """Subtests that a gap names, and that passed or do not exist."""
    known: int
    """Subtests that failed as a gap says."""

    @property
    def clean(self) -> bool:
        return not self.failures and not self.passes


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in name.split("*")), re.DOTALL)


def load(path: Path = KNOWN_GAPS) -> list[Gap]:
    """Read a list of gaps. Raises `msgspec.ValidationError` where it breaks the format."""
    return msgspec.toml.decode(path.read_bytes(), type=_File).gap


def judge(outcomes: Mapping[str, Outcome], gaps: Iterable[Gap]) -> Verdict:
    """Compare what ran with the gaps. Gaps of files that did not run are left alone."""
    gaps = [gap for gap in gaps if gap.file in outcomes]
    verdict = Verdict([], [], 0)
    known = 0
    for file, outcome in outcomes.items():
        patterns = [pattern for gap in gaps if gap.file == file for _, pattern in gap.patterns()]
        for name, message in outcome.failures().items():
            if any(pattern.fullmatch(name) for pattern in patterns):
                known += 1
            else:
                verdict.failures.append(Finding(file, name, message))
    for gap in gaps:
        if gap.outdated:
            continue
        verdict.passes.extend(_closed(gap, outcomes[gap.file]))
    return verdict._replace(known=known)


def _closed(gap: Gap, outcome: Outcome) -> list[Finding]:
    found: list[Finding] = []
    for text, pattern in gap.patterns():
        passed = [name for name in sorted(outcome.passed()) if pattern.fullmatch(name)]
        found += [Finding(gap.file, name, "passes; take it out of the list") for name in passed]
        if not passed and not any(pattern.fullmatch(name) for name in outcome.names()):
            found.append(Finding(gap.file, text, "no subtest has this name"))
    return found
