"""WebSockets of the data plane where hypercorn is the server in front: the same bounds as with the edge's own."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, Self

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from tests.node_server import Node, eventually


class Client:
    """Sends messages in parts, and reads what comes back."""

    def __init__(self, node: Node, database: dict[str, Any]) -> None:
        self._sock = socket.create_connection(("127.0.0.1", node.port), timeout=20)
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._token = database["database_token"]
        path = f"/v1/{database['database_id']}"
        request = Request("127.0.0.1", path, extensions=[PerMessageDeflate()], subprotocols=["hrana3"])
        self._sock.sendall(self._connection.send(request))
        self._events: list[Any] = []
        self.accepted = self.event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def send(self, text: str, *, finished: bool = True) -> None:
        with suppress(ConnectionError):  # it may be closed, which `closed` tells
            self._sock.sendall(self._connection.send(TextMessage(data=text, message_finished=finished)))

    def greet(self) -> None:
        self.send(json.dumps({"type": "hello", "jwt": self._token}))
        assert json.loads(self.text()) == {"type": "hello_ok"}

    def text(self) -> str:
        event = self.event()
        while not isinstance(event, TextMessage):  # a ping
            event = self.event()
        return event.data

    def closed(self, seconds: float) -> int | None:
        """Read for so long, or to the end, and return the close code; None: it is open."""
        self._sock.settimeout(seconds)
        try:
            event = self.event()
            while event is not None and not isinstance(event, CloseConnection):
                event = self.event()
        except TimeoutError:
            return None
        return 0 if event is None else event.code

    def event(self) -> Any:
        while not self._events:
            try:
                data = self._sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self._connection.receive_data(data)
            self._events += self._connection.events()
        return self._events.pop(0)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ("--workers", "1", "--database-workers", "1", "--server", "hypercorn")
    with Node(tmp_path_factory.mktemp("behind") / "data", *options) as node:
        yield node


def test_messages_are_not_compressed(behind: Node) -> None:
    with Client(behind, behind.create_database("plain")) as client:
        assert isinstance(client.accepted, AcceptConnection)
        assert not any(extension.enabled() for extension in client.accepted.extensions)
        client.greet()


def test_the_first_message_is_short_and_what_follows_need_not_be(behind: Node) -> None:
    database = behind.create_database("short")
    with Client(behind, database) as client:
        client.send("x" * 70_000)
        assert client.closed(20) == 1009
    with Client(behind, database) as client:
        client.greet()
        request = {"type": "request", "request_id": 1, "request": {"type": "open_stream", "stream_id": 1}}
        client.send(json.dumps(request) + " " * 500_000)
        assert json.loads(client.text())["type"] == "response_ok"


def test_unfinished_messages_of_a_database_end_the_connection_that_has_most(behind: Node) -> None:
    database = behind.create_database("unfinished")
    with ExitStack() as clients:
        modest, *greedy = [clients.enter_context(Client(behind, database)) for _ in range(11)]
        for client in (modest, *greedy):
            client.greet()
        modest.send('{"type": "request", ', finished=False)
        for client in greedy:
            client.send("x" * (13 << 20), finished=False)
        eventually(20, lambda: 1013 in [client.closed(0.01) for client in greedy])
        modest.send('"request_id": 1, "request": {"type": "open_stream", "stream_id": 1}}')
        assert json.loads(modest.text())["type"] == "response_ok"
