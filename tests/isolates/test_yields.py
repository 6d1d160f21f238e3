"""Long turns of JavaScript make way for others now and then, and only they."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from isolates.messages import Limits, Log
from isolates.yields import COLD_TURNS, LONG_SECONDS, YIELD_SECONDS, TurnYields, is_long
from tests.isolates.driver import Host

SPINNING = """
export default ({ url }) => {
  log('at work');
  host.call(1);
  if (url.endsWith('/long')) for (const until = Date.now() + 300; Date.now() < until;);
  return 'done';
};"""
TURNS = """
import signal, time
from isolates import yields

def interval():
    return signal.getitimer(signal.ITIMER_REAL)[1]

busy_since = time.monotonic  # whenever it is looked at, the turn has just begun: this process may be kept waiting
yields.prepare()
yields.Yields(lambda: busy_since()).start()
until = time.process_time() + 0.1
while time.process_time() < until:
    assert interval() == 0, 'short turns'
began = time.monotonic()
busy_since = lambda: began
while interval() == 0:
    pass
busy_since = lambda: None
while interval() > 0:
    time.sleep(0.01)
print('as it should')
"""


@pytest.mark.parametrize(
    ("busy_since", "now", "is_it"),
    [(None, 10.0, False), (10.0, 10.0, False), (10.0, 10.0 + 2 * LONG_SECONDS, True), (9.0, 10.0, True)],
)
def test_a_turn_is_long_from_some_time_on(busy_since: float | None, now: float, is_it: bool) -> None:
    assert is_long(busy_since, now) is is_it


def test_the_timer_runs_during_long_turns_only() -> None:
    done = subprocess.run([sys.executable, "-c", TURNS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("as it should\n", "")


def test_a_confined_host_yields_and_goes_on(host: Host) -> None:
    edge = host.serve(SPINNING, limits=Limits(wall_ms=60_000))
    edge.request(1, "http://a/long")
    host.end.expect(Log)
    assert edge.frame().data == b"done"
    assert edge.ask(stream=2) == "done"


def timer() -> float:
    return signal.getitimer(signal.ITIMER_REAL)[1]


def test_the_turn_after_a_long_one_is_interrupted_from_the_beginning() -> None:
    with signal_ignored():
        turns = warm()
        turns.turn_begins(time.monotonic())
        assert timer() == 0, "after a short one"
        turns.turn_ended(2 * YIELD_SECONDS)
        turns.turn_begins(time.monotonic())
        assert timer() == pytest.approx(YIELD_SECONDS)
        turns.sleeps()
        assert timer() == 0, "while the loop sleeps"


def test_the_first_turns_of_an_app_are_interrupted_from_the_beginning() -> None:
    with signal_ignored():
        turns = warm()
        turns.begin_anew()
        turns.turn_ended(YIELD_SECONDS / 2)
        turns.turn_begins(time.monotonic())
        assert timer() == pytest.approx(YIELD_SECONDS)


def warm() -> TurnYields:
    """Of an app that has had its first turns, short ones."""
    turns = TurnYields()
    for _ in range(COLD_TURNS + 1):
        turns.turn_ended(YIELD_SECONDS / 2)
    return turns


@contextmanager
def signal_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
