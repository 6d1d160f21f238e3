"""Options and arguments that several commands share.

A name is the first argument or an option (`brrrd apps show blog`, `brrrd apps show --app blog`); names and ids are
accepted alike everywhere.
"""

import sys
from typing import Annotated

import typer

from runtime.cli.errors import CommandError

ProjectOption = Annotated[str, typer.Option("--project", metavar="PROJECT", help="Project, by name or id.")]
AppArgument = Annotated[str | None, typer.Argument(metavar="APP", help="App, by name or id.")]
AppOption = Annotated[str | None, typer.Option("--app", "--name", metavar="APP", help="The same as the argument.")]
OnlyAppOption = Annotated[str, typer.Option("--app", metavar="APP", help="App, by name or id.")]
DatabaseArgument = Annotated[str | None, typer.Argument(metavar="DATABASE", help="Database, by name or id.")]
OnlyDatabaseArgument = Annotated[str, typer.Argument(metavar="DATABASE", help="Database, by name or id.")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", "--name", metavar="DATABASE", help="The same as the argument.")
]
ListenOption = Annotated[
    str | None, typer.Option("--listen", metavar="HOST:PORT", help="Address of the edge [127.0.0.1:8080].")
]
ControlOption = Annotated[
    str | None, typer.Option("--control", metavar="HOST:PORT", help="Address of the control API [127.0.0.1:8081].")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

DEFAULT_PROJECT = "default"


def one_of(argument: str | None, option: str | None, what: str) -> str:
    """Return the one that was given; a usage error when none was, or two that differ."""
    if argument is not None and option is not None and argument != option:
        raise typer.BadParameter(f"two different values for the {what}: {argument} and {option}")
    value = argument if argument is not None else option
    if not value:
        raise typer.BadParameter(f"name the {what}")
    return value


def confirm(question: str, yes: bool) -> None:
    """Ask before something is removed. Raises `CommandError` unless the answer is yes."""
    if yes:
        return
    # Not typer's: that one writes to stdout, and says nothing when there is nobody to ask.
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed. Answer y, or give --yes.")
