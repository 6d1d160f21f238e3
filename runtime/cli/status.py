"""`brrrd status`: the node at a glance."""

from typing import TYPE_CHECKING, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.node import Node, path_of
from runtime.cli.tables import details, moment, size, table

if TYPE_CHECKING:
    from rich.console import Group


def register(application: typer.Typer) -> None:
    @client_command(application, "status")
    def status(node: Node) -> Shown:
        """Show version, listeners, processes, apps."""
        answer = node.get(path_of("status"))
        return Shown(answer, lambda: view(answer))


def view(answer: dict[str, Any]) -> "Group":
    """Return the status as text for people."""
    from rich.console import Group

    state = "ready" if answer["ready"] else "starting"
    apps = answer["apps"]
    others = ", ".join(f"{count} {status}" for status, count in apps.items() if status != "total" and count)
    summary = details(
        [
            ("brrrd", f"{answer['version']}, {state}, since {moment(answer['started_at'])}"),
            ("edge", f"{answer['edge_scheme']}://{answer['edge']}"),
            ("control", f"http://{answer['control']}"),
            ("database page", f"http://{answer['control']}/ui/"),
            ("databases at", f"{answer['public_db_url']}/v1/…"),
            ("engine", answer["engine"]),
            ("hosts held by", ", ".join(answer["containment"])),
            *(("not held by", missing) for missing in answer["not_contained"]),
            ("data", answer["data_dir"]),
            ("apps", f"{apps['total']} with a build" + (f": {others}" if others else "")),
            ("databases", answer["databases"]),
        ]
    )
    processes = [(one["name"], one["state"], one["pid"], one["restarts"]) for one in answer["processes"]]
    hosts = [
        (
            one["app_id"],
            one["build_id"],
            one["state"],
            one["pid"],
            one["active"],
            one["queued"],
            size(one["heap_bytes"]),
        )
        for one in answer["hosts"]
    ]
    parts: list[Any] = [summary, "", table(["PROCESS", "STATE", "PID>", "RESTARTS>"], processes, "")]
    if hosts:
        titles = ["ISOLATE HOST OF", "BUILD", "STATE", "PID>", "ACTIVE>", "QUEUED>", "HEAP>"]
        parts += ["", table(titles, hosts, "")]
    return Group(*parts)
