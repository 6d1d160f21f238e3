"""`brrrd databases limits`: what one database may use, in place of what the node's configuration says for all."""

from typing import Annotated, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.databases import database_path
from runtime.cli.environment import parse_assignment
from runtime.cli.node import Node
from runtime.cli.options import DEFAULT_PROJECT, OnlyDatabaseArgument, ProjectOption
from runtime.cli.tables import size, table

DEFAULT = "default"
"""In place of a number: the limit is the node's again."""


def register(group: typer.Typer) -> None:
    """Add the command."""
    client_command(group, "limits")(limits)


def limits(
    node: Node,
    name: OnlyDatabaseArgument,
    assignments: Annotated[
        list[str] | None,
        typer.Argument(metavar="LIMIT=NUMBER…", help=f"Limits to set; LIMIT={DEFAULT} is the node's again."),
    ] = None,
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Show the limits of a database, or set some of its own."""
    changes = dict(_parse(assignment) for assignment in assignments or [])
    path = database_path(node, project, name)
    answer = node.get(path)
    if changes:
        held = answer["database"]["limits"]
        if unknown := changes.keys() - (held.keys() - {"own"}):
            raise typer.BadParameter(f"there is no limit {min(unknown)}")
        own = {limit: held[limit] for limit in held["own"]} | changes
        answer = node.put(f"{path}/limits", {limit: value for limit, value in own.items() if value is not None})
    return Shown(answer, lambda: _limits(answer["database"]["limits"]))


def _parse(assignment: str) -> tuple[str, int | None]:
    limit, text = parse_assignment(assignment)
    if text == DEFAULT:
        return limit, None
    if not text.isascii() or not text.isdigit():
        raise typer.BadParameter(f"{limit} is a whole number or {DEFAULT}, not {text!r}")
    return limit, int(text)


def _limits(held: dict[str, Any]) -> Any:
    own = held["own"]
    rows = (
        (limit, _shown(limit, value), "its own" if limit in own else "the node's")
        for limit, value in held.items()
        if limit != "own"
    )
    return table(["LIMIT", "VALUE>", "WHOSE"], rows, "")


def _shown(limit: str, value: int) -> Any:
    if limit == "max_database_bytes" and not value:
        return "none"
    return size(value) if limit.endswith("_bytes") else value
