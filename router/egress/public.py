"""Requests that leave the node, by `httpcore` over checked connections. One task each.

Redirects are not followed: the platform's `fetch` does that, and every hop comes back here as a request of its own.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator

import httpcore

from router.egress.errors import EgressError
from router.egress.exchange import Exchange, Sender
from router.egress.headers import Request, outbound, response_fields
from router.egress.network import CONNECT_SECONDS, Network
from router.egress.resolver import Resolver

log = logging.getLogger("router.egress")

MAX_CONNECTIONS = 100
MAX_IDLE = 20
IDLE_SECONDS = 30.0
SILENCE_SECONDS = 300.0
"""Without a byte read or written in this time the other side is given up; the edge's own deadline is usually sooner."""


def make_pool(resolver: Resolver, tls: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
    """Return a pool for one host connection: what one app does to a connection, no other app can meet."""
    return httpcore.AsyncConnectionPool(
        ssl_context=tls,
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_IDLE,
        keepalive_expiry=IDLE_SECONDS,
        network_backend=Network(resolver),
    )


class PublicExchange(Exchange):
    """A request to somewhere else."""

    __slots__ = ("_body", "_body_ready", "_drained", "_pool", "_task")

    def __init__(self, sender: Sender, stream: int, request: Request, pool: httpcore.AsyncConnectionPool) -> None:
        super().__init__(sender, stream, request)
        self._pool = pool
        self._body: list[tuple[bytes, bool]] = []
        self._body_ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, data: bytes, end: bool) -> None:
        self.on_body(data, end)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def on_body(self, data: bytes, end: bool) -> None:
        self._body.append((data, end))
        self._body_ready.set()

    def on_drained(self) -> None:
        self._drained.set()

    def on_cancel(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._send_and_receive()
        except EgressError as error:
            self.refuse(error)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            self.refuse(_explained(error, self.request))
        except Exception:
            log.exception("a request to %s failed in an unforeseen way", self.request.destination.authority.decode())
            self.refuse(EgressError("protocol", "the request failed inside the egress process"))

    async def _send_and_receive(self) -> None:
        destination = self.request.destination
        outgoing = httpcore.Request(
            self.request.method,
            httpcore.URL(
                scheme=destination.scheme.encode(),
                host=destination.host.encode(),
                port=destination.port,
                target=destination.target,
            ),
            headers=outbound(self.request),
            content=self._request_body() if self.request.length != 0 else None,
            extensions={
                "timeout": {
                    "connect": CONNECT_SECONDS,
                    "pool": SILENCE_SECONDS,
                    "read": SILENCE_SECONDS,
                    "write": SILENCE_SECONDS,
                }
            },
        )
        response = await self._pool.handle_async_request(outgoing)
        try:
            reason = response.extensions.get("reason_phrase", b"")
            self.respond(response.status, reason, response_fields(response.headers))
            self.give(b"", False)
            async for chunk in response.aiter_stream():
                if self.over:
                    return
                self._drained.clear()
                if not self.give(chunk, False):
                    await self._drained.wait()
            self.give(b"", True)
        finally:
            await response.aclose()

    async def _request_body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, and open the window when the connection has taken it."""
        while True:
            await self._body_ready.wait()
            data, end = self._body.pop(0)
            if not self._body:
                self._body_ready.clear()
            if data:
                yield data
                self.consumed(len(data))
            if end:
                return


def _explained(error: Exception, request: Request) -> EgressError:
    """Turn an error of `httpcore` into a sentence."""
    host = request.destination.host
    match error:
        case httpcore.PoolTimeout():
            return EgressError("limit", f"no connection to {host} became free in {SILENCE_SECONDS:.0f} s")
        case httpcore.TimeoutException():
            return EgressError("timeout", f"{host} sent nothing for {SILENCE_SECONDS:.0f} s")
        case httpcore.RemoteProtocolError():
            return EgressError("protocol", f"{host} gave no valid HTTP response: {error}")
        case httpcore.LocalProtocolError():
            return EgressError("protocol", f"the request cannot be sent: {error}")
    return EgressError("connect", f"the connection to {host} broke: {str(error) or 'it was closed'}")
