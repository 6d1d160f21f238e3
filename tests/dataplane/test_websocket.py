"""Hrana over WebSocket, with shipped clients and by hand."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import wsproto
from wsproto.events import AcceptConnection, CloseConnection, RejectConnection, Request, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate

from dataplane.sessions import MAX_STREAMS
from dataplane.statements import CACHED_STATEMENTS
from dataplane.tokens import new_query_token
from tests.dataplane.plane import ENDLESS, KEY, MAIN, Plane, execute, serve_plane
from tests.dataplane.test_clients import run

HRANA_CLIENT = """
import * as hrana from "@libsql/hrana-client";
const out = {};
const client = process.env.SCHEME === "ws"
  ? hrana.openWs(process.env.URL.replace("http", "ws"), process.env.TOKEN, Number(process.env.VERSION))
  : hrana.openHttp(process.env.URL, process.env.TOKEN, undefined, undefined, Number(process.env.VERSION));
client.intMode = "bigint";
await client.getVersion();
const stream = client.openStream();
await stream.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a ANY, b BLOB)");
const inserted = await stream.run(["INSERT INTO t (a, b) VALUES (?, ?)", ["text", new Uint8Array([0, 255])]]);
out.rowid = String(inserted.lastInsertRowid); out.changed = inserted.affectedRowCount;
await stream.run(["INSERT INTO t (a, b) VALUES (:a, :b)", { a: -9007199254740993n, b: null }]);
await stream.run(["INSERT INTO t (a, b) VALUES (?, ?)", [1.5, new Uint8Array([])]]);
const rows = await stream.query("SELECT id, a, b FROM t ORDER BY id");
out.columns = rows.columnNames; out.types = rows.columnDecltypes;
const bytes = (b) => b === null ? null : [...new Uint8Array(b)];
out.rows = rows.rows.map((r) => [String(r.id), typeof r.a, String(r.a), bytes(r.b)]);
try { await stream.query("SELECT nope"); } catch (e) { out.error = [e.code, e.message]; }
const batch = stream.batch(false);
const begin = batch.step(); begin.run("BEGIN").catch(() => {});
const bad = batch.step().condition(hrana.BatchCond.ok(begin));
const badRun = bad.run("INSERT INTO t (id) VALUES (1)").catch((e) => e.code);
const skipped = batch.step().condition(hrana.BatchCond.ok(bad)).run("SELECT 1");
const back = batch.step().condition(hrana.BatchCond.not(hrana.BatchCond.ok(bad))).run("ROLLBACK");
await batch.execute();
out.batch = [await badRun, (await skipped) === undefined, (await back) !== undefined];
const info = await stream.describe("SELECT a FROM t WHERE id = :id");
out.describe = [info.paramNames, info.isReadonly, info.columns.map((c) => c.name)];
await stream.sequence("CREATE TABLE s (a); INSERT INTO s VALUES (1), (2);");
const sql = client.storeSql === undefined ? stream.storeSql("SELECT count(*) AS n FROM s")
  : client.storeSql("SELECT count(*) AS n FROM s");
out.stored = String((await stream.queryRow(sql)).row.n);
sql.close();
if (Number(process.env.VERSION) === 3) {
  out.autocommit = await stream.getAutocommit();
  const cursor = stream.batch(true);
  const many = cursor.step().query(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) SELECT i FROM n");
  const insert = cursor.step().run("INSERT INTO s VALUES (3)");
  const failing = cursor.step().query("SELECT nope").catch((e) => e.code);
  await cursor.execute();
  out.cursor = [(await many).rows.length, String((await many).rows[4999].i),
    String((await insert).lastInsertRowid), await failing];
}
stream.close();
const other = client.openStream();
const pending = [];
for (let i = 0; i < 300; i++) pending.push(other.queryValue(["SELECT ?", [i]]));
out.many = (await Promise.all(pending)).every((row, i) => Number(row.value) === i);
other.close();
client.close();
console.log(JSON.stringify(out));
"""

EXPECTED: dict[str, Any] = {
    "rowid": "1",
    "changed": 1,
    "columns": ["id", "a", "b"],
    "types": ["INTEGER", "ANY", "BLOB"],
    "rows": [
        ["1", "string", "text", [0, 255]],
        ["2", "bigint", "-9007199254740993", None],
        ["3", "number", "1.5", []],
    ],
    "error": ["SQLITE_ERROR", "SQLite error: no such column: nope (at offset 7)"],
    "batch": ["SQLITE_CONSTRAINT", True, True],
    "describe": [[":id"], True, ["a"]],
    "stored": "2",
    "many": True,
}
OF_VERSION_3: dict[str, Any] = {"autocommit": True, "cursor": [5000, "5000", "3", "SQLITE_ERROR"]}


@pytest.mark.parametrize(("scheme", "version"), [("ws", 2), ("ws", 3), ("http", 2), ("http", 3)])
async def test_hrana_client(plane: Plane, scheme: str, version: int) -> None:
    """Version 3 is Protocol Buffers with this client, over HTTP and WebSocket; version 2 is JSON."""
    expected = EXPECTED | (OF_VERSION_3 if version == 3 else {})
    assert await run(plane, HRANA_CLIENT, slash="/", SCHEME=scheme, VERSION=str(version)) == expected


@pytest.mark.parametrize("slash", ["", "/"])
async def test_libsql_client_over_websocket(plane: Plane, slash: str) -> None:
    code = """
    import { createClient } from "@libsql/client";
    const db = createClient({ url: process.env.URL.replace("http", "ws") + "?tls=0", authToken: process.env.TOKEN });
    const out = {};
    await db.executeMultiple("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t (a) VALUES ('x')");
    const tx = await db.transaction("write");
    await tx.execute({ sql: "INSERT INTO t (a) VALUES (?)", args: ["y"] });
    out.inside = (await tx.execute("SELECT count(*) AS n FROM t")).rows[0].n;
    await tx.rollback();
    const kept = await db.transaction("write");
    await kept.batch(["INSERT INTO t (a) VALUES ('z')", "INSERT INTO t (a) VALUES ('w')"]);
    await kept.commit();
    out.batch = (await db.batch(["SELECT 1", "SELECT count(*) AS n FROM t"], "read"))[1].rows[0].n;
    try { await db.execute("INSERT INTO t (id) VALUES (1)"); } catch (e) { out.error = e.code; }
    const one = (_, i) => db.execute({ sql: "SELECT ? AS i", args: [i] });
    const all = await Promise.all(Array.from({ length: 100 }, one));
    out.parallel = all.every((rs, i) => rs.rows[0].i === i);
    db.close();
    console.log(JSON.stringify(out));
    """
    assert await run(plane, code, slash=slash) == {
        "inside": 2,
        "batch": 3,
        "error": "SQLITE_CONSTRAINT",
        "parallel": True,
    }


class Socket:
    """A WebSocket client whose every step can be seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._events: list[Any] = []

    async def event(self) -> Any:
        async with asyncio.timeout(15):
            while not self._events:
                data = await self._reader.read(65536)
                if data:
                    self._connection.receive_data(data)
                else:
                    return None
                self._events += list(self._connection.events())
        return self._events.pop(0)

    def send(self, document: Any, *, finished: bool = True) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        self._writer.write(self._connection.send(TextMessage(data=text, message_finished=finished)))

    def request(self, number: int, kind: str, **fields: Any) -> None:
        self.send({"type": "request", "request_id": number, "request": {"type": kind, **fields}})

    async def answer(self) -> Any:
        text = ""
        while True:
            event = await self.event()
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                return json.loads(text)

    async def message_or_close(self) -> CloseConnection | None:
        """Wait for the next message; return what closes the connection if that comes instead."""
        while not isinstance(event := await self.event(), CloseConnection):
            assert isinstance(event, TextMessage), event
            if event.message_finished:
                return None
        return event

    async def closed(self) -> tuple[int, str]:
        while True:
            event = await self.event()
            if isinstance(event, CloseConnection):
                return event.code, event.reason or ""
            assert isinstance(event, TextMessage), event

    async def handshake(self, path: str, subprotocols: list[str], extensions: Sequence[Extension] = ()) -> Any:
        request = Request(host="127.0.0.1", target=path, subprotocols=subprotocols, extensions=list(extensions))
        self._writer.write(self._connection.send(request))
        return await self.event()


@contextlib.asynccontextmanager
async def socket(plane: Plane, path: str = f"/v1/{MAIN}") -> AsyncIterator[Socket]:
    port = httpx.URL(plane.root).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        client = Socket(reader, writer)
        client.path = path  # type: ignore[attr-defined]
        yield client
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def greeted(plane: Plane, token: str | None = None, path: str = f"/v1/{MAIN}") -> AsyncIterator[Socket]:
    async with socket(plane) as client:
        accepted = await client.handshake(path, ["hrana3"])
        assert isinstance(accepted, AcceptConnection) and accepted.subprotocol == "hrana3"
        client.send({"type": "hello", "jwt": token or plane.tokens[MAIN]})
        assert (await client.answer())["type"] == "hello_ok"
        yield client


async def test_the_best_subprotocol_is_chosen_and_an_unknown_one_refused(plane: Plane) -> None:
    for offered, chosen in (
        (["hrana1", "hrana2"], "hrana2"),
        (["hrana3", "hrana3-protobuf"], "hrana3-protobuf"),
        ([], None),
    ):
        async with socket(plane) as client:
            accepted = await client.handshake(f"/v1/{MAIN}", offered)
            assert isinstance(accepted, AcceptConnection) and accepted.subprotocol == chosen
    async with socket(plane) as client:
        rejected = await client.handshake(f"/v1/{MAIN}", ["graphql-ws"])
        assert isinstance(rejected, RejectConnection) and rejected.status_code == 400
    async with socket(plane) as client:
        rejected = await client.handshake("/v1/jobs", [])
        assert isinstance(rejected, RejectConnection) and rejected.status_code == 404


async def test_a_wrong_token_is_told_and_the_connection_closed(plane: Plane) -> None:
    async with socket(plane) as client:
        await client.handshake(f"/v1/{MAIN}", ["hrana2"])
        client.send({"type": "hello", "jwt": "wrong"})
        answer = await client.answer()
        assert (answer["type"], answer["error"]["code"]) == ("hello_error", "UNAUTHORIZED")
        assert (await client.closed())[0] == 1008


async def test_the_token_names_the_database_where_the_path_does_not(plane: Plane) -> None:
    async with greeted(plane, path="/v1") as client:
        client.request(1, "open_stream", stream_id=1)
        assert (await client.answer())["response"]["type"] == "open_stream"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 1007),
        ('{"type":"nonsense"}', 1007),
        ('{"type":"request","request_id":1,"request":{"type":"execute"}}', 1007),
        ('{"type":"request","x":' + "[" * 100_000, 1007),
    ],
)
async def test_what_cannot_be_decoded_closes_the_connection(plane: Plane, message: str, code: int) -> None:
    async with greeted(plane) as client:
        client.send(message)
        assert (await client.closed())[0] == code


async def test_requests_of_one_stream_keep_their_order_and_others_do_not_wait(plane: Plane) -> None:
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT count(*) FROM n"
    async with greeted(plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "open_stream", stream_id=2)
        client.request(3, "execute", stream_id=1, stmt={"sql": slow})
        client.request(4, "execute", stream_id=1, stmt={"sql": "SELECT 1"})
        client.request(5, "execute", stream_id=2, stmt={"sql": "SELECT 2"})
        order = [(await client.answer())["request_id"] for _ in range(5)]
        assert order == [1, 2, 5, 3, 4]


async def test_many_streams_wait_for_one_of_their_connection_to_commit(patient_plane: Plane) -> None:
    await patient_plane.execute("CREATE TABLE t (a)")
    streams = range(MAX_STREAMS)
    insert = {"sql": "INSERT INTO t VALUES (1)"}
    async with greeted(patient_plane) as client:
        for stream in streams:
            client.request(stream, "open_stream", stream_id=stream)
        assert {(await client.answer())["type"] for _ in streams} == {"response_ok"}
        client.request(1, "execute", stream_id=0, stmt={"sql": "BEGIN IMMEDIATE"})
        assert (await client.answer())["type"] == "response_ok"
        for stream in streams:
            client.request(stream, "execute", stream_id=stream, stmt=insert)
            client.request(stream, "close_stream" if stream else "get_autocommit", stream_id=stream)
        client.request(1, "execute", stream_id=0, stmt={"sql": "COMMIT"})
        assert {(await client.answer())["type"] for _ in range(2 * len(streams) + 1)} == {"response_ok"}
    assert await patient_plane.values("SELECT count(*) FROM t") == [[len(streams)]]


async def test_a_stored_text_may_be_closed_before_the_request_that_uses_it_runs(plane: Plane) -> None:
    async with greeted(plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "store_sql", sql_id=7, sql="SELECT 41 + 1")
        client.request(3, "execute", stream_id=1, stmt={"sql_id": 7})
        client.request(4, "close_sql", sql_id=7)
        client.request(5, "execute", stream_id=1, stmt={"sql_id": 7})
        answers = {answer["request_id"]: answer for answer in [await client.answer() for _ in range(5)]}
        assert answers[3]["response"]["result"]["rows"] == [[{"type": "integer", "value": "42"}]]
        assert answers[5]["error"]["code"] == "SQL_STORE_UNKNOWN"


async def test_a_cursor_gives_as_many_entries_as_are_asked_for(plane: Plane) -> None:
    async with greeted(plane) as client:
        client.request(1, "open_stream", stream_id=1)
        steps = [{"stmt": {"sql": "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3"}}]
        client.request(2, "open_cursor", stream_id=1, cursor_id=1, batch={"steps": steps})
        kinds = []
        for number in range(3, 20):
            client.request(number, "fetch_cursor", cursor_id=1, max_count=2)
            if number == 3:
                assert [(await client.answer())["response"]["type"] for _ in range(2)] == ["open_stream", "open_cursor"]
            response = (await client.answer())["response"]
            assert len(response["entries"]) <= 2
            kinds += [entry["type"] for entry in response["entries"]]
            if response["done"]:
                break
        assert kinds == ["step_begin", "row", "row", "row", "step_end"]
        client.request(30, "close_cursor", cursor_id=1)
        assert (await client.answer())["response"]["type"] == "close_cursor"
        client.request(31, "fetch_cursor", cursor_id=1, max_count=2)
        assert (await client.answer())["type"] == "response_error"


async def test_a_connection_that_ends_gives_its_turn_to_write_back(patient_plane: Plane) -> None:
    await patient_plane.execute("CREATE TABLE t (a)")
    async with greeted(patient_plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "execute", stream_id=1, stmt={"sql": "BEGIN IMMEDIATE"})
        assert [(await client.answer())["type"] for _ in range(2)] == ["response_ok"] * 2
    await patient_plane.execute("INSERT INTO t VALUES (1)")


async def test_rotation_suspension_and_expiry_end_open_connections(plane: Plane) -> None:
    async with greeted(plane) as client:
        plane.serve(MAIN, epoch=2)
        assert (await client.closed())[0] == 1008
    async with greeted(plane) as client:
        plane.serve(MAIN, epoch=2, blocked="not paid")
        assert (await client.closed())[0] == 1008
    plane.serve(MAIN, epoch=2)
    token = new_query_token(KEY, database_id=MAIN, epoch=2, ttl_seconds=1, audience="a", access="rw", now=time.time())
    async with greeted(plane, token) as client:
        assert await client.closed() == (1008, "The query token has expired")


async def test_another_hello_with_a_newer_token_keeps_a_connection(plane: Plane) -> None:
    def token(seconds: int) -> str:
        return new_query_token(
            KEY, database_id=MAIN, epoch=1, ttl_seconds=seconds, audience="a", access="rw", now=time.time()
        )

    old = token(3)
    async with greeted(plane, old) as client, greeted(plane, old) as neglected:
        client.send({"type": "hello", "jwt": token(60)})
        assert (await client.answer())["type"] == "hello_ok"
        assert (await neglected.closed())[0] == 1008
        client.request(1, "open_stream", stream_id=1)
        assert (await client.answer())["type"] == "response_ok"
        client.send({"type": "hello", "jwt": token(1)})
        assert (await client.answer())["type"] == "hello_ok"
        assert await client.closed() == (1008, "The query token has expired")


async def test_the_worker_closes_connections_when_its_database_is_dropped_or_it_dies(plane: Plane) -> None:
    async with greeted(plane) as client:
        client.request(1, "open_stream", stream_id=1)
        await client.answer()
        await plane.worker.drop(MAIN, delete=False)
        assert (await client.closed())[0] == 1008
    async with greeted(plane) as client:
        client.request(1, "open_stream", stream_id=1)
        await client.answer()
        await plane.worker.kill()
        assert (await client.closed())[0] == 1011
    await plane.worker.restart()
    assert await plane.values("SELECT 1") == [[1]]


async def test_a_transaction_of_a_connection_is_taken_away_when_another_writer_waits(hasty_plane: Plane) -> None:
    await hasty_plane.execute("CREATE TABLE t (a)")
    async with greeted(hasty_plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "execute", stream_id=1, stmt={"sql": "BEGIN IMMEDIATE"})
        assert [(await client.answer())["type"] for _ in range(2)] == ["response_ok"] * 2
        await hasty_plane.requests(execute("INSERT INTO t VALUES (1)"), {"type": "close"})
        client.request(3, "execute", stream_id=1, stmt={"sql": "INSERT INTO t VALUES (2)"})
        assert (await client.answer())["error"]["code"] == "TRANSACTION_TIMEOUT"


@pytest.mark.parametrize("begin", ["BEGIN", "SAVEPOINT outer"])
async def test_a_transaction_that_only_reads_ends_at_its_longest_age_too(hasty_plane: Plane, begin: str) -> None:
    """The WAL grows as long as it may be read from, whatever the size that the database may have."""
    await hasty_plane.execute("CREATE TABLE t (a)")
    async with greeted(hasty_plane) as client:
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "execute", stream_id=1, stmt={"sql": begin})
        assert [(await client.answer())["type"] for _ in range(2)] == ["response_ok"] * 2
        answer: Any = {"type": "response_ok"}
        number, started = 3, time.monotonic()
        while answer["type"] == "response_ok":
            await asyncio.sleep(0.05)  # a client that thinks
            client.request(number, "execute", stream_id=1, stmt={"sql": "SELECT count(*) FROM t"})
            answer = await client.answer()
            number += 1
            assert time.monotonic() - started < 20
        assert answer["error"]["code"] == "TRANSACTION_TIMEOUT"
        assert "open for 2 s, the limit" in answer["error"]["message"]
        client.request(number, "execute", stream_id=1, stmt={"sql": "ROLLBACK"})
        client.request(number + 1, "execute", stream_id=1, stmt={"sql": "SELECT count(*) FROM t"})
        assert [(await client.answer())["type"] for _ in range(2)] == ["response_ok"] * 2


async def test_cursors_and_requests_of_one_stream_may_use_the_same_sql(plane: Plane) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
    batch = {"steps": [{"stmt": {"sql": rows}}]}
    read: dict[int, list[int]] = {1: [], 2: []}
    async with greeted(plane) as client:
        number = 0

        async def ask(kind: str, **fields: Any) -> Any:
            nonlocal number
            number += 1
            client.request(number, kind, **fields)
            answer = await client.answer()
            assert answer["type"] == "response_ok", answer
            return answer["response"]

        async def fetch(cursor: int, most: int) -> bool:
            response = await ask("fetch_cursor", cursor_id=cursor, max_count=most)
            read[cursor] += [int(entry["row"][0]["value"]) for entry in response["entries"] if entry["type"] == "row"]
            return bool(response["done"])

        await ask("open_stream", stream_id=1)
        for cursor in read:
            await ask("open_cursor", stream_id=1, cursor_id=cursor, batch=batch)
            await fetch(cursor, 10)
        whole = await ask("execute", stream_id=1, stmt={"sql": rows})
        assert [int(row[0]["value"]) for row in whole["result"]["rows"]] == list(range(1, 20001))
        for other in range(CACHED_STATEMENTS + 1):
            await ask("execute", stream_id=1, stmt={"sql": f"SELECT {other}"})
        open_cursors = set(read)
        while open_cursors:
            open_cursors -= {cursor for cursor in sorted(open_cursors) if await fetch(cursor, 3000)}
    assert read[1] == read[2] == list(range(1, 20001))


async def test_a_client_leaves_while_its_cursor_is_at_work(capfd: pytest.CaptureFixture[str]) -> None:
    async with serve_plane() as plane:  # here, so that what it writes is captured
        async with greeted(plane) as client:
            client.request(1, "open_stream", stream_id=1)
            client.request(2, "open_cursor", stream_id=1, cursor_id=1, batch={"steps": [{"stmt": {"sql": ENDLESS}}]})
            client.request(3, "fetch_cursor", cursor_id=1, max_count=1)
            assert [(await client.answer())["type"] for _ in range(2)] == ["response_ok"] * 2
            await asyncio.sleep(0.1)
        assert await plane.worker.drain() == 0
    assert "Traceback" not in capfd.readouterr().err


async def test_a_client_that_leaves_an_open_cursor_while_its_stream_waits_harms_nobody(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
    baton = (await plane.requests(execute("BEGIN IMMEDIATE")))["baton"]
    for turn in range(10):
        async with greeted(plane) as client:
            client.request(1, "open_stream", stream_id=1)
            # A connection with a setting of its own is closed with its stream, not kept for others.
            client.request(2, "execute", stream_id=1, stmt={"sql": "PRAGMA recursive_triggers = OFF"})
            client.request(3, "open_cursor", stream_id=1, cursor_id=1, batch={"steps": [{"stmt": {"sql": rows}}]})
            client.request(4, "fetch_cursor", cursor_id=1, max_count=1)
            assert [(await client.answer())["type"] for _ in range(4)] == ["response_ok"] * 4
            client.request(5, "execute", stream_id=1, stmt={"sql": "INSERT INTO t VALUES (1)"})
        assert await plane.values(f"SELECT {turn}") == [[turn]]
    await plane.worker.stats(lambda stats: stats.streams == 1)
    assert (await plane.requests(execute("COMMIT"), baton=baton))["results"][0]["type"] == "ok"


async def test_many_unanswered_messages_of_a_database_end_one_connection_that_has_most(
    patient_plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    held = (await patient_plane.requests(execute("BEGIN IMMEDIATE")))["baton"]
    async with contextlib.AsyncExitStack() as open_:
        modest, *greedy = [await open_.enter_async_context(greeted(patient_plane)) for _ in range(5)]
        for client in (modest, *greedy):
            client.request(1, "open_stream", stream_id=1)
            client.request(2, "execute", stream_id=1, stmt={"sql": "CREATE TABLE IF NOT EXISTS t (a)"})
            assert (await client.answer())["type"] == "response_ok"
        for client in greedy:
            for number in range(3, 6):
                client.request(number, "execute", stream_id=1, stmt={"sql": f"SELECT '{'x' * (13 << 20)}'"})
        waiting = [asyncio.create_task(client.closed()) for client in greedy]
        (ended,), going_on = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        code, reason = await ended
        assert code == 1013
        assert reason == "WebSockets of its database had over 128 MiB of unanswered messages, this one most of all"
        assert caplog.messages == [f"a WebSocket of database {MAIN} was closed: {reason}"]
        await patient_plane.requests(execute("ROLLBACK"), {"type": "close"}, baton=held)
        assert (await modest.answer())["type"] == "response_ok"
        assert not any(task.done() for task in going_on)
        for task in going_on:
            task.cancel()


async def test_unfinished_messages_of_a_database_end_the_connection_that_has_most(plane: Plane) -> None:
    async with contextlib.AsyncExitStack() as open_:
        clients = [await open_.enter_async_context(greeted(plane)) for _ in range(11)]
        modest, *greedy = clients
        waiting = [asyncio.create_task(client.closed()) for client in greedy]
        modest.send("{", finished=False)
        for client in greedy:
            client.send("x" * (13 << 20), finished=False)
        (ended,), going_on = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        code, reason = await ended
        assert code == 1013
        assert reason == "WebSockets of its database had over 128 MiB of unanswered messages, this one most of all"
        modest.send('"type": "request", "request_id": 1, "request": {"type": "open_stream", "stream_id": 1}}')
        assert (await modest.answer())["type"] == "response_ok"
        for task in going_on:
            task.cancel()


async def test_the_first_message_is_short_and_what_follows_need_not_wait_for_its_answer(plane: Plane) -> None:
    async with socket(plane) as client:
        await client.handshake(f"/v1/{MAIN}", ["hrana3"])
        client.send({"type": "hello", "jwt": "x" * 70_000})
        assert (await client.closed())[0] == 1009
    async with socket(plane) as client:
        await client.handshake(f"/v1/{MAIN}", ["hrana3"])
        client.send({"type": "hello", "jwt": plane.tokens[MAIN]})
        client.request(1, "open_stream", stream_id=1)
        client.request(2, "execute", stream_id=1, stmt={"sql": f"SELECT length('{'x' * 500_000}')"})
        assert [(await client.answer())["type"] for _ in range(3)] == ["hello_ok", "response_ok", "response_ok"]


async def test_messages_are_not_compressed(plane: Plane) -> None:
    async with socket(plane) as client:
        accepted = await client.handshake(f"/v1/{MAIN}", ["hrana3"], extensions=[PerMessageDeflate()])
        assert isinstance(accepted, AcceptConnection)
        assert not any(extension.enabled() for extension in accepted.extensions)
