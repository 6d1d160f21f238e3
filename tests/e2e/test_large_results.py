"""Results of a million rows, or of wide ones, through each kind of cursor, at constant memory on their way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from dataplane import protobuf as pb
from tests.node_server import Node

ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT {} FROM n"
MILLION = ROWS.format(1_000_000, "i")
WIDE = ROWS.format(100_000, "i, printf('%.700c', 'x')")
MAX_GROWTH_KIB = 24 << 10
"""The answers are 60 MB and more. What may grow are windows and buffers of sockets."""


def batch(query: str) -> dict[str, Any]:
    return {"steps": [{"stmt": {"sql": query}}]}


def body_over_http(node: Node, database: dict[str, str], endpoint: str, body: bytes) -> Iterator[bytes]:
    headers = {"Authorization": f"Bearer {database['database_token']}", "Accept-Encoding": "identity"}
    with (
        httpx.Client(timeout=60, trust_env=False) as client,
        client.stream("POST", f"{database['database_url']}/{endpoint}", content=body, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        yield from answer.iter_raw()


def rows_of_json(node: Node, database: dict[str, str], query: str) -> int:
    pieces = body_over_http(node, database, "v3/cursor", json.dumps({"batch": batch(query)}).encode())
    return sum(piece.count(b"\n") for piece in pieces) - 4


def rows_of_protobuf(node: Node, database: dict[str, str], query: str) -> int:
    step = pb.message(1, pb.message(2, pb.message(1, query.encode())))  # Batch.steps, BatchStep.stmt, Stmt.sql
    rows, rest = 0, b""
    for piece in body_over_http(node, database, "v3-protobuf/cursor", pb.message(2, step)):
        entries, rest = split(rest + piece)
        rows += sum(entry.startswith(b"\x22") for entry in entries)  # CursorEntry.row
    return rows


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the messages behind their lengths that are complete, and the rest. Lengths are below 2^14 here."""
    messages, at = [], 0
    while at + 2 <= len(data):
        size, begin = data[at], at + 1
        if size >= 0x80:
            size, begin = size & 0x7F | data[begin] << 7, begin + 1
        if begin + size > len(data):
            break
        messages.append(data[begin : begin + size])
        at = begin + size
    return messages, data[at:]


def rows_of_socket(node: Node, database: dict[str, str], query: str) -> int:
    url = database["database_url"].replace("http:", "ws:")
    with connect(url, subprotocols=[Subprotocol("hrana3")], compression=None, max_size=1 << 24, proxy=None) as socket:
        socket.send(json.dumps({"type": "hello", "jwt": database["database_token"]}))
        socket.recv()

        def ask(kind: str, **fields: Any) -> bytes:
            socket.send(json.dumps({"type": "request", "request_id": 1, "request": {"type": kind, **fields}}))
            return socket.recv(decode=False)

        ask("open_stream", stream_id=1)
        ask("open_cursor", stream_id=1, cursor_id=1, batch=batch(query))
        rows, done = 0, False
        while not done:
            answer = ask("fetch_cursor", cursor_id=1, max_count=10_000)
            rows += answer.count(b'{"type":"row"')
            done = b'"done":true' in answer[-40:]
    return rows


@pytest.mark.parametrize(
    ("read", "query", "rows"),
    [(rows_of_json, MILLION, 1_000_000), (rows_of_protobuf, WIDE, 100_000), (rows_of_socket, WIDE, 100_000)],
    ids=["json", "protobuf", "socket"],
)
def test_constant_memory(node: Node, read: Callable[[Node, dict[str, str], str], int], query: str, rows: int) -> None:
    database = node.create_database(f"large-{read.__name__.replace('_', '-')}")
    node.sql(database, "SELECT 1")
    processes = node.processes("edge") + node.processes("database")
    before = [peak_memory(process.pid) for process in processes]
    assert read(node, database, query) == rows
    growth = [peak_memory(process.pid) - peak for process, peak in zip(processes, before, strict=True)]
    assert max(growth) < MAX_GROWTH_KIB, growth


def peak_memory(pid: int) -> int:
    """Return the most memory a process has held, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")
