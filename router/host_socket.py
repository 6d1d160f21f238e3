"""The way between a WebSocket of an app's client and the isolate host: a stream after its answer of 101."""

from isolates.wire import MORE, Type
from router.links import HostLink
from router.stats import Counters
from router.stream import Loss
from router.websocket.frames import INTERNAL_ERROR, SERVICE_RESTART
from router.websocket.stream import SocketStream

_MESSAGE = int(Type.MESSAGE)


class HostSocket(SocketStream):
    """See the module. Made by `router.upgrade`, and for other servers by `router.asgi_socket`."""

    def __init__(self, stream: int, link: HostLink, counters: Counters) -> None:
        super().__init__(stream)
        self.link: HostLink | None = link
        """None once the stream is over."""
        self._host = link
        self._counters = counters
        counters.websockets += 1

    @property
    def choked(self) -> bool:
        return self._host.choked

    def send_frame(self, type_: int, flags: int, status: int, data: bytes) -> None:
        if self.link is not None:
            self.link.send_frame(self.id, type_, flags=flags, status=status, data=data)

    def forget(self) -> None:
        self._counters.websockets -= 1
        if self.link is not None:
            self.link.forget_socket(self)

    def message(self, opcode: int, data: bytes, more: bool) -> None:
        self._counters.messages_in += not more
        super().message(opcode, data, more)

    def message_too_big(self) -> None:
        """Count a message of the client's that is over the app's limit."""
        self._counters.over("websocket_message_kb")

    def on_frame(self, type_: int, flags: int, status: int, data: bytes) -> None:
        if type_ == _MESSAGE:
            self._counters.messages_out += not flags & MORE
        super().on_frame(type_, flags, status, data)

    def on_refused(self, status: int, code: str, detail: str) -> None:
        """The host has ended, and said why."""
        self.connection.fail(INTERNAL_ERROR, detail.encode())

    def on_lost(self, loss: Loss) -> None:
        """The host is gone."""
        if self._host.retired:
            self.connection.fail(SERVICE_RESTART, b"The app is being replaced or restarted")
        else:
            self.connection.fail(INTERNAL_ERROR, b"The app ended unexpectedly")
