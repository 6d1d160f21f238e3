"""WebSockets where hypercorn is the server in front: nothing is inflated, and what is held of messages is told.

hypercorn puts messages together, up to 16 MiB each, before the application sees any of them, inflates whatever a client
sends before it looks at its size, and goes on to collect a message that was too large. None of this can be set. Used
by `router.servers`; `router.database_sockets` is the same for uvicorn.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, cast

from hypercorn.protocol import h2, h11
from hypercorn.protocol.events import Event, Request
from hypercorn.protocol.ws_stream import FrameTooLargeError, WebsocketBuffer, WSStream
from wsproto.events import Message

from dataplane.sockets import HELD_EXTENSION
from router.app import ASGIApp, Edge, Receive, Scope, Send
from router.database_sockets import MAX_FIRST_BYTES, size_of

_STREAM_EXTENSION = "brrrd.stream"
"""The `CountedStream` of a WebSocket; taken out before the application sees it."""


class _Buffer(WebsocketBuffer):
    """A message that is being put together; `on_change` is called when there is more or less of it."""

    def __init__(self, max_length: int, on_change: Callable[[], None]) -> None:
        super().__init__(max_length)
        self.bytes = 0
        self._on_change = on_change
        self._full = False

    def extend(self, event: "Message[Any]") -> None:
        size = size_of(event.data)
        if self._full or self.bytes + size > self.max_length:
            self._full = True
            self.clear()
            raise FrameTooLargeError
        super().extend(event)
        self.bytes += size
        self._on_change()

    def clear(self) -> None:
        super().clear()
        self.bytes = 0
        self._on_change()


class CountedStream(WSStream):
    """One WebSocket."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.buffer: _Buffer = _Buffer(self.config.websocket_max_message_size, self._hold)
        self._sizes: deque[int] = deque()
        """Of whole messages that the application has yet to take."""
        self._on_held: Callable[[int], None] | None = None

    def __repr__(self) -> str:
        return f"<CountedStream [{self.held} bytes held]>"

    @property
    def held(self) -> int:
        """Bytes of messages, whole or in part, that the application has yet to take."""
        return self.buffer.bytes + sum(self._sizes)

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if isinstance(event, Request) and self.app_put is not None:
            # The application was started, but has not run yet.
            self.handshake.extensions = None
            cast(dict[str, Any], self.scope["extensions"])[_STREAM_EXTENSION] = self
            self._put = self.app_put
            self.app_put = self._count

    async def app_send(self, message: Any) -> None:
        if message is None or message["type"] == "websocket.close":
            self._on_held = None  # nobody takes the rest
        await super().app_send(message)

    def bound_first(self) -> None:
        """Whoever is there has not said yet who it is."""
        self.buffer.max_length = MAX_FIRST_BYTES

    def watch(self, on_held: Callable[[int], None]) -> None:
        """Call `on_held` with the bytes that are held, now and whenever these change."""
        self._on_held = on_held
        self._hold()

    async def take(self, receive: Receive) -> Any:
        """The application's `receive`."""
        message = await receive()
        if self._sizes and message["type"] == "websocket.receive":
            self._sizes.popleft()
            self._hold()
        return message

    async def _count(self, event: Any) -> None:
        if event["type"] == "websocket.receive":
            self._sizes.append(self.buffer.bytes)
            self.buffer.clear()
            self.buffer.max_length = self.config.websocket_max_message_size
        await self._put(event)

    def _hold(self) -> None:
        if self._on_held is not None:
            self._on_held(self.held)


def install() -> None:
    """Have hypercorn's protocols of this process make such streams."""
    for protocol in (h11, h2):
        cast(Any, protocol).WSStream = CountedStream


def counted(edge: Edge) -> ASGIApp:
    """Return `edge` such that its data plane is told what is held of a WebSocket's messages."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        stream: CountedStream | None = (scope.get("extensions") or {}).pop(_STREAM_EXTENSION, None)
        if stream is None:
            await edge(scope, receive, send)
            return
        if edge.is_for_data_plane(scope["headers"]):
            stream.bound_first()
            scope["extensions"][HELD_EXTENSION] = {"watch": stream.watch}
        await edge(scope, lambda: stream.take(receive), send)

    return application
