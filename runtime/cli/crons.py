"""`brrrd apps crons` and `brrrd apps fire`: when an app's crons run, how they went, and running one by hand."""

from typing import Annotated, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT, AppArgument, AppOption, ProjectOption, one_of
from runtime.cli.tables import moment, table

RUN_SECONDS = 90.0
"""The node answers within a minute."""


def register(group: typer.Typer) -> None:
    """Add the commands to `brrrd apps`."""
    client_command(group, "crons")(crons)
    client_command(group, "fire")(fire)


def crons(
    node: Node, name: AppArgument = None, app: AppOption = None, project: ProjectOption = DEFAULT_PROJECT
) -> Shown:
    """List the crons of an app, with their next and last runs."""
    name = one_of(name, app, "app")
    answer = node.get(path_of("projects", project, "apps", name, "crons"))
    empty = f"App {name} has no crons: its brrrd.json lists none."
    rows = (_row(cron) for cron in answer["crons"])
    return Shown(answer, lambda: table(["CRON", "NEXT", "LAST", "RESULT", "TIME>"], rows, empty))


def _row(cron: dict[str, Any]) -> tuple[Any, ...]:
    last, took = cron["last_at"], cron["last_ms"]
    result = "running" if cron["running"] else cron["last_outcome"]
    return (
        cron["cron"],
        moment(cron["next_at"]),
        moment(last) if last else None,
        result,
        None if took is None else f"{took:.0f} ms",
    )


def fire(
    node: Node,
    name: AppArgument = None,
    app: AppOption = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="CRON", help="Which one, as in brrrd.json [the only one].")
    ] = None,
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Run a cron of an app now, and wait for its end for a minute."""
    name = one_of(name, app, "app")
    body = {"cron": cron} if cron is not None else {}
    answer = node.post(path_of("projects", project, "apps", name, "runs"), body, seconds=RUN_SECONDS)
    return Shown(answer, lambda: _said(answer, name))


def _said(answer: dict[str, Any], name: str) -> str:
    if answer["running"]:
        return f"{answer['cron']}: still running. See: brrrd apps crons {name}"
    if answer["outcome"] == "ok":
        return f"{answer['cron']}: ok in {answer['milliseconds']:.0f} ms"
    return f"{answer['cron']}: {answer['outcome']}. See: brrrd logs --app {name}"
