// Serves d1.js on miniflare: node miniflare.mjs PORT WORKER SCHEMA, where SCHEMA is a JSON array of statements.
import { readFileSync } from "node:fs";
import { Miniflare } from "miniflare";

const [port, worker, schema] = process.argv.slice(2);
const miniflare = new Miniflare({
  modules: true,
  script: readFileSync(worker, "utf8"),
  compatibilityDate: "2026-07-01",
  port: Number(port),
  d1Databases: { DB: "benchmark" },
});
const database = await miniflare.getD1Database("DB");
for (const statement of JSON.parse(schema)) await database.prepare(statement).run();
await miniflare.ready;
console.log("ready");
