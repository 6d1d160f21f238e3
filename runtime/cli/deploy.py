"""`brrrd deploy`: pack a folder (or take a package), upload it, and wait until it is served."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.errors import CommandError
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT, OnlyAppOption, ProjectOption, one_of

CHUNK_BYTES = 256 * 1024


def register(application: typer.Typer) -> None:
    @client_command(application, "deploy")
    def deploy(
        node: Node,
        app: OnlyAppOption,
        source: Annotated[
            str | None, typer.Argument(metavar="DIR|FILE.tar.zst", help="Folder of the build, or a package.")
        ] = None,
        package: Annotated[
            str | None, typer.Option("--package", metavar="DIR", help="The same as the argument.")
        ] = None,
        project: ProjectOption = DEFAULT_PROJECT,
        host: Annotated[
            list[str] | None,
            typer.Option("--host", metavar="NAMES", help="Host names, comma-separated [APP.localhost]."),
        ] = None,
        env_ref: Annotated[
            str | None,
            typer.Option("--env-ref", metavar="REF", help="Reference of the environment, kept with the build."),
        ] = None,
        max_concurrent_requests: Annotated[
            int | None, typer.Option("--max-concurrent-requests", metavar="N", min=1, help="Overrides the manifest's.")
        ] = None,
    ) -> Shown:
        """Deploy a build. When the command returns, every edge worker serves it, or nothing changed."""
        path = Path(one_of(source, package, "folder or package"))
        params = {
            "hosts": ",".join(name.strip() for names in host or [] for name in names.split(",") if name.strip()),
            "env_ref": env_ref or "",
            "max_concurrent_requests": str(max_concurrent_requests or ""),
        }
        answer = deploy_package(node, path, project, app, {key: value for key, value in params.items() if value})
        return Shown(answer, lambda: _view(answer, app))


def deploy_package(node: Node, source: Path, project: str, app: str, params: dict[str, str]) -> dict[str, Any]:
    """Upload `source` as a new build of `app`, which is created when missing; return the node's answer."""
    path = path_of("projects", project, "apps", app)
    if not source.exists():
        raise CommandError(f"{source} does not exist: name the folder of a build, or a .tar.zst package")
    if not node.exists(path):
        node.post(path_of("projects", project, "apps"), {"name": app})
    chunks, total = _package(source)
    with _progress(total) as advance:
        return node.upload(f"{path}/deployments", _counted(chunks, advance), params)


def _package(source: Path) -> tuple[Iterator[bytes], int | None]:
    """Return the package's bytes and, where known beforehand, how many."""
    if source.is_dir():
        from artifacts.pack import pack

        from artifacts.errors import PackageError

        try:
            return pack(source), None
        except PackageError as error:
            raise CommandError(f"{source} cannot be packed: {error.detail}") from None
    return _file_chunks(source), source.stat().st_size


def _file_chunks(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _counted(chunks: Iterator[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        advance(len(chunk))


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """Show an upload on stderr while the block runs, if stderr is a terminal; yields what to call with sent bytes."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Uploading", total=total)

        def advance(count: int) -> None:
            progress.advance(task, count)
            if progress.tasks[0].finished:
                progress.update(task, description="Starting")

        yield advance


def _view(answer: dict[str, Any], app: str) -> str:
    """Return what a person needs after a deploy: the build and where it answers."""
    hosts = answer.get("hosts") or []
    lines = [f"App {app} now serves build {answer.get('build_id')}."]
    lines += [f"  host {host}" for host in hosts]
    return "\n".join(lines)
