"""`brrrd apps …`: apps of a project and their builds."""

from typing import Annotated, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT, AppArgument, AppOption, ProjectOption, YesOption, confirm, one_of
from runtime.cli.tables import moment, plain, size, table

group = typer.Typer(help="Apps of a project and their builds.", no_args_is_help=True, rich_markup_mode=None)

CLEANED_UP = {
    "routing": "host names",
    "isolates": "running isolate hosts",
    "artifacts": "packages",
    "environment": "variables",
    "cached": "cached responses",
}


@client_command(group, "create")
def create(
    node: Node, name: AppArgument = None, app: AppOption = None, project: ProjectOption = DEFAULT_PROJECT
) -> Shown:
    """Create an app without a build (`brrrd deploy` creates a missing one by itself)."""
    name = one_of(name, app, "app")
    answer = node.post(path_of("projects", project, "apps"), {"name": name})
    return Shown(answer, lambda: f"Created app {name} in project {project}. Next: brrrd deploy DIR --app {name}")


@client_command(group, "list")
def list_apps(node: Node, project: ProjectOption = DEFAULT_PROJECT) -> Shown:
    """List the apps of a project."""
    answer = node.get(path_of("projects", project, "apps"))
    rows = ((app["name"], app["app_id"], app["status"], app["build_id"], app["hosts"]) for app in answer["apps"])
    empty = f"No apps in project {project}. Create one with: brrrd deploy DIR --app NAME"
    return Shown(answer, lambda: table(["NAME", "ID", "STATUS", "BUILD", "HOSTS"], rows, empty))


@client_command(group, "show")
def show(
    node: Node, name: AppArgument = None, app: AppOption = None, project: ProjectOption = DEFAULT_PROJECT
) -> Shown:
    """Show one app: status, active build, hosts."""
    answer = node.get(path_of("projects", project, "apps", one_of(name, app, "app")))
    return Shown(answer, lambda: plain(answer["app"]))


@client_command(group, "delete")
def delete(
    node: Node,
    name: AppArgument = None,
    app: AppOption = None,
    project: ProjectOption = DEFAULT_PROJECT,
    yes: YesOption = False,
) -> Shown:
    """Delete an app with its builds, environment and hosts."""
    name = one_of(name, app, "app")
    path = path_of("projects", project, "apps", name)
    node.get(path)  # nobody is asked about an app that is not there
    confirm(f"Delete app {name} of project {project} with all its builds, environment and hosts?", yes)
    answer = node.delete(path)
    return Shown(answer, lambda: _deleted(answer, name))


def _deleted(answer: dict[str, Any], name: str) -> str:
    counts = ", ".join(f"{answer.get(key)} {noun}" for key, noun in CLEANED_UP.items())
    return f"Deleted app {name}: {counts}."


@client_command(group, "purge")
def purge(
    node: Node, name: AppArgument = None, app: AppOption = None, project: ProjectOption = DEFAULT_PROJECT
) -> Shown:
    """Remove all that an app keeps with the Cache API."""
    name = one_of(name, app, "app")
    answer = node.delete(path_of("projects", project, "apps", name, "cache"))
    return Shown(
        answer, lambda: f"Removed {answer['entries']} cached responses of app {name}, {size(answer['bytes'])}."
    )


@client_command(group, "builds")
def builds(
    node: Node, name: AppArgument = None, app: AppOption = None, project: ProjectOption = DEFAULT_PROJECT
) -> Shown:
    """List the builds of an app, newest first."""
    name = one_of(name, app, "app")
    answer = node.get(path_of("projects", project, "apps", name, "builds"))
    empty = f"App {name} has no builds. Create one with: brrrd deploy DIR --app {name}"
    rows = (_build_row(build) for build in answer["builds"])
    return Shown(answer, lambda: table(["BUILD", "ACTIVE", "CREATED", "SIZE>", "ENV REF"], rows, empty))


def _build_row(build: dict[str, Any]) -> tuple[Any, ...]:
    return build["build_id"], build["active"], moment(build["created_at"]), size(build["size"]), build["env_ref"]


@client_command(group, "rollback")
def rollback(
    node: Node,
    name: AppArgument = None,
    app: AppOption = None,
    build: Annotated[
        str | None, typer.Option("--build", "--build-id", metavar="BUILD", help="Build to activate [the previous one].")
    ] = None,
    project: ProjectOption = DEFAULT_PROJECT,
) -> Shown:
    """Activate an earlier build."""
    name = one_of(name, app, "app")
    body = {"build_id": build} if build else {}
    answer = node.post(path_of("projects", project, "apps", name, "rollbacks"), body)
    return Shown(answer, lambda: f"App {name} now serves build {answer.get('build_id')}.")
