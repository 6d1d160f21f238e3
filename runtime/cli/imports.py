"""`brrrd databases import`: an SQL dump or an SQLite file into a database, in chunks, and on from where it stopped."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.databases import DatabaseTokenOption, UrlOption, open_database
from runtime.cli.node import Node
from runtime.cli.options import DEFAULT_PROJECT, ProjectOption

if TYPE_CHECKING:
    from runtime.cli.import_load import Loaded
    from runtime.cli.import_source import Source


def register(group: typer.Typer) -> None:
    """Add the command."""
    client_command(group, "import")(load)


def load(
    node: Node,
    name_or_file: Annotated[str, typer.Argument(metavar="DATABASE", help="Database, by name or id; not with --url.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="SQL text (sqlite3 .dump, a D1 export) or an SQLite database.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, though an import was stopped in the middle.")
    ] = False,
    project: ProjectOption = DEFAULT_PROJECT,
    url: UrlOption = None,
    db_token: DatabaseTokenOption = None,
) -> Shown:
    """Import an SQL dump or an SQLite file. Stopped in the middle, the same command goes on where it was."""
    from runtime.cli.import_load import Load
    from runtime.cli.import_source import open_source

    name: str | None = name_or_file
    if file is None:
        if url is None:
            raise typer.BadParameter("name the database and the file")
        name, file = None, Path(name_or_file)
    source = open_source(file)
    try:
        with (
            open_database(node, name, project, url, db_token, reason="brrrd databases import") as remote,
            _progress(source) as moved,
        ):
            loaded = Load(remote, source, moved).run(restart=restart)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on where it was.", file=sys.stderr)
        raise
    data = {
        "statements": loaded.statements,
        "resumed_at": loaded.resumed_at,
        "left_out": dict(source.left_out),
        "foreign_key_violations": loaded.violations,
    }
    return Shown(data, lambda: _view(source, loaded, name or str(url)))


def _view(source: "Source", loaded: "Loaded", name: str) -> str:
    from runtime.cli.import_rules import REASONS

    went_on = ", going on where an earlier one was stopped" if loaded.resumed_at else ""
    statements = f"{loaded.statements} statement{'' if loaded.statements == 1 else 's'}"
    lines = [f"Imported {source.path} into {name}: {statements}{went_on}."]
    if source.left_out:
        kinds = (f"{count} {REASONS[reason]}" for reason, count in source.left_out.items())
        lines.append(f"Left out: {', '.join(kinds)}.")
    if loaded.violations:
        rows = "1 row refers" if loaded.violations == 1 else f"{loaded.violations} rows refer"
        lines.append(f"Foreign keys: {rows} to rows that are not there. See PRAGMA foreign_key_check.")
    return "\n".join(lines)


@contextmanager
def _progress(source: "Source") -> Iterator[Callable[[int], Any]]:
    """Show on stderr how far it is, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda position: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Importing"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=source.total)
        yield lambda position: bar.update(task, completed=position)
