"""`GET …/dump`: the text makes the same database again."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from dataplane.connection import Connection
from tests.dataplane.plane import MAIN, Plane, execute


async def dump(plane: Plane, **params: str) -> str:
    response = await plane.http.get(f"/v1/{MAIN}/dump", params=params, headers=bearer(plane))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain"
    return response.text


def bearer(plane: Plane) -> dict[str, str]:
    return {"authorization": f"Bearer {plane.tokens[MAIN]}"}


def rebuilt(text: str) -> sqlite3.Connection:
    """The dump as SQLite itself reads it."""
    copy = sqlite3.connect(":memory:")
    copy.executescript(text)
    return copy


def in_engine(text: str, path: Path, query: str) -> list[list[Any]]:
    connection = Connection(path)
    try:
        data = connection.statements.encode(text)
        position = 0
        while True:
            statement, position = connection.statements.prepare_next(data, position)
            if statement is None:
                break
            while statement.step():
                pass
            connection.statements.discard(statement)
        found = connection.statements.prepare(query)
        rows = []
        while found.step():
            rows.append(found.row(found.width))
        found.reset()
        return rows
    finally:
        connection.close()


async def test_values_come_back_exactly(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (n)")
    values: list[Any] = [
        None,
        0,
        -(1 << 63),
        (1 << 63) - 1,
        0.1,
        1e308,
        5e-324,
        -0.5,
        2.0,
        "",
        'it\'s; a\n"text"',
        "\0",
    ]
    for value in [*values, 0.1 + 0.2, 123456789.123456789]:
        await plane.execute("INSERT INTO t VALUES (?)", value)
    await plane.execute("INSERT INTO t VALUES (x''), (x'00ff'), (9e999), (-9e999), (CAST(x'ff41' AS TEXT))")
    copy = rebuilt(await dump(plane))
    copy.text_factory = bytes
    found = [row[0] for row in copy.execute("SELECT n FROM t")]
    expected = [value.encode() if isinstance(value, str) else value for value in values]
    assert found[: len(values)] == expected
    assert found[len(values) :] == [
        0.1 + 0.2, 123456789.123456789, b"", b"\0\xff", float("inf"), float("-inf"), b"\xffA",
    ]  # fmt: skip
    assert [row[0] for row in copy.execute("SELECT typeof(n) FROM t")][-3:] == [b"real", b"real", b"text"]
    copy.close()


async def test_schema_sequence_and_generated_columns_come_back(plane: Plane) -> None:
    for sql in (
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT, y AS (x || '!') STORED)",
        "INSERT INTO a (x) VALUES ('one'), ('two')",
        "DELETE FROM a WHERE id = 2",
        'CREATE TABLE "odd ""name" (a, rowid, PRIMARY KEY (a)) WITHOUT ROWID',
        'INSERT INTO "odd ""name" VALUES (1, 2)',
        "CREATE UNIQUE INDEX ax ON a (x)",
        "CREATE VIEW v AS SELECT x FROM a",
        "CREATE TRIGGER tr AFTER INSERT ON a BEGIN DELETE FROM a WHERE id < new.id; END",
        "PRAGMA user_version = 7",
    ):
        await plane.execute(sql)
    copy = rebuilt(await dump(plane))
    assert copy.execute("SELECT * FROM a").fetchall() == [(1, "one", "one!")]
    assert copy.execute("SELECT seq FROM sqlite_sequence WHERE name = 'a'").fetchone() == (2,)
    assert copy.execute('SELECT * FROM "odd ""name"').fetchall() == [(1, 2)]
    assert copy.execute("PRAGMA user_version").fetchone() == (7,)
    names = {row[0] for row in copy.execute("SELECT name FROM sqlite_schema WHERE type IN ('index','view','trigger')")}
    assert names >= {"ax", "v", "tr"}
    copy.close()


async def test_comments_at_the_end_of_definitions_end_there(plane: Plane) -> None:
    for sql in (
        "CREATE TABLE t (a, b) -- of the table",
        "CREATE VIEW quoted AS SELECT '--' AS a, \"b/*\" FROM t -- it's one",
        "CREATE VIEW open AS SELECT a FROM t /* to be continued",
        "CREATE VIEW tiny AS SELECT a FROM t /*/",
        "CREATE INDEX i ON t (a) WHERE b > 0 /* all of it */",
        "CREATE INDEX j ON t (b) WHERE a > 0 --",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END -- over",
    ):
        await plane.execute(sql)
    copy = rebuilt(await dump(plane))
    names = {row[0] for row in copy.execute("SELECT name FROM sqlite_schema")}
    assert names == {"t", "quoted", "open", "tiny", "i", "j", "tr"}
    copy.close()


async def test_statements_are_short_enough_to_be_imported(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    for size in (10, 200_000, 10, 10, 40_000, 40_000):
        await plane.execute("INSERT INTO t VALUES (zeroblob(?))", size)
    lines = [line for line in (await dump(plane)).split(";\n") if line.startswith("INSERT")]
    assert [line.count("x'") for line in lines] == [2, 3, 1]


async def test_statistics_of_analyze_are_kept(plane: Plane) -> None:
    for sql in ("CREATE TABLE t (a)", "CREATE INDEX i ON t (a)", "INSERT INTO t VALUES (1), (1), (2)", "ANALYZE"):
        await plane.execute(sql)
    copy = rebuilt(await dump(plane))
    assert copy.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall() == [("t", "i", "3 2")]
    copy.close()


async def test_full_text_and_vector_indexes_work_in_the_copy(plane: Plane, tmp_path: Path) -> None:
    for sql in (
        "CREATE VIRTUAL TABLE f USING fts5(title, body)",
        "INSERT INTO f (rowid, title, body) VALUES (7, 'tea', 'green leaves')",
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, text)",
        "INSERT INTO docs VALUES (3, 'black coffee')",
        "CREATE VIRTUAL TABLE x USING fts5(text, content='docs', content_rowid='id')",
        "INSERT INTO x(x) VALUES ('rebuild')",
        "CREATE VIRTUAL TABLE y USING fts5(text, content='seen', content_rowid='id')",
        "CREATE VIEW seen AS SELECT id, text FROM docs",
        "INSERT INTO y(y) VALUES ('rebuild')",
        "CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))",
        "INSERT INTO v VALUES (1, vector('[1,0]')), (2, vector('[0,1]'))",
        "CREATE INDEX ve ON v (libsql_vector_idx(e))",
    ):
        await plane.execute(sql)
    text = await dump(plane)
    assert "_shadow" not in text
    query = (
        "SELECT (SELECT rowid FROM f WHERE f MATCH 'leaves'), (SELECT rowid FROM x WHERE x MATCH 'coffee'), "
        "(SELECT rowid FROM y WHERE y MATCH 'coffee'), (SELECT id FROM vector_top_k('ve', vector('[0,1]'), 1))"
    )
    assert in_engine(text, tmp_path / "copy.db", query) == [[7, 3, 3, 2]]


async def test_rowids_are_kept_on_request(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (x)")
    await plane.execute("INSERT INTO t (rowid, x) VALUES (40, 'a')")
    copy = rebuilt(await dump(plane, preserve_row_ids="true"))
    assert copy.execute("SELECT rowid, x FROM t").fetchall() == [(40, "a")]
    copy.close()


async def test_it_is_one_moment_while_others_write(plane: Plane) -> None:
    await plane.execute("CREATE TABLE a (n)")
    await plane.execute("CREATE TABLE z (n)")
    filler = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60000) "
    await plane.execute(filler + "INSERT INTO a SELECT hex(randomblob(100)) FROM c")
    async with plane.http.stream("GET", f"/v1/{MAIN}/dump", headers=bearer(plane)) as response:
        pieces = response.aiter_text()
        text = await anext(pieces)
        await plane.execute("INSERT INTO z VALUES ('late')")
        async for piece in pieces:
            text += piece
    assert text.endswith("COMMIT;\n")
    assert "late" not in text
    assert text.count("\n") > 500


async def test_an_unused_database_is_an_empty_dump(plane: Plane) -> None:
    assert await dump(plane) == "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCOMMIT;\n"


async def test_it_needs_the_token_and_a_database_in_service(plane: Plane) -> None:
    assert (await plane.http.get(f"/v1/{MAIN}/dump")).status_code == 401
    bare = await plane.http.get("/v1/dump", headers=bearer(plane))
    assert bare.status_code == 200
    plane.serve(MAIN, blocked="over quota")
    refused = await plane.http.get(f"/v1/{MAIN}/dump", headers=bearer(plane))
    assert (refused.status_code, refused.json()["code"]) == (403, "BLOCKED")


async def test_a_client_that_leaves_frees_the_stream(plane: Plane) -> None:
    await plane.execute("CREATE TABLE a (n)")
    filler = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60000) "
    await plane.execute(filler + "INSERT INTO a SELECT hex(randomblob(100)) FROM c")
    async with plane.http.stream("GET", f"/v1/{MAIN}/dump", headers=bearer(plane)) as response:
        await anext(response.aiter_bytes())
    await plane.worker.stats(lambda stats: stats.streams == 0)
    await asyncio.wait_for(plane.requests(execute("SELECT 1")), 5)
