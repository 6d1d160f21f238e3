"""Clients and tools that reach the data plane through another library, or in an old protocol."""

import asyncio
import json
import subprocess
import sys

import pytest

from tests.dataplane.plane import MAIN, Plane
from tests.node import npm_project, run_command, run_node

PACKAGES = {"@libsql/kysely-libsql": "0.4.1", "kysely": "0.28.2"}
DRIZZLE = {"drizzle-kit": "0.31.11", "drizzle-orm": "0.45.4", "@libsql/client": "0.18.0"}


@pytest.mark.parametrize(("scheme", "slash"), [("http", ""), ("http", "/"), ("ws", "")])
async def test_the_old_python_client(plane: Plane, scheme: str, slash: str) -> None:
    """`libsql-client` of PyPI: the stateless v1 routes, or hrana1 over WebSocket."""
    code = """
import asyncio, json, os, libsql_client
async def main():
    async with libsql_client.create_client(os.environ["URL"], auth_token=os.environ["TOKEN"]) as client:
        await client.execute("CREATE TABLE t (a, b)")
        await client.batch([("INSERT INTO t VALUES (?, ?)", ["x", 1.5]), "INSERT INTO t VALUES ('y', NULL)"])
        rows = (await client.execute("SELECT * FROM t WHERE a = :a", {"a": "x"})).rows
        try:
            await client.execute("SELECT nope")
        except libsql_client.LibsqlError as error:
            told = "no such column" in str(error)
        print(json.dumps([[list(row) for row in rows], told]))
asyncio.run(main())
"""
    environment = {"URL": plane.url(MAIN, slash).replace("http", scheme), "TOKEN": plane.tokens[MAIN]}

    def work() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert json.loads(await asyncio.to_thread(work)) == [[["x", 1.5]], True]


async def test_kysely(plane: Plane) -> None:
    code = """
    import { Kysely } from "kysely";
    import { LibsqlDialect } from "@libsql/kysely-libsql";
    const dialect = new LibsqlDialect({ url: process.env.URL, authToken: process.env.TOKEN });
    const db = new Kysely({ dialect });
    await db.schema.createTable("t").addColumn("id", "integer", (c) => c.primaryKey()).addColumn("a", "text").execute();
    await db.insertInto("t").values([{ a: "x" }, { a: "y" }]).execute();
    const update = (tx) => tx.updateTable("t").set({ a: "z" }).where("id", "=", 2).execute();
    await db.transaction().execute(update);
    try {
      await db.transaction().execute(async (tx) => { await tx.deleteFrom("t").execute(); throw new Error("no"); });
    } catch {}
    console.log(JSON.stringify(await db.selectFrom("t").selectAll().orderBy("id").execute()));
    await db.destroy();
    """
    environment = {"URL": plane.url(), "TOKEN": plane.tokens[MAIN]}

    def work() -> str:
        return run_node(npm_project("dataplane-kysely", PACKAGES), code, env=environment)

    assert json.loads(await asyncio.to_thread(work)) == [{"id": 1, "a": "x"}, {"id": 2, "a": "z"}]


async def test_drizzle_kit_push(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = npm_project("dataplane-drizzle-kit", DRIZZLE)
    schema = folder / f"schema-{tmp_path_factory.mktemp('push').name}.mjs"
    config = schema.with_name(schema.name.replace("schema", "config"))

    def push(columns: str) -> None:
        schema.write_text(
            'import { sqliteTable, integer, text } from "drizzle-orm/sqlite-core";\n'
            f'export const users = sqliteTable("users", {{ id: integer().primaryKey(), {columns} }});\n'
        )
        credentials = json.dumps({"url": plane.url(), "authToken": plane.tokens[MAIN]})
        config.write_text(
            f'export default {{ dialect: "turso", schema: "./{schema.name}", dbCredentials: {credentials} }};\n'
        )
        run_command(
            ("node", "node_modules/drizzle-kit/bin.cjs", "push", "--force", f"--config={config.name}"), cwd=folder
        )

    try:
        await asyncio.to_thread(push, "name: text().notNull()")
        await plane.execute("INSERT INTO users (name) VALUES ('kept')")
        await asyncio.to_thread(push, "name: text().notNull(), email: text()")
    finally:
        schema.unlink(missing_ok=True)
        config.unlink(missing_ok=True)
    assert await plane.values("SELECT id, name, email FROM users") == [[1, "kept", None]]
