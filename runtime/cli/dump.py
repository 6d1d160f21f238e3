"""`brrrd databases dump`: a database as SQL text, to a file or to standard output."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from runtime.cli.client_command import ApiOption, TokenOption
from runtime.cli.databases import DatabaseTokenOption, UrlOption, open_database
from runtime.cli.errors import CommandError
from runtime.cli.node import Node
from runtime.cli.options import DEFAULT_PROJECT, DatabaseArgument, ProjectOption

LAST_LINE = b"COMMIT;\n"


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("dump")(dump)


def dump(
    name: DatabaseArgument = None,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to write it; standard output otherwise.")
    ] = None,
    preserve_rowids: Annotated[
        bool, typer.Option("--preserve-rowids", help="With the rowids of tables that have no INTEGER PRIMARY KEY.")
    ] = False,
    project: ProjectOption = DEFAULT_PROJECT,
    url: UrlOption = None,
    db_token: DatabaseTokenOption = None,
    api: ApiOption = None,
    token: TokenOption = None,
) -> None:
    """Write a database as SQL text. Schema and rows of one moment, while others write."""
    if url is not None and file is None:
        name, file = None, Path(name) if name is not None else None
    with (
        Node(api, token) as node,
        open_database(node, name, project, url, db_token, reason="brrrd databases dump", read_only=True) as remote,
        remote.dump(rowids=preserve_rowids) as pieces,
    ):
        if file is None or str(file) == "-":
            _copy(pieces, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        from runtime.cli.output_file import output_file
        from runtime.cli.tables import size

        with output_file(file) as target:
            count = _copy(pieces, target)
        print(f"Wrote {size(count)} to {file}.", file=sys.stderr)


def _copy(pieces: Iterator[bytes], target: Any) -> int:
    """Write the pieces; return how many bytes. Raises `CommandError` if the end is missing."""
    count = 0
    tail = b""
    for piece in pieces:
        target.write(piece)
        count += len(piece)
        tail = (tail + piece)[-len(LAST_LINE) :]
    if tail != LAST_LINE:
        raise CommandError("the dump is not complete: the database stopped in the middle. Run it again.")
    return count
