"""Rounds of one peer after the other, their medians and ratios, the tables made of them, and how they are published.

Pure but for `publish`.
"""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.load import Measurement
from benchmarks.peers import PeerError

TABLE_WIDTH = 130


class Named(Protocol):
    """What can be chosen by its name."""

    @property
    def name(self) -> str: ...


Chosen = TypeVar("Chosen", bound=Named)


class Row(msgspec.Struct, frozen=True):
    """One workload at one number of connections: medians over the rounds, by peer name."""

    workload: str
    connections: int
    peers: dict[str, Measurement]

    def ratio(self, ours: str, theirs: str) -> float:
        """Our rate by theirs: above 1 is faster."""
        return self.peers[ours].rate / self.peers[theirs].rate

    def latency_ratio(self, ours: str, theirs: str) -> float:
        """Our p50 by theirs: below 1 is faster."""
        return self.peers[ours].p50 / self.peers[theirs].p50

    def rates(self) -> str:
        """One line for who watches the rounds go by."""
        figures = ", ".join(f"{name.partition(' ')[0]} {one.rate:,.0f}/s" for name, one in self.peers.items())
        return f"{self.workload}, {self.connections} connections: {figures}"


class Report(msgspec.Struct, frozen=True):
    machine: str
    seconds: float
    rounds: int
    rows: list[Row]


def describe_machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open() as file:
            model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    return (
        f"{model}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def median(measurements: Sequence[Measurement]) -> Measurement:
    """Medians of each figure; broken and refused requests are summed, so that none goes unseen."""
    return Measurement(
        rate=statistics.median(one.rate for one in measurements),
        p50=statistics.median(one.p50 for one in measurements),
        p99=statistics.median(one.p99 for one in measurements),
        failed=sum(one.failed for one in measurements),
        refused=sum(one.refused for one in measurements),
    )


def interleave(names: Sequence[str], rounds: int) -> list[str]:
    """The order of runs: every peer once a round, the order turned each round, so that drift hits all alike."""
    order: list[str] = []
    for number in range(rounds):
        order += names if number % 2 == 0 else list(reversed(names))
    return order


def chosen(known: Sequence[Chosen], only: Sequence[str], what: str) -> list[Chosen]:
    """Those of `known`, which are called `what`, that `only` names; all if it is empty. Raises `PeerError` for none."""
    found = [one for one in known if not only or one.name in only]
    if not found:
        raise PeerError(f"No such {what}. There are: {', '.join(one.name for one in known)}.")
    return found


def compare(
    names: Sequence[str], rounds: int, measure: Callable[[str], Measurement], *, workload: str, connections: int
) -> Row:
    taken: dict[str, list[Measurement]] = {name: [] for name in names}
    for name in interleave(names, rounds):
        taken[name].append(measure(name))
    return Row(workload, connections, {name: median(several) for name, several in taken.items()})


def milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:.2f}" if microseconds < 99_950 else f"{microseconds / 1000:.0f}"


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    cells = [row.workload, str(row.connections)]
    for name in names:
        one = row.peers[name]
        unsound = f" ({one.failed + one.refused} bad)" if one.failed + one.refused else ""
        cells += [f"{one.rate:,.0f}{unsound}", milliseconds(one.p50), milliseconds(one.p99)]
    return cells


def text_table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """The last name is compared with the first."""
    table = Table(title=f"{names[-1]} beside {names[0]}")
    table.add_column("workload", no_wrap=True)
    table.add_column("conns", justify="right", no_wrap=True)
    for name in names:
        short = name.partition(" ")[0]
        for figure in ("req/s", "p50 ms", "p99 ms"):
            table.add_column(f"{short}\n{figure}", justify="right", no_wrap=True)
    table.add_column("ratio\nrate", justify="right", no_wrap=True)
    table.add_column("ratio\np50", justify="right", no_wrap=True)
    for row in rows:
        ours, theirs = names[-1], names[0]
        table.add_row(*_cells(row, names), f"{row.ratio(ours, theirs):.2f}", f"{row.latency_ratio(ours, theirs):.2f}")
    return table


def markdown_table(report: Report, names: Sequence[str]) -> str:
    """Ratios for the README; absolute rates say more about the machine than about the servers."""
    ours, theirs = names[-1], names[0]
    short = theirs.partition(" ")[0]
    lines = [
        f"| workload | connections | rate to {short} | p50 to {short} | p99 to {short} |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in report.rows:
        p99 = row.peers[ours].p99 / row.peers[theirs].p99
        lines.append(
            f"| {row.workload} | {row.connections} | {row.ratio(ours, theirs):.2f} "
            f"| {row.latency_ratio(ours, theirs):.2f} | {p99:.2f} |"
        )
    lines.append("")
    lines.append(
        f"Medians of {report.rounds} rounds of {report.seconds:g} s each, {' and '.join(names)} in turn in one run, "
        f"on {report.machine}."
    )
    return "\n".join(lines) + "\n"


def publish(console: Console, report: Report, table: Table, *notes: str, json_file: Path | None) -> None:
    """Print a table, notes on it and the machine; write every figure to `json_file`."""
    # A table cut to 80 columns because its output is a file would help nobody.
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)
    for note in (*notes, report.machine):
        console.print(note)
    if json_file:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def publish_beside(
    console: Console, report: Report, names: Sequence[str], *, json_file: Path | None, markdown_file: Path | None
) -> None:
    """`publish` what the last of `names` did beside the first, and write the ratios to `markdown_file`."""
    ours, theirs = (name.partition(" ")[0] for name in (names[-1], names[0]))
    note = f"Ratios are {ours} by {theirs}: rate above 1 and latency below 1 are faster."
    publish(console, report, text_table(report.rows, names), note, json_file=json_file)
    if markdown_file:
        markdown_file.write_text(markdown_table(report, names))
