"""Cron expressions: what is refused, with which sentence, and when the others are due."""

from datetime import UTC, datetime

import pytest

from artifacts.cron import CronError, check, next_after

NOW = datetime(2026, 3, 4, 12, 30, 15, tzinfo=UTC).timestamp()
"""A Wednesday."""

DUE = {
    "* * * * *": "2026-03-04 12:31",
    "*/20 * * * *": "2026-03-04 12:40",
    "15,45 13-15 * * *": "2026-03-04 13:15",
    "0 3 * * MON": "2026-03-09 03:00",
    "0 3 * * 0": "2026-03-08 03:00",
    "0 3 * * 7": "2026-03-08 03:00",
    "0 0 1 jan *": "2027-01-01 00:00",
    "0 0 29 2 *": "2028-02-29 00:00",
    "0 0 L * *": "2026-03-31 00:00",
    "0 0 LW 5 *": "2026-05-29 00:00",
    "0 0 * * 5L": "2026-03-27 00:00",
    "0 0 * * MON#2": "2026-03-09 00:00",
    "30 12 13 * FRI": "2026-03-06 12:30",  # either the 13th or a Friday
}

WRONG = {
    "": "expected five fields",
    "* * * *": "got 4",
    "0 * * * * *": "got 6",
    "60 * * * *": "bad minute",
    "* 24 * * *": "bad hour",
    "* * 0 * *": "bad day-of-month",
    "* * * 13 *": "bad month",
    "* * * * 8": "bad day-of-week",
    "*/0 * * * *": "bad minute",
    "5-1 * * * *": "bad minute",
    "0 0 30 2 *": "bad day-of-month",
    "0 0 15W * *": "bad day-of-month",
    "٣ * * * *": "is not a field",
    "@daily": "got 1",
    "0 0 * * 5L,5L/2": "bad day-of-week",
    "0 0 * * MON#2/2": "bad day-of-week",
    "0," * 60 + "0 * * * *": "at most 100 characters",
}


@pytest.mark.parametrize("expression", DUE)
def test_due(expression: str) -> None:
    check(expression, NOW)
    assert datetime.fromtimestamp(next_after(expression, NOW), UTC).strftime("%Y-%m-%d %H:%M") == DUE[expression]


@pytest.mark.parametrize("expression", WRONG)
def test_wrong(expression: str) -> None:
    with pytest.raises(CronError, match=WRONG[expression]):
        check(expression, NOW)
