"""`brrrd databases …`: libSQL databases of a project, and their tokens."""

import os
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.errors import CommandError
from runtime.cli.node import Node, path_of
from runtime.cli.options import (
    DEFAULT_PROJECT,
    DatabaseArgument,
    DatabaseOption,
    ProjectOption,
    YesOption,
    confirm,
    one_of,
)
from runtime.cli.tables import details, plain, size, table

if TYPE_CHECKING:
    from runtime.cli.hrana import Remote

group = typer.Typer(help="libSQL databases and their tokens.", no_args_is_help=True, rich_markup_mode=None)

EnvOption = Annotated[
    bool, typer.Option("--env", help="Print DATABASE_URL=… and DATABASE_TOKEN=… lines, for a .env file.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="A database by its address, in place of its name; of any libSQL server."),
]
DatabaseTokenOption = Annotated[
    str | None, typer.Option("--db-token", metavar="TOKEN", help="Its token, with --url [DATABASE_TOKEN].")
]
DATABASE_ID = re.compile(r"db-[a-z2-7]{12}")
QUERY_TOKEN_SECONDS = 3600


@client_command(group, "create")
def create(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    project: ProjectOption = DEFAULT_PROJECT,
    env: EnvOption = False,
) -> Shown:
    """Create a database. Its token is shown once: keep it."""
    name = one_of(name, database, "database")
    answer = node.post(path_of("projects", project, "databases"), {"name": name})
    if env and not answer.get("database_token"):
        raise CommandError(
            f"database {name} exists already and its token is kept nowhere. For a new one, which ends the old one: "
            f"brrrd databases rotate {name} --project {project} --env"
        )
    return Shown(answer, lambda: variables(answer) if env else _created(answer, name))


def _created(answer: dict[str, Any], name: str) -> Any:
    token = answer.get("database_token") or f"(shown at creation; for a new one: brrrd databases rotate {name})"
    return details([("id", answer.get("database_id")), ("url", answer.get("database_url")), ("token", token)])


def variables(answer: dict[str, Any]) -> str:
    """Return address and token as lines for a `.env` file, or for `brrrd apps env set`."""
    return f"DATABASE_URL={answer['database_url']}\nDATABASE_TOKEN={answer['database_token']}"


@client_command(group, "list")
def list_databases(node: Node, project: ProjectOption = DEFAULT_PROJECT) -> Shown:
    """List the databases of a project."""
    answer = node.get(path_of("projects", project, "databases"))
    rows = (
        (entry["name"], entry["database_id"], entry["status"], entry["database_url"]) for entry in answer["databases"]
    )
    empty = f"No databases in project {project}. Create one with: brrrd databases create NAME"
    return Shown(answer, lambda: table(["NAME", "ID", "STATUS", "URL"], rows, empty))


@client_command(group, "show")
def show(
    node: Node, name: DatabaseArgument = None, database: DatabaseOption = None, project: ProjectOption = DEFAULT_PROJECT
) -> Shown:
    """Show one database. Its status, worker, size, and where its write-ahead log stands."""
    answer = node.get(database_path(node, project, one_of(name, database, "database")))
    return Shown(answer, lambda: plain(answer["database"] | {"limits": _own_limits(answer["database"]["limits"])}))


def _own_limits(limits: dict[str, Any]) -> str:
    return ", ".join(f"{limit}={limits[limit]}" for limit in limits["own"]) or "those of the node"


@client_command(group, "usage")
def usage(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    project: ProjectOption = DEFAULT_PROJECT,
    days: Annotated[int, typer.Option("--days", metavar="N", min=0, max=1000, help="How many days to show.")] = 7,
) -> Shown:
    """Show what a database has used. Since the node started, and by day (UTC)."""
    answer = node.get(database_path(node, project, one_of(name, database, "database"), "usage"), days=days)
    return Shown(answer, lambda: _usage(answer["usage"]))


def _usage(used: dict[str, Any]) -> Any:
    from rich.console import Group

    totals = plain({key: value for key, value in used.items() if key != "days"})
    titles = ["DAY", "QUERIES>", "ROWS READ>", "ROWS WRITTEN>", "RECEIVED>", "SENT>", "STORAGE>"]
    rows = (
        (
            day["day"],
            day["queries"],
            day["rows_read"],
            day["rows_written"],
            size(day["received_bytes"]),
            size(day["sent_bytes"]),
            size(day["storage_bytes"]),
        )
        for day in used["days"]
    )
    return Group(totals, "", table(titles, rows, "Not used on any of these days."))


@client_command(group, "rotate")
def rotate(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    project: ProjectOption = DEFAULT_PROJECT,
    env: EnvOption = False,
) -> Shown:
    """Replace the database token. Every token issued before is dead at once."""
    name = one_of(name, database, "database")
    path = database_path(node, project, name)
    answer = node.post(f"{path}/token/rotate")
    if env:
        answer = {"database_url": _url(node, path)} | answer
        return Shown(answer, lambda: variables(answer))
    return Shown(answer, lambda: details([("token", answer.get("database_token"))]))


@client_command(group, "query-token")
def query_token(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    ttl_seconds: Annotated[
        int, typer.Option("--ttl-seconds", "--ttl", metavar="SECONDS", min=1, max=3600, help="How long it is good for.")
    ] = 300,
    audience: Annotated[str, typer.Option("--audience", help="Who will use it, for the audit log.")] = "cli",
    read_only: Annotated[bool, typer.Option("--read-only", help="Good for reading only.")] = False,
    reason: Annotated[
        str, typer.Option("--reason", help="What for, for the audit log.")
    ] = "brrrd databases query-token",
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Issue a token that expires by itself."""
    name = one_of(name, database, "database")
    access = "ro" if read_only else "rw"
    body = {"ttl_seconds": ttl_seconds, "audience": audience, "reason": reason, "access": access}
    answer = node.post(database_path(node, project, name, "query-token"), body)
    return Shown(answer, lambda: plain(answer))


@client_command(group, "suspend")
def suspend(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    reason: Annotated[str, typer.Option("--reason", help="What clients of the database are told.")] = "",
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Refuse reads and writes. Until the database is resumed."""
    name = one_of(name, database, "database")
    answer = node.post(database_path(node, project, name, "suspend"), {"reason": reason})
    return Shown(answer, lambda: f"Database {name} is suspended. Undo with: brrrd databases resume {name}")


@client_command(group, "resume")
def resume(
    node: Node, name: DatabaseArgument = None, database: DatabaseOption = None, project: ProjectOption = DEFAULT_PROJECT
) -> Shown:
    """Serve a suspended database again."""
    name = one_of(name, database, "database")
    answer = node.post(database_path(node, project, name, "resume"))
    return Shown(answer, lambda: f"Database {name} is served again.")


@client_command(group, "delete")
def delete(
    node: Node,
    name: DatabaseArgument = None,
    database: DatabaseOption = None,
    project: ProjectOption = DEFAULT_PROJECT,
    yes: YesOption = False,
) -> Shown:
    """Delete a database. Its files are removed and its tokens are dead."""
    name = one_of(name, database, "database")
    path = database_path(node, project, name)
    confirm(f"Delete database {name} of project {project} with everything in it?", yes)
    answer = node.delete(path)
    return Shown(answer, lambda: f"Deleted database {name}.")


def open_database(
    node: Node,
    name: str | None,
    project: str,
    url: str | None,
    db_token: str | None,
    *,
    reason: str,
    read_only: bool = False,
) -> "Remote":
    """Return a client of a database: one of the node's, with a query token that is renewed, or the one at `url`."""
    from runtime.cli.hrana import Remote

    if url is not None:
        if name is not None:
            raise typer.BadParameter("give the name of a database or its --url, not both")
        given = db_token or os.environ.get("DATABASE_TOKEN")
        return Remote(url, lambda _renew: given)
    path = database_path(node, project, one_of(name, None, "database"))
    held: list[str] = []

    def token(renew: bool) -> str:
        if renew or not held:
            access = "ro" if read_only else "rw"
            body = {"ttl_seconds": QUERY_TOKEN_SECONDS, "audience": "cli", "reason": reason, "access": access}
            held[:] = [str(node.post(f"{path}/query-token", body)["query_token"])]
        return held[0]

    return Remote(_url(node, path), token)


def _url(node: Node, path: str) -> str:
    answer = node.get(path)
    return str(answer["database"]["database_url"])


def database_path(node: Node, project: str, database: str, *rest: str) -> str:
    """Return the control API's path of a database given by name or id, or of something of it."""
    return path_of("databases", _database_id(node, project, database), *rest)


def _database_id(node: Node, project: str, database: str) -> str:
    """Return the id of a database given by id or by its name in the project."""
    if DATABASE_ID.fullmatch(database):
        return database
    listed = node.get(path_of("projects", project, "databases"))["databases"]
    for entry in listed:
        if entry.get("name") == database:
            return str(entry["database_id"])
    raise CommandError(
        f"project {project} has no database {database}. See `brrrd databases list --project {project}`, "
        f"or create it with `brrrd databases create {database} --project {project}`."
    )
