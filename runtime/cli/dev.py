"""`brrrd dev`: serve a folder from a node of its own, deploy it again on every change, print the app's log.

It is the production path throughout: the same node, packages, isolates and databases as `brrrd serve` and
`brrrd deploy`, on this machine alone. A build that is refused changes nothing; the one before goes on serving.
"""

import json
import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.cli.errors import CommandError, ConnectionBroken, NodeUnreachable
from runtime.cli.local_node import LocalNode, api_option, ensure_app, give_database, port_of, refuse_taken
from runtime.cli.options import DEFAULT_PROJECT, ControlOption, ListenOption
from runtime.config import Config

if TYPE_CHECKING:
    from watchfiles import DefaultFilter

    from runtime.cli.node import Node
    from runtime.serve import Addresses

DATA_DIR = ".brrrd"
OUTPUT_FOLDERS = frozenset(
    {"dist", "build", "out", "output", "public", "server", ".output", ".svelte-kit", "cloudflare"}
)
"""Names of folders that build tools write: the project's name is that of the folder above."""
SETTINGS = {"log_level": "warning", "workers": 1, "database_workers": 1, "keep_builds": 2}
"""What one person at a terminal needs of a node, unless the environment says otherwise."""
OLD_LINES = 200
REAPPEAR_SECONDS = 0.2


def register(application: typer.Typer) -> None:
    application.command("dev")(dev)


def dev(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the build [this folder].")] = Path(),
    app: Annotated[str | None, typer.Option("--app", metavar="NAME", help="Name of the app [the folder's].")] = None,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="NAME", help="Give the app this database, in DATABASE_URL, DATABASE_TOKEN."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="KEY=VALUE", help="Set a variable of the app. Repeat it for several."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", metavar="FILE", help="Taken as the brrrd.json of the folder, which is not watched."),
    ] = None,
    listen: ListenOption = None,
    control: ControlOption = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help=f"Keep databases and the rest here [{DATA_DIR}].")
    ] = None,
) -> None:
    """Serve a folder you work on. Deploys it on every change and prints its log, until Ctrl-C."""
    from runtime.cli.environment import parse_assignment
    from runtime.cli.serve import load_config

    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder: name the one that your build tool writes")
    chosen = {key: value for key, value in SETTINGS.items() if f"BRRRD_{key.upper()}" not in os.environ}
    data = data_dir or Path(DATA_DIR)
    config = load_config(None, chosen | {"listen": listen, "control": control, "data_dir": str(data)})
    variables = dict(parse_assignment(assignment) for assignment in env or [])
    refuse_taken(config, "brrrd dev")
    if data_dir is None:
        _keep_out_of_git(data)
    session = Session(config, folder, app or app_name(folder.resolve()), database, variables, manifest)
    raise typer.Exit(session.serve())


def app_name(folder: Path) -> str:
    """Return the name of a project's app after its folder (absolute); a build's output is named after its project."""
    while folder.name in OUTPUT_FOLDERS and folder.parent.name:
        folder = folder.parent
    return re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:40].strip("-") or "app"


def _keep_out_of_git(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, exist_ok=True)
        (data / ".gitignore").write_text("*\n", encoding="ascii")
    except OSError as error:
        raise CommandError(f"{data} cannot be used: {error.strerror}. Choose a folder with --data-dir") from None


class Session(LocalNode):
    """One run: three threads beside the node's, which deploy, watch the folder and follow the log."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        app: str,
        database: str | None,
        variables: dict[str, str],
        manifest: Path | None = None,
    ) -> None:
        super().__init__(config)
        from runtime.cli.dev_terminal import Terminal

        self._folder = folder
        self._app = app
        self._database = database
        self._variables = variables
        self._manifest = manifest
        self._started = time.time()
        self._changed = threading.Event()
        self._is_served = False
        self._terminal: Terminal = Terminal()

    def set_up(self, addresses: "Addresses") -> None:
        from runtime.cli.node import Node

        # watchfiles looks at its stop event by itself; the loop below is woken through `_changed`.
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        api, token = f"http://{addresses.control}", self.config.operator_token or None
        try:
            with Node(api, token) as node, Node(api, token) as for_logs:
                path = self._prepare(node, addresses)
                threading.Thread(target=self._follow, args=(for_logs, path), name="logs", daemon=True).start()
                while not self.ended.is_set():
                    self._deploy(node)
                    self._changed.wait()
                    self._changed.clear()
        except (NodeUnreachable, ConnectionBroken):
            return  # the node is this very process, and it is ending

    def _prepare(self, node: "Node", addresses: "Addresses") -> str:
        """Make the app with its database and variables, and say where everything is; return its path in the API."""
        path = ensure_app(node, self._app)
        database = give_database(node, self._app, self._database) if self._database else None
        for key, value in self._variables.items():
            node.put(f"{path}/environment/{key}", {"value": value})
        rows = {"App": f"http://{self._app}.localhost:{port_of(addresses)}/"}
        if database is not None:
            rows["Database"] = f"{database[0]} (brrrd databases shell {self._database}{api_option(addresses)})"
        rows["Data"] = self.config.data_dir
        self._terminal.heading(f"Serving {self._folder} as it changes; Ctrl-C stops.", rows)
        return path

    def _deploy(self, node: "Node") -> None:
        from runtime.cli.deploy import deploy_package

        if not self._folder.is_dir():
            return
        start = time.monotonic()
        try:
            answer = deploy_package(
                node, self._folder, DEFAULT_PROJECT, self._app, {}, manifest=self._manifest, show_progress=False
            )
        except (NodeUnreachable, ConnectionBroken):
            raise
        except CommandError as error:
            self._terminal.refused(str(error), self._is_served)
        else:
            self._is_served = True
            self._terminal.deployed(answer["build_id"], time.monotonic() - start)

    def _watch(self) -> None:
        """Set `_changed` whenever something in the folder did, the folder itself being replaced included."""
        from watchfiles import DefaultFilter

        ignored = DefaultFilter(ignore_paths=[Path(self.config.data_dir).resolve()])
        root = self._folder.resolve()
        try:
            while not self.ended.is_set():
                if root.is_dir():
                    self._watch_one(root, ignored)
                else:
                    self._wait_for(root)
        except (OSError, RuntimeError) as error:
            # The kernel's limits on watches, above all; the message of watchfiles says so.
            self.fail(CommandError(f"changes in {root} cannot be noticed: {error}"))
        self._changed.set()

    def _wait_for(self, root: Path) -> None:
        """The folder is gone, as some build tools begin: what they write into the new one is a change."""
        while not root.is_dir() and not self.ended.wait(REAPPEAR_SECONDS):
            pass
        self._changed.set()

    def _watch_one(self, root: Path, ignored: "DefaultFilter") -> None:
        """Watch until the node ends or the folder is another one: a watch follows the folder, not its name."""
        from watchfiles import watch

        known = root.stat().st_ino
        for _ in watch(root, watch_filter=ignored, stop_event=self.ended, step=50, raise_interrupt=False):
            self._changed.set()
            if not root.is_dir() or root.stat().st_ino != known:
                return

    def _follow(self, node: "Node", path: str) -> None:
        """Print the app's log from the start of this run on."""
        try:
            for line in node.lines(f"{path}/logs", limit=OLD_LINES, follow="true"):
                entry = json.loads(line)
                if entry["time"] >= self._started:
                    self._terminal.log(entry)
        except CommandError as error:
            if not self.ended.is_set() and not isinstance(error, ConnectionBroken):
                self._terminal.refused(f"the app's log is not shown: {error}", self._is_served)
