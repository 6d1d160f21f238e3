"""What users of libSQL and SQLite expect to work, over the protocol."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dataplane.tokens import new_query_token
from tests.dataplane.plane import KEY, MAIN, Plane, execute

CLOSE = {"type": "close"}


async def batch(plane: Plane, *statements: str) -> Any:
    """Run statements as one batch; return its result."""
    steps = [{"stmt": {"sql": sql}} for sql in statements]
    answer = await plane.requests({"type": "batch", "batch": {"steps": steps}}, CLOSE)
    return answer["results"][0]["response"]["result"]


async def test_vectors_of_every_kind(plane: Plane) -> None:
    await plane.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(3))")
    await plane.execute("CREATE INDEX vi ON v (libsql_vector_idx(e, 'metric=cosine'))")
    for number, vector in enumerate(("[1,0,0]", "[0,1,0]", "[0.9,0.1,0]", "[0,0,1]"), 1):
        await plane.execute("INSERT INTO v VALUES (?, vector32(?))", number, vector)
    nearest = "SELECT v.id FROM vector_top_k('vi', vector32('[1,0,0]'), 2) AS top JOIN v ON v.rowid = top.id"
    assert await plane.values(f"{nearest} ORDER BY vector_distance_cos(e, '[1,0,0]')") == [[1], [3]]
    await plane.execute("DELETE FROM v WHERE id = 1")
    # The index is an approximate one: a row whose ways all led over the deleted one may not be found by it any more.
    by_index = await plane.values(nearest)
    assert by_index and all(row in ([2], [3], [4]) for row in by_index)
    by_scan = "SELECT id FROM v ORDER BY vector_distance_cos(e, vector32('[1,0,0]')) LIMIT 1"
    assert await plane.values(by_scan) == [[3]]
    assert await plane.values("SELECT vector_extract(e) FROM v WHERE id = 4") == [["[0,0,1]"]]
    assert await plane.values("SELECT vector_extract(vector64('[1.5,2]')), vector_extract(vector1bit('[1,-1]'))") == [
        ["[1.5,2]", "[1,-1]"]
    ]
    assert "dimensions" in (await plane.failure("INSERT INTO v VALUES (9, vector32('[1,2]'))"))["message"]


async def test_a_vector_index_is_made_and_dropped_in_its_turn_and_by_nothing_else(plane: Plane) -> None:
    await plane.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))")
    tables = "SELECT count(*) FROM sqlite_schema"
    make, drop = "CREATE INDEX vi ON v (libsql_vector_idx(e))", "DROP INDEX vi"

    async def leaves_no_trace(sql: str) -> None:
        """The engine makes and drops tables while it compiles."""
        before = await plane.values(tables)
        described = (await plane.requests({"type": "describe", "sql": sql}, CLOSE))["results"][0]
        assert described["response"]["result"]["is_readonly"] is False
        reader = new_query_token(
            KEY, database_id=MAIN, epoch=1, ttl_seconds=60, audience="x", access="ro", now=time.time()
        )
        refused = (await plane.post("v3/pipeline", {"requests": [execute(sql), CLOSE]}, token=reader)).json()
        assert refused["results"][0]["error"]["code"] == "SQLITE_READONLY"
        assert (await plane.failure(f"EXPLAIN {sql}"))["code"] == "SQL_PARSE_ERROR"
        assert await plane.values(tables) == before

    async def waits_for_its_turn(way: Callable[[], Awaitable[Any]]) -> None:
        baton = (await plane.requests(execute("BEGIN IMMEDIATE"), execute("INSERT INTO v (e) VALUES (NULL)")))["baton"]
        waiting = asyncio.ensure_future(way())
        for _ in range(20):  # it has arrived by now
            await plane.execute("SELECT 1")
        assert not waiting.done(), waiting
        await plane.requests(execute("COMMIT"), CLOSE, baton=baton)
        await waiting

    await leaves_no_trace(make)
    await waits_for_its_turn(lambda: plane.execute(make))
    await leaves_no_trace(drop)
    await waits_for_its_turn(lambda: plane.execute(drop))
    await waits_for_its_turn(lambda: plane.requests({"type": "sequence", "sql": f"SELECT 1; {make}"}, CLOSE))
    await waits_for_its_turn(lambda: plane.post("v3/cursor", {"batch": {"steps": [{"stmt": {"sql": drop}}]}}))
    assert await plane.values(tables) == [[2]]


async def test_a_vector_index_that_could_not_be_filled_is_made_anew(plane: Plane) -> None:
    await plane.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))")
    await plane.execute("INSERT INTO v VALUES (1, vector32('[1,2]')), (2, x'01')")
    make = "CREATE INDEX vi ON v (libsql_vector_idx(e))"
    assert "dimensions are different" in (await plane.failure(make))["message"]
    await plane.execute("DELETE FROM v WHERE id = 2")
    await plane.execute(make)
    assert await plane.values("SELECT count(*) FROM vi_shadow") == [[1]]


async def test_full_text_search_ranks_and_highlights(plane: Plane) -> None:
    await plane.execute("CREATE VIRTUAL TABLE docs USING fts5(title, body, tokenize = 'porter unicode61')")
    await plane.execute("INSERT INTO docs VALUES ('one', 'running water'), ('two', 'still water runs deep, it runs')")
    found = await plane.values(
        "SELECT title, highlight(docs, 1, '[', ']') FROM docs WHERE docs MATCH 'run' ORDER BY bm25(docs)"
    )
    assert sorted(found) == [["one", "[running] water"], ["two", "still water [runs] deep, it [runs]"]]


async def test_json_is_read_and_changed(plane: Plane) -> None:
    await plane.execute("CREATE TABLE j (d TEXT CHECK (json_valid(d)))")
    await plane.execute("INSERT INTO j VALUES (?)", '{"a": [1, {"b": "ü"}]}')
    assert await plane.values("SELECT d ->> '$.a[1].b', d -> '$.a', json_array_length(d, '$.a') FROM j") == [
        ["ü", '[1,{"b":"ü"}]', 2]
    ]
    await plane.execute("UPDATE j SET d = json_set(d, '$.c', json('[2]'))")
    assert await plane.values("SELECT value FROM j, json_each(d, '$.c')") == [[2]]
    assert (await plane.failure("INSERT INTO j VALUES ('{')"))["extended_code"] == "SQLITE_CONSTRAINT_CHECK"


async def test_generated_columns_returning_and_upsert(plane: Plane) -> None:
    await plane.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, net REAL, gross REAL AS (net * 2) STORED, label AS ('#' || id))"
    )
    returned = await plane.execute("INSERT INTO p (net) VALUES (1.5), (2) RETURNING id, gross, label AS name")
    assert [column["name"] for column in returned["cols"]] == ["id", "gross", "name"]
    assert [[value["value"] for value in row] for row in returned["rows"]] == [["1", 3.0, "#1"], ["2", 4.0, "#2"]]
    assert returned["affected_row_count"] == 2
    changed = await plane.values(
        "INSERT INTO p (id, net) VALUES (1, 9) ON CONFLICT (id) DO UPDATE SET net = excluded.net RETURNING gross"
    )
    assert changed == [[18.0]]
    assert await plane.values("DELETE FROM p WHERE id = 2 RETURNING label") == [["#2"]]


async def test_a_column_is_altered_in_place(plane: Plane) -> None:
    await plane.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT)")
    await plane.execute("INSERT INTO a (b) VALUES ('kept')")
    await plane.execute("ALTER TABLE a ALTER COLUMN b TO b TEXT NOT NULL DEFAULT 'new'")
    assert (await plane.failure("INSERT INTO a (b) VALUES (NULL)"))["extended_code"] == "SQLITE_CONSTRAINT_NOTNULL"
    await plane.execute("INSERT INTO a DEFAULT VALUES")
    assert await plane.values("SELECT b FROM a ORDER BY id") == [["kept"], ["new"]]


async def test_foreign_keys_can_be_off_for_one_batch_or_script_and_are_on_after_it(plane: Plane) -> None:
    await plane.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    await plane.execute("CREATE TABLE child (p REFERENCES parent ON DELETE CASCADE)")
    orphan = "INSERT INTO child VALUES (7)"
    refused = await plane.failure(orphan)
    assert refused["extended_code"] == "SQLITE_CONSTRAINT_FOREIGNKEY"
    result = await batch(plane, "PRAGMA foreign_keys=OFF", orphan, "PRAGMA foreign_keys=ON")
    assert result["step_errors"] == [None] * 3
    answer = await plane.requests({"type": "sequence", "sql": f"PRAGMA foreign_keys=OFF; {orphan}; SELECT 1"}, CLOSE)
    assert answer["results"][0]["type"] == "ok"
    assert (await plane.failure(orphan))["extended_code"] == "SQLITE_CONSTRAINT_FOREIGNKEY"
    assert await plane.values("SELECT count(*) FROM child") == [[2]]
    assert await plane.values("PRAGMA foreign_keys") == [[1]]


async def test_text_in_double_quotes_that_is_no_name_is_a_string(plane: Plane) -> None:
    """As with libsql-server; tests and schemas of applications that come from there have it."""
    await plane.execute('CREATE TABLE t (name TEXT, kind TEXT DEFAULT "tool", CHECK (kind IN ("tool", "toy")))')
    await plane.execute('INSERT INTO t (name) VALUES ("Widget")')
    assert await plane.values('SELECT "name", kind FROM t WHERE name = "Widget"') == [["Widget", "tool"]]
    assert "CHECK" in (await plane.failure('INSERT INTO t VALUES ("Widget", "weed")'))["message"]


async def test_temporary_tables_live_as_long_as_their_stream_and_stay_within_their_limit(plane: Plane) -> None:
    baton = (await plane.requests(execute("CREATE TEMP TABLE x AS SELECT 1 AS a")))["baton"]
    answer = await plane.requests(execute("SELECT a FROM x"), baton=baton)
    assert answer["results"][0]["response"]["result"]["rows"] == [[{"type": "integer", "value": "1"}]]
    grow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "INSERT INTO x SELECT randomblob(1000000) FROM n"
    )
    answer = await plane.requests(execute(grow), CLOSE, baton=answer["baton"])
    error = answer["results"][0]["error"]
    assert error["code"] == "SQLITE_FULL" and "temporary tables of one stream 64 MiB" in error["message"]
    assert "no such table: x" in (await plane.failure("SELECT a FROM x"))["message"]


@pytest.mark.parametrize(
    ("sql", "offset"),
    [("SELECT 1 FROM t WHER a = 1", 16 + 5), ("SELECT nope FROM t", 7), ("SELECT 'ü', nope", 13)],
)
async def test_errors_of_parsing_tell_where(plane: Plane, sql: str, offset: int) -> None:
    await plane.execute("CREATE TABLE t (a)")
    assert f"(at offset {offset})" in (await plane.failure(sql))["message"]


async def test_values_of_five_megabytes_in_both_directions(plane: Plane) -> None:
    await plane.execute("CREATE TABLE big (t, b)")
    text, blob = "ü€x" * 900_000, bytes(range(256)) * 20_000
    await plane.execute(
        "INSERT INTO big VALUES (?, ?)", text, {"type": "blob", "base64": base64.b64encode(blob).decode()}
    )
    (row,) = (await plane.execute("SELECT t, b, length(b) FROM big"))["rows"]
    assert row[0]["value"] == text
    assert base64.b64decode(row[1]["base64"] + "==") == blob
    assert row[2]["value"] == str(len(blob))


async def test_the_dump_of_another_server_with_a_vector_index_is_taken(plane: Plane) -> None:
    """It has the tables of the index, with contents that are not to be trusted: the index is made from the rows."""
    for sql in (
        "CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))",
        "INSERT INTO v VALUES (1, x'0000803f00000040')",
        "CREATE TABLE libsql_vector_meta_shadow ( name TEXT PRIMARY KEY, metadata BLOB ) WITHOUT ROWID",
        "INSERT INTO libsql_vector_meta_shadow VALUES ('vi', x'0102')",
        "CREATE TABLE vi_shadow (index_key INTEGER , data BLOB , PRIMARY KEY (index_key))",
        "INSERT INTO vi_shadow VALUES (1, x'00'), (7, x'00')",
        'CREATE INDEX vi_shadow_idx ON "vi_shadow" (index_key)',
        "CREATE INDEX vi ON v (libsql_vector_idx(e))",
    ):
        await plane.execute(sql)
    assert await plane.values("SELECT id FROM vector_top_k('vi', vector32('[1,2]'), 5)") == [[1]]
    assert await plane.values("SELECT index_key FROM vi_shadow") == [[1]]
