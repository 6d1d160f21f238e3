"""The servers that are compared: each serves every workload until its context ends.

workerd comes from npm in the version named here; brrrd is the console script of this environment. Both get one process
for JavaScript per worker source and one thread for HTTP: workerd is single-threaded as shipped, and brrrd runs with one
edge worker and one isolate per app.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.workloads import Workload
from tests.node import npm_project, run_command
from tests.node_server import Node, free_port

WORKERD_VERSION = "1.20261117.1"
COMPATIBILITY_DATE = "2026-11-01"


class Target(NamedTuple):
    url: str
    host: str


class Peer(NamedTuple):
    name: str
    targets: dict[str, Target]
    """By workload name."""


class PeerError(Exception):
    """A server did not start or does not answer as the others do."""


_CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [{services}],
  sockets = [{sockets}],
);
"""
_MODULE = 'modules = [(name = "{file}", esModule = embed "{file}")], compatibilityDate = "{date}"'
_SERVICE = f'(name = "{{name}}", worker = ({_MODULE}))'
_SOCKET = '(name = "{name}", address = "127.0.0.1:{port}", http = (), service = "{name}")'


def _workerd_config(workloads: Sequence[Workload], ports: dict[str, int]) -> str:
    return _CONFIG.format(
        services=", ".join(
            _SERVICE.format(name=one.name, file=one.source.name, date=COMPATIBILITY_DATE) for one in workloads
        ),
        sockets=", ".join(_SOCKET.format(name=name, port=port) for name, port in ports.items()),
    )


def _await_answer(target: Target, path: str, alive: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if alive.poll() is not None:
            break
        try:
            httpx.get(target.url + path, headers={"Host": target.host}, trust_env=False, timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise PeerError(f"workerd did not start:\n{log.read_text(errors='replace')}")


@contextmanager
def workerd(workloads: Sequence[Workload]) -> Iterator[Peer]:
    folder = npm_project("workerd", {"workerd": WORKERD_VERSION})
    # The npm package's own script answers the path of the platform's binary, which runs without Node.js in between.
    binary = run_command(
        ("node", "-p", "require('workerd').default"), cwd=folder, env={"NODE_NO_WARNINGS": "1"}
    ).strip()
    ports = {workload.name: free_port() for workload in workloads}
    with tempfile.TemporaryDirectory() as directory:
        for workload in workloads:
            (Path(directory) / workload.source.name).write_bytes(workload.source.read_bytes())
        config, log = Path(directory) / "config.capnp", Path(directory) / "log"
        config.write_text(_workerd_config(workloads, ports))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            targets = {name: Target(f"http://127.0.0.1:{port}", f"{name}.localhost") for name, port in ports.items()}
            for workload in workloads:
                _await_answer(targets[workload.name], workload.path, process, log)
            yield Peer(f"workerd {WORKERD_VERSION}", targets)
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def brrrd(workloads: Sequence[Workload]) -> Iterator[Peer]:
    options = ("--workers", "1", "--max-isolates", "1")
    with tempfile.TemporaryDirectory() as directory, Node(Path(directory) / "node", *options) as node:
        for workload in workloads:
            node.deploy({"_worker.js": workload.source.read_bytes()}, workload.name)
        yield Peer("brrrd", {one.name: Target(node.url, f"{one.name}.localhost") for one in workloads})


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
        target.url + workload.path,
        headers={**workload.headers, "Host": target.host},
        content=workload.body.encode() or None,
        trust_env=False,
        timeout=30,
    )
    # A space or letter case in a content type is not work.
    content_type = response.headers.get("content-type", "").lower().replace(" ", "")
    return response.status_code, content_type, response.content
