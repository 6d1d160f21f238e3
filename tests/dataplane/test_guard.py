"""What a tenant's SQL may not do."""

import json

import pytest

from dataplane.connection import Connection
from dataplane.engine import AUTHORIZER
from tests.dataplane.plane import MAIN, Plane, execute

CLOSE = {"type": "close"}

REFUSED = [
    "ATTACH '/tmp/x.db' AS x",
    "ATTACH '' AS x",
    "ATTACH ':memory:' AS x",
    "DETACH main",
    "VACUUM INTO '/tmp/x.db'",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT ReadFile('/etc/passwd')",
    "SELECT \"readfile\"('/etc/passwd')",
    "SELECT writefile('/tmp/brrrd-must-not-exist', 'x')",
    "SELECT * FROM fsdir('/etc')",
    "SELECT * FROM 'fsdir'('/etc')",
    "SELECT count(*) FROM fsdir WHERE path = '/etc'",
    "SELECT sha3_query('SELECT readfile(''/etc/passwd'')')",
    "SELECT fts3_tokenizer('simple', x'0000000000000000')",
    "SELECT * FROM sqlite_dbpage",
    "UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 1",
    "SELECT * FROM carray(1, 1)",
    "SELECT sqlite3mc_config('cipher')",
    "SELECT replicate('x', 4294967296)",
    "SELECT padl('x', 4294967296), padr('x', 4294967296), padc('x', 4294967296)",
    "SELECT rightstr('abc', -1000000000)",
    "SELECT charindex(x'ff', 'abc', 1000000000)",
    "SELECT 'x' REGEXP hex(zeroblob(1000000))",
    "SELECT median(1)",
    "PRAGMA key = 'x'",
    "PRAGMA rekey = 'x'",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA main.journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA synchronous = 0",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA page_size = 512",
    "PRAGMA encoding = 'UTF-16'",
    "PRAGMA auto_vacuum = 1",
    "PRAGMA writable_schema = ON",
    "PRAGMA trusted_schema = ON",
    "PRAGMA schema_version = 1",
    "PRAGMA temp_store_directory = '/etc'",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA soft_heap_limit = 1",
    "PRAGMA cache_size = 1000000000",
    "PRAGMA mmap_size = 1",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA threads = 8",
    "PRAGMA temp_store = FILE",
    "PRAGMA secure_delete = ON",
    "CREATE TABLE g (a, b GENERATED ALWAYS AS (readfile(a)))",
    "INSERT INTO sqlite_schema VALUES ('table', 't', 't', 2, 'CREATE TABLE t (a)')",
    "DELETE FROM sqlite_schema",
]

ALLOWED = [
    "CREATE TABLE readfile (writefile)",
    "SELECT 'fsdir', 'readfile(1)'",
    "PRAGMA table_info(t)",
    "SELECT * FROM pragma_table_info('t')",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA foreign_keys",
    "PRAGMA foreign_key_list(t)",
    "PRAGMA journal_mode",
    "PRAGMA journal_mode = WAL",
    "PRAGMA encoding = 'UTF-8'",
    *(f"PRAGMA {name}" for name in ("temp_store", "threads", "locking_mode", "secure_delete", "read_uncommitted")),
    *(f"PRAGMA {name}" for name in ("fullfsync", "soft_heap_limit", "hard_heap_limit", "stats", "legacy_file_format")),
    "PRAGMA user_version = 7",
    "PRAGMA integrity_check",
    "PRAGMA optimize",
    "PRAGMA defer_foreign_keys = ON",
    "CREATE TEMP TABLE x (a)",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
    "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
    "SELECT * FROM generate_series(1, 3)",
    "SELECT * FROM json_each('[1]')",
    "SELECT * FROM dbstat",
]


async def test_dangerous_sql_is_refused_with_a_reason(plane: Plane) -> None:
    answer = await plane.requests(*(execute(sql) for sql in REFUSED), {"type": "close"})
    for sql, result in zip(REFUSED, answer["results"], strict=False):
        assert result["type"] == "error", sql
        # The last two are SQLite's own refusals.
        codes = ("SQL_PARSE_ERROR",) if sql in REFUSED[:-2] else ("SQLITE_ERROR",)
        assert result["error"]["code"] in codes, (sql, result)
        assert any(word in result["error"]["message"] for word in ("not a", "cannot", "may not")), (sql, result)


async def test_what_would_overflow_the_engine_is_refused_and_the_worker_lives(plane: Plane) -> None:
    baton = (await plane.requests(execute("BEGIN")))["baton"]
    await plane.execute("CREATE TABLE v (e F32_BLOB(2))")
    await plane.execute("CREATE INDEX vi ON v (libsql_vector_idx(e))")
    await plane.execute("INSERT INTO v VALUES (vector32('[1,2]'))")
    nearest = "SELECT id FROM vector_top_k('vi', vector32('[1,2]'), {})"
    aggregates = ",".join(
        f"coalesce({','.join(f'max(e + {column * 100 + i})' for i in range(100))})" for column in range(400)
    )
    letters = ",".join(["'a'"] * 126)
    for sql, said in (
        ("SELECT libsql_vector_idx()", "needs a column"),
        ("CREATE INDEX i ON v (libsql_vector_idx())", "non-deterministic"),
        ("CREATE UNIQUE INDEX i ON v (libsql_vector_idx(e))", "a vector index cannot be unique"),
        (" \vCREATE \vUNIQUE INDEX i ON v (libsql_vector_idx(e))", "a vector index cannot be unique"),
        ("CREATE TABLE g (a, b AS (libsql_vector_idx()))", "non-deterministic"),
        (nearest.format(0), "must be 1 to 100000, but is 0"),
        (nearest.format("0.0"), "must be 1 to 100000, but is 0"),
        (nearest.format("1e9"), "must be 1 to 100000"),
        (nearest.format(1_000_000_000), "must be 1 to 100000"),
        (f"SELECT concat_ws(zeroblob(34359739), {letters})", "too big"),  # 125 times as much is 80 in 32 bits
        ("SELECT concat_ws(',')", "wrong number of arguments"),
        (f"SELECT {aggregates} FROM v", "at most 30,000 aggregate functions"),
        (f"CREATE TABLE w ({','.join(f'c{i}' for i in range(501))})", "too many columns"),
    ):
        assert said in (await plane.failure(sql))["message"], sql
    assert await plane.values(nearest.format(5)) == await plane.values(nearest.format("5.0")) == [[1]]
    assert await plane.values("SELECT concat_ws(', ', 'a', NULL, 2)") == [["a, 2"]]
    assert (await plane.requests(execute("COMMIT"), baton=baton))["results"][0]["type"] == "ok"


async def test_a_unique_vector_index_that_is_there_already_is_not_written_to_and_can_be_dropped(plane: Plane) -> None:
    path = plane.worker.directory / MAIN / "data.db"
    path.parent.mkdir()
    older = Connection(path)
    older.engine.set_authorizer(older.handle, AUTHORIZER(), None)
    older.run(b"""
CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2));
INSERT INTO v VALUES (1, vector32('[1,2]'));
CREATE UNIQUE INDEX vi ON v (libsql_vector_idx(e));
CREATE TABLE p (a PRIMARY KEY);
CREATE TRIGGER tr AFTER DELETE ON p BEGIN INSERT INTO v VALUES (NULL, NULL); END;
INSERT INTO p VALUES (1);
""")
    older.close()
    writing = (
        "INSERT INTO v VALUES (2, NULL)",
        "WITH x AS (SELECT 1) REPLACE INTO v VALUES (1, vector32('[1,2]'))",
        "UPDATE v SET e = vector32('[2,2]')",
        "DELETE FROM p",
        "VACUUM",
    )
    for sql in writing:
        error = await plane.failure(sql)
        assert (error["code"], "vi is a unique vector index" in error["message"]) == ("SQL_PARSE_ERROR", True), sql
    assert await plane.values("SELECT id FROM vector_top_k('vi', vector32('[1,2]'), 1)") == [[1]]
    dropped = await plane.requests(execute("BEGIN IMMEDIATE"), execute("DROP INDEX vi"), execute(writing[0]))
    assert [result["type"] for result in dropped["results"]] == ["ok"] * 3
    rolled_back = await plane.requests(execute("ROLLBACK"), execute(writing[0]), CLOSE, baton=dropped["baton"])
    assert "vi is a unique vector index" in rolled_back["results"][1]["error"]["message"]
    await plane.execute("DROP INDEX vi")
    for sql in writing:
        await plane.execute(sql)
    assert await plane.values("SELECT count(*) FROM v") == [[3]]


async def test_only_the_engine_changes_the_tables_of_a_vector_index(plane: Plane) -> None:
    for sql in (
        "CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))",
        "CREATE INDEX vi ON v (libsql_vector_idx(e))",
        "INSERT INTO v VALUES (1, vector32('[1,2]'))",
        "CREATE TABLE t (a)",
        "CREATE TRIGGER hidden AFTER INSERT ON t BEGIN UPDATE VI_SHADOW SET data = x''; END",
    ):
        await plane.execute(sql)
    for sql in (
        "UPDATE vi_shadow SET data = x''",
        "WITH x AS (SELECT 1) DELETE FROM vi_shadow",
        "INSERT INTO t VALUES (1)",
        "DELETE FROM libsql_vector_meta_shadow",
        "DROP TABLE vi_shadow",
        "ALTER TABLE vi_shadow ADD COLUMN x",
        "CREATE TRIGGER tr AFTER INSERT ON vi_shadow BEGIN SELECT 1; END",
    ):
        error = await plane.failure(sql)
        assert error["code"] == "SQL_PARSE_ERROR" and "a vector index keeps itself in" in error["message"], (sql, error)
    assert await plane.values("SELECT count(*) FROM vi_shadow") == [[1]]
    await plane.execute("DROP INDEX vi")
    await plane.execute("CREATE TABLE vi_shadow (index_key INTEGER, data BLOB, PRIMARY KEY (index_key))")
    await plane.execute("INSERT INTO vi_shadow VALUES (1, x'00')")
    taken = await plane.failure("CREATE INDEX vi ON v (libsql_vector_idx(e))")
    assert "there is already a table named vi_shadow" in taken["message"]
    await plane.execute("DROP TABLE vi_shadow")
    await plane.execute("CREATE INDEX vi ON v (libsql_vector_idx(e))")
    assert await plane.values("SELECT id FROM vector_top_k('vi', vector32('[1,2]'), 1)") == [[1]]


async def test_the_engine_is_given_no_tables_for_a_vector_index_that_are_not_its_own(plane: Plane) -> None:
    make = "CREATE INDEX vi ON v (libsql_vector_idx(e))"
    for sql in (
        "CREATE TABLE v (e F32_BLOB(2))",
        "CREATE TABLE LIBSQL_VECTOR_META_SHADOW ( name TEXT PRIMARY KEY, metadata BLOB ) WITHOUT ROWID",
        "INSERT INTO LIBSQL_VECTOR_META_SHADOW VALUES ('vi', x'ffffffffffffffffff')",
    ):
        await plane.execute(sql)
    assert "libsql_vector_meta_shadow is not the engine's own" in (await plane.failure(make))["message"]
    await plane.execute("DROP TABLE LIBSQL_VECTOR_META_SHADOW")
    of_another = [execute("CREATE TEMP TABLE v (e F32_BLOB(2))"), execute(make), {"type": "close"}]
    answer = await plane.requests(*of_another)
    assert "cannot be of a temporary table" in answer["results"][1]["error"]["message"]
    await plane.execute(make)
    await plane.execute("DROP INDEX vi")
    for kind in ("TEMP", ""):
        trigger = f"CREATE {kind} TRIGGER tr AFTER INSERT ON libsql_vector_meta_shadow BEGIN SELECT 1; END"
        answer = await plane.requests(execute(trigger), execute(make), {"type": "close"})
        assert "drop it, or its triggers" in answer["results"][1]["error"]["message"], answer
    await plane.execute("DROP TRIGGER tr")
    await plane.execute(make)


async def test_what_was_compiled_before_there_was_the_index_or_the_trigger_is_looked_at_again(plane: Plane) -> None:
    insert = "INSERT INTO vi_shadow VALUES (7, x'00')"
    for sql in (
        "CREATE TABLE v (e F32_BLOB(2))",
        "CREATE TABLE vi_shadow (index_key INTEGER, data BLOB, PRIMARY KEY (index_key))",
        insert,
        "DROP TABLE vi_shadow",
        "CREATE INDEX vi ON v (libsql_vector_idx(e))",
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (1)",
        "CREATE TRIGGER hidden AFTER INSERT ON t BEGIN DELETE FROM vi_shadow; END",
    ):
        await plane.execute(sql)
    assert "a vector index keeps itself in" in (await plane.failure(insert))["message"]
    assert (await plane.failure("INSERT INTO t VALUES (1)"))["code"] == "SQLITE_SCHEMA"
    assert "a vector index keeps itself in" in (await plane.failure("INSERT INTO t VALUES (1)"))["message"]
    await plane.execute("DROP TRIGGER hidden")
    await plane.execute("CREATE TABLE own_shadow (a)")
    await plane.execute("CREATE TRIGGER fine AFTER INSERT ON t BEGIN INSERT INTO own_shadow VALUES (new.a); END")
    for _ in range(2):
        await plane.execute("INSERT INTO t VALUES (2)")
    assert await plane.values("SELECT a FROM own_shadow") == [[2], [2]]


async def test_a_database_with_a_vector_index_is_vacuumed_whatever_was_compiled_last(plane: Plane) -> None:
    await plane.execute("CREATE TABLE v (e F32_BLOB(2))")
    await plane.execute("CREATE INDEX vi ON v (libsql_vector_idx(e))")
    for _ in range(2):
        await plane.execute("INSERT INTO v VALUES (vector32('[1,2]'))")
        await plane.execute("VACUUM")
    assert await plane.values("SELECT count(*) FROM vector_top_k('vi', vector32('[1,2]'), 5)") == [[2]]


async def test_a_vector_index_that_is_not_dropped_after_all_is_still_written_to(plane: Plane) -> None:
    insert = "INSERT INTO v VALUES (vector32('[1,2]'))"
    await plane.execute("CREATE TABLE v (e F32_BLOB(2))")
    await plane.execute("CREATE INDEX vi ON v (libsql_vector_idx(e))")
    await plane.execute(insert)
    await plane.requests({"type": "describe", "sql": "DROP INDEX vi"}, {"type": "close"})
    await plane.execute(insert)
    assert "cannot be explained" in (await plane.failure("EXPLAIN DROP INDEX vi"))["message"]
    await plane.execute(insert)


@pytest.mark.parametrize(
    "blank",
    ["", "\ufeff", "/**/ -- x\n;", " \v"],
    ids=["nothing", "byte order mark", "comments", "vertical tab"],
)
async def test_a_vector_index_comes_and_goes_with_its_tables(plane: Plane, blank: str) -> None:
    await plane.execute("CREATE TABLE v (e F32_BLOB(2))")
    for _ in range(2):
        await plane.execute(f"{blank}CREATE INDEX vi ON v (libsql_vector_idx(e))")
        await plane.execute("EXPLAIN SELECT 1")
        await plane.execute(f"{blank}DROP INDEX vi")
    assert await plane.values("SELECT name FROM sqlite_schema WHERE name LIKE 'vi%'") == []


async def test_harmless_sql_is_not_refused(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    for sql in ALLOWED:
        answer = await plane.requests(execute(sql), {"type": "close"})
        assert answer["results"][0]["type"] == "ok", (sql, answer["results"][0])


async def test_forbidden_functions_are_refused_in_views_and_triggers_too(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    await plane.execute("CREATE VIEW v AS SELECT readfile('/etc/passwd') AS a")
    await plane.execute("CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT readfile('/etc/passwd'); END")
    assert "readfile" in (await plane.failure("SELECT * FROM v"))["message"]
    assert "readfile" in (await plane.failure("INSERT INTO t VALUES (1)"))["message"]
    await plane.execute("CREATE VIRTUAL TABLE f USING fts5(a, content='fsdir')")
    assert (await plane.failure("SELECT * FROM f"))["code"] == "SQL_PARSE_ERROR"


async def test_nothing_tells_where_the_files_lie(plane: Plane) -> None:
    for sql in (
        "PRAGMA database_list",
        "pragma main.database_list;",
        "EXPLAIN PRAGMA database_list",
        "SELECT * FROM pragma_database_list",
        'SELECT group_concat("file") FROM pragma_database_list AS l',
        "SELECT l.file FROM (SELECT * FROM pragma_database_list) AS l",
    ):
        answer = await plane.requests(execute(sql), {"type": "close"})
        assert answer["results"][0]["type"] == "ok", (sql, answer)
        assert "/" not in json.dumps(answer["results"][0]["response"]["result"]["rows"]), sql
    result = await plane.execute("PRAGMA database_list")
    assert [column["name"] for column in result["cols"]] == ["seq", "name", "file"]
    assert [value.get("value") for value in result["rows"][0]] == ["0", "main", ""]
