"""What a stream tells who looks after the pace of work."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dataplane import hrana
from dataplane.admission import Admission
from dataplane.errors import SqlError
from dataplane.execution import execute
from dataplane.limits import Limits
from dataplane.messages import WorkerSettings
from dataplane.streams import Stream
from dataplane.wire import CallHead
from tests.dataplane.plane import MAIN, wire

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT count(*) FROM n"
MANY, SOME, FEW = 500_000, 2_000, 1


class Pace:
    """Never has anything go on aside, and counts how often it was to."""

    def __init__(self) -> None:
        self.asides = 0
        self.wait_seconds = 0.0
        """How long another one has the processor, again and again within a statement."""
        self.waits = 0

    def statement_is_slow(self, stream: Stream) -> bool:
        self.waits += 1
        time.sleep(self.wait_seconds)
        return False

    def pause_due(self, stream: Stream, now: float) -> bool:
        return False

    def step_aside(self, stream: Stream) -> None:
        self.asides += 1


class Client:
    def __init__(self, directory: Path) -> None:
        self.pace = Pace()
        admission = Admission(directory, Limits.of(WorkerSettings(0, 0, str(directory))), self.pace)
        self.stream = admission.open(CallHead(MAIN, 1, False))

    def steps_aside_for(self, sql: str, *args: object) -> bool:
        """Run a statement; return whether it was to go on aside before it began."""
        before = self.pace.asides
        stmt = msgspec.convert({"sql": sql, "args": [wire(value) for value in args]}, hrana.Stmt)
        assert not list(execute(self.stream, stmt)), "it needs nothing in between"
        return self.pace.asides > before


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    running = Client(tmp_path)
    yield running
    running.stream.open().close()


def test_a_statement_that_was_slow_goes_aside_the_next_time(client: Client) -> None:
    for _ in range(2):
        assert not client.steps_aside_for(COUNT, MANY)
    for _ in range(2):
        assert client.steps_aside_for(COUNT, MANY)
    assert not client.steps_aside_for("SELECT 1")
    assert client.steps_aside_for(COUNT, FEW)
    assert not client.steps_aside_for(COUNT, FEW)


def test_a_statement_that_waits_for_the_processor_is_not_slow(client: Client) -> None:
    client.pace.wait_seconds = 0.005
    assert not any(client.steps_aside_for(COUNT, SOME) for _ in range(5))
    assert client.pace.waits >= 5


def test_a_statement_that_fails_after_a_slow_step_is_judged_once(client: Client) -> None:
    fails = f"SELECT * FROM ({COUNT}) UNION ALL SELECT abs(-9223372036854775808)"
    for _ in range(2):
        with pytest.raises(SqlError, match="overflow"):
            client.steps_aside_for(fails, MANY)
        assert client.pace.asides == 0
    with pytest.raises(SqlError, match="overflow"):
        client.steps_aside_for(fails, MANY)
    assert client.pace.asides == 1
