"""Clients that write as fast as they can, while the node is killed around them, and remember what was acknowledged."""

import json
import random
import socket
import threading
import time
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

import httpx
import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, Event, Request, TextMessage

PARTS = 3
"""Rows of one transaction."""
ACCOUNTS = 10
AHEAD = 8
"""Requests of a stream that are on their way at once."""
PAUSE_SECONDS = 0.02
"""After something broke."""
_CLOSE = {"type": "close"}


class Writer(threading.Thread):
    """One client that writes transactions as fast as it can and remembers which were acknowledged."""

    def __init__(self, number: int, url: str, token: str, stop: threading.Event) -> None:
        super().__init__(name=f"writer {number}")
        self.number = number
        self.acknowledged: set[int] = set()
        self.broken = 0
        """Requests without an answer, or with one of the statuses that say: try again."""
        self.unexpected: list[str] = []
        self._url = f"{url}/v3/pipeline"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._stop_event = stop
        self._chance = random.Random(number)

    def run(self) -> None:
        transaction = 0
        client = httpx.Client(trust_env=False, timeout=20, headers=self._headers)
        while not self._stop_event.is_set() and not self.unexpected:
            transaction += 1
            try:
                answer = client.post(self._url, json=self._transaction(transaction))
            except httpx.TransportError:
                self.broken += 1
                time.sleep(PAUSE_SECONDS)
                continue
            if answer.status_code in (502, 503, 504):
                self.broken += 1
                time.sleep(PAUSE_SECONDS)
            elif answer.status_code != 200:
                self.unexpected.append(f"{answer.status_code} {answer.text}")
            elif errors := [e for e in answer.json()["results"][0]["response"]["result"]["step_errors"] if e]:
                self.unexpected.append(str(errors))
            else:
                self.acknowledged.add(transaction)
        client.close()

    def _transaction(self, transaction: int) -> Any:
        """Rows that belong together, and money from one account to another."""
        source, target = self._chance.sample(range(ACCOUNTS), 2)
        amount = self._chance.randint(1, 9)
        statements = ["BEGIN IMMEDIATE"]
        statements += [f"INSERT INTO t VALUES ({self.number}, {transaction}, {part})" for part in range(PARTS)]
        statements.append(f"UPDATE accounts SET balance = balance - {amount} WHERE id = {source}")
        statements.append(f"UPDATE accounts SET balance = balance + {amount} WHERE id = {target}")
        statements.append("COMMIT")
        steps: list[dict[str, Any]] = [{"stmt": {"sql": sql}} for sql in statements]
        for i, step in enumerate(steps[1:]):
            step["condition"] = {"type": "ok", "step": i}
        return {"requests": [{"type": "batch", "batch": {"steps": steps}}, _CLOSE]}


class StreamWriter(threading.Thread):
    """One client that writes rows over WebSockets, one after the other, on a stream of each, without waiting for
    answers.
    """

    def __init__(self, url: str, token: str, stop: threading.Event) -> None:
        super().__init__(name="stream writer")
        self.acknowledged: defaultdict[int, set[int]] = defaultdict(set)
        """Rows by the number of the WebSocket."""
        self.broken = 0
        """WebSockets that ended, or could not be opened."""
        self.unexpected: list[str] = []
        self._place = urlsplit(url)
        self._token = token
        self._stop_event = stop

    def run(self) -> None:
        number = 0
        while not self._stop_event.is_set() and not self.unexpected:
            number += 1
            try:
                self._write(number)
            except OSError:
                self.broken += 1
                time.sleep(PAUSE_SECONDS)

    def _write(self, number: int) -> None:
        """Write rows over WebSocket `number`. Raises `OSError` when that has ended."""
        sent = 0
        with _Socket(str(self._place.hostname), self._place.port or 80, self._place.path) as client:
            client.send({"type": "hello", "jwt": self._token})
            client.request(0, {"type": "open_stream", "stream_id": 1})
            while not self._stop_event.is_set():
                while sent - len(self.acknowledged[number]) < AHEAD:
                    sent += 1
                    sql = f"INSERT INTO ahead VALUES ({number}, {sent})"
                    client.request(sent, {"type": "execute", "stream_id": 1, "stmt": {"sql": sql}})
                answer = client.answer()
                if answer["type"] == "response_ok" and answer["request_id"]:
                    self.acknowledged[number].add(answer["request_id"])
                elif answer["type"] not in ("hello_ok", "response_ok"):
                    if answer["error"]["code"] == "WORKER_DRAINING":
                        raise ConnectionError("the worker is restarting")
                    self.unexpected.append(str(answer))
                    return


class _Socket:
    """A WebSocket of Hrana 3. Raises `OSError` when it cannot be opened, or has ended."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._connection = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._sock = socket.create_connection((host, port), timeout=20)
        self._text = ""
        self._events: list[Event] = []
        try:
            self._sock.sendall(
                self._connection.send(Request(host=f"{host}:{port}", target=path, subprotocols=["hrana3"]))
            )
            if not isinstance(self._event(), AcceptConnection):
                raise ConnectionError("the WebSocket was refused")
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self) -> "_Socket":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def send(self, document: Any) -> None:
        if self._connection.state is not ConnectionState.OPEN:
            raise ConnectionError("the WebSocket was closed")
        self._sock.sendall(self._connection.send(TextMessage(data=json.dumps(document))))

    def request(self, number: int, request: Any) -> None:
        self.send({"type": "request", "request_id": number, "request": request})

    def answer(self) -> Any:
        """Return the next message."""
        while True:
            event = self._event()
            if not isinstance(event, TextMessage):
                raise ConnectionError("the WebSocket was closed")
            self._text += event.data
            if event.message_finished:
                text, self._text = self._text, ""
                return json.loads(text)

    def _event(self) -> Event:
        while not self._events:
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionError("the connection has ended")
            self._connection.receive_data(data)
            self._events += self._connection.events()
        return self._events.pop(0)
