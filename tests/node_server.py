"""A brrrd node as a user starts it: the console script in a subprocess, on free ports, with its own data directory.

For end-to-end tests and benchmarks. Nothing of the product is imported here: what is known of the node comes over its
listeners and from `/proc`.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import zstandard

BRRRD = Path(sys.executable).parent / "brrrd"
"""The console script next to the running interpreter."""

KINDS = {
    "edge": "router.worker",
    "egress": "router.egress",
    "cache": "router.cache",
    "zygote": "isolates.zygote",
    "database": "dataplane.worker",
}
"""Process kinds by the module on their command line. Hosts are the zygote's children."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pack(files: Mapping[str, str | bytes]) -> bytes:
    """A `.tar.zst` package of these files, made without the product's own packer."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return zstandard.ZstdCompressor().compress(archive.getvalue())


@dataclass(frozen=True)
class Process:
    """One process of the node; `started` tells it from a later one with the same number."""

    pid: int
    parent: int
    kind: str
    started: str

    def is_alive(self) -> bool:
        found = _read_process(self.pid)
        return found is not None and found[1] == self.started

    def kill(self) -> None:
        """SIGKILL, unless it is gone already."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)


def _read_process(pid: int) -> tuple[int, str, str] | None:
    """Parent, start time and command line; None when it is gone or a zombie."""
    try:
        # The second field is the name in parentheses, which may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return int(fields[1]), fields[19], command


class Node:
    """`brrrd serve` in a subprocess, as a context manager; `stop` and `start` may alternate on one data directory."""

    def __init__(self, data_dir: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.options = options
        self.port = free_port()
        self.control_port = free_port()
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        # Neither a token in the developer's own environment nor their records of nodes may decide what a test sees.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("BRRRD_")}
        self.env |= {"XDG_STATE_HOME": str(data_dir.parent / f"{data_dir.name}.state")} | dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[httpx.Client] = []

    def __repr__(self) -> str:
        state = f"pid {self.process.pid}" if self.process else "stopped"
        return f"<Node {state} edge :{self.port} control :{self.control_port} data {self.data_dir}>"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Life

    def start(self, *, timeout: float = 60) -> None:
        """Start and wait until the node is ready. Raises RuntimeError with the node's log if it does not get there."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(BRRRD), "serve", "--data-dir", str(self.data_dir),
                    "--listen", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{self.control_port}",
                    *self.options,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + timeout
        with httpx.Client(base_url=self.control_url, trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise RuntimeError(f"brrrd serve ended with {self.process.returncode}\n{self.log()}")
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        raise RuntimeError(f"brrrd serve was not ready after {timeout} s\n{self.log()}")

    def stop(self, *, timeout: float = 45) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 45) -> int:
        assert self.process is not None
        status = self.process.wait(timeout)
        self.process = None
        return status

    def kill(self) -> None:
        """SIGKILL to the supervisor alone."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self.process is None:
            return
        family = self.processes()
        try:
            self.stop(timeout=15)
        except subprocess.TimeoutExpired:
            self.kill()
        for process in family:
            process.kill()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # Processes

    def processes(self, kind: str | None = None) -> list[Process]:
        """The supervisor's descendants, by `/proc`: edge, egress, zygote, database, host, or other."""
        if self.process is None:
            return []
        found = {
            int(entry.name): read
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and (read := _read_process(int(entry.name)))
        }
        children: dict[int, list[int]] = {}
        for pid, (parent, _, _) in found.items():
            children.setdefault(parent, []).append(pid)
        family: list[Process] = []
        waiting = [(pid, "") for pid in children.get(self.process.pid, [])]
        while waiting:
            pid, parent_kind = waiting.pop()
            parent, started, command = found[pid]
            # A forked host has the zygote's command line.
            named = next((name for name, module in KINDS.items() if module in command), "other")
            this = "host" if parent_kind in ("zygote", "host") else named
            family.append(Process(pid, parent, this, started))
            waiting.extend((child, this) for child in children.get(pid, []))
        return [process for process in family if kind in (None, process.kind)]

    # Control

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return self.env.get("BRRRD_OPERATOR_TOKEN") or (self.data_dir / "operator-token").read_text().strip()

    def control(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One call of the control API with the operator token."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        timeout = options.pop("timeout", 60)
        return httpx.request(
            method, self.control_url + path, headers=headers, trust_env=False, timeout=timeout, **options
        )

    def cli(self, *arguments: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """The `brrrd` command as a user runs it; raises with its output on a non-zero status unless `check` is off."""
        done = subprocess.run(
            [str(BRRRD), *arguments],
            env=self.env | {"BRRRD_API": self.control_url, "BRRRD_OPERATOR_TOKEN": self.token},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise RuntimeError(
                f"brrrd {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def cli_json(self, *arguments: str) -> Any:
        return json.loads(self.cli(*arguments, "--json").stdout)

    def logged(self, app: str) -> str:
        """What an app has logged, line by line."""
        answer = self.control("GET", f"/v1/projects/default/apps/{app}/logs", params={"limit": 1000})
        return "\n".join(json.loads(line)["message"] for line in answer.text.splitlines())

    def ensure_app(self, app: str, project: str = "default") -> None:
        created = self.control("POST", f"/v1/projects/{project}/apps", json={"name": app})
        assert created.status_code in (200, 201, 409), created.text

    def upload(
        self, files: Mapping[str, str | bytes] | bytes, app: str, *, hosts: str | None = None, **query: Any
    ) -> httpx.Response:
        """Deploy a package through the control API, whatever the answer. `hosts` is `<app>.localhost` by default."""
        self.ensure_app(app)
        return self.control(
            "POST",
            f"/v1/projects/default/apps/{app}/deployments",
            params={"hosts": hosts or f"{app}.localhost", **query},
            content=files if isinstance(files, bytes) else pack(files),
        )

    def deploy(self, files: Mapping[str, str | bytes], app: str, **options: Any) -> dict[str, Any]:
        """Deploy and expect success."""
        answer = self.upload(files, app, **options)
        assert answer.status_code in (200, 201), f"{answer.status_code} {answer.text}\n{self.log()[-4000:]}"
        deployed: dict[str, Any] = answer.json()
        return deployed

    def create_database(self, name: str, project: str = "default") -> dict[str, Any]:
        answer = self.control("POST", f"/v1/projects/{project}/databases", json={"name": name})
        assert answer.status_code in (200, 201), answer.text
        created: dict[str, Any] = answer.json()
        return created

    # Edge

    def client(self, host: str) -> httpx.Client:
        """A client that reaches the edge under this host name; closed with the node."""
        client = httpx.Client(base_url=self.url, headers={"Host": host}, trust_env=False, timeout=60)
        self._clients.append(client)
        return client

    def get(self, app: str, path: str = "/", **options: Any) -> httpx.Response:
        """One GET to `<app>.localhost` on a connection of its own."""
        return self.request("GET", app, path, **options)

    def request(self, method: str, app: str, path: str = "/", **options: Any) -> httpx.Response:
        host = app if "." in app else f"{app}.localhost"
        headers = httpx.Headers(options.pop("headers", None))
        headers.setdefault("Host", host)
        options.setdefault("timeout", 60)
        return httpx.request(method, self.url + path, headers=headers, trust_env=False, **options)

    def sql(self, database: Mapping[str, Any], *statements: str, token: str | None = None) -> list[Any]:
        """Run statements through the v2 pipeline; each one's result, or an AssertionError with the server's error."""
        answer = httpx.post(
            f"{database['database_url']}/v2/pipeline",
            headers={"Authorization": f"Bearer {token or database['database_token']}"},
            json={
                "requests": [
                    *({"type": "execute", "stmt": {"sql": sql}} for sql in statements),
                    {"type": "close"},
                ]
            },
            trust_env=False,
            timeout=30,
        )
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        results = answer.json()["results"][:-1]
        assert all(result["type"] == "ok" for result in results), results
        return [result["response"]["result"] for result in results]

    def raw(self, request: bytes, *, timeout: float = 20) -> bytes:
        """Bytes to the edge as they are, and everything it answers until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            received = bytearray()
            while piece := connection.recv(65536):
                received += piece
        return bytes(received)


def eventually(seconds: float, attempt: Callable[[], object], *, every: float = 0.02) -> float:
    """Call `attempt` until it returns something true; the seconds that took. Fails after `seconds`.

    For what can only be observed from outside, such as a process being replaced.
    """
    started = time.monotonic()
    last: object = None
    while (elapsed := time.monotonic() - started) < seconds:
        try:
            last = attempt()
        except httpx.TransportError as error:
            last = error
        else:
            if last:
                return time.monotonic() - started
        time.sleep(every)
    raise AssertionError(f"not within {elapsed:.1f} s: {last!r}")
