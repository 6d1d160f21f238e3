"""Registers commands that talk to a node: what all of them have in common.

Such a command is a function `(node, …its own parameters…) -> Shown`. Registering adds `--api`, `--token` and `--json`,
opens the node, and prints the result: for people as the view, with `--json` as the server's object, unchanged.
"""

import inspect
import json
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from runtime.cli.node import DEFAULT_API, Node

ApiOption = Annotated[
    str | None, typer.Option("--api", metavar="URL", help=f"Control API of the node [BRRRD_API; {DEFAULT_API}].")
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", metavar="TOKEN", help="Operator token [BRRRD_OPERATOR_TOKEN; the file the node wrote]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the server's JSON instead of text.")]


class Shown(NamedTuple):
    """What a command prints: `data` with `--json`, otherwise what `view` returns (a string or a rich renderable)."""

    data: Any
    view: Callable[[], Any]


Command = TypeVar("Command", bound=Callable[..., Shown])


def client_command(group: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Register the decorated function under `name` in `group`."""

    def register(function: Command) -> Command:
        def command(*, api: str | None, token: str | None, as_json: bool, **arguments: Any) -> None:
            with Node(api, token) as node:
                show(function(node, **arguments), as_json)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            *(parameter.replace(kind=keyword) for parameter in own),
            inspect.Parameter("api", keyword, annotation=ApiOption, default=None),
            inspect.Parameter("token", keyword, annotation=TokenOption, default=None),
            inspect.Parameter("as_json", keyword, annotation=JsonOption, default=False),
        ]
        # typer reads the parameters from these two.
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__doc__ = function.__doc__
        group.command(name)(command)
        return function

    return register


def show(shown: Shown, as_json: bool) -> None:
    """Print a command's result to stdout."""
    if as_json:
        sys.stdout.write(json.dumps(shown.data, ensure_ascii=False, indent=2) + "\n")
        return
    view = shown.view()
    if isinstance(view, str):
        sys.stdout.write(view + "\n")
        return
    from runtime.cli.tables import console

    terminal = console()
    with terminal.capture() as captured:
        terminal.print(view)
    # Tables fill their last column with blanks, which are in the way in a pipe.
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))
