"""`brrrd serve`: run the node in the foreground. Its options are the fields of `runtime.config.Config`."""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli.config_fields import Field, reference
from runtime.cli.errors import WrongUsage
from runtime.cli.tokens import record_node
from runtime.config import Config, ConfigError
from runtime.config_sources import load

if TYPE_CHECKING:
    from runtime.serve import Addresses

NOT_OPTIONS = frozenset({"operator_token"})
"""Every user of the machine can read a command line."""


def register(application: typer.Typer) -> None:
    application.command("serve")(_with_config_options(serve))


def serve(config: Config) -> int:
    """Run a node. SIGTERM or Ctrl-C lets requests in flight finish, then ends it."""
    from runtime.serve import run

    def ready(addresses: "Addresses") -> None:
        remember(addresses.control, config)
        if sys.stderr.isatty():
            print(next_steps(addresses), file=sys.stderr, flush=True)

    return run(config, ready)


def next_steps(addresses: "Addresses") -> str:
    """What somebody at a terminal can do now. Services have no terminal, and their logs no such text."""
    from runtime.cli.local_node import api_option

    option = api_option(addresses)
    return f"""
  Deploy an app      brrrd deploy FOLDER --app NAME{option}
  Make a database    brrrd databases create NAME{option}
  Look at databases  http://{addresses.control}/ui/
  See what runs      brrrd status{option}

Ctrl-C stops the node.
"""


def remember(control: str, config: Config) -> None:
    """Let client commands of this user find the token of the node that now answers at `control`."""
    try:
        record_node(control, Path(config.data_dir))
    except OSError as error:
        print(f"brrrd: client commands will need --token: {error}", file=sys.stderr)


def load_config(file: Path | None, overrides: dict[str, Any]) -> Config:
    """Return the configuration; a mistake in it is wrong usage."""
    try:
        return load(file, os.environ, overrides)
    except ConfigError as error:
        raise WrongUsage(str(error)) from None


def _with_config_options(function: Callable[[Config], int]) -> Callable[..., None]:
    """Return a typer command with an option for every field that may be given on the command line."""

    def command(*, config: Path | None, **overrides: Any) -> None:
        given = {key: value for key, value in overrides.items() if value not in (None, [])}
        raise typer.Exit(function(load_config(config, given)))

    keyword = inspect.Parameter.KEYWORD_ONLY
    file_option = typer.Option("--config", metavar="FILE", help="Configuration file (TOML) with the keys below.")
    parameters = [
        inspect.Parameter("config", keyword, annotation=Annotated[Path | None, file_option], default=None),
        *(
            inspect.Parameter(field.name, keyword, annotation=_option(field), default=None)
            for field in reference()
            if field.name not in NOT_OPTIONS
        ),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = function.__doc__
    return command


def _option(field: Field) -> Any:
    kind: Any = {"integer": int, "list of strings": list[str]}.get(field.type, str)
    default = field.default.strip('"')
    help_text = f"{field.description} [{field.variable}; default {default or 'empty'}]"
    if kind == list[str]:
        help_text += " Repeat the option for several values."
    return Annotated[kind | None, typer.Option(f"--{field.name.replace('_', '-')}", help=help_text)]
