"""What one test script reported, as `worker.js` sends it."""

import msgspec

WHOLE_FILE = "(the file)"
"""Name of the subtest that stands for the file itself: it fails when the file did not run to its end."""


class Subtest(msgspec.Struct, frozen=True):
    """One subtest of testharness.js. Files may use a name more than once; `worker.js` numbers the later ones."""

    name: str
    status: str
    """PASS, FAIL, TIMEOUT, NOTRUN or PRECONDITION_FAILED."""
    message: str | None = None

    @property
    def passed(self) -> bool:
        return self.status == "PASS"


class Outcome(msgspec.Struct, frozen=True):
    """All subtests of one file, or why there are none."""

    subtests: list[Subtest] = []
    problem: str | None = None
    """Why the file did not run to its end: it threw, hung, or took its process along."""

    def failures(self) -> dict[str, str]:
        """What did not pass: subtest to message. A file with a problem counts as a subtest of its own."""
        failed = {one.name: f"{one.status}: {one.message or ''}".strip() for one in self.subtests if not one.passed}
        if self.problem is not None:
            failed[WHOLE_FILE] = self.problem
        return failed

    def passed(self) -> set[str]:
        return {one.name for one in self.subtests if one.passed}

    def names(self) -> set[str]:
        """Every subtest, with the file itself if that has a problem."""
        return {one.name for one in self.subtests} | ({WHOLE_FILE} if self.problem is not None else set())
