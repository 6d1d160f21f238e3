"""`python -m benchmarks websockets`: an echo over WebSockets on workerd and on brrrd, in turn, in one run."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks.comparison import Report, Row, compare, describe_machine, publish_beside
from benchmarks.load import Measurement
from benchmarks.peers import Peer, brrrd, workerd
from benchmarks.sockets import Exchange, load
from benchmarks.workloads import Workload

WARM_UP_SECONDS = 1.0
ECHO = Workload("websocket", "echo")
EXCHANGES = (
    Exchange("one text of 32 bytes", b"x" * 32, 1),
    Exchange("texts of 32 bytes, 32 at once", b"x" * 32, 32),
    Exchange("one text of 16 KiB", b"x" * (16 << 10), 1),
)


def run(
    *, connections: Sequence[int], seconds: float, rounds: int, json_file: Path | None, markdown_file: Path | None
) -> None:
    console = Console()
    with ExitStack() as stack:
        with console.status("starting workerd and brrrd"):
            peers = [stack.enter_context(start([ECHO], "http://127.0.0.1:1")) for start in (workerd, brrrd)]
        rows = _rows(console, peers, connections, seconds, rounds)
    report = Report(describe_machine(), seconds, rounds, rows)
    publish_beside(console, report, [peer.name for peer in peers], json_file=json_file, markdown_file=markdown_file)


def _rows(
    console: Console, peers: Sequence[Peer], connections: Sequence[int], seconds: float, rounds: int
) -> list[Row]:
    targets = {peer.name: peer.targets[ECHO.name] for peer in peers}
    rows = []
    for exchange in EXCHANGES:
        for count in connections:

            def one(name: str, exchange: Exchange = exchange, count: int = count) -> Measurement:
                return uvloop.run(load(targets[name], exchange, count, seconds))

            for target in targets.values():
                uvloop.run(load(target, exchange, count, WARM_UP_SECONDS))
            row = compare(list(targets), rounds, one, workload=exchange.title, connections=count)
            rows.append(row)
            console.print(row.rates(), highlight=False)
    return rows
