"""`python -m benchmarks http`: the same workers on workerd and on brrrd, in turn, in one run."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.comparison import Report, Row, chosen, compare, describe_machine, publish_beside
from benchmarks.load import Measurement, measure, require_wrk
from benchmarks.peers import Peer, bare, brrrd, require_same_answers, workerd
from benchmarks.workloads import HTTP_WORKLOADS, Workload

WARM_UP_SECONDS = 1.0


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
    workloads = chosen(HTTP_WORKLOADS, only, "workload")
    with ExitStack() as stack:
        with console.status("starting workerd and brrrd"):
            # In front of everything else: it listens for as long as the peers may ask it.
            service = stack.enter_context(bare("uvicorn")).targets["hello"].url
            peers = [stack.enter_context(start(workloads, service)) for start in (workerd, brrrd)]
            require_same_answers(peers, workloads)
        rows = _rows(console, peers, workloads, connections, seconds, rounds)
    report = Report(describe_machine(), seconds, rounds, rows)
    publish_beside(console, report, [peer.name for peer in peers], json_file=json_file, markdown_file=markdown_file)


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
                console.print(row.rates(), highlight=False)
    return rows
