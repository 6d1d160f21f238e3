"""Clients that write as fast as they can, while the node is killed around them, and remember what was acknowledged."""

import json
import random
import threading
import time
from collections import defaultdict
from typing import Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

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
        self._url = url.replace("http", "ws", 1)
        self._token = token
        self._stop_event = stop

    def run(self) -> None:
        number = 0
        while not self._stop_event.is_set() and not self.unexpected:
            number += 1
            try:
                self._write(number)
            except (OSError, WebSocketException):
                self.broken += 1
                time.sleep(PAUSE_SECONDS)

    def _write(self, number: int) -> None:
        """Write rows over WebSocket `number`. Raises `OSError` or `WebSocketException` when that has ended."""
        sent = 0
        with connect(self._url, subprotocols=[Subprotocol("hrana3")], proxy=None, close_timeout=1) as client:

            def request(request_id: int, **request: Any) -> None:
                document = {"type": "request", "request_id": request_id, "request": {"stream_id": 1, **request}}
                client.send(json.dumps(document))

            client.send(json.dumps({"type": "hello", "jwt": self._token}))
            request(0, type="open_stream")
            while not self._stop_event.is_set():
                while sent - len(self.acknowledged[number]) < AHEAD:
                    sent += 1
                    request(sent, type="execute", stmt={"sql": f"INSERT INTO ahead VALUES ({number}, {sent})"})
                answer = json.loads(client.recv(timeout=20))
                if answer["type"] == "response_ok" and answer["request_id"]:
                    self.acknowledged[number].add(answer["request_id"])
                elif answer["type"] not in ("hello_ok", "response_ok"):
                    if answer["error"]["code"] == "WORKER_DRAINING":
                        raise ConnectionError("the worker is restarting")
                    self.unexpected.append(str(answer))
                    return
