"""The command tree of `brrrd`. Importing it registers every command; their libraries are imported when they run."""

from typing import Annotated

import typer

from runtime.cli import (
    apps,
    audit,
    backup,
    crons,
    database_limits,
    databases,
    demo,
    deploy,
    dev,
    domains,
    dump,
    environment,
    imports,
    logs,
    serve,
    shell,
    status,
)

app = typer.Typer(
    name="brrrd",
    help="Serve apps from pooled V8 isolates and libSQL databases, on one node.",
    epilog="New here? Try `brrrd demo`. Every command has a --help of its own.",
    no_args_is_help=True,
    # Plain help: rich's takes as long to import as everything else together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"brrrd {version('brrrd')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


serve.register(app)
demo.register(app)
dev.register(app)
deploy.register(app)
app.add_typer(apps.group, name="apps")
crons.register(apps.group)
apps.group.add_typer(environment.group, name="env")
app.add_typer(domains.group, name="domains")
shell.register(databases.group)
imports.register(databases.group)
dump.register(databases.group)
backup.register(databases.group)
database_limits.register(databases.group)
app.add_typer(databases.group, name="databases")
logs.register(app)
audit.register(app)
status.register(app)
