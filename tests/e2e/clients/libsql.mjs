// @libsql/client as its documentation uses it: execute, batch, interactive transactions, values, errors.
import assert from "node:assert/strict";
import { createClient } from "@libsql/client";

const client = createClient({ url: process.env.URL, authToken: process.env.TOKEN, intMode: "bigint" });

await client.execute("create table notes (id integer primary key, text text not null, data blob)");
const inserted = await client.execute({
  sql: "insert into notes (text, data) values (:text, :data)",
  args: { text: "grüße", data: new Uint8Array([0, 255]) },
});
assert.equal(inserted.rowsAffected, 1);
assert.equal(inserted.lastInsertRowid, 1n);

await client.batch(["insert into notes (text) values ('two')", { sql: "insert into notes (text) values (?)", args: ["3"] }], "write");

const undone = await client.transaction("write");
await undone.execute("delete from notes");
assert.equal((await undone.execute("select count(*) as n from notes")).rows[0].n, 0n);
await undone.rollback();

const done = await client.transaction("write");
await done.execute("update notes set text = 'three' where text = '3'");
await done.commit();

// A batch is a transaction: nothing of a failed one remains.
const failed = await client
  .batch(["insert into notes (text) values ('four')", "insert into notes (text) values (null)"], "write")
  .catch((error) => error);
assert.equal(failed.code, "SQLITE_CONSTRAINT");
assert.match(failed.message, /NOT NULL constraint failed: notes\.text/);

const rows = await client.execute("select id, text, data from notes order by id");
assert.deepEqual(rows.columns, ["id", "text", "data"]);
assert.deepEqual(rows.rows.map((row) => [row.id, row.text]), [[1n, "grüße"], [2n, "two"], [3n, "three"]]);
assert.deepEqual([...new Uint8Array(rows.rows[0].data)], [0, 255]);

const big = await client.execute("select 9223372036854775807 as n, 1.5 as f, null as missing");
assert.deepEqual([big.rows[0].n, big.rows[0].f, big.rows[0].missing], [9223372036854775807n, 1.5, null]);

await client.executeMultiple("create table a (n); create table b (n); insert into b values (1);");
await client.migrate(["create table c (n integer references notes (id))"]);
await assert.rejects(client.execute("selec 1"), /syntax error/);
client.close();
console.log("ok");
