"""A request on an edge connection that an ASGI application answers (`router.server`), in a task of its own."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from router.app import ASGIApp
from router.errors import EdgeError
from router.exchanges import Exchange
from router.requests import Request
from router.responses import asgi_lines

if TYPE_CHECKING:
    from router.server import EdgeProtocol

log = logging.getLogger("router.server")

HELD_BODY_BYTES = 64 << 10
"""How much of a body waits for an application before nothing more is read."""


class AsgiExchange(Exchange):
    """A request that an ASGI application answers, in a task of its own: the edge itself, or the data plane's."""

    def __init__(self, connection: "EdgeProtocol", request: Request, application: ASGIApp) -> None:
        super().__init__(connection, request)
        self.application = application
        self._pieces: list[bytes] = []
        self._held = 0
        self._end_told = False
        self._gone = False
        self._complete = False
        self._wake: asyncio.Event | None = None
        self._task: asyncio.Task[None]
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None

    def start(self) -> None:
        self.started = True
        if self.request.problem is not None:
            identity = self.connection.edge.request_id(self.request.withheld, self.connection.peer)
            self.write_error(self.request.problem, identity)
            self._finish()
            return
        self._task = self.connection.loop.create_task(self._run())
        self.connection.tasks.add(self._task)

    def body(self, data: bytes) -> None:
        if self._complete:
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._held > HELD_BODY_BYTES:
            self.connection.hold()
        self._notify()

    def body_end(self) -> None:
        self.ended = True
        self._notify()

    def disconnected(self) -> None:
        self._gone = True
        self._notify()

    def resume(self) -> None:
        self._notify()

    def _scope(self) -> dict[str, Any]:
        request, connection = self.request, self.connection
        path, _, query = request.target.partition(b"?")
        text = path.decode("latin-1")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.0" if request.http_10 else "1.1",
            "method": request.method.decode("latin-1"),
            "scheme": connection.scheme,
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": request.headers(),
            "client": connection.client,
            "server": None,
        }

    async def _run(self) -> None:
        try:
            await self.application(self._scope(), self._receive, self._send)
        except ConnectionError as error:
            # Nobody is there to answer, as `_send` and the data plane say; or an answer that has begun has no end.
            if not self._gone:
                log.warning("%r was broken off: %s", self.request, error)
        except Exception:
            # The server's door: whatever went wrong in an application costs this request only.
            log.exception("unhandled error in %r", self.request)
        finally:
            self.connection.tasks.discard(self._task)
        if not self._complete and not self._gone:
            identity = self.connection.edge.request_id(self.request.withheld, self.connection.peer)
            self.write_error(EdgeError(500, "The request could not be answered."), identity)
            self._finish()

    async def _receive(self) -> dict[str, Any]:
        if not self.ended and not self._gone:
            self.write_continue()
        while True:
            if self._gone or self._complete:
                return {"type": "http.disconnect"}
            if self._pieces or (self.ended and not self._end_told):
                body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self._end_told = self.ended
                if self._held > HELD_BODY_BYTES:
                    self.connection.go_on()
                self._held = 0
                return {"type": "http.request", "body": body, "more_body": not self.ended}
            await self._wait()

    async def _send(self, message: Any) -> None:
        if self._gone:
            raise ConnectionResetError("the client is gone")
        if message["type"] == "http.response.start":
            self._head = message["status"], message.get("headers", [])
            return
        if self._complete:
            return  # the body of an answer that has none, as to HEAD
        if self._head is None:
            raise RuntimeError(f"{message['type']} out of order")
        data, end = message.get("body", b""), not message.get("more_body", False)
        if self.responding:
            done = self.write_data(data, end)
        else:
            done = self.write_head(self._head[0], asgi_lines(self._head[1]), data, end)
        if done:
            self._finish()
            return
        while not self.connection.writable and not self._gone:
            await self._wait()

    def _finish(self) -> None:
        self._complete = True
        self._notify()
        self.connection.finished(self, time.monotonic())

    def _notify(self) -> None:
        if self._wake is not None:
            self._wake.set()

    async def _wait(self) -> None:
        """Wait for any change. Rarely needed: most bodies are here before they are asked for."""
        if self._wake is None:
            self._wake = asyncio.Event()
        self._wake.clear()
        await self._wake.wait()
