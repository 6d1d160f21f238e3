// @tursodatabase/serverless: prepared statements, streaming rows, batches.
import assert from "node:assert/strict";
import { connect } from "@tursodatabase/serverless";

const connection = connect({ url: process.env.URL, authToken: process.env.TOKEN });
await connection.exec("create table t (n integer, s text)");
const insert = await connection.prepare("insert into t values (?, ?)");
for (let n = 0; n < 3; n++) await insert.run([n, `row ${n}`]);

const select = await connection.prepare("select s from t where n > ? order by n");
assert.deepEqual((await select.all([0])).map((row) => row.s), ["row 1", "row 2"]);
const seen = [];
for await (const row of select.iterate([1])) seen.push(row.s);
assert.deepEqual(seen, ["row 2"]);

await connection.batch(["insert into t values (7, 'seven')", "delete from t where n = 0"]);
const count = await (await connection.prepare("select count(*) as n from t")).get([]);
assert.equal(count.n, 3);
await connection.close();
console.log("ok");
