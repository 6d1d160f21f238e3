"""The data plane over HTTP: a plain ASGI application that edge workers mount for the database host.

It passes the body on to the worker of the database as it came, and streams the answer back, coded if the client accepts
that. Tokens are checked and routes found in `dataplane.endpoints`, as for the node's own apps, which do not come by
here. It knows nothing of SQL.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, MutableSet
from contextlib import ExitStack, nullcontext
from time import perf_counter, time
from typing import Any

from dataplane import compression, sockets
from dataplane.blocks import Blocks, Body
from dataplane.bodies import Room
from dataplane.departures import Departures
from dataplane.endpoints import (
    CLIENT_GONE,
    MAX_BODY_BYTES,
    Endpoints,
    Target,
    Way,
    Whole,
    answer_fields,
    not_found,
    parse_path,
    refusal,
    too_large,
)
from dataplane.errors import HttpError, protocol_error
from dataplane.messages import Catalog
from dataplane.tokens import Access
from dataplane.unanswered import Unanswered
from dataplane.unread import Unread, all_unread
from dataplane.upstream import Answer, Socket
from dataplane.wire import Route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OnResponse = Callable[[str, int, float], None]
_READ = nullcontext()


class DataPlane:
    """The ASGI application. `on_response(database_id, status, seconds)` is called after every authorised answer."""

    def __init__(self, public_db_url: str, token_key: bytes, on_response: OnResponse | None = None) -> None:
        self.public_db_url = public_db_url
        self._endpoints = Endpoints(token_key)
        self._on_response = on_response
        self._sockets: MutableSet[sockets.ClientSocket] = set()
        self._room = Room()
        self._departures: Departures | None = None
        self._unanswered = Unanswered()
        self._unread = all_unread()

    def __repr__(self) -> str:
        return f"<DataPlane {self._endpoints!r} [{len(self._sockets)} WebSockets]>"

    def apply(self, catalog: Catalog) -> None:
        """Serve this catalog from now on."""
        self._endpoints.apply(catalog)
        for socket in self._sockets:
            access = socket.access
            if access is not None and self._endpoints.index.database(access.database.database_id) != access.database:
                socket.end("The database was changed, or its tokens were replaced")

    async def aclose(self) -> None:
        """Close the connections to the workers."""
        await self._endpoints.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        try:
            decision = self._endpoints.decide(
                scope["method"],
                scope["path"],
                scope.get("query_string", b""),
                scope["headers"],
                _client(scope),
                time(),
            )
            if isinstance(decision, Way):
                await self._call(decision, scope, receive, send)
            else:
                await _send_whole(send, decision)
        except HttpError as error:
            await _send_whole(send, refusal(error))

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket."""
        await receive()  # websocket.connect
        target = parse_path(scope["path"])
        subprotocol = sockets.choose(scope.get("subprotocols", []))
        if target is None or target.endpoint or subprotocol is None:
            known = "hrana1, hrana2, hrana3 or hrana3-protobuf"
            error = not_found()
            if subprotocol is None:
                error = protocol_error(f"None of the WebSocket subprotocols is {known}")
            await _deny(scope, send, error)
            return
        wanted: Target = target
        unread = ExitStack()

        async def connect(access: Access, route: Route, version: int) -> Socket:
            endpoints = self._endpoints
            upstream = await endpoints.upstream(access).open_socket(route, endpoints.call_head(access), version)
            unread.enter_context(Unread(self._unread, access.database.database_id, upstream))
            return upstream

        await send({"type": "websocket.accept", "subprotocol": subprotocol.name})
        socket = sockets.ClientSocket(
            subprotocol,
            receive,
            send,
            authorize=lambda token: self._endpoints.authorize(token, wanted, _client(scope), time()),
            connect=connect,
            unanswered=self._unanswered,
            **(scope.get("extensions") or {}).get(sockets.HELD_EXTENSION, {}),
        )
        self._sockets.add(socket)
        try:
            await socket.run()
        except OSError:
            pass  # the client is gone
        finally:
            self._sockets.discard(socket)
            unread.close()

    async def _call(self, way: Way, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        status = CLIENT_GONE
        room = 0
        try:
            size = _body_size(scope)
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                body: Body = bytes(message.get("body", b""))
            else:
                await self._room.take(way.database_id, size)
                room = size
                body = await _read_body(message, receive)
                # Without a Content-Length it was taken for as large as can be.
                self._room.give_back(way.database_id, room - len(body))
                room = len(body)
            way = self._endpoints.in_force(way, scope["headers"], _client(scope))
            departures = self._departures = self._departures or Departures()
            answer = way.upstream.call(way.route, way.head, body if way.body is None else way.body)
            departure = departures.expect(answer, receive)
            try:
                first = await answer.piece()
                if room:
                    self._room.give_back(way.database_id, room)
                    room = 0
                status = answer.status
                with _READ if answer.finished else Unread(self._unread, way.database_id, answer):
                    await _send_answer(answer, first, way.route, scope, send)
            finally:
                departures.end(departure)
                answer.cancel()
        except HttpError as error:
            status = error.status
            raise
        finally:
            if room:
                self._room.give_back(way.database_id, room)
            if self._on_response is not None:
                self._on_response(way.database_id, status, perf_counter() - started)


async def _send_answer(answer: Answer, first: bytes, route: Route, scope: Scope, send: Send) -> None:
    headers = answer_fields(route, answer.status)
    if answer.finished and len(first) < compression.MIN_BYTES:
        headers.append((b"content-length", b"%d" % len(first)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": first})
        return
    headers.append((b"vary", b"accept-encoding"))
    compressor: compression.Compressor | None = None
    if (chosen := compression.accepted(scope["headers"])) is not None:
        coding, compressor = chosen
        headers.append((b"content-encoding", coding))

    async def encoded(data: bytes) -> bytes:
        if compressor is None:
            return data
        if len(data) < compression.ASIDE_BYTES:
            return compressor.compress(data, last=answer.finished)
        return await asyncio.to_thread(compressor.compress, data, last=answer.finished)

    data = await encoded(first)
    length = len(data) if answer.finished else answer.length if compressor is None else None
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    while not answer.finished:
        await send({"type": "http.response.body", "body": data, "more_body": True})
        try:
            data = await encoded(await answer.piece())
        except HttpError as error:
            # The head is out: only a broken connection tells the client that the answer is not complete.
            raise ConnectionAbortedError(str(error)) from None
    await send({"type": "http.response.body", "body": data})


async def _send_whole(send: Send, answer: Whole) -> None:
    headers = answer.fields
    if answer.status != 204:
        headers = [*headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _deny(scope: Scope, send: Send, error: HttpError) -> None:
    """Refuse a WebSocket handshake, with an answer where the server can (ASGI's denial response)."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": sockets.VIOLATION})
        return
    answer = refusal(error)
    headers = [*answer.fields, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})


def _client(scope: Scope) -> str:
    """Return whom wrong tokens are counted for: the client's address."""
    client = scope.get("client")
    return client[0] if client else ""


def _body_size(scope: Scope) -> int:
    """Return how large the body may get. Raises `HttpError` 413."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            if int(value) > MAX_BODY_BYTES:
                raise too_large()
            return int(value)
    return MAX_BODY_BYTES


async def _read_body(message: MutableMapping[str, Any], receive: Receive) -> Blocks:
    """Return the body that begins with `message`. Raises `HttpError` 413, or `ConnectionAbortedError` if the client is
    gone.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError("the client went away")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MAX_BODY_BYTES:
            raise too_large()
        if not message.get("more_body"):
            return Blocks(pieces)
        message = await receive()
