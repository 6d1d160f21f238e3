"""`python -m benchmarks http|edge|databases|d1|neighbours|websockets|cold|memory [options]`: see `--help` of each."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.load import LoadError
from benchmarks.peers import PeerError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Comparisons with peers, as ratios.")

Only = Annotated[str, typer.Option(help="Workloads or servers, separated by commas; all if empty.")]
Connections = Annotated[str, typer.Option(help="Numbers of keep-alive connections, separated by commas.")]
Seconds = Annotated[float, typer.Option(help="Length of one run, in whole seconds.", min=1)]
Rounds = Annotated[int, typer.Option(help="Rounds; the figures are medians over them.", min=1)]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", help="Write the table of ratios to this file.")]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


@app.command()
def http(
    only: Only = "",
    connections: Connections = "1,32,128",
    seconds: Seconds = 5,
    rounds: Rounds = 3,
    json: JsonFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """The same workers on workerd and on brrrd: answers, hashes, bodies, timers, subrequests, many apps."""
    from benchmarks import http as comparison

    comparison.run(
        only=_names(only),
        connections=_numbers(connections),
        seconds=seconds,
        rounds=rounds,
        json_file=json,
        markdown_file=markdown,
    )


@app.command()
def edge(
    only: Only = "",
    connections: Connections = "1,32,128",
    seconds: Seconds = 3,
    rounds: Rounds = 3,
    json: JsonFile = None,
) -> None:
    """Servers that could stand in front: the bare ASGI hello on each, and the edge on a stub of a host."""
    from benchmarks import edge as comparison

    comparison.run(only=_names(only), connections=_numbers(connections), seconds=seconds, rounds=rounds, json_file=json)


@app.command()
def databases(
    only: Only = "",
    connections: Connections = "1,32,128",
    seconds: Seconds = 3,
    rounds: Rounds = 3,
    json: JsonFile = None,
) -> None:
    """SQL over HTTP beside the bare ASGI hello and the engine alone: select, insert, rows and more."""
    from benchmarks import databases as comparison

    comparison.run(only=_names(only), connections=_numbers(connections), seconds=seconds, rounds=rounds, json_file=json)


@app.command()
def websockets(
    connections: Connections = "1,32,128",
    seconds: Seconds = 3,
    rounds: Rounds = 3,
    json: JsonFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """An echo over WebSockets on workerd and on brrrd."""
    from benchmarks import websockets as comparison

    comparison.run(
        connections=_numbers(connections), seconds=seconds, rounds=rounds, json_file=json, markdown_file=markdown
    )


@app.command()
def d1(
    connections: Connections = "1,32",
    seconds: Seconds = 3,
    rounds: Rounds = 3,
    json: JsonFile = None,
) -> None:
    """A worker with one query per request: a database of the node beside D1 on miniflare."""
    from benchmarks import d1 as comparison

    comparison.run(connections=_numbers(connections), seconds=seconds, rounds=rounds, json_file=json)


@app.command()
def neighbours(
    only: Only = "",
    connections: Connections = "1,8",
    seconds: Seconds = 5,
    rounds: Rounds = 3,
    json: JsonFile = None,
) -> None:
    """Selects on one database while another one of the same worker is busy: runaway, step, rows, writes."""
    from benchmarks import neighbours as comparison

    comparison.run(only=_names(only), connections=_numbers(connections), seconds=seconds, rounds=rounds, json_file=json)


@app.command()
def cold(apps: Annotated[int, typer.Option(help="Apps per way of starting them.", min=2)] = 30) -> None:
    """How long the first request to an app waits that was never loaded."""
    from benchmarks import cold as comparison

    comparison.run(apps=apps)


@app.command()
def memory(
    apps: Annotated[int, typer.Option(help="Apps to deploy.", min=1)] = 300,
    active: Annotated[int, typer.Option(help="Apps of these that are loaded and in use.", min=1)] = 100,
    seconds: Seconds = 5,
) -> None:
    """What many deployed apps cost a node, and whether they all answer."""
    from benchmarks import memory as measurement

    measurement.run(apps=apps, active=min(active, apps), seconds=seconds)


if __name__ == "__main__":
    # As Ctrl-C: nodes, peers and the load on them end as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except (LoadError, PeerError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
