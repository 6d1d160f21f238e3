"""`python -m benchmarks cold`: how long the first request to an app waits that was never loaded.

A node is asked for many small apps, one after the other; each app's first answer is timed, and its second. What lies
between the two is the cold start: getting an isolate, confining its process, and evaluating the app, whose own code
costs next to nothing here. Once with the standby pool and once without. workerd is not beside it: it loads its workers
as it starts.
"""

import http.client
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import describe_machine
from benchmarks.workloads import HTTP_WORKLOADS
from tests.node_server import Node

_HELLO = HTTP_WORKLOADS[0]
PAUSE_SECONDS = 0.3
"""Between two apps, for the pool to fill up again."""


def _ask(connection: http.client.HTTPConnection, host: str) -> float:
    """Milliseconds until the whole answer is there."""
    began = time.perf_counter()
    connection.request("GET", "/", headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    elapsed = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        raise RuntimeError(f"{host} answered {answer.status}: {body[:200]!r}")
    return elapsed


def _cold_starts(apps: int, standby_hosts: int) -> list[float]:
    """Milliseconds that each app's first answer took longer than its second."""
    taken = []
    options = ("--workers", "1", "--standby-hosts", str(standby_hosts))
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder) / "node", *options) as node:
        for number in range(apps):
            node.deploy({"_worker.js": _HELLO.source.read_bytes()}, f"app-{number}")
        # A deploy loads what it deploys. After a start of the node nothing is loaded.
        node.stop()
        node.start()
        connection = http.client.HTTPConnection("127.0.0.1", node.port)
        connection.connect()
        for number in range(apps):
            host = f"app-{number}.localhost"
            time.sleep(PAUSE_SECONDS)
            taken.append(_ask(connection, host) - _ask(connection, host))
        connection.close()
    return taken


def run(*, apps: int) -> None:
    """Measure with `apps` apps per way of starting them and print a table."""
    console = Console()
    table = Table(title=f"Cold start of a small app, {apps} apps each, ms")
    table.add_column("way", no_wrap=True)
    for title in ("p50", "p90", "worst"):
        table.add_column(title, justify="right")
    ways = {"brrrd, standby pool": 2, "brrrd, no standby": 0}
    for way, standby_hosts in ways.items():
        with console.status(way):
            taken = sorted(_cold_starts(apps, standby_hosts))
        figures = (statistics.median(taken), taken[len(taken) * 9 // 10], taken[-1])
        table.add_row(way, *(f"{figure:.1f}" for figure in figures))
    console.print(table)
    console.print(describe_machine())
