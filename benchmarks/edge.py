"""`python -m benchmarks edge`: which server should stand in front.

Three things in turn, per server: the bare ASGI hello (what the server alone can do), the edge with a static file (no
host behind it), and the edge with the hello worker (the finished chain). Rate and latency both count.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Report, Row, compare, describe_machine, milliseconds, publish
from benchmarks.load import Measurement, Target, measure, require_wrk
from benchmarks.peers import Peer, PeerError, bare
from benchmarks.workloads import HTTP_WORKLOADS
from tests.node_server import Node

SERVERS = ("uvicorn", "granian", "hypercorn")
OFFERED = ("uvicorn", "hypercorn")
"""What `brrrd serve --server` takes."""
_HELLO = HTTP_WORKLOADS[0]
WARM_UP_SECONDS = 1.0


@contextmanager
def chain(server: str) -> Iterator[list[Peer]]:
    """`brrrd serve --server`, as two peers of one node: a static file, and the hello worker."""
    with tempfile.TemporaryDirectory() as directory:
        node = Node(Path(directory) / "node", "--workers", "1", "--server", server)
        try:
            node.__enter__()
        except RuntimeError as error:
            raise PeerError(f"brrrd serve --server {server}: {str(error).strip().splitlines()[-1]}") from None
        with ExitStack() as stack:
            stack.callback(node.close)
            node.deploy({"public/index.html": "Hello, world!\n"}, "file")
            node.deploy({"_worker.js": _HELLO.source.read_bytes()}, "hello")
            yield [
                Peer(f"edge file {server}", {"hello": Target(node.url, ("file.localhost",))}),
                Peer(f"edge hello {server}", {"hello": Target(node.url, ("hello.localhost",))}),
            ]


def _start(stack: ExitStack, console: Console, servers: Sequence[str]) -> list[Peer]:
    """Every server that starts; one that is not installed is named and left out."""
    peers: list[Peer] = []
    for server in servers:
        try:
            peers.append(stack.enter_context(bare(server)))
        except PeerError as error:
            console.print(f"{error} (pip install '.[benchmarks]' installs every peer)", style="yellow", markup=False)
        if server in OFFERED:
            peers += stack.enter_context(chain(server))
    if not peers:
        raise PeerError(f"No server started. There are: {', '.join(SERVERS)}.")
    return peers


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="Servers in front, one worker process")
    table.add_column("what")
    for title in ("conns", "req/s", "p50 ms", "p99 ms", "errors"):
        table.add_column(title, justify="right")
    for name in rows[0].peers if rows else ():
        for row in rows:
            one = row.peers[name]
            errors = str(one.failed + one.refused)
            table.add_row(
                name, str(row.connections), f"{one.rate:,.0f}", milliseconds(one.p50), milliseconds(one.p99), errors
            )
    return table


def run(
    *, only: Sequence[str], connections: Sequence[int], seconds: float, rounds: int, json_file: Path | None
) -> None:
    """Measure the servers named in `only`, or all."""
    require_wrk()
    console = Console()
    rows: list[Row] = []
    with ExitStack() as stack:
        with console.status("starting"):
            peers = _start(stack, console, [one for one in SERVERS if not only or one in only])
        targets = {peer.name: peer.targets["hello"] for peer in peers}
        for target in targets.values():
            measure(target, _HELLO, connections=32, seconds=WARM_UP_SECONDS)
        for count in connections:
            with console.status(f"{count} connections"):

                def one(name: str, count: int = count) -> Measurement:
                    return measure(targets[name], _HELLO, connections=count, seconds=seconds)

                rows.append(compare(list(targets), rounds, one, workload="hello", connections=count))
    publish(console, Report(describe_machine(), seconds, rounds, rows), _table(rows), json_file=json_file)
