"""Batons, transactions over several requests, the order of writers, and what ends a stream."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from dataplane.messages import Stuck
from dataplane.service import MAX_ASIDE_PER_DATABASE
from tests.dataplane.plane import ENDLESS, MAIN, OTHER, STUCK, Plane, execute

SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"
CLOSE = {"type": "close"}


async def test_a_transaction_spans_requests_and_is_seen_by_nobody_else(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    first = await plane.requests(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t VALUES (1)"))
    assert await plane.values("SELECT count(*) FROM t") == [[0]]
    second = await plane.requests(execute("SELECT count(*) FROM t"), baton=first["baton"])
    assert second["results"][0]["response"]["result"]["rows"] == [[{"type": "integer", "value": "1"}]]
    third = await plane.requests(execute("COMMIT"), CLOSE, baton=second["baton"])
    assert third["baton"] is None
    assert await plane.values("SELECT count(*) FROM t") == [[1]]


async def test_closing_a_stream_rolls_back(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.requests(execute("BEGIN"), execute("INSERT INTO t VALUES (1)"), CLOSE)
    assert await plane.values("SELECT count(*) FROM t") == [[0]]


async def test_a_baton_serves_once_and_only_its_database(plane: Plane) -> None:
    first = await plane.requests(execute("SELECT 1"))
    second = await plane.requests(execute("SELECT 1"), baton=first["baton"])
    document = {"requests": [execute("SELECT 1")]}
    reused = await plane.post("v3/pipeline", {**document, "baton": first["baton"]})
    assert (reused.status_code, reused.json()["message"]) == (400, "Received a baton that has already been used")
    elsewhere = await plane.post("v3/pipeline", {**document, "baton": second["baton"]}, database_id=OTHER)
    assert (elsewhere.status_code, elsewhere.json()["message"]) == (400, "Received an invalid baton")
    changed = second["baton"][:-1] + ("A" if second["baton"][-1] != "A" else "B")
    assert (await plane.post("v3/pipeline", {**document, "baton": changed})).status_code == 400
    assert (await plane.post("v3/pipeline", {**document, "baton": "é"})).status_code == 400
    await plane.requests(CLOSE, baton=second["baton"])


async def test_a_closed_or_lost_stream_says_expired(plane: Plane) -> None:
    first = await plane.requests(execute("SELECT 1"))
    await plane.requests(CLOSE, baton=first["baton"])
    lost = await plane.requests(execute("SELECT 1"))
    await plane.worker.kill()
    await plane.worker.restart()
    response = await plane.post("v3/pipeline", {"baton": lost["baton"], "requests": []})
    assert (response.status_code, response.json()["code"]) == (400, "STREAM_EXPIRED")


async def test_a_rotation_ends_streams(plane: Plane) -> None:
    first = await plane.requests(execute("BEGIN"))
    plane.serve(MAIN, epoch=2)
    response = await plane.post("v3/pipeline", {"baton": first["baton"], "requests": [execute("SELECT 1")]})
    assert response.status_code == 400


async def test_writers_wait_for_their_turn_in_order_and_never_see_busy(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    holder = await plane.requests(execute("BEGIN IMMEDIATE"))
    waiting = []
    for number in range(5):
        waiting.append(asyncio.create_task(plane.execute("INSERT INTO t (a) VALUES (?)", number)))
        await plane.execute("SELECT 1")  # the worker has taken the insert before this read
    assert not any(task.done() for task in waiting)
    await plane.requests(execute("COMMIT"), CLOSE, baton=holder["baton"])
    await asyncio.gather(*waiting)
    assert await plane.values("SELECT a FROM t ORDER BY id") == [[n] for n in range(5)]


async def test_readers_go_on_beside_a_writer(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    holder = await plane.requests(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t VALUES (1)"))
    assert await plane.values("SELECT count(*) FROM t") == [[0]]
    await plane.requests(CLOSE, baton=holder["baton"])


async def test_a_transaction_is_taken_away_when_another_writer_waits(hasty_plane: Plane) -> None:
    await hasty_plane.execute("CREATE TABLE t (a)")
    holder = await hasty_plane.requests(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t VALUES ('lost')"))
    await hasty_plane.execute("INSERT INTO t VALUES ('kept')")
    # Nothing of the rest of the transaction may take effect on its own.
    answer = await hasty_plane.requests(
        execute("INSERT INTO t VALUES ('lost')"), execute("COMMIT"), execute("SELECT 1"), CLOSE, baton=holder["baton"]
    )
    errors = [result["error"] for result in answer["results"][:2]]
    assert [error["code"] for error in errors] == ["TRANSACTION_TIMEOUT"] * 2
    assert "0.5 s while another writer waited" in errors[0]["message"]
    assert answer["results"][2]["type"] == "ok"
    assert await hasty_plane.values("SELECT a FROM t") == [["kept"]]


async def test_rollback_of_a_transaction_that_was_taken_away_succeeds(hasty_plane: Plane) -> None:
    await hasty_plane.execute("CREATE TABLE t (a)")
    holder = await hasty_plane.requests(execute("BEGIN IMMEDIATE"))
    await hasty_plane.execute("INSERT INTO t VALUES (1)")
    answer = await hasty_plane.requests(execute("ROLLBACK"), execute("SELECT 1"), CLOSE, baton=holder["baton"])
    assert [result["type"] for result in answer["results"]] == ["ok"] * 3


async def test_a_transaction_at_work_is_not_taken_away_before_its_longest_age(hasty_plane: Plane) -> None:
    await hasty_plane.execute("CREATE TABLE t (a)")
    steps = [{"stmt": {"sql": "BEGIN IMMEDIATE"}}]
    steps += [{"stmt": {"sql": SLOW.format(1_000_000)}} for _ in range(100)]
    steps += [{"stmt": {"sql": "INSERT INTO t VALUES (1)"}}, {"stmt": {"sql": "COMMIT"}}]
    started = time.monotonic()
    working = asyncio.create_task(hasty_plane.requests({"type": "batch", "batch": {"steps": steps}}, CLOSE))
    await asyncio.sleep(0.1)
    await hasty_plane.execute("INSERT INTO t VALUES (2)")
    assert time.monotonic() - started > 1.9
    errors = (await working)["results"][0]["response"]["result"]["step_errors"]
    assert errors[-1]["code"] == "TRANSACTION_TIMEOUT"
    assert "2 s, the limit" in errors[-1]["message"]
    assert await hasty_plane.values("SELECT a FROM t") == [[2]]


async def test_a_transaction_nobody_waits_for_is_left_alone(hasty_plane: Plane) -> None:
    await hasty_plane.execute("CREATE TABLE t (a)")
    holder = await hasty_plane.requests(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t VALUES (1)"))
    await asyncio.sleep(0.6)
    answer = await hasty_plane.requests(execute("COMMIT"), CLOSE, baton=holder["baton"])
    assert answer["results"][0]["type"] == "ok"


async def test_an_idle_stream_expires(hasty_plane: Plane) -> None:
    first = await hasty_plane.requests(execute("SELECT 1"))
    await hasty_plane.worker.stats(lambda stats: stats.streams == 1)
    await asyncio.sleep(1.5)
    response = await hasty_plane.post("v3/pipeline", {"baton": first["baton"], "requests": []})
    assert (response.status_code, response.json()["code"]) == (400, "STREAM_EXPIRED")
    assert response.json()["message"] == "The stream has expired due to inactivity"


async def test_a_stale_read_cannot_be_written_over_and_the_error_says_what_to_do(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    reader = await plane.requests(execute("BEGIN"), execute("SELECT * FROM t"))
    await plane.execute("INSERT INTO t VALUES (1)")
    answer = await plane.requests(execute("INSERT INTO t VALUES (2)"), CLOSE, baton=reader["baton"])
    error = answer["results"][0]["error"]
    assert (error["code"], error["extended_code"]) == ("SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT")
    assert "BEGIN IMMEDIATE" in error["message"]


async def test_a_slow_statement_delays_neither_its_own_database_nor_another(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    slow = asyncio.create_task(plane.execute(SLOW.format(10_000_000_000)))
    await plane.worker.stats(lambda stats: stats.streams == 1)
    for _ in range(5):
        await plane.execute("SELECT 1", database_id=OTHER)
        await plane.execute("INSERT INTO t VALUES (1)")
    assert not slow.done()
    slow.cancel()


async def test_a_statement_over_the_limit_is_ended_with_words(hasty_plane: Plane) -> None:
    error = await hasty_plane.failure(SLOW.format(10_000_000_000))
    assert error["code"] == "SQLITE_INTERRUPT"
    assert "0.5 s, the limit for one statement" in error["message"]
    assert await hasty_plane.values("SELECT 1") == [[1]]


async def test_a_slow_result_over_the_limit_is_ended_too(hasty_plane: Plane) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 1 FROM n"
    assert (await hasty_plane.failure(rows, want_rows=False))["code"] == "SQLITE_INTERRUPT"


async def test_a_client_that_leaves_takes_its_statement_and_its_transaction_along(patient_plane: Plane) -> None:
    plane = patient_plane
    await plane.execute("CREATE TABLE t (a)")
    holder = await plane.requests(execute("BEGIN IMMEDIATE"), execute("INSERT INTO t VALUES (1)"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await plane.requests(execute(SLOW.format(10_000_000_000)), baton=holder["baton"])
    await plane.execute("INSERT INTO t VALUES (2)")
    assert await plane.values("SELECT a FROM t") == [[2]]


async def test_session_settings_and_temporary_tables_do_not_reach_the_next_stream(plane: Plane) -> None:
    await plane.requests(execute("PRAGMA foreign_keys = OFF"), execute("CREATE TEMP TABLE mine (a)"), CLOSE)
    assert await plane.values("PRAGMA foreign_keys") == [[1]]
    assert "no such table" in (await plane.failure("SELECT * FROM mine"))["message"]


async def test_last_insert_rowid_does_not_reach_the_next_stream(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute("INSERT INTO t VALUES (1)")
    assert (await plane.execute("INSERT INTO t SELECT 2 WHERE false"))["last_insert_rowid"] == "0"
    assert await plane.values("SELECT last_insert_rowid()") == [[0]]


async def test_a_statement_that_cannot_be_ended_costs_the_process_and_nobody_else_notices(hasty_plane: Plane) -> None:
    statuses: list[int] = []
    over = asyncio.Event()

    async def neighbour() -> None:
        while not over.is_set():
            answer = await hasty_plane.post(
                "v3/pipeline", {"requests": [execute("SELECT 1"), CLOSE]}, database_id=OTHER
            )
            statuses.append(answer.status_code)

    async def cut_off() -> None:
        """A cursor whose answer has begun."""
        steps = [{"stmt": {"sql": "SELECT hex(zeroblob(200000))"}}, {"stmt": {"sql": STUCK}}]
        bearer = {"authorization": f"Bearer {hasty_plane.tokens[MAIN]}"}
        with pytest.raises(httpx.RemoteProtocolError):
            async with hasty_plane.http.stream(
                "POST", f"/v1/{MAIN}/v3/cursor", json={"batch": {"steps": steps}}, headers=bearer
            ) as response:
                assert response.status_code == 200
                await response.aread()

    neighbours = [asyncio.create_task(neighbour()) for _ in range(2)]
    cursor = asyncio.create_task(cut_off())
    async with hasty_plane.worker.succeeding() as ended:
        response = await hasty_plane.post("v3/pipeline", {"requests": [execute(STUCK), CLOSE]})
        assert (response.status_code, response.json()["code"]) == (503, "STATEMENT_TIMEOUT")
        assert "0.5 s, the limit for one statement" in response.json()["message"]
    assert ended == [75]
    assert await hasty_plane.values("SELECT 1") == [[1]]
    over.set()
    await asyncio.gather(*neighbours)
    assert set(statuses) == {200}
    await cursor


async def test_a_statement_that_cannot_be_ended_has_only_what_nobody_else_wants(hasty_plane: Plane) -> None:
    asking = asyncio.create_task(hasty_plane.post("v3/pipeline", {"requests": [execute(STUCK), CLOSE]}))
    await hasty_plane.worker.expect(Stuck)
    threads = Path(f"/proc/{hasty_plane.worker.process.pid}/task").iterdir()
    assert [os.sched_getscheduler(int(thread.name)) for thread in threads].count(os.SCHED_IDLE) == 1
    assert await hasty_plane.worker.exited() == 75
    assert (await asking).status_code == 503


async def test_who_tries_it_again_at_once_is_answered_by_the_next_process(hasty_plane: Plane) -> None:
    async with hasty_plane.worker.succeeding() as ended:
        for _ in range(3):
            response = await hasty_plane.post("v3/pipeline", {"requests": [execute(STUCK), CLOSE]})
            assert (response.status_code, response.json()["code"]) == (503, "STATEMENT_TIMEOUT")
    assert ended == [75] * 3


async def test_compiling_a_statement_counts_as_its_time(hasty_plane: Plane) -> None:
    names = "uvwxyz"  # more than one, since one view may be meant 65,535 times only
    for name in names:
        doubled = " UNION ALL ".join([f"SELECT a FROM {name}%d"] * 2)
        views = [f"CREATE VIEW {name}{i} AS {doubled % (i - 1, i - 1)}" for i in range(1, 16)]
        script = ";".join([f"CREATE VIEW {name}0 AS SELECT 1 AS a", *views])
        await hasty_plane.requests({"type": "sequence", "sql": script}, CLOSE)
    large = " UNION ALL ".join(f"SELECT a FROM {name}15" for name in names)
    cases = " ".join(f"WHEN {i} THEN '{i}'" for i in range(200_000))
    endless = f"SELECT CASE a {cases} END FROM (SELECT 1 AS a)"
    async with hasty_plane.worker.succeeding() as statuses:
        for request in (execute(large), {"type": "describe", "sql": large}, {"type": "sequence", "sql": large}):
            response = await hasty_plane.post("v3/pipeline", {"requests": [request, CLOSE]})
            if response.status_code == 503:
                # Where others have the processor SQLite may not get to where it looks in time.
                assert response.json()["code"] == "STATEMENT_TIMEOUT"
                continue
            error = response.json()["results"][0]["error"]
            ended = "The statement was ended after 0.5 s, the limit for one statement"
            assert error["message"] == ended, request["type"]
        response = await hasty_plane.post("v3/pipeline", {"requests": [execute(endless), CLOSE]})
        assert (response.status_code, response.json()["code"]) == (503, "STATEMENT_TIMEOUT")
    assert set(statuses) == {75}


async def test_a_worker_with_a_statement_that_cannot_be_ended_leaves_though_no_other_comes(hasty_plane: Plane) -> None:
    await hasty_plane.post("v3/pipeline", {"requests": [execute(STUCK), CLOSE]})
    assert await hasty_plane.worker.exited() == 75
    hasty_plane.worker.channel.close()
    await hasty_plane.worker.restart()
    assert await hasty_plane.values("SELECT 1") == [[1]]


async def test_more_slow_statements_than_a_database_may_run_wait_and_harm_no_other(hasty_plane: Plane) -> None:
    await hasty_plane.execute("SELECT 1")
    slow = [asyncio.create_task(hasty_plane.failure(ENDLESS)) for _ in range(40)]
    answered = 0
    while not all(task.done() for task in slow):
        assert (await hasty_plane.execute("SELECT 1", database_id=OTHER))["rows"]
        answered += 1
    assert answered
    assert {(await task)["code"] for task in slow} == {"SQLITE_INTERRUPT"}
    assert await hasty_plane.values("SELECT 1") == [[1]]


async def test_short_statements_that_waited_for_slow_ones_all_go_on(hasty_plane: Plane) -> None:
    await hasty_plane.execute("SELECT 1")
    slow = [asyncio.create_task(hasty_plane.failure(ENDLESS)) for _ in range(MAX_ASIDE_PER_DATABASE)]
    short: list[asyncio.Task[Any]] = []
    while not any(task.done() for task in slow):
        await hasty_plane.execute("SELECT 1", database_id=OTHER)
        if len(short) < 4 * MAX_ASIDE_PER_DATABASE:
            short.append(asyncio.create_task(hasty_plane.execute("SELECT 1")))
    assert len([await task for task in short]) > MAX_ASIDE_PER_DATABASE
    await asyncio.wait(slow)
