"""`python -m benchmarks http`: the same workers on workerd and on brrrd, in turn, in one run."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.comparison import Report, Row, compare, describe_machine, markdown_table, text_table
from benchmarks.load import Measurement, measure, require_wrk
from benchmarks.peers import Peer, PeerError, bare, brrrd, require_same_answers, workerd
from benchmarks.workloads import HTTP_WORKLOADS, Workload

WARM_UP_SECONDS = 1.0
TABLE_WIDTH = 120


def run(
    *,
    only: Sequence[str],
    connections: Sequence[int],
    seconds: float,
    rounds: int,
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    require_wrk()
    console = Console()
    workloads = [one for one in HTTP_WORKLOADS if not only or one.name in only]
    if not workloads:
        raise PeerError(f"No such workload. There are: {', '.join(one.name for one in HTTP_WORKLOADS)}.")
    with ExitStack() as stack:
        with console.status("starting workerd and brrrd"):
            # In front of everything else: it listens for as long as the peers may ask it.
            service = stack.enter_context(bare("uvicorn")).targets["hello"].url
            peers = [stack.enter_context(start(workloads, service)) for start in (workerd, brrrd)]
            require_same_answers(peers, workloads)
        rows = _rows(console, peers, workloads, connections, seconds, rounds)
    names = [peer.name for peer in peers]
    report = Report(describe_machine(), seconds, rounds, rows)
    # A table cut to 80 columns because its output is a file would help nobody.
    console.width = max(console.width, TABLE_WIDTH)
    console.print(text_table(rows, names))
    console.print(f"Ratios are brrrd by workerd: rate above 1 and latency below 1 are faster.\n{report.machine}")
    if json_file:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if markdown_file:
        markdown_file.write_text(markdown_table(report, names))


def _rows(
    console: Console,
    peers: Sequence[Peer],
    workloads: Sequence[Workload],
    connections: Sequence[int],
    seconds: float,
    rounds: int,
) -> list[Row]:
    targets = {peer.name: peer.targets for peer in peers}
    rows: list[Row] = []
    with console.status("measuring") as status:
        for workload in workloads:
            for peer in peers:
                measure(peer.targets[workload.name], workload, connections=32, seconds=WARM_UP_SECONDS)
            for count in workload.connections or connections:
                status.update(f"{workload.title}, {count} connections")

                def one(name: str, workload: Workload = workload, count: int = count) -> Measurement:
                    return measure(targets[name][workload.name], workload, connections=count, seconds=seconds)

                row = compare(list(targets), rounds, one, workload=workload.title, connections=count)
                rows.append(row)
                figures = ", ".join(f"{name.partition(' ')[0]} {one.rate:,.0f}/s" for name, one in row.peers.items())
                console.print(f"{workload.title}, {count} connections: {figures}", highlight=False)
    return rows
