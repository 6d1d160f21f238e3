"""The servers that are compared: each serves every workload until its context ends.

workerd comes from npm in the version of `tests.workerd`; brrrd is the console script of this environment. Both get one
process for JavaScript per worker source and one thread for HTTP: workerd is single-threaded as shipped, and brrrd runs
with one edge worker and one isolate per app.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.load import Target
from benchmarks.workloads import Workload
from tests import workerd as workerd_package
from tests.node_server import Node, free_port


class Peer(NamedTuple):
    name: str
    targets: dict[str, Target]
    """By workload name."""


class PeerError(Exception):
    """A server did not start or does not answer as the others do."""


@contextmanager
def bare(server: str) -> Iterator[Peer]:
    """The bare ASGI hello on this server."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare", server, str(port)],
        cwd=Path(__file__).parent.parent, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
                break
            except httpx.TransportError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    reason = process.stderr.read().strip().rpartition("\n")[2] if process.stderr else ""
                    raise PeerError(f"{server} did not start: {reason or error}") from None
                time.sleep(0.05)
        yield Peer(f"bare {server}", {"hello": Target(f"http://127.0.0.1:{port}", ("hello.localhost",))})
    finally:
        process.terminate()
        process.wait(20)
        if process.stderr:
            process.stderr.close()


_CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "internet", network = (allow = ["public", "private"])), {services}],
  sockets = [{sockets}],
);
"""
_SERVICE = (
    '(name = "{name}", worker = (modules = [(name = "{file}", esModule = embed "{file}")], '
    'compatibilityDate = "{date}", bindings = [{bindings}]))'
)
_BINDING = '(name = "{name}", service = "{name}")'
_SOCKET = '(name = "{name}", address = "127.0.0.1:{port}", http = (), service = "{name}")'
_FRONT = """export default {
  fetch: (request, env) => env[request.headers.get("host").split(".", 1)[0]].fetch(request),
};
"""
"""A workerd socket serves one worker: where host names decide, a worker with a binding to each asks them."""


def _workerd_service(name: str, file: str, bindings: Sequence[str] = ()) -> str:
    named = ", ".join(_BINDING.format(name=binding) for binding in bindings)
    return _SERVICE.format(name=name, file=file, date=workerd_package.COMPATIBILITY_DATE, bindings=named)


def _write_workerd(folder: Path, workloads: Sequence[Workload], ports: dict[str, int]) -> Path:
    """Write the configuration and the sources it names; return the configuration's path."""
    services = []
    for workload in workloads:
        source = workload.source
        (folder / source.name).write_bytes(source.read_bytes())
        services += [_workerd_service(name, source.name) for name in workload.app_names]
        if workload.apps > 1:
            (folder / "front.js").write_text(_FRONT)
            services.append(_workerd_service(workload.name, "front.js", workload.app_names))
    sockets = [_SOCKET.format(name=name, port=port) for name, port in ports.items()]
    config = folder / "config.capnp"
    config.write_text(_CONFIG.format(services=", ".join(services), sockets=", ".join(sockets)))
    return config


def _await_answer(target: Target, path: str, alive: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if alive.poll() is not None:
            break
        try:
            httpx.get(target.url + path, headers={"Host": target.hosts[0]}, trust_env=False, timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise PeerError(f"workerd did not start:\n{log.read_text(errors='replace')}")


def _hosts(workload: Workload) -> tuple[str, ...]:
    return tuple(f"{name}.localhost" for name in workload.app_names)


@contextmanager
def workerd(workloads: Sequence[Workload], service: str) -> Iterator[Peer]:
    """`service`: URL of what workers may call."""
    binary = workerd_package.binary()
    ports = {workload.name: free_port() for workload in workloads}
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        config = _write_workerd(Path(directory), workloads, ports)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(binary), "serve", str(config)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            targets = {
                one.name: Target(f"http://127.0.0.1:{ports[one.name]}", _hosts(one), service) for one in workloads
            }
            for workload in workloads:
                target = targets[workload.name]
                _await_answer(target, target.path(workload), process, log)
            yield Peer(f"workerd {workerd_package.VERSION}", targets)
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def brrrd(workloads: Sequence[Workload], service: str) -> Iterator[Peer]:
    """`service`: URL of what workers may call."""
    options = ("--workers", "1", "--max-isolates", "1", "--egress-allow", service.rpartition("/")[2])
    with tempfile.TemporaryDirectory() as directory, Node(Path(directory) / "node", *options) as node:
        for workload in workloads:
            for name in workload.app_names:
                # workerd has no cap: requests of one run that end as the next begins would be over the usual one here.
                node.deploy({"_worker.js": workload.source.read_bytes()}, name, max_concurrent_requests=1000)
        yield Peer("brrrd", {one.name: Target(node.url, _hosts(one), service) for one in workloads})


def require_same_answers(peers: Sequence[Peer], workloads: Sequence[Workload]) -> None:
    """Raises `PeerError` where status, content type or body differ: then they would not do the same work."""
    for workload in workloads:
        answers = {peer.name: _answer(peer.targets[workload.name], workload) for peer in peers}
        first, *others = answers.items()
        for name, answer in others:
            if answer != first[1]:
                raise PeerError(
                    f"{workload.name}: {first[0]} answers {first[1]!r:.300}, {name} answers {answer!r:.300}"
                )
        if first[1][0] != 200:
            raise PeerError(f"{workload.name}: every peer answers {first[1]!r:.300}")


def _answer(target: Target, workload: Workload) -> tuple[int, str, bytes]:
    response = httpx.request(
        workload.method,
        target.url + target.path(workload),
        headers={**workload.headers, "Host": target.hosts[0]},
        content=workload.content or None,
        trust_env=False,
        timeout=30,
    )
    # A space or letter case in a content type is not work.
    content_type = response.headers.get("content-type", "").lower().replace(" ", "")
    return response.status_code, content_type, response.content
