"""SIGKILL in the middle of writing, over and over: to database workers, to the edge, to the supervisor.

`BRRRD_KILL_ROUNDS=200 pytest tests/e2e/test_kills.py -s --timeout 3600` is the long form; it prints what was counted.
"""

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.node_server import Node

ROUNDS = int(os.environ.get("BRRRD_KILL_ROUNDS", "6"))
VICTIMS = ("database", "edge", "supervisor")
WRITERS = 4
PARTS = 3
"""Rows of one transaction."""
ACCOUNTS = 10
BALANCE = 1000
PATIENCE_SECONDS = 60.0
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
                time.sleep(0.02)
                continue
            if answer.status_code in (502, 503, 504):
                self.broken += 1
                time.sleep(0.02)
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


def kill(node: Node, victim: str) -> None:
    if victim == "supervisor":
        node.kill()
        node.start()
        return
    for process in node.processes(victim):
        process.kill()


def check(node: Node, database: dict[str, str], writers: list[Writer]) -> int:
    """Compare what is stored with what was acknowledged; return the number of transactions."""
    acknowledged = [(writer.number, frozenset(writer.acknowledged)) for writer in writers]
    rows, total, sound = (
        [[value["value"] for value in row] for row in result["rows"]]
        for result in node.sql(
            database,
            "SELECT writer, number, count(*), count(DISTINCT part) FROM t GROUP BY 1, 2",
            "SELECT sum(balance) FROM accounts",
            "PRAGMA integrity_check",
        )
    )
    assert sound == [["ok"]]
    assert total == [[str(ACCOUNTS * BALANCE)]]
    assert all(row[2:] == [str(PARTS)] * 2 for row in rows), "a torn transaction"
    stored = {(int(writer), int(number)) for writer, number, *_ in rows}
    lost = {(writer, number) for writer, numbers in acknowledged for number in numbers} - stored
    assert not lost, f"acknowledged and lost: {sorted(lost)[:10]}"
    return len(stored)


def test_no_acknowledged_commit_is_lost(tmp_path: Path) -> None:
    chance = random.Random(11)
    stop = threading.Event()
    kills: Counter[str] = Counter()
    with Node(tmp_path / "data", "--workers", "1", "--database-workers", "1") as node:
        database = node.create_database("killed")
        node.sql(
            database,
            "CREATE TABLE t (writer, number, part, PRIMARY KEY (writer, number, part))",
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance)",
            f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS - 1}) "
            f"INSERT INTO accounts SELECT i, {BALANCE} FROM n",
        )
        writers = [
            Writer(number, database["database_url"], database["database_token"], stop) for number in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        try:
            for number in range(ROUNDS):
                seen = sum(len(writer.acknowledged) for writer in writers)
                deadline = time.monotonic() + PATIENCE_SECONDS
                while sum(len(writer.acknowledged) for writer in writers) < seen + 5:
                    assert not any(writer.unexpected for writer in writers), [w.unexpected for w in writers]
                    assert time.monotonic() < deadline, f"nothing is acknowledged any more\n{node.log()[-4000:]}"
                    time.sleep(0.005)
                time.sleep(chance.random() * 0.05)
                victim = VICTIMS[number % len(VICTIMS)]
                kill(node, victim)
                kills[victim] += 1
                if number % 20 == 19:
                    check_when_up(node, database, writers)
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        assert not any(writer.unexpected for writer in writers), [w.unexpected for w in writers]
        stored = check_when_up(node, database, writers)
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    broken = sum(writer.broken for writer in writers)
    print(
        f"\n{ROUNDS} rounds ({dict(kills)}): {acknowledged} transactions acknowledged, all of them stored; "
        f"{stored - acknowledged} stored without an acknowledgement, {broken} requests broken, none torn"
    )
    assert acknowledged >= 5 * ROUNDS


def check_when_up(node: Node, database: dict[str, str], writers: list[Writer]) -> int:
    """Wait until the node answers, then `check`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            node.sql(database, "SELECT 1")
            break
        except (httpx.TransportError, AssertionError):
            assert time.monotonic() < deadline, node.log()[-4000:]
            time.sleep(0.05)
    return check(node, database, writers)
