"""SIGKILL in the middle of writing, over and over: to database workers, to the edge, to the supervisor.

`BRRRD_KILL_ROUNDS=200 pytest tests/e2e/test_kills.py -s --timeout 3600` is the long form; it prints what was counted.
"""

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.e2e.writers import ACCOUNTS, PARTS, StreamWriter, Writer
from tests.node_server import Node

ROUNDS = int(os.environ.get("BRRRD_KILL_ROUNDS", "6"))
VICTIMS = ("database", "edge", "supervisor")
WRITERS = 4
BALANCE = 1000
PATIENCE_SECONDS = 60.0


def kill(node: Node, victim: str) -> None:
    if victim == "supervisor":
        node.kill()
        node.start()
        return
    for process in node.processes(victim):
        process.kill()


def check(node: Node, database: dict[str, str], writers: list[Writer], ahead: StreamWriter) -> int:
    """Compare what is stored with what was acknowledged; return the number of transactions."""
    acknowledged = [(writer.number, frozenset(writer.acknowledged)) for writer in writers]
    acknowledged_ahead = {socket: len(numbers) for socket, numbers in list(ahead.acknowledged.items())}
    rows, streams, total, sound = (
        [[value["value"] for value in row] for row in result["rows"]]
        for result in node.sql(
            database,
            "SELECT writer, number, count(*), count(DISTINCT part) FROM t GROUP BY 1, 2",
            "SELECT socket, count(*), max(number) FROM ahead GROUP BY 1",
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
    assert all(count == last for _, count, last in streams), "a request of a stream was passed over"
    written = {int(socket): int(count) for socket, count, _ in streams}
    lost_ahead = {socket for socket, count in acknowledged_ahead.items() if written.get(socket, 0) < count}
    assert not lost_ahead, f"acknowledged on a stream and lost: {sorted(lost_ahead)[:10]}"
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
            "CREATE TABLE ahead (socket, number, PRIMARY KEY (socket, number))",
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance)",
            f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS - 1}) "
            f"INSERT INTO accounts SELECT i, {BALANCE} FROM n",
        )
        writers = [
            Writer(number, database["database_url"], database["database_token"], stop) for number in range(WRITERS)
        ]
        ahead = StreamWriter(database["database_url"], database["database_token"], stop)
        clients: list[Writer | StreamWriter] = [*writers, ahead]
        for client in clients:
            client.start()
        try:
            for number in range(ROUNDS):
                seen = sum(len(writer.acknowledged) for writer in writers)
                deadline = time.monotonic() + PATIENCE_SECONDS
                while sum(len(writer.acknowledged) for writer in writers) < seen + 5:
                    assert not any(client.unexpected for client in clients), [c.unexpected for c in clients]
                    assert time.monotonic() < deadline, f"nothing is acknowledged any more\n{node.log()[-4000:]}"
                    time.sleep(0.005)
                time.sleep(chance.random() * 0.05)
                victim = VICTIMS[number % len(VICTIMS)]
                kill(node, victim)
                kills[victim] += 1
                if number % 20 == 19:
                    check_when_up(node, database, writers, ahead)
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert not any(client.unexpected for client in clients), [c.unexpected for c in clients]
        stored = check_when_up(node, database, writers, ahead)
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    broken = sum(writer.broken for writer in writers)
    ahead_acknowledged = sum(map(len, ahead.acknowledged.values()))
    print(
        f"\n{ROUNDS} rounds ({dict(kills)}): {acknowledged} transactions acknowledged, all of them stored; "
        f"{stored - acknowledged} stored without an acknowledgement, {broken} requests broken, none torn; "
        f"on streams {ahead_acknowledged} rows acknowledged ahead of others, {ahead.broken} WebSockets broken"
    )
    assert acknowledged >= 5 * ROUNDS
    assert ahead_acknowledged >= ROUNDS


def check_when_up(node: Node, database: dict[str, str], writers: list[Writer], ahead: StreamWriter) -> int:
    """Wait until the node answers, then `check`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            node.sql(database, "SELECT 1")
            break
        except (httpx.TransportError, AssertionError):
            assert time.monotonic() < deadline, node.log()[-4000:]
            time.sleep(0.05)
    return check(node, database, writers, ahead)
