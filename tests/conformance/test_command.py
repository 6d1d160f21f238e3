"""`python -m tests.conformance` on the small checkout in `sample/`, in real hosts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import suites

SAMPLE = Path(__file__).with_name("sample")


def run_command(*options: str, checkout: Path = SAMPLE) -> subprocess.CompletedProcess[str]:
    lists = ("--suites", str(SAMPLE / "suites.toml"), "--gaps", str(SAMPLE / "gaps.toml"))
    command = [sys.executable, "-m", "tests.conformance", "--wpt", str(checkout), *lists, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("wpt") / "checkout"))


def test_files_are_run_once_per_variant_where_a_worker_can_run_them(checkout: Path) -> None:
    (checkout / "own" / "left-out.any.js").write_text("")
    found = [unit.key for unit in suites.units(checkout, suites.load(checkout / "suites.toml"))]
    assert found == ["own/ends.any.js", "own/throws.any.js", "own/values.any.js?1", "own/values.any.js?2"]


def test_a_run_that_agrees_with_the_known_gaps_succeeds(tmp_path: Path) -> None:
    done = run_command("--json", str(tmp_path / "outcomes.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    # 8 subtests in each variant, of which 5 pass; one in the file that throws; the file that ends counts as one.
    assert "| own | 3 | 18 | 11 |" in done.stdout
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())["brrrd"]
    assert "on purpose" in outcomes["own/throws.any.js"]["problem"]
    assert "memory_mb" in outcomes["own/ends.any.js"]["problem"]
    assert outcomes["own/values.any.js?1"]["subtests"][4]["name"] == "Numbers differ (2)"


def test_an_unexpected_failure_and_an_unexpected_pass_fail_the_run(checkout: Path) -> None:
    values = checkout / "own" / "values.any.js"
    text = values.read_text().replace("assert_equals(1, 2), 'Numbers differ'", "assert_equals(2, 2), 'Numbers differ'")
    values.write_text(text.replace("double(2), 4", "double(2), 5"))
    done = run_command("--file", "own/values.any.js?1", checkout=checkout)
    assert done.returncode == 1
    assert "unexpected failure: own/values.any.js?1: A script of META is there: FAIL: Error: expected 5" in done.stdout
    assert "known gap: own/values.any.js?1: Numbers differ: passes" in done.stdout


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    done = run_command(checkout=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is it a checkout?" in done.stderr
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.any.js").write_text("test(() => {}, 'a');")
    done = run_command(checkout=tmp_path)
    assert done.returncode == 2
    assert "resources/testharness.js is missing" in done.stderr
