"""The judgement over outcomes and known gaps, and the list that is committed."""

import msgspec
import pytest

from tests.conformance import gaps, suites
from tests.conformance.gaps import Gap
from tests.conformance.outcome import Outcome, Subtest

OUTCOME = Outcome([Subtest("good", "PASS"), Subtest("bad (1)", "FAIL", "no"), Subtest("bad (2)", "TIMEOUT")])


def gap(*names: str, outdated: bool = False) -> Gap:
    return Gap("a.any.js", list(names), "a reason", outdated)


def test_a_failure_that_no_gap_names_is_unexpected() -> None:
    verdict = gaps.judge({"a.any.js": OUTCOME}, [gap("bad (1)")])
    assert [(found.subtest, found.message) for found in verdict.failures] == [("bad (2)", "TIMEOUT:")]
    assert (verdict.known, verdict.clean) == (1, False)


def test_a_star_stands_for_any_text_and_nothing_else_is_special() -> None:
    assert gaps.judge({"a.any.js": OUTCOME}, [gap("bad (*)")]).clean
    assert not gaps.judge({"a.any.js": OUTCOME}, [gap("bad .*")]).clean


@pytest.mark.parametrize("name", ["good", "gone"])
def test_a_gap_that_is_closed_is_an_error(name: str) -> None:
    verdict = gaps.judge({"a.any.js": OUTCOME}, [gap("bad*", name)])
    assert [found.subtest for found in verdict.passes] == [name]


def test_outdated_tests_may_pass_or_be_gone() -> None:
    assert gaps.judge({"a.any.js": OUTCOME}, [gap("bad*"), gap("good", "gone", outdated=True)]).clean


def test_gaps_of_files_that_did_not_run_are_left_alone() -> None:
    assert gaps.judge({"b.any.js": Outcome([Subtest("good", "PASS")])}, [gap("bad")]).clean


def test_a_file_with_a_problem_fails_as_a_subtest() -> None:
    outcome = Outcome([Subtest("good", "PASS")], problem="it threw")
    assert [found.message for found in gaps.judge({"a.any.js": outcome}, []).failures] == ["it threw"]
    assert gaps.judge({"a.any.js": outcome}, [gap("(the file)")]).clean


def test_the_committed_lists_are_well_formed() -> None:
    assert all(known.reason and known.subtests for known in gaps.load())
    assert all(reason for suite in suites.load().values() for reason in suite.left_out.values())


def test_an_unknown_field_is_refused(tmp_path: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="why"):
        msgspec.convert({"file": "a", "subtests": [], "reason": "", "why": ""}, Gap)
