"""`brrrd demo`: a node with a bundled example app (`runtime/demo/`) and a database, to look at.

The node runs in this process as with `brrrd serve`; a thread sets the demo up through the control API, as any client
would, and stops the node when something goes wrong.
"""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.cli.errors import CommandError
from runtime.cli.options import DEFAULT_PROJECT
from runtime.config import Config, parse_address

if TYPE_CHECKING:
    from runtime.serve import Addresses

PACKAGE = Path(__file__).parent.parent / "demo"
NAME = "demo"
START_SECONDS = 60.0


def register(application: typer.Typer) -> None:
    application.command("demo")(demo)


def demo(
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Address of the edge [127.0.0.1:8080].")
    ] = None,
    control: Annotated[
        str | None, typer.Option("--control", metavar="HOST:PORT", help="Address of the control API [127.0.0.1:8081].")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Keep the data here [a temporary folder].")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Use the demo once as a visitor would, then stop.")] = False,
) -> None:
    """Start a node with an example app and a database, print where they are, and serve until Ctrl-C."""
    from runtime.cli.serve import load_config

    with _folder(data_dir) as folder:
        config = load_config(None, {"listen": listen, "control": control, "data_dir": str(folder)})
        refuse_taken(config)
        status = run_with_demo(config, check)
    raise typer.Exit(status)


def run_with_demo(config: Config, check: bool) -> int:
    """Run the node until it is told to stop; raises `CommandError` when the demo could not be set up."""
    from runtime.serve import run

    setup = Setup(config, check)
    setup.start()
    status = run(config, setup.node_is_ready)
    setup.join(timeout=5)
    if setup.failure is not None:
        raise setup.failure
    return status


@contextmanager
def _folder(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield data_dir
        return
    with tempfile.TemporaryDirectory(prefix="brrrd-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def refuse_taken(config: Config) -> None:
    """Raise `CommandError` when a port that the node is to listen on belongs to another program."""
    for key in ("listen", "control"):
        host, port = parse_address(getattr(config, key), key)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CommandError(
                    f"cannot listen on {getattr(config, key)} ({error.strerror}). Choose another port, for example:\n"
                    "  brrrd demo --listen 127.0.0.1:9080 --control 127.0.0.1:9081"
                ) from None


class Setup(threading.Thread):
    """Waits for the node, deploys the demo and prints where it is.

    `failure` is why that did not work; it is final once the node has ended.
    """

    def __init__(self, config: Config, check: bool) -> None:
        super().__init__(name="demo-setup", daemon=True)
        self.failure: CommandError | None = None
        self._config = config
        self._check = check
        self._ready = threading.Event()
        self._node: Addresses | None = None

    def node_is_ready(self, addresses: "Addresses") -> None:
        """Called by the node, on its loop."""
        from runtime.cli.serve import remember

        remember(addresses.control, self._config)
        self._node = addresses
        self._ready.set()

    def run(self) -> None:
        try:
            self._ready.wait(START_SECONDS)
            if self._node is None:
                raise CommandError(f"the node was not ready within {START_SECONDS:.0f} s; its log above says why")
            demo = deploy_demo(self._node, self._config)
            print(demo.text(), flush=True)
            if self._check:
                demo.visit()
                print("The demo works: page, database and stream answered.", flush=True)
        except CommandError as error:
            self.failure = error
        if self._check or self.failure is not None:
            os.kill(os.getpid(), signal.SIGTERM)


def deploy_demo(addresses: "Addresses", config: Config) -> "Demo":
    """Create the demo's database and app on the node."""
    from runtime.cli.deploy import deploy_package
    from runtime.cli.node import Node, path_of

    with Node(f"http://{addresses.control}", config.operator_token or None) as node:
        database = node.post(path_of("projects", DEFAULT_PROJECT, "databases"), {"name": NAME})
        token = database["database_token"]
        if not token:
            # The data folder of an earlier demo: the token was shown then and is kept nowhere.
            token = node.post(path_of("databases", database["database_id"], "token", "rotate"))["database_token"]
        app = path_of("projects", DEFAULT_PROJECT, "apps", NAME)
        if not node.exists(app):
            node.post(path_of("projects", DEFAULT_PROJECT, "apps"), {"name": NAME})
        for key, value in {"DATABASE_URL": database["database_url"], "DATABASE_TOKEN": token}.items():
            node.put(f"{app}/environment/{key}", {"value": value})
        answer = deploy_package(node, PACKAGE, DEFAULT_PROJECT, NAME, {})
    return Demo(addresses, answer["hosts"][0], database["database_url"], token)


class Demo:
    """A deployed demo: where it is, and a check that it works."""

    def __init__(self, addresses: "Addresses", host: str, database_url: str, token: str) -> None:
        self.addresses = addresses
        self.host = host
        self.database_url = database_url
        self.token = token

    def __repr__(self) -> str:
        return f"<Demo {self.host} {self.addresses!r}>"

    def text(self) -> str:
        """Return what to print."""
        port = self.addresses.edge.rpartition(":")[2]
        api = f"http://{self.addresses.control}"
        option = "" if self.addresses.control.endswith(":8081") else f" --api {api}"
        return f"""
brrrd is running.

  App            http://{self.host}:{port}/
  Database       {self.database_url}
  with token     {self.token}
  Control API    {api}

Try in another terminal:
  brrrd status{option}
  brrrd logs --app {NAME} --follow{option}

Ctrl-C stops the node.
"""

    def visit(self) -> None:
        """Use every part of the demo once; raises `CommandError` naming the part that does not work."""
        import httpx

        def expect(part: str, response: httpx.Response, text: str) -> None:
            if not response.is_success or text not in response.text:
                raise CommandError(f"demo check: {part}: status {response.status_code}: {response.text[:500]}")

        headers = {"host": self.host}
        with httpx.Client(
            base_url=f"http://{self.addresses.edge}", headers=headers, trust_env=False, timeout=30
        ) as client:
            try:
                expect("page", client.get("/"), "<title>")
                entry = {"name": "demo", "message": "written by brrrd demo --check"}
                expect("write to the database", client.post("/api/entries", json=entry), entry["message"])
                expect("read from the database", client.get("/api/entries"), entry["message"])
                expect("stream", client.get("/api/stream"), "10")
            except httpx.HTTPError as error:
                raise CommandError(f"demo check: {type(error).__name__}: {error}") from None
