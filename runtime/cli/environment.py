"""`brrrd apps env …`: the environment variables of an app."""

from typing import Annotated

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT, OnlyAppOption, ProjectOption
from runtime.cli.tables import table

group = typer.Typer(help="Environment variables of an app.", no_args_is_help=True, rich_markup_mode=None)


@client_command(group, "list")
def list_variables(node: Node, app: OnlyAppOption, project: ProjectOption = DEFAULT_PROJECT) -> Shown:
    """List the variables of an app with their values."""
    answer = node.get(_path(project, app))
    return Shown(answer, lambda: table(["KEY", "VALUE"], answer["environment"].items(), f"App {app} has no variables."))


@client_command(group, "set")
def set_variables(
    node: Node,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Variables to set.")],
    app: OnlyAppOption,
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Set variables. When the command returns, requests see them."""
    variables = dict(parse_assignment(assignment) for assignment in assignments)
    answer = {}
    for key, value in variables.items():
        answer = node.put(_path(project, app, key), {"value": value})
    return Shown(answer, lambda: f"Set {', '.join(variables)} of app {app}.")


@client_command(group, "unset")
def unset_variables(
    node: Node,
    keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="Variables to remove.")],
    app: OnlyAppOption,
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Remove variables."""
    answer = {}
    for key in keys:
        answer = node.delete(_path(project, app, key))
    return Shown(answer, lambda: f"Removed {', '.join(keys)} of app {app}.")


def parse_assignment(assignment: str) -> tuple[str, str]:
    """Split `KEY=VALUE`; the value may be empty and may hold further `=`."""
    key, sign, value = assignment.partition("=")
    if not sign or not key:
        raise typer.BadParameter(f"{assignment!r} is not KEY=VALUE")
    return key, value


def _path(project: str, app: str, *key: str) -> str:
    return path_of("projects", project, "apps", app, "environment", *key)
