"""The room's pure decisions, by tables."""

from pathlib import Path

import pytest

from isolates.log_budget import LINE_OVERHEAD, SHARE_BYTES_PER_SECOND, SHARE_SECONDS, LogBudget
from isolates.v8 import engine, symbols
from isolates.v8.errors import EngineError
from isolates.watchdog import seconds_left


@pytest.mark.parametrize(
    ("busy_since", "now", "left"),
    [(None, 100.0, 30.0), (100.0, 100.0, 30.0), (80.0, 100.0, 10.0), (70.0, 100.0, 0.0), (60.0, 100.0, -10.0)],
)
def test_the_watchdog_sleeps_as_long_as_the_limit_cannot_be_hit(
    busy_since: float | None, now: float, left: float
) -> None:
    assert seconds_left(busy_since, now, 30.0) == left


def test_a_log_budget_refills_and_counts_what_it_refused() -> None:
    size = 500 - LINE_OVERHEAD
    budget = LogBudget(0.0, at_once=1000, per_second=500)
    assert [budget.admits(size, 0.0) for _ in range(3)] == [True, True, False]
    assert budget.admits(size, 1.0)
    assert not budget.admits(size, 1.0)
    assert budget.take_dropped() == 2
    assert budget.take_dropped() == 0
    assert [budget.admits(size, 1000.0) for _ in range(3)] == [True, True, False]


def test_a_log_budget_that_is_lessened_is_the_app_s_share_for_a_while() -> None:
    size = 1024 - LINE_OVERHEAD
    budget = LogBudget(0.0)
    budget.lessen(0.0)
    share = SHARE_BYTES_PER_SECOND // 1024
    assert sum(budget.admits(size, 0.0) for _ in range(1000)) == share
    assert sum(budget.admits(size, 1.0) for _ in range(1000)) == share
    assert budget.is_lessened(1.0)
    # Then twice as much for as long, up to the usual rate.
    assert sum(budget.admits(size, SHARE_SECONDS + 1.0) for _ in range(1000)) == 2 * share
    assert sum(budget.admits(size, 2 * SHARE_SECONDS + 1.0) for _ in range(1000)) == 4 * share
    assert not budget.is_lessened(3 * SHARE_SECONDS)
    assert sum(budget.admits(size, 100.0) for _ in range(10_000)) == 1024


def test_every_symbol_is_in_the_pinned_engine() -> None:
    engine.check()


def test_another_version_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "VERSION", "0.0.1")
    with pytest.raises(EngineError, match=r"install exactly mini-racer==0\.0\.1"):
        engine.check()


def test_a_missing_symbol_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(symbols.SYMBOLS, "gone", ("_ZN2v84GoneEv", None, ()))
    with pytest.raises(EngineError, match="_ZN2v84GoneEv is missing"):
        engine.check()


def test_the_pinned_version_is_the_one_in_the_project_file() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'"{symbols.DISTRIBUTION}=={symbols.VERSION}"' in project
