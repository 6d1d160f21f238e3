"""Drives a real zygote and real hosts from a test: the side of supervisor and edge worker, with blocking sockets."""

import contextlib
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from isolates import wire
from isolates.messages import Exited, Fork, Forked, FromHost, FromZygote, Limits, Load, Loaded, ZygoteReady
from runtime.channel import FD, Decoder, encode

TIMEOUT = 20.0
MEMORY_NAME = "test-bodies"
STUB = Path(__file__).parent / "stub_platform.js"
M = TypeVar("M")


class End:
    """The supervisor's end of a control channel."""

    def __init__(self, sock: socket.socket, types: Any) -> None:
        sock.settimeout(TIMEOUT)
        self.sock = sock
        self._decoder: Decoder[Any] = Decoder(types)
        self._waiting: list[Any] = []
        self.seen: list[Any] = []

    def send(self, message: Any) -> None:
        self.sock.sendall(encode(message))

    def next(self) -> Any:
        """The next message; EOFError when the other side is gone."""
        while not self._waiting:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            self._waiting += self._decoder.feed(data)
        self.seen.append(self._waiting.pop(0))
        return self.seen[-1]

    def expect(self, kind: type[M]) -> M:
        """The next message of a type, passing over others."""
        while not isinstance(message := self.next(), kind):
            pass
        return message

    def rest(self) -> list[Any]:
        """All messages until the other side is gone."""
        messages = []
        with contextlib.suppress(EOFError):
            while True:
                messages.append(self.next())
        return messages


class Edge:
    """An edge worker's connection to a host. `shares`: with memory that the host may have bodies written to."""

    def __init__(self, path: str, *, shares: bool = False) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self.memory: mmap.mmap | None = None
        self._descriptor = -1
        if shares:
            self._share()
        self._buffer = b""
        self._frames: list[wire.Frame] = []
        self._greeted = False

    def _share(self) -> None:
        self._descriptor = os.memfd_create(MEMORY_NAME)
        os.ftruncate(self._descriptor, wire.MEMORY_BYTES)
        self.memory = mmap.mmap(self._descriptor, wire.MEMORY_BYTES)
        socket.send_fds(self.sock, [wire.encode(0, wire.Type.MEMORY)], [self._descriptor])

    @property
    def shared_bytes(self) -> int:
        """How much memory there is behind what is shared."""
        return os.fstat(self._descriptor).st_blocks * 512

    def close(self) -> None:
        self.sock.close()
        if self.memory is not None:
            self.memory.close()
            self.memory = None
            os.close(self._descriptor)

    def request(self, stream: int, url: str = "http://a/", *, method: str = "GET", body: bytes = b"") -> None:
        self.sock.sendall(request_frame(stream, url, method=method, body=body))

    def frame(self) -> wire.Frame:
        """The next frame, after the host's greeting; EOFError when the host is gone."""
        while not self._frames:
            try:
                data = self.sock.recv(1 << 18)
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            self._frames, used = wire.decode(self._buffer + data)
            self._buffer = (self._buffer + data)[used:]
            if self._frames and not self._greeted:
                greeting = self._frames.pop(0)
                assert (greeting.stream, greeting.type, greeting.status) == (0, wire.Type.BUSY, 0)
                self._greeted = True
        return self._frames.pop(0)

    def ask(self, url: str = "http://a/", *, stream: int = 1, body: bytes = b"") -> str:
        """Send a request and return the response's body, or its refusal."""
        self.request(stream, url, body=body)
        frame = self.frame()
        assert frame.stream == stream
        return (frame.data if frame.type == wire.Type.RESPONSE else frame.head).decode()


def handler(body: str) -> str:
    """A module for the real platform whose handler has this body."""
    return f"export default {{ async fetch(request, env, ctx) {{ {body} }} }};"


def request_frame(stream: int, url: str = "http://a/", *, method: str = "GET", body: bytes = b"") -> bytes:
    head = f"{method}\n{url}\nrequest-{stream}\nhost\na".encode()
    return wire.encode(stream, wire.Type.REQUEST, flags=wire.END, head=head, data=body)


class Host:
    """A forked host, as its supervisor sees it."""

    def __init__(self, zygote: "Zygote", host_id: str, folder: Path, *, stands_by: bool) -> None:
        self._zygote = zygote
        self._edges: list[Edge] = []
        self.host_id = host_id
        self.folder = folder
        self.path = str(folder / f"{host_id}.sock")
        ours, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen(16)
            socket.send_fds(zygote.end.sock, [encode(Fork(host_id, stands_by))], [theirs.fileno(), listener.fileno()])
        self.end = End(ours, FromHost)
        self.pid = zygote.end.expect(Forked).pid

    def load(self, files: dict[str, str] | str, *, limits: Limits | None = None, **settings: Any) -> None:
        """Write a package and send `Load`; a string is the text of main.js."""
        package = self.folder / self.host_id
        for name, text in ({"main.js": files} if isinstance(files, str) else files).items():
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(text)
        load: dict[str, Any] = {
            "app_id": "app-1",
            "build_id": "build-1",
            "directory": str(package),
            "main": "main.js",
            "environment": {},
            "limits": limits or Limits(),
            "egress_socket": str(self.folder / "egress.sock"),
            "cache_socket": str(self.folder / "cache.sock"),
        }
        self.end.send(Load(**(load | settings)))

    def serve(self, files: dict[str, str] | str, **settings: Any) -> Edge:
        """Load, and connect once it is loaded."""
        self.load(files, **settings)
        self.end.expect(Loaded)
        return self.connect()

    def connect(self, *, shares: bool = False) -> Edge:
        self._edges.append(Edge(self.path, shares=shares))
        return self._edges[-1]

    def close(self) -> None:
        """Let go of the host, which ends it."""
        for edge in self._edges:
            edge.close()
        self.end.sock.close()

    def exit_status(self) -> int:
        """Wait until the zygote has reported the end of this host."""
        while (exited := self._zygote.end.expect(Exited)).host_id != self.host_id:
            pass
        return exited.status


class Zygote:
    """`python -m isolates.zygote`, running."""

    def __init__(self, folder: Path, cache: Path, *, platform: Path | None = STUB) -> None:
        self.folder = folder
        self._hosts: list[Host] = []
        ours, theirs = socket.socketpair()
        arguments = [sys.executable, "-m", "isolates.zygote", "--cache", str(cache)]
        if platform is not None:
            arguments += ["--platform", str(platform)]
        saved = os.dup(FD) if _is_open(FD) else None
        os.dup2(theirs.fileno(), FD)
        try:
            self.process = subprocess.Popen(arguments, pass_fds=[FD])
        finally:
            if saved is None:
                os.close(FD)
            else:
                os.dup2(saved, FD)
                os.close(saved)
        theirs.close()
        self.end = End(ours, FromZygote)
        try:
            ready = self.end.expect(ZygoteReady)
        except EOFError:
            self.__exit__(None, None, None)
            raise
        self.engine = ready.engine
        self.missing = ready.missing

    def fork(self, *, stands_by: bool = False) -> Host:
        self._hosts.append(Host(self, f"host-{len(self._hosts) + 1}", self.folder, stands_by=stands_by))
        return self._hosts[-1]

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for host in self._hosts:
            host.close()
        self.end.sock.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def egress_listener(folder: Path) -> Iterator[socket.socket]:
    """A listening socket where hosts of this folder expect the egress process."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(TIMEOUT)
        path = folder / "egress.sock"
        listener.bind(str(path))
        listener.listen(4)
        try:
            yield listener
        finally:
            path.unlink()
