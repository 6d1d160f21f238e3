"""`python -m benchmarks memory`: what many deployed apps cost a node, and whether they all answer.

A node with many small apps is started anew, so that nothing is loaded. Some of the apps are asked once, and what each
of their hosts holds is read while they are idle: its PSS, with its share of the memory that processes have in common.
Then requests go to those apps in turns, and at last to every app. workerd is not beside it: it has all its workers in
one process.
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import describe_machine, milliseconds
from benchmarks.load import Target, measure, require_wrk
from benchmarks.workloads import HTTP_WORKLOADS
from tests.node_server import Node, Process

CONNECTIONS = 32
STANDBY_HOSTS = 2
_HELLO = HTTP_WORKLOADS[0]


def _pss(process: Process) -> float:
    """MB of this process, those that it shares in parts."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1000


def _ask(node: Node, hosts: Sequence[str]) -> list[str]:
    """Ask each once; return those that did not answer."""
    with httpx.Client(base_url=node.url, trust_env=False, timeout=60) as client:
        return [host for host in hosts if client.get("/", headers={"Host": host}).status_code != 200]


def run(*, apps: int, active: int, seconds: float) -> None:
    """Deploy `apps` apps, wake `active` of them, and print what that took."""
    require_wrk()
    console = Console()
    hosts = [f"app-{number}.localhost" for number in range(apps)]
    options = ("--workers", "1", "--max-isolates", "1", "--standby-hosts", str(STANDBY_HOSTS))
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder) / "node", *options) as node:
        with console.status(f"deploying {apps} apps"):
            for number in range(apps):
                node.deploy({"_worker.js": _HELLO.source.read_bytes()}, f"app-{number}")
            # A deploy loads what it deploys. After a start of the node nothing is loaded.
            node.stop()
            node.start()
        with console.status(f"waking {active} apps"):
            silent = _ask(node, hosts[:active])
            idle = [_pss(process) for process in node.processes("host")]
            whole = sum(_pss(process) for process in node.processes())
        with console.status("loading them"):
            load = measure(Target(node.url, tuple(hosts[:active])), _HELLO, connections=CONNECTIONS, seconds=seconds)
        with console.status("asking all"):
            silent += _ask(node, hosts)
            all_of_it = sum(_pss(process) for process in node.processes())
    table = Table(title=f"{apps} small apps on one node, {active} of them in use", show_header=False)
    table.add_row("PSS of an idle app, median", f"{statistics.median(idle):.1f} MB")
    table.add_row("PSS of an idle app, most", f"{max(idle):.1f} MB")
    table.add_row(f"PSS of the node, {active} apps loaded", f"{whole:.0f} MB")
    table.add_row(f"PSS of the node, {apps} apps loaded", f"{all_of_it:.0f} MB")
    table.add_row(f"requests, {CONNECTIONS} connections, apps in turn", f"{load.rate:,.0f}/s")
    table.add_row("p50 and p99", f"{milliseconds(load.p50)} and {milliseconds(load.p99)} ms")
    table.add_row("bad answers", str(load.failed + load.refused + len(silent)))
    console.print(table)
    console.print(describe_machine())
