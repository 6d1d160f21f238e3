"""`brrrd status`: the node at a glance."""

from typing import Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.node import Node, path_of
from runtime.cli.tables import plain


def register(application: typer.Typer) -> None:
    @client_command(application, "status")
    def status(node: Node) -> Shown:
        """Show the node: version, listeners, processes, apps, databases."""
        answer = node.get(path_of("status"))
        return Shown(answer, lambda: view(answer))


def view(answer: dict[str, Any]) -> Any:
    """Return the status as text for people."""
    return plain(answer)
