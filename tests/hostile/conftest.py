"""A node with a hostile app and a neighbour under steady light load, for all scripts."""

import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.node_server import Node

APP = "hostile"
PAUSE_SECONDS = 0.02
_reports: list[str] = []


class Neighbour:
    """An app that minds its own business: one request after the other, on one connection, until `stop`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._load)
        self.seen: Counter[int | str] = Counter()
        self.times: list[float] = []
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def p99_ms(self, since: int = 0) -> float:
        """The 99th percentile of the response times from the `since`th request on, in milliseconds."""
        times = sorted(self.times[since:])
        return times[int(len(times) * 0.99)] * 1000 if times else 0.0

    def _load(self) -> None:
        headers = {"Host": "neighbour.localhost"}
        with httpx.Client(base_url=self._node.url, headers=headers, trust_env=False, timeout=10) as client:
            while not self._stop.wait(PAUSE_SECONDS):
                started = time.monotonic()
                try:
                    self.seen[client.get("/").status_code] += 1
                except httpx.TransportError as error:
                    self.seen[repr(error)] += 1
                self.times.append(time.monotonic() - started)


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
    victim.node.deploy({"_worker.js": "export default { fetch: () => new Response('fine') };"}, "neighbour")
    running = Neighbour(victim.node)
    time.sleep(1.0)  # what it needs when nobody attacks
    quiet, attacked = running.p99_ms(), len(running.times)
    try:
        yield running
    finally:
        running.stop()
    _reports.append(
        f"neighbour of hostile apps: answers {dict(running.seen)}, "
        f"p99 {quiet:.1f} ms when quiet, {running.p99_ms(attacked):.1f} ms under attack"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures for people: a time is never asserted."""
    for report in _reports:
        terminalreporter.write_line(report)
