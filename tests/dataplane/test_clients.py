"""Shipped clients against the data plane, each with the documented URL, with and without a trailing slash."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dataplane.plane import MAIN, Plane
from tests.node import npm_project, run_node

PACKAGES = {"@libsql/client": "0.18.0", "@tursodatabase/serverless": "1.4.0", "drizzle-orm": "0.45.4"}


async def run(plane: Plane, code: str, *, slash: str = "", **env: str) -> Any:
    """Run an ES module with URL and TOKEN in its environment; return what it printed as JSON."""
    environment = {"URL": plane.url(MAIN, slash), "TOKEN": plane.tokens[MAIN], **env}

    def work() -> str:
        return run_node(npm_project("dataplane-clients", PACKAGES), code, env=environment)

    return json.loads(await asyncio.to_thread(work))


LIBSQL_CLIENT = """
import { createClient } from "@libsql/client/http";
const db = createClient({ url: process.env.URL, authToken: process.env.TOKEN, intMode: "bigint" });
const out = {};
await db.executeMultiple(`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b BLOB, n INTEGER);
  CREATE TABLE child (id INTEGER REFERENCES t);`);
await db.batch([
  { sql: "INSERT INTO t (a, b, n) VALUES (?, ?, ?)", args: ["x", new Uint8Array([0, 255, 7]), 9007199254740993n] },
  { sql: "INSERT INTO t (a) VALUES (:name)", args: { name: "y" } },
  "UPDATE t SET n = coalesce(n, 5)",
], "write");
const rows = await db.execute("SELECT id, a, b, n FROM t ORDER BY id");
out.columns = rows.columns; out.types = rows.columnTypes;
out.first = [Number(rows.rows[0].id), rows.rows[0].a, [...new Uint8Array(rows.rows[0].b)], String(rows.rows[0].n)];
out.second = rows.rows[1].a;
try { await db.execute("INSERT INTO t (a) VALUES ('x')"); } catch (e) { out.unique = [e.code, e.message]; }
try { await db.batch(["INSERT INTO t (a) VALUES ('gone')", "SELECT nope"], "write"); }
catch (e) { out.batch = e.code; }
const tx = await db.transaction("write");
const inserted = await tx.execute({ sql: "INSERT INTO t (a) VALUES (?) RETURNING id", args: ["z"] });
out.returned = Number(inserted.rows[0].id);
await tx.rollback();
const kept = await db.transaction("write");
await kept.execute("INSERT INTO t (a) VALUES ('kept')");
await kept.commit();
await db.migrate(["CREATE TABLE later (id INTEGER REFERENCES t)", "INSERT INTO later VALUES (999)"]);
out.count = Number((await db.execute("SELECT count(*) AS n FROM t")).rows[0].n);
out.many = (await db.batch(Array.from({ length: 60 }, (_, i) => ({ sql: `SELECT ${i}`, args: [] })), "read")).length;
console.log(JSON.stringify(out));
"""


@pytest.mark.parametrize("slash", ["", "/"])
async def test_libsql_client_over_http(plane: Plane, slash: str) -> None:
    assert await run(plane, LIBSQL_CLIENT, slash=slash) == {
        "columns": ["id", "a", "b", "n"],
        "types": ["INTEGER", "TEXT", "BLOB", "INTEGER"],
        "first": [1, "x", [0, 255, 7], "9007199254740993"],
        "second": "y",
        "unique": ["SQLITE_CONSTRAINT", "SQLITE_CONSTRAINT: SQLite error: UNIQUE constraint failed: t.a"],
        "batch": "SQLITE_ERROR",
        "returned": 3,
        "count": 3,
        "many": 60,
    }


async def test_libsql_client_reports_a_wrong_token_in_words(plane: Plane) -> None:
    code = """
    import { createClient } from "@libsql/client/http";
    const db = createClient({ url: process.env.URL, authToken: "wrong" });
    try { await db.execute("SELECT 1"); } catch (e) { console.log(JSON.stringify(e.message)); }
    """
    assert "The token is missing or not valid" in await run(plane, code)


async def test_tursodatabase_serverless(plane: Plane) -> None:
    code = """
    import { connect } from "@tursodatabase/serverless";
    import { createClient } from "@tursodatabase/serverless/compat";
    const options = { url: process.env.URL, authToken: process.env.TOKEN };
    const out = {};
    const db = connect(options);
    await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t (a) VALUES ('x'), ('y')");
    const insert = await db.prepare("INSERT INTO t (a) VALUES (?)");
    out.run = (await insert.run(["z"])).changes;
    const select = await db.prepare("SELECT * FROM t WHERE id > ?");
    out.all = await select.all([1]);
    out.get = await select.get([2]);
    out.iterated = [];
    for await (const row of select.iterate([0])) out.iterated.push(row.a);
    const move = db.transaction(async (a) => { await (await db.prepare("UPDATE t SET a = ? WHERE id = 1")).run([a]); });
    await move("moved");
    try { await db.exec("SELECT nope"); } catch (e) { out.error = e.message; }
    const compat = createClient(options);
    const rs = await compat.execute({ sql: "SELECT a FROM t WHERE id = ?", args: [1] });
    out.compat = rs.rows[0].a;
    await compat.batch(["INSERT INTO t (a) VALUES ('b1')", "INSERT INTO t (a) VALUES ('b2')"], "write");
    out.count = (await compat.execute("SELECT count(*) AS n FROM t")).rows[0].n;
    console.log(JSON.stringify(out));
    """
    out = await run(plane, code)
    assert "no such column: nope" in out.pop("error")
    assert out == {
        "run": 1,
        "all": [{"id": 2, "a": "y"}, {"id": 3, "a": "z"}],
        "get": {"id": 3, "a": "z"},
        "iterated": ["x", "y", "z"],
        "compat": "moved",
        "count": 5,
    }


async def test_drizzle_orm_migrates_and_queries(plane: Plane, tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "0000_first.sql").write_text(
        "CREATE TABLE `users` (`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL, `name` text NOT NULL);\n"
        "--> statement-breakpoint\nCREATE UNIQUE INDEX `users_name` ON `users` (`name`);"
    )
    entry = {"idx": 0, "version": "6", "when": 1700000000000, "tag": "0000_first", "breakpoints": True}
    (tmp_path / "meta" / "_journal.json").write_text(
        json.dumps({"version": "7", "dialect": "sqlite", "entries": [entry]})
    )
    code = """
    import { drizzle } from "drizzle-orm/libsql";
    import { migrate } from "drizzle-orm/libsql/migrator";
    import { eq, sql } from "drizzle-orm";
    import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
    const users = sqliteTable("users", { id: integer().primaryKey({ autoIncrement: true }), name: text().notNull() });
    const db = drizzle({ connection: { url: process.env.URL, authToken: process.env.TOKEN } });
    await migrate(db, { migrationsFolder: process.env.MIGRATIONS });
    await migrate(db, { migrationsFolder: process.env.MIGRATIONS });
    const out = {};
    out.inserted = await db.insert(users).values([{ name: "a" }, { name: "b" }]).returning();
    await db.transaction(async (tx) => {
      await tx.update(users).set({ name: "c" }).where(eq(users.id, 1));
      await tx.insert(users).values({ name: "d" });
    });
    try { await db.transaction(async (tx) => { await tx.insert(users).values({ name: "e" }); tx.rollback(); }); }
    catch (e) { out.rolledBack = true; }
    out.names = (await db.select({ name: users.name }).from(users).orderBy(users.id)).map((row) => row.name);
    out.batch = (await db.batch([db.select().from(users), db.delete(users).where(eq(users.id, 2))])).length;
    out.count = (await db.get(sql`SELECT count(*) AS n FROM users`)).n;
    console.log(JSON.stringify(out));
    """
    assert await run(plane, code, MIGRATIONS=str(tmp_path)) == {
        "inserted": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "rolledBack": True,
        "names": ["c", "b", "d"],
        "batch": 2,
        "count": 2,
    }


async def test_python_libsql_remote(plane: Plane) -> None:
    code = """
import json, os, libsql
db = libsql.connect(database=os.environ["URL"], auth_token=os.environ["TOKEN"])
db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
db.execute("INSERT INTO t (a) VALUES (?)", ("x",))
db.commit()
db.execute("INSERT INTO t (a) VALUES (?)", ("gone",))
db.rollback()
out = {"rows": db.execute("SELECT id, a FROM t").fetchall()}
try:
    db.execute("SELECT nope")
except ValueError as error:
    out["error"] = "no such column: nope" in str(error)
print(json.dumps(out))
"""
    environment = {"URL": plane.url(), "TOKEN": plane.tokens[MAIN]}

    def work() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert json.loads(await asyncio.to_thread(work)) == {"rows": [[1, "x"]], "error": True}
