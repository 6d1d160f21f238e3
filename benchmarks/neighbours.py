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
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Report, Row, compare, describe_machine, milliseconds, publish
from benchmarks.databases import SCHEMA, SELECT
from benchmarks.load import Measurement, Target, loaded, measure, require_wrk
from benchmarks.peers import PeerError
from benchmarks.workloads import Workload
from tests.node_server import Node

WARM_UP_SECONDS = 1.0
QUIET = "quiet"
FULL = "full"
LOUD = "disturbed"
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


def _pipeline(sql: str) -> str:
    requests = [{"type": "execute", "stmt": {"sql": sql}}, {"type": "close"}]
    return msgspec.json.encode({"requests": requests}).decode()


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
    chosen = [one for one in DISTURBANCES if not only or one.name in only]
    if not chosen:
        raise PeerError(f"No such disturbance. There are: {', '.join(one.name for one in DISTURBANCES)}.")
    rows: list[Row] = []
    options = ("--workers", "1", "--database-workers", "1", "--statement-ms", "3000")
    with TemporaryDirectory() as directory, Node(Path(directory) / "node", *options) as node:
        noisy, neighbour = node.create_database("noisy"), node.create_database("neighbour")
        for database in (noisy, neighbour):
            node.sql(database, *SCHEMA)
        select = _query(neighbour, SELECT)
        target = Target(node.url, ("db.localhost",))
        measure(target, select, connections=8, seconds=WARM_UP_SECONDS)
        for disturbance, count in product(chosen, connections):

            def one(name: str, count: int = count, disturbance: Disturbance = disturbance) -> Measurement:
                around: dict[str, Callable[[], AbstractContextManager[None]]] = {
                    QUIET: nullcontext,
                    FULL: full_machine,
                    LOUD: lambda: loaded(target, _query(noisy, disturbance.sql), connections=disturbance.clients),
                }
                with around[name]():
                    return measure(target, select, connections=count, seconds=seconds)

            with console.status(f"{disturbance.title}, {count} connections"):
                rows.append(compare([QUIET, FULL, LOUD], rounds, one, workload=disturbance.title, connections=count))
    publish(console, Report(describe_machine(), seconds, rounds, rows), _table(rows), json_file=json_file)


def _query(database: dict[str, str], sql: str) -> Workload:
    return Workload(
        "query",
        sql,
        method="POST",
        path=f"/v1/{database['database_id']}/v2/pipeline",
        headers={"Authorization": f"Bearer {database['database_token']}", "Content-Type": "application/json"},
        body=_pipeline(sql),
    )


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
