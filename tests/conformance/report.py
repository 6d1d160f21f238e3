"""The table of a conformance run, as Markdown. Pure."""

from collections.abc import Mapping, Sequence

from tests.conformance.outcome import Outcome
from tests.conformance.suites import Unit

Results = Mapping[str, Mapping[str, Outcome]]
"""Runtime to outcomes by `Unit.key`."""


def table(units: Sequence[Unit], results: Results) -> str:
    """One row per suite: files, subtests that any of the runtimes reported, and how many passed in each."""
    runtimes = list(results)
    names = dict.fromkeys(unit.suite for unit in units)
    rows = [_row(name, [unit for unit in units if unit.suite == name], results) for name in names]
    if len(rows) > 1:
        sums = [sum(int(row[column]) for row in rows) for column in range(1, len(rows[0]))]
        rows.append(["all", *map(str, sums)])
    head = ["suite", "files", "subtests", *runtimes]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(suite: str, units: Sequence[Unit], results: Results) -> list[str]:
    names = {unit.key: _all_names(unit.key, results) for unit in units}
    passed = [sum(len(outcomes[unit.key].passed()) for unit in units) for outcomes in results.values()]
    total = sum(map(len, names.values()))
    return [suite, str(len({unit.file for unit in units})), str(total), *map(str, passed)]


def _all_names(key: str, results: Results) -> set[str]:
    """The subtests of a file: what any runtime reported, so that one that does not get that far has failures."""
    names: set[str] = set()
    for outcomes in results.values():
        names |= {one.name for one in outcomes[key].subtests}
    return names or {key}
