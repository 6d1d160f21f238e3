"""A node in the command's own process, set up by a thread through the control API: what `demo` and `dev` share.

The node runs on the main thread as with `brrrd serve`, since children die with the thread that started them. The thread
is a client like any other, and stops the node when something goes wrong.
"""

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

from runtime.addresses import parse_address
from runtime.cli.errors import CommandError
from runtime.cli.node import Node, path_of
from runtime.cli.options import DEFAULT_PROJECT
from runtime.config import Config

if TYPE_CHECKING:
    from runtime.serve import Addresses

START_SECONDS = 60.0
JOIN_SECONDS = 5.0


class LocalNode:
    """A node and a thread, which waits for it, then calls `set_up`, which a command's own class defines.

    `failure` is why that did not work; it is final once the node has ended.
    """

    def __init__(self, config: Config) -> None:
        self.failure: CommandError | None = None
        self.config = config
        self.ended = threading.Event()
        """The node has ended: what `set_up` waits for must end too."""
        self._ready = threading.Event()
        self._node: Addresses | None = None

    def set_up(self, addresses: "Addresses") -> None:
        """Use the node, which is ready. May raise `CommandError`; call `stop_node` to end it."""
        raise NotImplementedError

    def serve(self) -> int:
        """Run the node until it is told to stop; raises `CommandError` when setting it up failed."""
        from runtime.serve import run

        thread = threading.Thread(target=self._run, name="setup", daemon=True)
        thread.start()
        status = run(self.config, self._node_is_ready)
        self.ended.set()
        self._ready.set()
        thread.join(JOIN_SECONDS)
        if self.failure is not None:
            raise self.failure
        return status

    def stop_node(self) -> None:
        """Let the node end as on Ctrl-C."""
        os.kill(os.getpid(), signal.SIGTERM)

    def fail(self, error: CommandError) -> None:
        """End the node, and the command with this error, unless it has ended by itself."""
        if not self.ended.is_set():
            self.failure = error
            self.stop_node()

    def _run(self) -> None:
        try:
            self._ready.wait(START_SECONDS)
            if self.ended.is_set():
                return
            if self._node is None:
                raise CommandError(f"the node was not ready within {START_SECONDS:.0f} s; its log above says why")
            self.set_up(self._node)
        except CommandError as error:
            self.fail(error)

    def _node_is_ready(self, addresses: "Addresses") -> None:
        """Called by the node, on its loop."""
        from runtime.cli.serve import remember

        remember(addresses.control, self.config)
        self._node = addresses
        self._ready.set()


def refuse_taken(config: Config, command: str) -> None:
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
                    f"  {command} --listen 127.0.0.1:9080 --control 127.0.0.1:9081"
                ) from None


def ensure_app(node: Node, app: str) -> str:
    """Create an app in the default project unless it is there; return its path in the API."""
    path = path_of("projects", DEFAULT_PROJECT, "apps", app)
    if not node.exists(path):
        node.post(path_of("projects", DEFAULT_PROJECT, "apps"), {"name": app})
    return path


def give_database(node: Node, app: str, name: str) -> tuple[str, str]:
    """Create a database unless it is there, and put it into the app's environment; return its URL and its token."""
    database = node.post(path_of("projects", DEFAULT_PROJECT, "databases"), {"name": name})
    url, token = database["database_url"], database["database_token"]
    if not token:
        # The data folder of an earlier run: the token was shown then and is kept nowhere.
        token = node.post(path_of("databases", database["database_id"], "token", "rotate"))["database_token"]
    path = ensure_app(node, app)
    for key, value in {"DATABASE_URL": url, "DATABASE_TOKEN": token}.items():
        node.put(f"{path}/environment/{key}", {"value": value})
    return url, token


def api_option(addresses: "Addresses") -> str:
    """Return ` --api URL` for the commands that are shown to people, unless the node is where they look anyway."""
    return "" if addresses.control.endswith(":8081") else f" --api http://{addresses.control}"


def port_of(addresses: "Addresses") -> str:
    """Return the edge's port."""
    return addresses.edge.rpartition(":")[2]
