"""uvicorn's protocol for the WebSockets of the data plane, which says how much it holds of what clients send.

uvicorn puts messages together, up to 16 MiB each, before the application sees any of them, and a client may leave one
unfinished for as long as it likes. So the application is told how much that is (`dataplane.sockets` counts it with what
else is in memory for a database), and one that has not said yet who it is may not send much.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto import events

from dataplane.sockets import HELD_EXTENSION

MAX_FIRST_BYTES = 64 << 10
"""Of a WebSocket's first message: a token, and little else."""


def size_of(data: str | bytes | bytearray) -> int:
    """Bytes of a message, or of a part, as it came."""
    return len(data) if not isinstance(data, str) or data.isascii() else len(data.encode())


class DatabaseSocket(WSProtocol):
    """One connection. Without permessage-deflate: wsproto inflates whatever a client sends, a thousandfold, before any
    of it is counted.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.buffer.max_length = MAX_FIRST_BYTES
        self._held = 0
        self._sizes: deque[int] = deque()
        """Of whole messages that the application has yet to take."""
        self._on_held: Callable[[int], None] | None = None

    def __repr__(self) -> str:
        return f"<DatabaseSocket [{self._held} bytes held]>"

    def handle_connect(self, event: events.Request) -> None:
        super().handle_connect(event)
        self.scope["extensions"][HELD_EXTENSION] = {"watch": self._watch}

    def handle_message(self, event: events.TextMessage | events.BytesMessage) -> None:
        size = size_of(event.data)
        whole = self.buffer.length + size
        super().handle_message(event)
        if self.close_sent:  # it was too large
            self.buffer.clear()
            return
        if event.message_finished:
            self._sizes.append(whole)
            self.buffer.max_length = self.config.ws_max_size
        self._hold(self._held + size)

    async def receive(self) -> Any:
        message = await super().receive()
        if self._sizes and message["type"] == "websocket.receive":
            self._hold(self._held - self._sizes.popleft())
        return message

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            # Nobody takes the rest, and the client may be slow to close.
            self.buffer.clear()
            while not self.queue.empty():
                self.queue.get_nowait()

    def _watch(self, on_held: Callable[[int], None]) -> None:
        """Call `on_held` with the bytes that are held, now and whenever these change."""
        self._on_held = on_held
        on_held(self._held)

    def _hold(self, size: int) -> None:
        self._held = size
        if self._on_held is not None:
            self._on_held(size)
