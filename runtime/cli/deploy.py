"""`brrrd deploy`: pack a folder (or take a package), upload it, and wait until it is served."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from runtime.cli.client_command import Shown, client_command
from runtime.cli.errors import CommandError
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT, OnlyAppOption, ProjectOption, one_of

DEFAULT_PORTS = {"http": "80", "https": "443"}

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
        manifest: Annotated[
            Path | None,
            typer.Option("--manifest", metavar="FILE", help="Taken as the brrrd.json of a folder that a tool wrote."),
        ] = None,
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
        given = {key: value for key, value in params.items() if value}
        answer = deploy_package(node, path, project, app, given, manifest=manifest)
        return Shown(answer, lambda: _view(node, answer, app))


def deploy_package(
    node: Node,
    source: Path,
    project: str,
    app: str,
    params: dict[str, str],
    *,
    manifest: Path | None = None,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Upload `source` as a new build of `app`, which is created when missing; return the node's answer.

    The file `manifest` is taken as the `brrrd.json` of a folder.
    """
    path = path_of("projects", project, "apps", app)
    if not source.exists():
        raise CommandError(f"{source} does not exist: name the folder of a build, or a .tar.zst package")
    if manifest is not None and not source.is_dir():
        raise CommandError(f"--manifest is for folders: {source} is a package, whose brrrd.json is in it")
    from artifacts.errors import PackageError

    try:
        package: Package = FolderPackage(source, manifest) if source.is_dir() else FilePackage(source)
        if not node.exists(path):
            node.post(path_of("projects", project, "apps"), {"name": app})
        with progress(package, show_progress) as chunks:
            return node.upload(f"{path}/deployments", chunks, params)
    except PackageError as error:
        raise CommandError(f"{source} cannot be packed: {error.detail}") from None
    except OSError as error:
        raise CommandError(f"{error.filename or source} cannot be read: {error.strerror}") from None


class Package(Protocol):
    """A package to upload. `done` and `total` are bytes of the same kind, for the progress bar."""

    total: int

    @property
    def done(self) -> int: ...
    def chunks(self) -> Iterator[bytes]: ...


class FolderPackage:
    """A folder, packed while it is sent; counts its content before compression."""

    def __init__(self, folder: Path, manifest: Path | None = None) -> None:
        from artifacts.pack import pack

        self._packing = pack(folder, manifest)
        self.total = self._packing.total_bytes

    @property
    def done(self) -> int:
        return self._packing.done_bytes

    def chunks(self) -> Iterator[bytes]:
        return self._packing


class FilePackage:
    """A .tar.zst, sent as it is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.total = file.stat().st_size
        self.done = 0

    def chunks(self) -> Iterator[bytes]:
        with self._file.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                self.done += len(chunk)


@contextmanager
def progress(package: Package, is_shown: bool = True) -> Iterator[Iterator[bytes]]:
    """Yield the package's bytes; while they are taken, show on stderr how far it is, if that is a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield package.chunks()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Uploading", total=package.total)

        def watched() -> Iterator[bytes]:
            for chunk in package.chunks():
                yield chunk
                bar.update(task, completed=package.done)
            bar.update(task, completed=package.total, description="Starting")

        yield watched()


def _view(node: Node, answer: dict[str, Any], app: str) -> str:
    """Return what a person needs after a deploy: the build, and where it answers."""
    status = node.get(path_of("status"))
    lines = [f"  {address(host, status['edge'], status['edge_scheme'])}" for host in answer["hosts"]]
    return "\n".join([f"App {app} now serves build {answer['build_id']}.", *lines])


def address(host: str, edge: str, scheme: str = "http") -> str:
    """Return a link for local names; where other names are served from is not the node's business alone."""
    if host != "localhost" and not host.endswith(".localhost"):
        return host
    port = edge.rpartition(":")[2]
    return f"{scheme}://{host}/" if port == DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}/"
