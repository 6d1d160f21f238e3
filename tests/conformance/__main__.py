"""`python -m tests.conformance --wpt DIR`: web-platform-tests in isolate hosts, and in workerd beside them.

Prints what the run and known_gaps.toml disagree about, then a table of subtests that passed, as Markdown. Exit status 1
if a subtest fails that is no known gap, or passes though it is one; 2 if there is nothing to run.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from tests.conformance import gaps, report, script, suites
from tests.conformance.outcome import Outcome
from tests.conformance.runtimes import RUNTIMES
from tests.conformance.suites import Suite, Unit

_GRACE = 10.0
"""Seconds that an answer may take beyond the time that a file has."""


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wpt", type=Path, required=True, help="a checkout of web-platform-tests")
    parser.add_argument("--suite", action="append", help="only this suite (may be repeated)")
    parser.add_argument("--file", action="append", help="only files that this glob matches (may be repeated)")
    parser.add_argument("--peer", choices=["workerd"], help="run everything there, too, for comparison")
    parser.add_argument("--jobs", type=int, default=2, help="scripts at a time (%(default)s)")
    parser.add_argument("--timeout", type=float, default=100, help="seconds that a file may take (%(default)s)")
    parser.add_argument("--json", type=Path, help="write every outcome to this file")
    parser.add_argument("--suites", type=Path, default=suites.SUITES, help="another list of suites")
    parser.add_argument("--gaps", type=Path, default=gaps.KNOWN_GAPS, help="another list of known gaps")
    return parser.parse_args(words)


def _select(options: argparse.Namespace, known: dict[str, Suite]) -> list[Unit]:
    chosen = {name: suite for name, suite in known.items() if not options.suite or name in options.suite}
    found = suites.units(options.wpt, chosen)
    return [unit for unit in found if not options.file or any(fnmatchcase(unit.key, glob) for glob in options.file)]


def run(
    name: str, units: Sequence[Unit], checkout: Path, known: dict[str, Suite], *, jobs: int, timeout: float
) -> dict[str, Outcome]:
    """Run the units in one runtime, `jobs` at a time, and return their outcomes by key."""
    done = itertools.count(1)

    def one(unit: Unit) -> tuple[str, Outcome]:
        text = script.build(checkout, known[unit.suite], unit, timeout_ms=int(timeout * 1000))
        outcome = runtime.run(text, timeout + _GRACE)
        if sys.stderr.isatty():
            print(f"\r\x1b[K{name} {next(done)}/{len(units)} {unit.key[:80]}", end="", file=sys.stderr, flush=True)
        return unit.key, outcome

    with RUNTIMES[name]() as runtime, ThreadPoolExecutor(jobs) as pool:
        outcomes = dict(pool.map(one, units))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return outcomes


def _run_all(
    name: str, units: Sequence[Unit], known: dict[str, Suite], options: argparse.Namespace
) -> dict[str, Outcome]:
    in_node = [unit for unit in units if name == "brrrd" and known[unit.suite].node]
    rest = [unit for unit in units if unit not in in_node]
    outcomes: dict[str, Outcome] = {}
    for runtime, some in ((name, rest), (f"{name} node", in_node)):
        if some:
            outcomes |= run(runtime, some, options.wpt, known, jobs=options.jobs, timeout=options.timeout)
    return outcomes


def main(words: list[str]) -> int:
    options = _arguments(words)
    known = suites.load(options.suites)
    if unknown := set(options.suite or ()) - set(known):
        print(f"No such suite: {', '.join(sorted(unknown))}. Suites: {', '.join(known)}.", file=sys.stderr)
        return 2
    units = _select(options, known)
    if not units:
        print(f"No test file of these suites in {options.wpt}: is it a checkout?", file=sys.stderr)
        return 2
    names = ["brrrd", *([options.peer] if options.peer else [])]
    try:
        results = {name: _run_all(name, units, known, options) for name in names}
    except script.CheckoutError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    verdict = gaps.judge(results["brrrd"], gaps.load(options.gaps))
    for kind, findings in (("unexpected failure", verdict.failures), ("known gap", verdict.passes)):
        for finding in findings:
            print(f"{kind}: {finding.file}: {finding.subtest}: {finding.message}")
    print(report.table(units, results))
    print(
        f"{len(verdict.failures)} unexpected failures, {len(verdict.passes)} gaps to take out, "
        f"{verdict.known} known gaps"
    )
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
