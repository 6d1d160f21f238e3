"""`brrrd audit`: who changed what, and which query tokens were issued."""

import json
import sys
import time
from typing import Annotated, Any

import typer

from runtime.cli.client_command import ApiOption, JsonOption, TokenOption
from runtime.cli.node import Node, path_of
from runtime.cli.tables import moment

FOLLOW_SECONDS = 1.0
PAGE_ENTRIES = 1000


def register(application: typer.Typer) -> None:
    application.command("audit")(audit)


def audit(
    database: Annotated[
        str | None, typer.Option("--database", metavar="DATABASE", help="Only this database, by name or id.")
    ] = None,
    app: Annotated[str | None, typer.Option("--app", metavar="APP", help="Only this app, by name or id.")] = None,
    project: Annotated[str | None, typer.Option("--project", metavar="PROJECT", help="Only this project.")] = None,
    action: Annotated[
        str | None,
        typer.Option("--action", metavar="ACTION", help="Only this action: database.rotate; or app, database: any."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=PAGE_ENTRIES, help="How many of the last entries to print first.")
    ] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new entries until Ctrl-C.")] = False,
    api: ApiOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the audit log, the oldest entry first. With --json, one object per line."""
    given = {"database": database, "app": app, "project": project, "action": action}
    wanted: dict[str, str | int] = {key: value for key, value in given.items() if value is not None}
    with Node(api, token) as node:
        last = 0
        entries = list(reversed(_entries(node, wanted | {"limit": limit})))
        try:
            while True:
                for entry in entries:
                    last = entry["number"]
                    sys.stdout.write((json.dumps(entry, ensure_ascii=False) if as_json else readable(entry)) + "\n")
                sys.stdout.flush()
                if not follow:
                    if not entries and not as_json:
                        sys.stderr.write("The audit log has no such entry.\n")
                    return
                time.sleep(FOLLOW_SECONDS)
                entries = _entries(node, wanted | {"limit": PAGE_ENTRIES, "after": last})
        except KeyboardInterrupt:
            # The ordinary end of --follow.
            return


def _entries(node: Node, wanted: dict[str, str | int]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = node.get(path_of("audit"), **wanted)["entries"]
    return entries


def readable(entry: dict[str, Any]) -> str:
    """Return an entry as a line: local time, action, what it is about, detail, who."""
    subject = entry.get("app") or entry.get("database")
    about = f"{entry['project']}/{subject}" if subject else entry["project"]
    detail = " ".join(f"{key}={_value(value)}" for key, value in entry["detail"].items() if value not in ("", None, []))
    line = f"{moment(entry['at'])}  {entry['action']:<26} {about}  {detail}"
    return f"{line.rstrip()}  by {_value(entry['by'])}{' from ' + _value(entry['client']) if entry['client'] else ''}"


def _value(value: Any) -> str:
    """A value as one word, or quoted and escaped: what a caller sent must not reach the terminal as it is."""
    if isinstance(value, str):
        if value.isprintable():
            return json.dumps(value, ensure_ascii=False) if " " in value or '"' in value else value
        return json.dumps(value)
    return json.dumps(value)
