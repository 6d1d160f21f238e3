"""`brrrd demo`: a node with a bundled example app (`runtime/demo/`) and a database, to look at.

The node runs in this process as with `brrrd serve`; a thread sets the demo up through the control API
(`runtime.cli.local_node`).
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.cli.errors import CommandError
from runtime.cli.local_node import LocalNode, api_option, give_database, port_of, refuse_taken
from runtime.cli.options import DEFAULT_PROJECT, ControlOption, ListenOption
from runtime.config import Config

if TYPE_CHECKING:
    from runtime.serve import Addresses

PACKAGE = Path(__file__).parent.parent / "demo"
NAME = "demo"


def register(application: typer.Typer) -> None:
    application.command("demo")(demo)


def demo(
    listen: ListenOption = None,
    control: ControlOption = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Keep the data here [a temporary folder].")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Use the demo once as a visitor would, then stop.")] = False,
) -> None:
    """Run a node with an example app. Prints where app and database are, and serves until Ctrl-C."""
    from runtime.cli.serve import load_config

    with _folder(data_dir) as folder:
        config = load_config(None, {"listen": listen, "control": control, "data_dir": str(folder)})
        refuse_taken(config, "brrrd demo")
        status = Setup(config, check).serve()
    raise typer.Exit(status)


@contextmanager
def _folder(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield data_dir
        return
    with tempfile.TemporaryDirectory(prefix="brrrd-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class Setup(LocalNode):
    """Deploys the demo and prints where it is."""

    def __init__(self, config: Config, check: bool) -> None:
        super().__init__(config)
        self._check = check

    def set_up(self, addresses: "Addresses") -> None:
        demo = deploy_demo(addresses, self.config)
        print(demo.text(), flush=True)
        if self._check:
            demo.visit()
            print("The demo works: page, database and stream answered.", flush=True)
            self.stop_node()


def deploy_demo(addresses: "Addresses", config: Config) -> "Demo":
    """Create the demo's database and app on the node."""
    from runtime.cli.deploy import deploy_package
    from runtime.cli.node import Node

    with Node(f"http://{addresses.control}", config.operator_token or None) as node:
        url, token = give_database(node, NAME, NAME)
        answer = deploy_package(node, PACKAGE, DEFAULT_PROJECT, NAME, {})
    return Demo(addresses, answer["hosts"][0], url, token)


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
        option = api_option(self.addresses)
        return f"""
brrrd is running.

  App            http://{self.host}:{port_of(self.addresses)}/
  Database       {self.database_url}
  with token     {self.token}
  Control API    http://{self.addresses.control}
  Database page  http://{self.addresses.control}/ui/
  sign in with   {self._operator_token()}

Try in another terminal:
  brrrd status{option}
  brrrd logs --app {NAME} --follow{option}

Ctrl-C stops the node.
"""

    def _operator_token(self) -> str:
        file = self.addresses.token_file
        return "your BRRRD_OPERATOR_TOKEN" if file is None else file.read_text(encoding="ascii").strip()

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
