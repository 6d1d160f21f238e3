"""Runs built scripts in a real isolate host, or in workerd.

Each script gets a process of its own, as it may hang or take its process along; several threads may use one runtime.
"""

import http.client
import itertools
import json
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import httpx
import msgspec

from isolates import wire
from isolates.messages import Limits, Loaded, LoadFailed
from tests import workerd
from tests.conformance.outcome import Outcome
from tests.isolates.driver import Edge, Zygote
from tests.node_server import Node

_MEMORY_MB = 512
"""Files are larger and slower than a request is allowed to be; the runtime's limits are not what is tested."""


class Runtime(Protocol):
    """Something that runs scripts. `run` never raises for what a script does: that is a problem in its outcome."""

    def run(self, script: str, timeout: float) -> Outcome:
        """Run one script, for at most `timeout` seconds."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None, /
    ) -> None: ...


def _outcome(answer: bytes) -> Outcome:
    try:
        return msgspec.json.decode(answer, type=Outcome)
    except msgspec.DecodeError:
        return Outcome(problem=f"the answer is no outcome: {answer[:200].decode(errors='replace')}")


class Brrrd:
    """Isolate hosts forked from a zygote with the platform as it is committed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="brrrd-conformance-")
        folder = Path(self._folder.name)
        self._zygote = Zygote(folder, folder / "snapshots", platform=None)
        self._forking = threading.Lock()

    def run(self, script: str, timeout: float) -> Outcome:
        with self._forking:
            host = self._zygote.fork()
        try:
            host.load(script, limits=Limits(wall_ms=int(timeout * 1000), memory_mb=_MEMORY_MB))
            while not isinstance(message := host.end.next(), Loaded):
                if isinstance(message, LoadFailed):
                    return Outcome(problem=f"does not load: {message.message}")
            edge = host.connect()
            edge.sock.settimeout(timeout)
            return _outcome(_body(edge))
        except TimeoutError:
            return Outcome(problem="no answer in time")
        except EOFError:
            return Outcome(problem=f"the process ended: {host.end.rest()}")
        finally:
            host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zygote.__exit__(kind, error, at)
        self._folder.cleanup()


def _body(edge: Edge) -> bytes:
    """The body of the response to one request, in full."""
    edge.request(1)
    body = b""
    while True:
        frame = edge.frame()
        body += frame.head if frame.type == wire.Type.REFUSE else frame.data
        if frame.flags & wire.END or frame.type in (wire.Type.REFUSE, wire.Type.CANCEL):
            return body
        edge.sock.sendall(wire.encode(1, wire.Type.WINDOW, data=len(frame.data).to_bytes(4, "little")))


class BrrrdNode:
    """Apps of a whole node, one for each script."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="brrrd-conformance-")
        self._node = Node(Path(self._folder.name) / "node", "--workers", "1")
        self._count = itertools.count()

    def run(self, script: str, timeout: float) -> Outcome:
        app = f"script-{next(self._count)}"
        settings = {"version": 1, "limits": {"wall_ms": int(timeout * 1000)}}
        try:
            deployed = self._node.upload({"_worker.js": script, "brrrd.json": json.dumps(settings)}, app)
            if deployed.is_error:
                return Outcome(problem=f"does not load: {deployed.text[:300]}")
            return _outcome(self._node.get(app, timeout=timeout).content)
        except httpx.TransportError as error:
            return Outcome(problem=f"no answer: {error!r}")

    def __enter__(self) -> Self:
        self._node.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._node.__exit__(kind, error, at)
        self._folder.cleanup()


_CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "main.js", esModule = embed "main.js")], compatibilityDate = "{date}"))],
  sockets = [(name = "http", http = (), service = "main")],
);
"""


class Workerd:
    """A workerd process per script."""

    def __init__(self) -> None:
        self._binary = workerd.binary()

    def run(self, script: str, timeout: float) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="workerd-conformance-") as folder:
            Path(folder, "main.js").write_text(script)
            Path(folder, "config.capnp").write_text(_CONFIG.format(date=workerd.COMPATIBILITY_DATE))
            return self._serve(Path(folder), timeout)

    def _serve(self, folder: Path, timeout: float) -> Outcome:
        log = folder / "log"
        # It gets the listening socket, so that nobody has to wait until it listens.
        with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
            port = listener.getsockname()[1]
            handle = listener.fileno()
            command = [str(self._binary), "serve", str(folder / "config.capnp"), f"--socket-fd=http={handle}"]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[handle]
            )
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request("GET", "/")
            return _outcome(connection.getresponse().read())
        except TimeoutError:
            return Outcome(problem="no answer in time")
        except (OSError, http.client.HTTPException):
            return Outcome(problem=f"the process ended: {log.read_text(errors='replace')[:300]}")
        finally:
            connection.close()
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        """Nothing outlives a script."""


RUNTIMES: dict[str, type[Brrrd] | type[BrrrdNode] | type[Workerd]] = {
    "brrrd": Brrrd,
    "brrrd node": BrrrdNode,
    "workerd": Workerd,
}
