"""`brrrd logs`: what an app wrote with `console`, its uncaught exceptions, and limits it ran into."""

import json
import sys
import time
from typing import Annotated, Any

import typer

from runtime.cli.client_command import ApiOption, JsonOption, TokenOption
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT, OnlyAppOption, ProjectOption
from runtime.cli.plain_text import plain


def register(application: typer.Typer) -> None:
    application.command("logs")(logs)


def logs(
    app: OnlyAppOption,
    project: ProjectOption = DEFAULT_PROJECT,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="How many of the last lines to print first.")
    ] = 100,
    api: ApiOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log of an app. With --json, one object per line."""
    path = path_of("projects", project, "apps", app, "logs")
    params: dict[str, str | int] = {"limit": limit} | ({"follow": "true"} if follow else {})
    printed = False
    with Node(api, token) as node:
        try:
            for line in node.lines(path, **params):
                printed = True
                sys.stdout.write((line if as_json else readable(json.loads(line))) + "\n")
                sys.stdout.flush()
        except KeyboardInterrupt:
            # The ordinary end of --follow.
            return
    if not printed and limit and not as_json:
        print(f"App {app} has logged nothing.", file=sys.stderr)


def readable(entry: dict[str, Any]) -> str:
    """Return a log entry as text: local time, level, request id, message (further lines indented)."""
    seconds = float(entry.get("time") or 0)
    stamp = time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}"
    request = f"[{entry['request_id']}] " if entry.get("request_id") else ""
    message = str(entry.get("message", "")).replace("\n", "\n    ")
    return plain(f"{stamp} {entry.get('level', 'info'):<5} {request}{message}")
