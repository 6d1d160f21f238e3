"""A node with a hostile app and a neighbour under steady light load, for all scripts."""

from collections.abc import Iterator

import httpx
import pytest

from tests.hostile.neighbour import Neighbour
from tests.node_server import Node

APP = "hostile"
QUIET_REQUESTS = 1000
"""To know what the neighbour needs when nobody attacks."""
_reports: list[str] = []


class Victim:
    """The node, with a connection to its control API (paths in the default project) and one to the hostile app."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.edge = node.client(f"{APP}.localhost")
        self.control = httpx.Client(
            base_url=f"{node.control_url}/v1/projects/default",
            headers={"Authorization": f"Bearer {node.token}"},
            trust_env=False,
            timeout=60,
        )

    def log(self) -> str:
        """What the app's owner can read."""
        return self.control.get(f"/apps/{APP}/logs").text


@pytest.fixture(scope="package")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A node of its own: other suites share theirs, and this one is not kind to it."""
    with Node(tmp_path_factory.mktemp("hostile") / "data", "--workers", "2", "--database-workers", "1") as node:
        node.ensure_app(APP)
        running = Victim(node)
        yield running
        running.control.close()


@pytest.fixture(scope="package")
def neighbour(victim: Victim) -> Iterator[Neighbour]:
    running = Neighbour(victim.node)
    running.wait_for(QUIET_REQUESTS)
    try:
        yield running
    finally:
        running.stop()
    assert set(running.seen) == {"200"}, running.seen
    _reports.append(
        f"neighbour of hostile apps: answers {dict(running.seen)}, "
        f"p99 {running.p99_ms(until=QUIET_REQUESTS):.1f} ms when quiet, "
        f"{running.p99_ms(since=QUIET_REQUESTS):.1f} ms under attack"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures for people: a time is never asserted."""
    for report in _reports:
        terminalreporter.write_line(report)
