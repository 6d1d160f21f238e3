"""Paths, tokens, probes, CORS: what a request meets before any SQL."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dataplane.endpoints import MAX_BODY_BYTES, Target, parse_path
from dataplane.tokens import new_database_token, new_query_token
from tests.dataplane.plane import KEY, MAIN, OTHER, Plane, execute

SELECT = {"requests": [execute("SELECT 1"), {"type": "close"}]}


def test_paths() -> None:
    assert parse_path(f"/v1/{MAIN}/v2/pipeline") == Target(MAIN, "v2/pipeline")
    assert parse_path("/v1/v2/pipeline") == Target(None, "v2/pipeline")
    assert parse_path("/v1/v1/execute") == Target(None, "v1/execute")
    assert parse_path("/v1/db-short/v2/pipeline") == Target(None, "db-short/v2/pipeline")
    assert parse_path("/docs") is None
    assert parse_path("/v1x/v2/pipeline") is None


async def test_the_bare_form_finds_the_database_by_its_token(plane: Plane) -> None:
    for path in ("/v1/v2/pipeline", "/v1/v3/pipeline"):
        response = await plane.http.post(path, json=SELECT, headers={"authorization": f"Bearer {plane.tokens[MAIN]}"})
        assert response.status_code == 200


async def test_probes_need_no_token(plane: Plane) -> None:
    for path in (f"/v1/{MAIN}/v2", f"/v1/{MAIN}/v3", "/v1/v2", "/v1/v3", f"/v1/{MAIN}/health", f"/v1/{MAIN}/version"):
        response = await plane.http.get(path)
        assert (response.status_code, response.headers["content-type"]) == (200, "text/plain"), path
    assert (await plane.http.get(f"/v1/{MAIN}/v3-protobuf")).status_code == 200


async def test_wrong_tokens_get_401_whether_the_database_exists_or_not(plane: Plane) -> None:
    answers = set()
    for database_id in (MAIN, "db-cccccccccccc"):
        for token in ("nonsense", new_database_token(MAIN), new_database_token("db-cccccccccccc"), "q.x.y", "é" * 5000):
            response = await plane.http.post(
                f"/v1/{database_id}/v2/pipeline",
                json=SELECT,
                headers={b"authorization": f"Bearer {token}".encode()},
            )
            answers.add((response.status_code, response.text))
    response = await plane.http.post(f"/v1/{MAIN}/v2/pipeline", json=SELECT)
    answers.add((response.status_code, response.text))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


async def test_another_databases_token_gets_404_whether_the_database_exists_or_not(plane: Plane) -> None:
    existing = await plane.post("v2/pipeline", SELECT, token=plane.tokens[OTHER])
    missing = await plane.post("v2/pipeline", SELECT, database_id="db-cccccccccccc", token=plane.tokens[OTHER])
    assert existing.status_code == missing.status_code == 404
    assert existing.text == missing.text
    assert existing.json().keys() == {"message", "code", "error"}


async def test_rotation_ends_database_and_query_tokens(plane: Plane) -> None:
    old = plane.tokens[MAIN]
    query = new_query_token(
        KEY, database_id=MAIN, epoch=1, ttl_seconds=60, audience="shell", access="rw", now=time.time()
    )
    assert (await plane.post("v2/pipeline", SELECT, token=query)).status_code == 200
    plane.serve(MAIN, epoch=2)
    assert (await plane.post("v2/pipeline", SELECT, token=old)).status_code == 401
    assert (await plane.post("v2/pipeline", SELECT, token=query)).status_code == 401
    assert (await plane.post("v2/pipeline", SELECT)).status_code == 200


@pytest.mark.parametrize("change", ["rotated", "suspended"])
async def test_rights_withdrawn_while_a_body_comes_hold_for_its_request(plane: Plane, change: str) -> None:
    await plane.execute("CREATE TABLE t (a)")
    body = json.dumps({"requests": [execute("INSERT INTO t VALUES ('late')"), {"type": "close"}]}).encode()
    token = plane.tokens[MAIN]
    pieces = deque([body[:10], body[10:]])
    answer: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()  # the client stays
        piece = pieces.popleft()
        if not pieces:
            # The first piece was taken: the request has been let in.
            if change == "rotated":
                plane.serve(MAIN, epoch=2)
            else:
                plane.serve(MAIN, blocked="unpaid", token=token)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/v1/{MAIN}/v2/pipeline", "client": ("127.0.0.1", 1)}
    await plane.app({**scope, "headers": [(b"authorization", f"Bearer {token}".encode())]}, receive, send)
    assert answer[0]["status"] == (401 if change == "rotated" else 200)
    assert (b"UNAUTHORIZED" if change == "rotated" else b"BLOCKED") in answer[1]["body"]
    plane.serve(MAIN, epoch=2)
    assert await plane.values("SELECT count(*) FROM t") == [[0]]


async def test_a_read_only_token_reads_and_cannot_write(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    token = new_query_token(
        KEY, database_id=MAIN, epoch=1, ttl_seconds=60, audience="shell", access="ro", now=time.time()
    )
    statements = ["SELECT * FROM t", "INSERT INTO t VALUES (1)", "BEGIN IMMEDIATE", "PRAGMA query_only = 0"]
    statements += ["PRAGMA user_version = 5", "CREATE TEMP TABLE x (a)"]
    document = {"requests": [execute(sql) for sql in statements]}
    results = (await plane.post("v2/pipeline", document, token=token)).json()["results"]
    assert [result["type"] for result in results] == ["ok"] + ["error"] * 5
    assert results[1]["error"]["code"] == "SQLITE_READONLY"
    document = {"requests": [execute("EXPLAIN QUERY PLAN DELETE FROM t")]}
    assert (await plane.post("v2/pipeline", document, token=token)).json()["results"][0]["type"] == "ok"


async def test_a_suspended_database_answers_blocked_with_the_reason(plane: Plane) -> None:
    baton = (await plane.requests(execute("BEGIN")))["baton"]
    plane.serve(MAIN, blocked="unpaid")
    await plane.worker.drop(MAIN, delete=False)
    error = await plane.failure("SELECT 1")
    assert (error["code"], error["message"]) == ("BLOCKED", "The database is suspended: unpaid")
    # Streams that were open are told the same, not that they have expired.
    answer = await plane.requests(execute("COMMIT"), baton=baton)
    assert answer["results"][0]["error"]["code"] == "BLOCKED"


async def test_nothing_but_database_paths_is_served(plane: Plane) -> None:
    for path in ("/", "/docs", "/metrics", "/v1", "/v1/projects", f"/v1/{MAIN}", f"/v1/{MAIN}/nope", "/openapi.json"):
        assert (await plane.http.get(path)).status_code == 404, path
        # POST to the root is the first protocol's only endpoint.
        known = path in ("/v1", f"/v1/{MAIN}")
        assert (await plane.http.post(path)).status_code == (401 if known else 404), path
        assert (await plane.http.options(path)).status_code == (204 if known else 404), path
    assert (await plane.http.get("/v1/v1/jobs")).json() == {"error": "Invalid namespace"}


async def test_browsers_may_call_from_anywhere(plane: Plane) -> None:
    preflight = await plane.http.options(
        f"/v1/{MAIN}/v3/pipeline", headers={"origin": "https://x.test", "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert (await plane.post("v3/pipeline", SELECT)).headers["access-control-allow-origin"] == "*"


async def test_a_body_over_the_limit_gets_413_before_it_is_sent(plane: Plane) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(plane.root.rpartition(":")[2]))
    head = (
        f"POST /v1/{MAIN}/v2/pipeline HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plane.tokens[MAIN]}\r\n"
        f"content-length: {MAX_BODY_BYTES + 1}\r\n\r\n"
    )
    writer.write(head.encode())
    answer = await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
    assert b" 413 " in answer
    assert b"64 MiB" in answer


async def test_bodies_of_a_length_not_told_take_no_more_room_than_they_have(patient_plane: Plane) -> None:
    plane = patient_plane

    async def in_pieces(*requests: Any, baton: str | None = None) -> httpx.Response:
        """In chunks, so that the first does not bring all of it."""
        body = json.dumps({"baton": baton, "requests": requests}).encode()

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (body[:5], body[5:]):
                yield piece
                await asyncio.sleep(0.1)

        headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
        return await plane.http.post(f"/v1/{MAIN}/v3/pipeline", content=pieces(), headers=headers)

    await plane.execute("CREATE TABLE t (a)")
    baton = (await plane.requests(execute("BEGIN IMMEDIATE")))["baton"]
    insert = (execute("INSERT INTO t VALUES (1)"), {"type": "close"})
    waiting = [asyncio.create_task(in_pieces(*insert)) for _ in range(3)]
    await plane.worker.stats(lambda stats: stats.streams == 4)
    # All of them wait for this one, which must not wait for them.
    assert (await in_pieces(execute("COMMIT"), {"type": "close"}, baton=baton)).status_code == 200
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert await plane.values("SELECT count(*) FROM t") == [[3]]


async def test_large_bodies_of_one_database_wait_for_each_other_and_hold_up_nobody_else(plane: Plane) -> None:
    size = 50 << 20
    answers: list[asyncio.Task[bytes]] = []
    writers: list[asyncio.StreamWriter] = []

    async def upload(number: int) -> bytes:
        """Send all but the last byte, which is sent once `finish` says so; return the head of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(plane.root.rpartition(":")[2]))
        writers.append(writer)
        head = (
            f"POST /v1/{MAIN}/v2/pipeline HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plane.tokens[MAIN]}\r\n"
            f"content-length: {size}\r\n\r\n"
        )
        writer.write(head.encode())
        for _ in range(size >> 20):
            writer.write(b" " * ((1 << 20) - (_ == 0)))
            await writer.drain()
        sent[number].set()
        await finish[number].wait()
        writer.write(b"x")
        return await reader.readuntil(b"\r\n")

    sent, finish = [asyncio.Event() for _ in range(3)], [asyncio.Event() for _ in range(3)]
    try:
        for number in range(2):
            answers.append(asyncio.create_task(upload(number)))
            await asyncio.wait_for(sent[number].wait(), 30)
        answers.append(asyncio.create_task(upload(2)))
        for database_id in (MAIN, OTHER):
            for _ in range(50):
                await plane.execute("SELECT 1", database_id=database_id)
        assert not sent[2].is_set()
        finish[0].set()
        assert b" 400 " in await asyncio.wait_for(answers[0], 30)  # blanks and an x are no JSON
        await asyncio.wait_for(sent[2].wait(), 30)
        # A client that leaves gives its room back, too.
        writers[1].transport.abort()
        finish[2].set()
        assert b" 400 " in await asyncio.wait_for(answers[2], 30)
    finally:
        for task in answers:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*answers, return_exceptions=True)


async def test_the_first_protocol_posts_statements_to_the_root(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a, b)")
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
    statements = [
        {"q": "INSERT INTO t VALUES (?, ?)", "params": ["x", {"base64": "AP8"}]},
        {"q": "INSERT INTO t VALUES (:a, :b)", "params": {"a": 1.5, "b": None}},
        "SELECT * FROM t",
        "SELECT nope",
        "SELECT 1",
    ]
    for path in (f"/v1/{MAIN}/", f"/v1/{MAIN}", "/v1"):
        response = await plane.http.post(path, json={"statements": statements}, headers=headers)
        assert response.status_code == 200
        answers = response.json()
        assert answers[2]["results"]["columns"] == ["a", "b"]
        assert answers[2]["results"]["rows"][:2] == [["x", {"base64": "AP8"}], [1.5, None]]
        assert "no such column" in answers[3]["error"]["message"]
        assert answers[4] is None


async def test_a_transaction_that_the_first_protocol_leaves_open_is_no_success(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}"}
    statements = ["BEGIN", "INSERT INTO t VALUES (1)"]
    response = await plane.http.post("/v1", json={"statements": statements}, headers=headers)
    assert response.status_code == 400
    assert "rolled back" in response.json()["message"]
    response = await plane.http.post("/v1", json={"statements": [*statements, "COMMIT"]}, headers=headers)
    assert response.status_code == 200
    assert await plane.values("SELECT count(*) FROM t") == [[1]]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_long_answers_are_compressed_for_clients_that_want_it(plane: Plane, coding: str) -> None:
    headers = {"authorization": f"Bearer {plane.tokens[MAIN]}", "accept-encoding": coding}
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
    document = {"requests": [execute(rows), {"type": "close"}]}
    response = await plane.http.post(f"/v1/{MAIN}/v2/pipeline", json=document, headers=headers)
    assert response.headers["content-encoding"] == coding
    assert response.headers["content-type"] == "application/json"
    assert len(response.json()["results"][0]["response"]["result"]["rows"]) == 20000
    steps = {"batch": {"steps": [{"stmt": {"sql": rows}}]}}
    cursor = await plane.http.post(f"/v1/{MAIN}/v3/cursor", json=steps, headers=headers)
    assert cursor.headers["content-encoding"] == coding
    assert len(cursor.text.splitlines()) == 20004
    short = {"requests": [execute("SELECT 1"), {"type": "close"}]}
    response = await plane.http.post(f"/v1/{MAIN}/v2/pipeline", json=short, headers=headers)
    assert "content-encoding" not in response.headers


async def test_wrong_tokens_are_slowed_down_and_right_ones_are_not(plane: Plane) -> None:
    answers = [await plane.post("v2/pipeline", {"requests": []}, token=f"wrong{number}") for number in range(25)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:20] == [401] * 20
    assert 429 in statuses[20:]
    refused = await plane.post("v2/pipeline", {"requests": []}, token="wrong")
    assert refused.json()["code"] == "TOO_MANY_FAILURES"
    assert f"try again in {refused.headers['retry-after']} s" in refused.text
    assert await plane.values("SELECT 1") == [[1]]


async def test_tokens_that_are_over_are_told_so_beside_wrong_ones(plane: Plane) -> None:
    for number in range(30):
        await plane.post("v2/pipeline", {"requests": []}, token=f"wrong{number}")
    now = time.time()
    for epoch, issued in ((1, now - 100), (0, now)):
        token = new_query_token(
            KEY, database_id=MAIN, epoch=epoch, ttl_seconds=60, audience="a", access="rw", now=issued
        )
        assert (await plane.post("v2/pipeline", {"requests": []}, token=token)).status_code == 401
