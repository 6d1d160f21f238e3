"""When what died is started again: back-off, quarantine, the states of a host."""

import pytest

from runtime.supervisor.backoff import Backoff
from runtime.supervisor.hosts import (
    MOST_DEATHS,
    QUARANTINE_SECONDS,
    WINDOW_SECONDS,
    HostState,
    Recovery,
    may_become,
)


def test_the_first_death_is_replaced_at_once_and_later_ones_ever_later() -> None:
    backoff = Backoff(first=0.1, most=5.0, window=60.0)
    assert [backoff.died(float(second)) for second in range(9)] == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_old_deaths_are_forgotten() -> None:
    backoff = Backoff(window=60.0)
    for second in range(5):
        backoff.died(float(second))
    assert backoff.died(200.0) == 0.0
    assert backoff.deaths(200.0) == 1


def test_a_success_declared_by_an_operator_forgets_all_deaths() -> None:
    backoff = Backoff()
    backoff.died(0.0)
    backoff.forget()
    assert backoff.died(0.1) == 0.0


def test_an_app_that_keeps_dying_is_quarantined_with_a_reason() -> None:
    recovery = Recovery()
    verdicts = [recovery.died(float(second), "it was ended by SIGTRAP") for second in range(MOST_DEATHS)]
    assert verdicts[0].retry_in == 0.0
    assert verdicts[0].unavailable is None
    last = verdicts[-1]
    assert last.retry_in == QUARANTINE_SECONDS
    assert last.unavailable is not None
    assert f"{MOST_DEATHS} times" in last.unavailable
    assert "SIGTRAP" in last.unavailable


def test_a_quarantine_that_did_not_help_is_followed_by_a_longer_one() -> None:
    recovery = Recovery()
    for second in range(MOST_DEATHS):
        recovery.died(float(second), "x")
    assert recovery.died(MOST_DEATHS + QUARANTINE_SECONDS, "x").retry_in == 2 * QUARANTINE_SECONDS


def test_an_app_that_behaved_after_its_quarantine_starts_afresh() -> None:
    recovery = Recovery()
    for second in range(MOST_DEATHS):
        recovery.died(float(second), "x")
    much_later = MOST_DEATHS + QUARANTINE_SECONDS + 2 * WINDOW_SECONDS
    verdict = recovery.died(much_later, "x")
    assert (verdict.retry_in, verdict.unavailable) == (0.0, None)
    for second in range(1, MOST_DEATHS):
        verdict = recovery.died(much_later + second, "x")
    assert verdict.retry_in == QUARANTINE_SECONDS


def test_a_deploy_ends_a_quarantine() -> None:
    recovery = Recovery()
    for second in range(MOST_DEATHS):
        recovery.died(float(second), "x")
    recovery.renewed()
    assert recovery.died(20.0, "x").retry_in == 0.0


@pytest.mark.parametrize(
    ("state", "following", "allowed"),
    [
        (HostState.STARTING, HostState.READY, True),
        (HostState.STARTING, HostState.DRAINING, False),
        (HostState.READY, HostState.DRAINING, True),
        (HostState.READY, HostState.STARTING, False),
        (HostState.DRAINING, HostState.READY, False),
        (HostState.DRAINING, HostState.GONE, True),
        (HostState.GONE, HostState.READY, False),
    ],
)
def test_host_states(state: HostState, following: HostState, allowed: bool) -> None:
    assert may_become(state, following) is allowed
