"""`python -m benchmarks databases`: SQL over HTTP beside the bare ASGI hello and beside the engine alone, in one run.

The bare hello on the same server is what no answer can be faster than; the engine alone, in this process, without any
protocol, is what the protocol costs. For what commits there is a third: how often the disk makes as much durable as one
commit writes. One edge worker and one database worker. Who waits for each answer spends most of a commit's time on the
way there and back, where the disk is fast; what one writer can do shows where requests are sent ahead, on a WebSocket.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Report, Row, chosen, compare, describe_machine, milliseconds, publish
from benchmarks.load import Measurement, Target, measure, require_wrk
from benchmarks.peers import bare
from benchmarks.sockets import Exchange
from benchmarks.sockets import load as send_ahead
from benchmarks.workloads import HTTP_WORKLOADS, Workload
from dataplane.cells import PLAIN
from dataplane.connection import CHECKPOINT_FRAMES, Connection
from tests.node_server import Node

WARM_UP_SECONDS = 1.0
DISK_SECONDS = 0.5
_FRAME_BYTES = 24 + 4096
ROWS = 10_000
SCHEMA = (
    "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL)",
    f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) "
    "INSERT INTO items SELECT i, 'item ' || i, i * 0.5 FROM n",
    "CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT)",
)
SELECT = "SELECT id, name, price FROM items WHERE id = 4711"
_ALL = "SELECT id, name, price FROM items"
_INSERT = "INSERT INTO log (text) VALUES ('a line of some length')"


Measurer = Callable[[str, int, float], Measurement]
"""Measures the peer of a name at a number of connections for some seconds."""


class Load(NamedTuple):
    """One kind of request: statements, and whether they are one batch."""

    name: str
    title: str
    statements: tuple[str, ...]
    batch: bool = False
    script: str = ""
    commits: float = 0
    """In one request."""
    ahead: int = 0
    """It goes over a WebSocket, on one stream, with so many requests on their way at once."""


_INTERACTIVE = """
local waiting = {}
local function execute(sql) return '{"type":"execute","stmt":{"sql":"' .. sql .. '"}}' end
local steps = {
  execute("BEGIN IMMEDIATE"),
  execute("SELECT id, name, price FROM items WHERE id = 4711"),
  execute("UPDATE items SET price = price + 1 WHERE id = 4711"),
  execute("COMMIT") .. ',{"type":"close"}',
}
function request()
  local step, baton = 1, "null"
  local continued = table.remove(waiting, 1)
  if continued then step, baton = continued[1], '"' .. continued[2] .. '"' end
  return wrk.format(nil, nil, nil, '{"baton":' .. baton .. ',"requests":[' .. steps[step] .. ']}')
end
function response(status, headers, body)
  local baton = body:match('"baton":"([^"]+)"')
  if not baton then return end
  local step = 2
  if body:find('"name":"price"', 1, true) then step = 3 end
  if body:find('"affected_row_count":1', 1, true) or body:find('"type":"error"', 1, true) then step = 4 end
  table.insert(waiting, {step, baton})
end
"""
"""Transactions of four requests each. wrk does not tell which request an answer belongs to: it shows by its content."""

LOADS = (
    Load("select", "single-row select", (SELECT,)),
    Load("insert", "insert", (_INSERT,), commits=1),
    Load("stream", "insert, 16 ahead on a stream", (_INSERT,), commits=1, ahead=16),
    Load("inserts", "10 inserts, each a commit", (_INSERT,) * 10, commits=10),
    Load("batch", "100-statement batch", ("BEGIN", *([_INSERT] * 98), "COMMIT"), batch=True, commits=1),
    Load(
        "transaction",
        "transaction in one request",
        ("BEGIN IMMEDIATE", SELECT, _INSERT, "UPDATE items SET price = price + 1 WHERE id = 4711", "COMMIT"),
        commits=1,
    ),
    Load(
        "interactive",
        "interactive transaction, by request",
        ("BEGIN IMMEDIATE", SELECT, "UPDATE items SET price = price + 1 WHERE id = 4711", "COMMIT"),
        script=_INTERACTIVE,
        commits=0.25,
    ),
    Load("rows", "10,000-row result", (_ALL,)),
)


def body(load: Load) -> str:
    """Return the pipeline that @libsql/client would send."""
    if load.batch:
        steps = [{"stmt": {"sql": sql}} for sql in load.statements]
        requests: list[object] = [{"type": "batch", "batch": {"steps": steps}}]
    else:
        requests = [{"type": "execute", "stmt": {"sql": sql}} for sql in load.statements]
    return json.dumps({"baton": None, "requests": [*requests, {"type": "close"}]})


def workload_of(database: Mapping[str, str], load: Load) -> Workload:
    """Return the requests of a load on one database."""
    return Workload(
        load.name,
        load.title,
        method="POST",
        path=f"/v1/{database['database_id']}/v2/pipeline",
        headers={"Authorization": f"Bearer {database['database_token']}", "Content-Type": "application/json"},
        body="" if load.script else body(load),
        script=load.script,
    )


def exchange_of(database: Mapping[str, str], load: Load) -> Exchange:
    """Return the messages of a load whose requests do not wait for each other."""

    def request(number: int, kind: str, **fields: object) -> bytes:
        document = {"type": kind, "stream_id": 1, **fields}
        return json.dumps({"type": "request", "request_id": number, "request": document}).encode()

    [sql] = load.statements
    return Exchange(
        load.title,
        request(2, "execute", stmt={"sql": sql}),
        load.ahead,
        path=f"/v1/{database['database_id']}",
        subprotocol="hrana3",
        greeting=(
            json.dumps({"type": "hello", "jwt": database["database_token"]}).encode(),
            request(1, "open_stream"),
        ),
    )


def fsync_rate(folder: Path, seconds: float) -> float:
    """Return how often a second the disk under `folder` makes a small commit durable.

    As SQLite writes it when the WAL has its length: the frame of one page, over an earlier one. Appended to a growing
    file, as in the first thousand commits, it takes up to twice as long.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, bytes(_FRAME_BYTES * CHECKPOINT_FRAMES), 0)
        os.fsync(descriptor)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            os.pwrite(descriptor, b"x" * _FRAME_BYTES, count % CHECKPOINT_FRAMES * _FRAME_BYTES)
            os.fdatasync(descriptor)
            count += 1
        return count / (time.perf_counter() - began)


def _of_disk(folder: Path) -> Measurement:
    return Measurement(fsync_rate(folder, DISK_SECONDS), p50=0, p99=0, failed=0, refused=0)


def engine_rates(folder: Path, loads: Sequence[Load], seconds: float) -> dict[str, float]:
    """Return how often a second the engine alone does each, with rows read as Python values, every commit synced."""
    connection = Connection(folder / "engine.db")
    connection.run(b"PRAGMA synchronous=FULL")
    for sql in SCHEMA:
        _run(connection, sql)
    rates: dict[str, float] = {}
    for load in loads:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            for sql in load.statements:
                _run(connection, sql)
            count += len(load.statements) if load.script else 1
        rates[load.name] = count / (time.perf_counter() - began)
    connection.close()
    return rates


def _run(connection: Connection, sql: str) -> None:
    statement = connection.statements.prepare(sql)
    rows: list[Any] = []
    more = statement.step()
    while more:
        more = statement.fill(rows, PLAIN)
    statement.reset()


def _table(rows: Sequence[Row], engine: dict[str, float]) -> Table:
    table = Table(title="SQL over HTTP, one edge worker and one database worker")
    table.add_column("workload", no_wrap=True)
    for title in ("conns", "req/s", "p50 ms", "p99 ms", "bare req/s", "to bare", "engine/s", "to engine"):
        table.add_column(title, justify="right")
    for title in ("disk/s", "to disk", "errors"):
        table.add_column(title, justify="right")
    for row in rows:
        ours, hello = row.peers["brrrd"], row.peers["bare"]
        alone = engine[row.workload]
        load = next(load for load in LOADS if load.name == row.workload)
        syncs = row.peers["disk"].rate if load.commits else 0.0
        table.add_row(
            load.title, str(row.connections), f"{ours.rate:,.0f}", milliseconds(ours.p50), milliseconds(ours.p99),
            f"{hello.rate:,.0f}", f"{ours.rate / hello.rate:.2f}", f"{alone:,.0f}", f"{ours.rate / alone:.2f}",
            f"{syncs:,.0f}" if syncs else "", f"{ours.rate * load.commits / syncs:.2f}" if syncs else "",
            str(ours.failed + ours.refused),
        )  # fmt: skip
    return table


def run(
    *, only: Sequence[str], connections: Sequence[int], seconds: float, rounds: int, json_file: Path | None
) -> None:
    """Measure the loads named in `only`, or all. Raises `PeerError` for an unknown name."""
    require_wrk()
    console = Console()
    loads = chosen(LOADS, only, "workload")
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with console.status("starting"):
            hello = stack.enter_context(bare("uvicorn")).targets["hello"]
            node = stack.enter_context(Node(folder / "node", "--workers", "1", "--database-workers", "1"))
            database = node.create_database("benchmark")
            node.sql(database, *SCHEMA)
        engine = engine_rates(folder, loads, seconds)
        for load in loads:
            one = _measurer(node, database, load, hello)
            one("brrrd", 32, WARM_UP_SECONDS)
            for count in connections:

                def once(name: str, one: Measurer = one, count: int = count) -> Measurement:
                    return _of_disk(folder) if name == "disk" else one(name, count, seconds)

                peers = ["bare", "brrrd", "disk"] if load.commits else ["bare", "brrrd"]
                with console.status(f"{load.title}, {count} connections"):
                    rows.append(compare(peers, rounds, once, workload=load.name, connections=count))
    report = Report(describe_machine(), seconds, rounds, rows)
    publish(console, report, _table(rows, engine), json_file=json_file)


def _measurer(node: Node, database: dict[str, str], load: Load, hello: Target) -> Measurer:
    ours = Target(node.url, ("db.localhost",))
    targets = {"bare": (hello, HTTP_WORKLOADS[0]), "brrrd": (ours, workload_of(database, load))}

    def one(name: str, count: int, length: float) -> Measurement:
        if load.script:
            # The run before has left a transaction open; this waits until it is taken away.
            node.sql(database, "UPDATE items SET price = price WHERE id = 1")
        if load.ahead and name == "brrrd":
            return uvloop.run(send_ahead(ours, exchange_of(database, load), count, length))
        target, workload = targets[name]
        return measure(target, workload, connections=count, seconds=length)

    return one
