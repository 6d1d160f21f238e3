"""Starts a real edge worker process as the supervisor does, for tests and measurements."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from router.messages import App, EdgeSettings, FromEdge, Ready, Routes, Upstream
from runtime.channel import FD, Channel

Kind = TypeVar("Kind", bound=msgspec.Struct)


class EdgeProcess:
    """A running edge worker and the supervisor's end of its channel."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, unix_path: str, directory: Path) -> None:
        self.process = process
        self.port = port
        self.unix_path = unix_path
        self.directory = directory
        self.channel: Channel[FromEdge] | None = None
        self._inbox: asyncio.Queue[FromEdge] = asyncio.Queue()
        self._version = 0

    def tell(self, message: msgspec.Struct) -> None:
        assert self.channel is not None
        self.channel.send(message)

    async def expect(self, kind: type[Kind]) -> Kind:
        """Return the next message of that kind; others are dropped."""
        async with asyncio.timeout(10):
            while True:
                message = await self._inbox.get()
                if isinstance(message, kind):
                    return message

    async def route(self, apps: dict[str, App]) -> None:
        """Push a table in which each key is a host name, and wait until it is in use."""
        from router.messages import Applied

        self._version += 1
        self.tell(Routes(self._version, {host: app.app_id for host, app in apps.items()}, _by_id(apps)))
        while (await self.expect(Applied)).version != self._version:
            pass

    def connect(self) -> "RawClient":
        return RawClient(socket.create_connection(("127.0.0.1", self.port), 5))


def _by_id(apps: dict[str, App]) -> dict[str, App]:
    return {app.app_id: app for app in apps.values()}


class RawClient:
    """A blocking client that sends and reads bytes exactly as told."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, marker: bytes) -> bytes:
        while marker not in self.buffer:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError(self.buffer)
            self.buffer += piece
        end = self.buffer.index(marker) + len(marker)
        taken, self.buffer = self.buffer[:end], self.buffer[end:]
        return taken

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError(self.buffer)
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def response(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Read one response; duplicates of a header are joined by a newline."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        status = int(lines[0].split(" ")[1])
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = headers[name.lower()] + "\n" + value if name.lower() in headers else value
        if head_only or status in (204, 304) or status < 200:
            return status, headers, b""
        if "content-length" in headers:
            return status, headers, self.exactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            assert self.exactly(2) == b"\r\n"
            return status, headers, body
        return status, headers, self.rest()

    def rest(self) -> bytes:
        """Read to the end of the connection."""
        taken = self.buffer
        self.buffer = b""
        while piece := self.sock.recv(65536):
            taken += piece
        return taken

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@asynccontextmanager
async def edge_process(**changes: Any) -> AsyncIterator[EdgeProcess]:
    """Start an edge worker; `changes` are fields of `EdgeSettings`, or `module`, or `listener`, a socket to keep."""
    module = changes.pop("module", "tests.router.edge_process")
    directory = Path(tempfile.mkdtemp(prefix="brrrd-edge-"))
    kept = changes.pop("listener", None)
    tcp = kept or socket.create_server(("127.0.0.1", 0), backlog=1024)
    unix = socket.socket(socket.AF_UNIX)
    unix_path = str(directory / "edge.sock")
    unix.bind(unix_path)
    unix.listen(1024)
    ours, theirs = socket.socketpair()
    process = _start(module, theirs, tcp, unix)
    theirs.close()
    edge = EdgeProcess(process, tcp.getsockname()[1], unix_path, directory)
    edge.channel = await Channel.open(ours, FromEdge, edge._inbox.put_nowait, lambda: None)
    values: dict[str, Any] = {
        "index": 0,
        "server": "uvicorn",
        "db_hosts": ["db.localhost", "127.0.0.1"],
        "public_db_url": f"http://127.0.0.1:{edge.port}",
        "trusted_proxies": [],
        "max_body_bytes": 100_000_000,
        "max_head_bytes": 64 << 10,
        "token_key": b"k" * 32,
    }
    edge.tell(EdgeSettings(tcp_fd=tcp.fileno(), unix_fd=unix.fileno(), **(values | changes)))
    try:
        await edge.expect(Ready)
        yield edge
    finally:
        edge.channel.close()
        await asyncio.to_thread(_end, process)
        if kept is None:
            tcp.close()
        unix.close()


def _start(module: str, control: socket.socket, *inherited: socket.socket) -> subprocess.Popen[bytes]:
    """Start `python -m module` with `control` as descriptor 3."""
    source = control.fileno()
    spare = os.dup2(source, 60)

    def place() -> None:
        os.dup2(spare, FD)
        os.set_inheritable(FD, True)

    try:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            pass_fds=[FD, *(sock.fileno() for sock in inherited)],
            preexec_fn=place,
        )
    finally:
        os.close(spare)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@asynccontextmanager
async def wire_host(path: Path | str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Start `tests.router.wire_host` listening at `path`."""
    process = subprocess.Popen(  # noqa: ASYNC220 (as short as a fork is)
        [sys.executable, "-m", "tests.router.wire_host", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        await asyncio.to_thread(process.stdout.readline)
        yield process
    finally:
        process.stdin.close()
        await asyncio.to_thread(_end, process)
        process.stdout.close()


def app(host_socket: Path | str | None, **changes: Any) -> App:
    """Return a routing entry with plain values."""
    host_id = changes.pop("host_id", "host-1")
    values: dict[str, Any] = {
        "app_id": "app-1",
        "project": "default",
        "app": "one",
        "build_id": "build-1",
        "upstreams": [] if host_socket is None else [Upstream(host_id, str(host_socket))],
        "directory": "/nonexistent",
        "asset_index": None,
        "has_worker": True,
    }
    return App(**(values | changes))
