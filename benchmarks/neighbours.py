"""`python -m benchmarks neighbours`: what slow and large queries on one database cost another one.

Both databases are on the same worker process, the worst place. The other one's single-row selects are measured while
nothing else runs, while the first is under each kind of load, and while the machine's cores are kept busy by processes
outside of the node that get only what nobody else wants, in turns. The p99 is the figure that counts. Where it is as
high beside those processes as beside the load, it is the machine's: who computes there is not always asked to make way
for who was woken up before the kernel's next tick (`runtime.priority`).
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Report, Row, chosen, compare, describe_machine, milliseconds, publish
from benchmarks.databases import SCHEMA, SELECT, Load, workload_of
from benchmarks.load import Measurement, Target, loaded, measure, require_wrk
from tests.node_server import Node

WARM_UP_SECONDS = 1.0
QUIET = "quiet"
FULL = "full"
LOUD = "disturbed"
Around = dict[str, Callable[[], AbstractContextManager[None]]]
"""What goes on while the measurement of a name is taken."""
_SPIN = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


class Disturbance(NamedTuple):
    """Requests that are sent over and over to the first database, by so many clients at once."""

    name: str
    title: str
    clients: int
    sql: str


_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
_ENDLESS_STEP = "SELECT hex(zeroblob(30000000)) LIKE '%' || hex(zeroblob(2000)) || 'z%'"
_BULK = (
    "INSERT INTO log (text) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) "
    "SELECT hex(i) FROM n"
)
DISTURBANCES = (
    Disturbance("runaway", "2 endless queries", 2, _ENDLESS),
    Disturbance("step", "one endless step", 1, _ENDLESS_STEP),
    Disturbance("rows", "4 clients of 10,000-row results", 4, "SELECT id, name, price FROM items"),
    Disturbance("bulk", "2 writers of 300,000 rows at once", 2, _BULK),
    Disturbance("writes", "4 writers", 4, "INSERT INTO log (text) VALUES ('a line of some length')"),
)  # fmt: skip


@contextmanager
def full_machine() -> Iterator[None]:
    """Keep every core busy with what any other process goes before."""
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def run(
    *, only: Sequence[str], connections: Sequence[int], seconds: float, rounds: int, json_file: Path | None
) -> None:
    """Measure under the disturbances named in `only`, or all. Raises `PeerError` for an unknown name."""
    require_wrk()
    console = Console()
    disturbances = chosen(DISTURBANCES, only, "disturbance")
    rows: list[Row] = []
    options = ("--workers", "1", "--database-workers", "1", "--statement-ms", "3000")
    with TemporaryDirectory() as directory, Node(Path(directory) / "node", *options) as node:
        noisy, neighbour = node.create_database("noisy"), node.create_database("neighbour")
        for database in (noisy, neighbour):
            node.sql(database, *SCHEMA)
        select = workload_of(neighbour, Load("select", "single-row select", (SELECT,)))
        target = Target(node.url, ("db.localhost",))
        measure(target, select, connections=8, seconds=WARM_UP_SECONDS)
        for disturbance, count in product(disturbances, connections):
            noise = workload_of(noisy, Load(disturbance.name, disturbance.title, (disturbance.sql,)))
            around: Around = {
                QUIET: nullcontext,
                FULL: full_machine,
                LOUD: partial(loaded, target, noise, connections=disturbance.clients),
            }

            def one(name: str, count: int = count, around: Around = around) -> Measurement:
                with around[name]():
                    return measure(target, select, connections=count, seconds=seconds)

            with console.status(f"{disturbance.title}, {count} connections"):
                rows.append(compare([QUIET, FULL, LOUD], rounds, one, workload=disturbance.title, connections=count))
    publish(console, Report(describe_machine(), seconds, rounds, rows), _table(rows), json_file=json_file)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="Single-row selects on one database while another one of the same worker is busy")
    for title in (
        *("beside", "conns", "quiet p50 ms", "p99 ms", "full machine p50 ms", "p99 ms", "disturbed p50 ms", "p99 ms"),
        *("p99 to quiet", "p99 to full", "errors"),
    ):
        table.add_column(title, justify="right")
    for row in rows:
        quiet, full, loud = (row.peers[name] for name in (QUIET, FULL, LOUD))
        table.add_row(
            row.workload, str(row.connections), *map(milliseconds, (quiet.p50, quiet.p99, full.p50, full.p99)),
            *map(milliseconds, (loud.p50, loud.p99)), f"{loud.p99 / quiet.p99:.2f}", f"{loud.p99 / full.p99:.2f}",
            str(sum(one.failed + one.refused for one in row.peers.values())),
        )  # fmt: skip
    return table
