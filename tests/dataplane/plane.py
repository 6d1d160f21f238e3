"""A data plane for tests: real worker processes behind a real HTTP server, without the supervisor."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import uvicorn

from dataplane.front import DataPlane
from dataplane.messages import (
    Catalog,
    Database,
    DatabaseLimits,
    DatabaseStats,
    Drain,
    Drop,
    Dropped,
    FromWorker,
    Leave,
    Ready,
    Stuck,
    WorkerSettings,
    WorkerStats,
)
from dataplane.tokens import hash_token, new_database_token
from router.database_sockets import DatabaseSocket
from runtime.channel import FD, Channel

KEY = b"k" * 32
MAIN = "db-aaaaaaaaaaaa"
OTHER = "db-bbbbbbbbbbbb"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
STUCK = "SELECT hex(zeroblob(20000000)) LIKE '%' || hex(zeroblob(20000)) || '1'"
"""One step of SQLite's virtual machine, of minutes: it cannot be ended."""
Message = TypeVar("Message")


class WorkerProcess:
    """One database worker, started as the supervisor starts it."""

    def __init__(self, directory: Path, listener: socket.socket, limits: dict[str, int], module: str) -> None:
        self.directory = directory
        self._module = module
        self.messages: asyncio.Queue[FromWorker] = asyncio.Queue()
        self.closed = asyncio.Event()
        self._known: dict[str, DatabaseStats] = {}
        self._listener = listener
        self._limits = limits

    @property
    def address(self) -> str:
        """The path of the socket that edge workers connect to."""
        return str(self._listener.getsockname())

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        listener = self._listener.fileno()

        def place_control_channel() -> None:
            os.dup2(theirs.fileno(), FD, inheritable=True)

        keep = {theirs.fileno(), FD, listener}
        assert listener != FD
        self.process = subprocess.Popen(  # noqa: ASYNC220 - the wait for its first message is what takes time
            [sys.executable, "-m", self._module], pass_fds=tuple(keep), preexec_fn=place_control_channel
        )
        theirs.close()
        self.closed = asyncio.Event()
        self.channel: Channel[FromWorker] = await Channel.open(ours, FromWorker, self._take, self.closed.set)
        self._known = {}
        self.channel.send(WorkerSettings(0, listener, str(self.directory), **self._limits))
        await self.expect(Ready)

    def _take(self, message: FromWorker) -> None:
        # Reports are of what was used since the one before; tests look at everything.
        if isinstance(message, WorkerStats):
            self._known |= message.databases
            message = WorkerStats(message.streams, dict(self._known))
        self.messages.put_nowait(message)

    async def expect(self, kind: type[Message], where: Callable[[Message], bool] = lambda _: True) -> Message:
        """Return the next message of a kind that fits; others are passed over."""
        async with asyncio.timeout(20):
            while True:
                message = await self.messages.get()
                if isinstance(message, kind) and where(message):
                    return message

    async def exited(self) -> int:
        """Wait for the end of the process; return its exit status."""
        async with asyncio.timeout(60):
            await self.closed.wait()
            return await asyncio.to_thread(self.process.wait)

    async def kill(self) -> None:
        """SIGKILL, then wait."""
        self.process.kill()
        await self.exited()
        self.channel.close()

    async def restart(self) -> None:
        """What the supervisor does after a death: a new process takes over the listening socket."""
        await self.start()

    async def succeed(self) -> int:
        """What the supervisor does when a statement cannot be ended; returns the exit status of the process before."""
        await self.expect(Stuck)
        return await self._hand_over()

    @contextlib.asynccontextmanager
    async def succeeding(self) -> AsyncIterator[list[int]]:
        """Do so as often as it takes; yields the list of exit statuses."""
        statuses: list[int] = []
        handing_over = asyncio.Lock()

        async def follow() -> None:
            while True:
                try:
                    await self.expect(Stuck)
                except TimeoutError:
                    continue
                async with handing_over:
                    statuses.append(await self._hand_over())

        following = asyncio.create_task(follow())
        try:
            yield statuses
            async with handing_over:
                pass
            if following.done():
                following.result()  # raises what went wrong
        finally:
            following.cancel()

    async def _hand_over(self) -> int:
        old, channel, closed = self.process, self.channel, self.closed
        await self.start()
        channel.send(Leave())
        async with asyncio.timeout(60):
            await closed.wait()
            status = await asyncio.to_thread(old.wait)
        channel.close()
        return status

    async def drop(self, database_id: str, *, delete: bool, catalog: int = 0) -> None:
        self.channel.send(Drop(database_id, delete, catalog))
        await self.expect(Dropped)

    async def drain(self, grace_ms: int = 5000) -> int:
        self.channel.send(Drain(grace_ms))
        return await self.exited()

    async def stats(self, where: Callable[[WorkerStats], bool] = lambda _: True) -> WorkerStats:
        """The next statistics that `where` holds for; those without a database that it looks for are passed over."""

        def holds(stats: WorkerStats) -> bool:
            try:
                return where(stats)
            except KeyError:
                return False

        return await self.expect(WorkerStats, holds)


class Plane:
    """A served data plane: `url` is its root, `tokens` by database id."""

    def __init__(self, worker: WorkerProcess, app: DataPlane, port: int) -> None:
        self.worker = worker
        self.app = app
        self.root = f"http://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=self.root, timeout=30)
        self.tokens: dict[str, str] = {}
        self._databases: dict[str, Database] = {}
        self._version = 0

    def serve(self, database_id: str, *, epoch: int = 1, blocked: str | None = None, token: str | None = None) -> None:
        """Put a database in the catalog, with a new token unless one is given."""
        token = self.tokens[database_id] = token or new_database_token(database_id)
        path = self.worker.address
        self._databases[database_id] = Database(database_id, hash_token(token), epoch, path, blocked)
        self.publish()

    def limit(self, database_id: str, **limits: int) -> None:
        """Give a database limits of its own; those that are not named are the worker's."""
        own = DatabaseLimits(**limits) if limits else None
        self._databases[database_id] = msgspec.structs.replace(self._databases[database_id], limits=own)
        self.publish()

    def forget(self, database_id: str) -> None:
        del self._databases[database_id]
        self.publish()

    def publish(self) -> None:
        self._version += 1
        self.app.apply(self.catalog)

    @property
    def catalog(self) -> Catalog:
        return Catalog(self._version, dict(self._databases))

    def url(self, database_id: str = MAIN, slash: str = "") -> str:
        return f"{self.root}/v1/{database_id}{slash}"

    async def post(
        self, path: str, document: Any, *, database_id: str = MAIN, token: str | None = None
    ) -> httpx.Response:
        """POST to an endpoint of a database."""
        bearer = token or self.tokens[database_id]
        return await self.http.post(
            f"/v1/{database_id}/{path}", json=document, headers={"authorization": f"Bearer {bearer}"}
        )

    async def requests(
        self, *requests: Any, baton: str | None = None, database_id: str = MAIN, version: int = 3
    ) -> Any:
        """Run a pipeline; return its decoded answer."""
        response = await self.post(
            f"v{version}/pipeline", {"baton": baton, "requests": requests}, database_id=database_id
        )
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        return response.json()

    async def execute(self, sql: str, *args: Any, database_id: str = MAIN, **stmt: Any) -> Any:
        """Run one statement on a stream of its own; return its result or raise `AssertionError`."""
        answer = await self.requests(execute(sql, *args, **stmt), {"type": "close"}, database_id=database_id)
        first = answer["results"][0]
        assert first["type"] == "ok", first
        return first["response"]["result"]

    async def waits_beside(self, task: "asyncio.Task[Any]") -> list[float]:
        """Query `OTHER` over and over until `task` is done; return how long each query took, in seconds."""
        times = [time.monotonic()]
        while not task.done():
            await self.execute("SELECT 1", database_id=OTHER)
            times.append(time.monotonic())
        await task
        return [after - before for before, after in pairwise(times)]

    async def values(self, sql: str, *args: Any, database_id: str = MAIN) -> list[list[Any]]:
        """Return the rows of a query as plain values."""
        result = await self.execute(sql, *args, database_id=database_id)
        return [[plain(value) for value in row] for row in result["rows"]]

    async def failure(self, sql: str, *args: Any, **stmt: Any) -> Any:
        """Run one statement that must fail; return its error."""
        answer = await self.requests(execute(sql, *args, **stmt), {"type": "close"})
        assert answer["results"][0]["type"] == "error", answer
        return answer["results"][0]["error"]


def wire(value: Any) -> dict[str, Any]:
    """Return a Python value as Hrana value; dictionaries pass as they are."""
    match value:
        case dict():
            return value
        case None:
            return {"type": "null"}
        case int():
            return {"type": "integer", "value": str(value)}
        case float():
            return {"type": "float", "value": value}
        case _:
            return {"type": "text", "value": value}


def plain(value: dict[str, Any]) -> Any:
    """Return a Hrana value as Python value; blobs stay as they are."""
    match value["type"]:
        case "null":
            return None
        case "integer":
            return int(value["value"])
        case "blob":
            return value
        case _:
            return value["value"]


def execute(sql: str, *args: Any, **stmt: Any) -> dict[str, Any]:
    """Return an execute request."""
    return {"type": "execute", "stmt": {"sql": sql, "args": [wire(value) for value in args], **stmt}}


@contextlib.asynccontextmanager
async def serve_plane(module: str = "dataplane.worker", **limits: int) -> AsyncIterator[Plane]:
    """Run a worker and an HTTP server with two databases; `limits` are fields of `WorkerSettings`.

    `module`: what the worker's process runs.
    """
    directory = Path(tempfile.mkdtemp(prefix="brrrd-plane-"))
    socket_path = directory / "worker.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path))
    listener.listen(64)
    worker = WorkerProcess(directory / "databases", listener, limits, module)
    worker.directory.mkdir()
    app = DataPlane("http://db.localhost", KEY)
    # With the protocol named, or asyncio leaves Nagle's algorithm on: each answer would wait for an acknowledgement.
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    tcp.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws=DatabaseSocket,
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
            access_log=False,
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve(sockets=[tcp]))
    plane = Plane(worker, app, tcp.getsockname()[1])
    try:
        await worker.start()
        plane.serve(MAIN)
        plane.serve(OTHER)
        yield plane
    finally:
        await plane.http.aclose()
        server.should_exit = True
        server.force_exit = True
        await serving
        await app.aclose()
        if worker.process.poll() is None:
            await worker.kill()
        worker.channel.close()
        listener.close()
        tcp.close()
        shutil.rmtree(directory)
