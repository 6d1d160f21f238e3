"""`brrrd domains …`: host names that lead to an app."""

from typing import Annotated

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT, OnlyAppOption, ProjectOption
from runtime.cli.tables import table

group = typer.Typer(help="Host names that lead to an app.", no_args_is_help=True, rich_markup_mode=None)

DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="Host name, or *.suffix.")]


@client_command(group, "list")
def list_domains(node: Node, app: OnlyAppOption, project: ProjectOption = DEFAULT_PROJECT) -> Shown:
    """List the host names of an app."""
    answer = node.get(_path(project, app))
    rows = ((domain["domain"], domain["status"], domain["dns_mode"]) for domain in answer["domains"])
    empty = f"App {app} has no domains. Add one with: brrrd domains add DOMAIN --app {app}"
    return Shown(answer, lambda: table(["DOMAIN", "STATUS", "DNS"], rows, empty))


@client_command(group, "add")
def add(
    node: Node,
    domain: DomainArgument,
    app: OnlyAppOption,
    project: ProjectOption = DEFAULT_PROJECT,
    dns_mode: Annotated[
        str | None, typer.Option("--dns-mode", metavar="MODE", help="Who keeps the DNS records.")
    ] = None,
) -> Shown:
    """Attach a host name to an app; repeating it is safe."""
    body = {"domain": domain} | ({"dns_mode": dns_mode} if dns_mode else {})
    answer = node.post(_path(project, app), body)
    return Shown(answer, lambda: _attached(answer["domain"]["status"], domain, app, project))


def _attached(status: str, domain: str, app: str, project: str) -> str:
    if status == "active":
        return f"{domain} now leads to app {app}."
    return (
        f"{domain} is attached to app {app}. Point its DNS records at this node, then:\n"
        f"  brrrd domains finalize {domain} --app {app}"
        + ("" if project == DEFAULT_PROJECT else f" --project {project}")
    )


@client_command(group, "finalize")
def finalize(node: Node, domain: DomainArgument, app: OnlyAppOption, project: ProjectOption = DEFAULT_PROJECT) -> Shown:
    """Activate an attached host name once its DNS records point here; repeating it is safe."""
    answer = node.post(_path(project, app, domain, "finalize"))
    return Shown(answer, lambda: f"{domain} now leads to app {app}.")


@client_command(group, "remove")
def remove(node: Node, domain: DomainArgument, app: OnlyAppOption, project: ProjectOption = DEFAULT_PROJECT) -> Shown:
    """Detach a host name from an app."""
    answer = node.delete(_path(project, app, domain))
    return Shown(answer, lambda: f"{domain} no longer leads to app {app}.")


def _path(project: str, app: str, *rest: str) -> str:
    return path_of("projects", project, "apps", app, "domains", *rest)
