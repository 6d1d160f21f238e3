"""`brrrd databases backup`, `snapshots`, `restore`: consistent copies of a database, kept by the node."""

from pathlib import Path
from typing import Annotated, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.databases import database_path
from runtime.cli.errors import CommandError
from runtime.cli.node import Node
from runtime.cli.options import (
    DEFAULT_PROJECT,
    DatabaseArgument,
    DatabaseOption,
    OnlyDatabaseArgument,
    ProjectOption,
    YesOption,
    confirm,
    one_of,
)
from runtime.cli.tables import moment, size, table

COPY_SECONDS = 3600.0
"""Large databases take long to copy and to check."""


def register(group: typer.Typer) -> None:
    """Add the commands."""
    client_command(group, "backup")(backup)
    client_command(group, "snapshots")(snapshots)
    client_command(group, "restore")(restore)


def backup(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also write it to this file, an SQLite database."),
    ] = None,
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Take a snapshot of a database, while it is used. The node keeps it until it is deleted."""
    name = one_of(name, database, "database")
    path = database_path(node, project, name)
    answer = node.post(f"{path}/snapshots", seconds=COPY_SECONDS)
    made = answer["snapshot"]
    if output is not None:
        from runtime.cli.output_file import output_file

        with output_file(output) as file:
            for chunk in node.download(f"{path}/snapshots/{made['snapshot_id']}"):
                file.write(chunk)
    lines = [f"Snapshot {made['snapshot_id']} of {name}, {size(made['size_bytes'])}."]
    if output is not None:
        lines.append(f"Written to {output}.")
    lines.append(f"Go back to it with: brrrd databases restore {name} {made['snapshot_id']}")
    return Shown(answer, lambda: "\n".join(lines))


def snapshots(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    delete: Annotated[
        str | None, typer.Option("--delete", metavar="SNAPSHOT", help="Delete this one instead of listing.")
    ] = None,
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """List or delete snapshots. The newest comes first."""
    name = one_of(name, database, "database")
    if delete is not None:
        answer = node.delete(database_path(node, project, name, "snapshots", delete))
        return Shown(answer, lambda: f"Deleted snapshot {delete}.")
    answer = node.get(database_path(node, project, name, "snapshots"))
    return Shown(answer, lambda: _table(answer["snapshots"], name))


def _table(found: list[dict[str, Any]], name: str) -> Any:
    rows = ((one["snapshot_id"], moment(one["created_at"]), one["kind"], size(one["size_bytes"])) for one in found)
    empty = f"No snapshots of {name}. Take one with: brrrd databases backup {name}"
    return table(["SNAPSHOT", "OF", "KIND", "SIZE>"], rows, empty)


def restore(
    node: Node,
    name: OnlyDatabaseArgument,
    snapshot: Annotated[
        str, typer.Argument(metavar="SNAPSHOT", help="Its id, or `latest`; see `brrrd databases snapshots`.")
    ],
    project: ProjectOption = DEFAULT_PROJECT,
    yes: YesOption = False,
) -> Shown:
    """Make a database what it was in a snapshot. What it is now is kept as a snapshot too."""
    path = database_path(node, project, name)
    chosen = _chosen(node.get(f"{path}/snapshots")["snapshots"], name, snapshot)
    moment_of = f"{chosen['snapshot_id']} of {moment(chosen['created_at'])}"
    confirm(f"Replace the content of {name} by snapshot {moment_of}? Open transactions are rolled back.", yes)
    answer = node.post(f"{path}/restore", {"snapshot_id": chosen["snapshot_id"]}, seconds=COPY_SECONDS)
    restored, kept = answer["restored"], answer["kept"]["snapshot_id"]
    return Shown(
        answer,
        lambda: (
            f"Database {name} is what it was at {moment(restored['created_at'])} ({restored['snapshot_id']}).\n"
            f"Undo with: brrrd databases restore {name} {kept}"
        ),
    )


def _chosen(found: list[dict[str, Any]], name: str, wanted: str) -> dict[str, Any]:
    """The snapshot that is meant; `latest` is the newest that is not of the state before a restore."""
    for one in found:
        if wanted == one["snapshot_id"] or (wanted == "latest" and one["kind"] != "before-restore"):
            return one
    listed = f"See `brrrd databases snapshots {name}`." if found else f"Take one with `brrrd databases backup {name}`."
    raise CommandError(f"database {name} has no snapshot{'' if wanted == 'latest' else ' ' + wanted}. {listed}")
