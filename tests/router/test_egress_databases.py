"""Requests of apps to the data plane: a host's frames, the real egress process, a real database worker."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from dataplane.throttle import SECONDS_PER_FAILURE
from dataplane.tokens import new_database_token
from isolates.wire import MAX_DATA_BYTES, WINDOW_BYTES
from router.egress.databases import MAX_HELD_BYTES
from router.identity import SubrequestLimits
from router.messages import AppStats
from tests.dataplane.plane import ENDLESS, KEY, MAIN, OTHER, Plane, execute, serve_plane
from tests.router.egress_peer import Answer, Egress, Fetch, Host, egress

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSE = {"type": "close"}
SERIES = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
ROWS = SERIES + " SELECT i, printf('%.900c', 'x') FROM n"
_VARYING = re.compile(rb'"query_duration_ms":[0-9.e-]+|"baton":"[^"]+"')


class Node(NamedTuple):
    """What a test of this file has: `plane` answers over HTTP, too."""

    plane: Plane
    egress: Egress
    host: Host

    async def publish(self) -> None:
        """Give the egress process the catalog that the data plane has."""
        await self.egress.apply(self.plane.catalog)

    def start(self, path: str, document: Any, *, host: Host | None = None, **more: Any) -> Fetch:
        """Send a request to an endpoint of `MAIN`."""
        fields = [("authorization", f"Bearer {self.plane.tokens[MAIN]}"), ("content-type", "application/json")]
        data = json.dumps(document).encode()
        return (host or self.host).start("POST", f"http://db.localhost/v1/{MAIN}/{path}", fields, data, **more)

    async def run(self, sql: str) -> Answer:
        """Run one statement."""
        return await Host.result(self.start("v3/pipeline", {"requests": [execute(sql), CLOSE]}))

    def cursor(self, sql: str, **more: Any) -> Fetch:
        """Begin a cursor with one statement."""
        return self.start("v3/cursor", {"batch": {"steps": [{"stmt": {"sql": sql}}]}}, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Node]:
    async with running() as found:
        yield found


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Node]:
    async with serve_plane() as plane, egress(db_hosts=["db.localhost"], token_key=KEY) as process:
        found = Node(plane, process, await process.host())
        await found.publish()
        yield found


async def streams(plane: Plane, count: int) -> None:
    """Wait until the worker reports so many."""
    await plane.worker.stats(lambda stats: stats.streams == count)


async def test_answers_are_those_of_the_edge(node: Node) -> None:
    plane, host = node.plane, node.host
    await plane.execute("CREATE TABLE t (a PRIMARY KEY, b) WITHOUT ROWID")
    select = json.dumps({"requests": [execute("SELECT 1, 'ü'"), CLOSE]})
    wrong, own, other = "Bearer nonsense", f"Bearer {plane.tokens[MAIN]}", f"bearer {plane.tokens[OTHER]}"
    missing = f"Bearer {new_database_token('db-cccccccccccc')}"
    at = f"/v1/{MAIN}"
    batch = json.dumps({"batch": {"steps": [{"stmt": {"sql": "SELECT 1"}}]}})
    failing = json.dumps({"requests": [execute("SELECT nope"), CLOSE]})
    large = json.dumps({"requests": [execute(ROWS.format(200)), CLOSE]})
    asked: list[tuple[str, str, str, str]] = [
        *(("POST", f"{at}/{version}/pipeline", own, select) for version in ("v2", "v3")),
        ("POST", "/v1/v2/pipeline", own, select),
        ("POST", "/v1/%76%33/pipeline", own, select),
        ("POST", f"{at}/v3/cursor", own, batch),
        ("POST", f"{at}/v1/batch", own, batch),
        ("POST", at, own, '{"statements": ["SELECT 1"]}'),
        ("POST", f"{at}/v3/pipeline", own, failing),
        ("POST", f"{at}/v3/pipeline", own, large),
        ("POST", f"{at}/v3/pipeline", own, "{"),
        ("POST", f"{at}/v3/pipeline", own, '{"baton": "x", "requests": []}'),
        ("POST", f"{at}/v3-protobuf/pipeline", own, "x"),
        *(("POST", f"{at}/v3/pipeline", token, select) for token in ("", "Basic x", wrong, other, missing)),
        ("GET", f"{at}/dump", own, ""),
        ("GET", f"{at}/dump?preserve_row_ids=true", own, ""),
        ("GET", f"{at}/dump", wrong, ""),
        *(("GET", f"{at}/{path}", "", "") for path in ("v2", "v3", "v3-protobuf", "health", "version", "v1/jobs", "x")),
        ("HEAD", f"{at}/v3", "", ""),
        ("OPTIONS", f"{at}/v3/pipeline", "", ""),
        ("PUT", f"{at}/v3/pipeline", own, select),
        ("POST", f"{at}/v9/pipeline", own, select),
        ("GET", "/elsewhere", own, ""),
    ]
    for method, path, token, body in asked:
        fields = {"authorization": token} if token else {}
        over_http = await plane.http.request(
            method, path, headers={**fields, "accept-encoding": "identity"}, content=body.encode()
        )
        answer = await host.fetch(method, f"http://db.localhost{path}", list(fields.items()), body.encode())
        assert answer.status == over_http.status_code, (method, path)
        assert answer.reason == over_http.reason_phrase
        assert _VARYING.sub(b"", answer.body) == _VARYING.sub(b"", over_http.content), (method, path)
        left_out = {"date", "server", "vary", "transfer-encoding", "connection"}
        if _VARYING.search(answer.body):
            assert answer.header("content-length") == str(len(answer.body))
            left_out.add("content-length")
        expected = [field for field in over_http.headers.multi_items() if field[0] not in left_out]
        assert [field for field in answer.fields if field[0] not in left_out] == expected, (method, path)


async def test_small_request_takes_one_frame_each_way_and_is_counted(node: Node) -> None:
    url = f"http://db.localhost/v1/{OTHER}/v3/pipeline"
    good = [("authorization", f"Bearer {node.plane.tokens[OTHER]}")]
    body = json.dumps({"requests": [execute("SELECT nope"), CLOSE]}).encode()
    assert len((await node.host.fetch("POST", url, good, body)).frames) == 1
    assert (await node.host.fetch("POST", url, good, b"{")).status == 400
    assert (await node.host.fetch("POST", url, [("authorization", "Bearer x")], body)).status == 401
    nothing = AppStats({}, 0.0, [])
    async with asyncio.timeout(10):
        while sum(_last(node.egress).get(OTHER, nothing).responses.values()) < 2:
            node.egress.stats_changed.clear()
            await node.egress.stats_changed.wait()
    assert _last(node.egress)[OTHER].responses == {"2xx": 1, "4xx": 1}


def _last(egress: Egress) -> dict[str, AppStats]:
    return egress.stats[-1].databases if egress.stats else {}


async def test_large_result_waits_for_a_slow_reader_and_comes_whole(node: Node) -> None:
    sql = ROWS.format(5_000)
    slow = node.cursor(sql, window=False)
    async with asyncio.timeout(20):
        await slow.until(lambda: len(slow.answer.body) == WINDOW_BYTES)
        # Others go on meanwhile, on the same connection to the worker.
        assert (await node.run("SELECT 1")).status == 200
        assert len(slow.answer.body) == WINDOW_BYTES
        stats = await node.plane.worker.stats(lambda stats: stats.databases[MAIN].queries >= 1)
        assert stats.databases[MAIN].sent_bytes < 3 << 20
        read = 0
        while not slow.done.is_set():
            slow.changed.clear()
            slow.grant(len(slow.answer.body) - read)
            read = len(slow.answer.body)
            await slow.changed.wait()
    assert slow.answer.body.count(b'"type":"row"') == 5_000
    whole = await Host.result(node.cursor(sql))
    assert _VARYING.sub(b"", whole.body) == _VARYING.sub(b"", slow.answer.body)


async def test_pipeline_of_many_megabytes_comes_whole(node: Node) -> None:
    answer = await node.run(ROWS.format(5_000))
    assert len(json.loads(answer.body)["results"][0]["response"]["result"]["rows"]) == 5_000


async def test_nobody_reads_on_and_the_worker_stops(node: Node) -> None:
    await node.plane.worker.drop(MAIN, delete=False)
    running = node.start("v3/pipeline", {"requests": [execute(ENDLESS)]})
    reading = node.cursor(ROWS.format(1_000_000), window=False)
    async with asyncio.timeout(20):
        await reading.until(lambda: len(reading.answer.body) == WINDOW_BYTES)
    await streams(node.plane, 2)
    running.cancel()
    reading.cancel()
    await streams(node.plane, 0)
    host = await node.egress.host()
    node.start("v3/pipeline", {"requests": [execute(ENDLESS)]}, host=host)
    await streams(node.plane, 1)
    host.close()
    await streams(node.plane, 0)
    assert (await node.run("SELECT 1")).status == 200


async def test_body_in_pieces_arrives_whole_and_within_bounds(node: Node) -> None:
    await node.run("CREATE TABLE pieces (a)")
    document = json.dumps({"requests": [execute("INSERT INTO pieces VALUES (?)", "x" * 2_000_000), CLOSE]}).encode()
    fields = [("authorization", f"Bearer {node.plane.tokens[MAIN]}")]
    fetch = node.host.start("POST", f"http://db.localhost/v1/{MAIN}/v3/pipeline", fields, end=False)
    await send(fetch, document)
    answer = await Host.result(fetch)
    assert (answer.status, json.loads(answer.body)["results"][0]["type"]) == (200, "ok")
    assert b"2000000" in (await node.run("SELECT length(a) FROM pieces")).body

    declared = [*fields, ("content-length", str(65 << 20))]
    early = node.host.start("POST", f"http://db.localhost/v1/{MAIN}/v3/pipeline", declared, end=False)
    assert (await Host.result(early)).status == 413


async def send(fetch: Fetch, data: bytes, *, end: bool = True) -> None:
    """Send a body as the windows allow."""
    for at in range(0, len(data), MAX_DATA_BYTES):
        piece = data[at : at + MAX_DATA_BYTES]
        async with asyncio.timeout(20):
            await fetch.until(lambda: fetch.granted >= len(piece) or fetch.done.is_set())  # noqa: B023
        if fetch.done.is_set():
            return
        fetch.granted -= len(piece)
        fetch.send(piece, end=end and at + len(piece) == len(data))


async def test_bodies_that_wait_are_bounded_for_an_app(node: Node) -> None:
    fields = [("authorization", f"Bearer {node.plane.tokens[MAIN]}")]
    most = MAX_HELD_BYTES // 2 - (1 << 20)
    held = []
    for _ in range(3):
        held.append(node.host.start("POST", f"http://db.localhost/v1/{MAIN}/v3/pipeline", fields, end=False))
        await send(held[-1], bytes(most), end=False)
    refused = await Host.result(held[-1])
    assert (refused.code, refused.limit) == ("limit", "database_bodies")
    assert "128 MiB" in refused.detail
    assert not held[0].done.is_set()
    for fetch in held[:2]:
        fetch.cancel()
    again = node.host.start("POST", f"http://db.localhost/v1/{MAIN}/v3/pipeline", fields, end=False)
    await send(again, bytes(most))
    assert (await Host.result(again)).status == 400


async def test_rotation_and_suspension_are_in_force_once_acknowledged(node: Node) -> None:
    assert (await node.run("SELECT 1")).status == 200
    reading = node.cursor(ROWS.format(1_000_000), window=False)
    async with asyncio.timeout(20):
        await reading.until(lambda: len(reading.answer.body) == WINDOW_BYTES)
    old = node.plane.tokens[MAIN]
    node.plane.serve(MAIN, epoch=2)
    await node.publish()
    await node.plane.worker.drop(MAIN, delete=False)
    assert "ended this request" in (await Host.result(reading)).broken
    url, body = f"http://db.localhost/v1/{MAIN}/v3/pipeline", json.dumps({"requests": []}).encode()
    assert (await node.host.fetch("POST", url, [("authorization", f"Bearer {old}")], body)).status == 401
    assert (await node.run("SELECT 1")).status == 200
    fields = [("authorization", f"Bearer {node.plane.tokens[MAIN]}")]
    begun = node.host.start("POST", url, fields, end=False)
    await send(begun, b" " * WINDOW_BYTES, end=False)
    async with asyncio.timeout(20):
        await begun.until(lambda: begun.granted > 0)
    node.plane.serve(MAIN, epoch=3)
    await node.publish()
    await send(begun, body)
    assert (await Host.result(begun)).status == 401
    node.plane.serve(MAIN, epoch=2, blocked="The database is suspended")
    await node.publish()
    assert b"The database is suspended" in (await node.run("SELECT 1")).body
    node.plane.serve(MAIN, epoch=2)
    await node.publish()


async def test_worker_that_dies_costs_the_calls_it_had_and_no_more(node: Node) -> None:
    await node.plane.worker.drop(MAIN, delete=False)
    reading = node.cursor(ROWS.format(1_000_000), window=False)
    async with asyncio.timeout(20):
        await reading.until(lambda: len(reading.answer.body) == WINDOW_BYTES)
    running = node.start("v3/pipeline", {"requests": [execute(ENDLESS)]})
    await streams(node.plane, 2)
    await node.plane.worker.kill()
    answer = await Host.result(running)
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert json.loads(answer.body)["code"] == "WORKER_LOST"
    assert "restarted during this request" in (await Host.result(reading)).broken
    waiting = node.start("v3/pipeline", {"requests": [execute("SELECT 1"), CLOSE]})
    await node.plane.worker.restart()
    assert (await Host.result(waiting)).status == 200


async def test_limits_of_the_app_hold(node: Node) -> None:
    host = await node.egress.host_of("app-2", SubrequestLimits(milliseconds=500, megabytes=1, concurrent=1))
    large = await Host.result(node.cursor(ROWS.format(100_000), host=host))
    assert (large.limit, len(large.body) <= 1 << 20) == ("subrequest_mb", True)
    first = node.start("v3/pipeline", {"requests": [execute(ENDLESS)]}, host=host)
    second = node.start("v3/pipeline", {"requests": [execute("SELECT 1"), CLOSE]}, host=host)
    late = await Host.result(first)
    assert (late.code, late.limit) == ("limit", "subrequest_ms")
    assert (await Host.result(second)).status == 200


async def test_wrong_tokens_of_an_app_slow_down_that_app(node: Node) -> None:
    url, statuses = f"http://db.localhost/v1/{MAIN}/v3/pipeline", []
    host = await node.egress.host_of("app-3", SubrequestLimits())
    for number in range(25):
        answer = await host.fetch("POST", url, [("authorization", f"Bearer wrong-{number}")])
        statuses.append(answer.status)
    assert statuses == [401] * 20 + [429] * 5
    assert 0 < int(answer.header("retry-after") or 0) <= SECONDS_PER_FAILURE
    assert (await node.run("SELECT 1")).status == 200
    neighbour = await node.egress.host_of("app-4", SubrequestLimits())
    assert (await neighbour.fetch("POST", url, [("authorization", "Bearer wrong")])).status == 401
