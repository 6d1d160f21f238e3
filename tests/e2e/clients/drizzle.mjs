// drizzle-orm over @libsql/client: a migration folder run twice, then queries and a transaction.
import assert from "node:assert/strict";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/libsql";
import { migrate } from "drizzle-orm/libsql/migrator";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

const db = drizzle({ connection: { url: process.env.URL, authToken: process.env.TOKEN } });
const users = sqliteTable("users", {
  id: integer().primaryKey({ autoIncrement: true }),
  name: text().notNull(),
});

for (let round = 0; round < 2; round++) await migrate(db, { migrationsFolder: process.env.MIGRATIONS });
await db.insert(users).values([{ name: "Ada" }, { name: "Grace" }]);
await db.transaction(async (transaction) => {
  await transaction.update(users).set({ name: "Ada L." }).where(eq(users.id, 1));
});
await assert.rejects(db.insert(users).values({ name: "Grace" }));
assert.deepEqual(await db.select().from(users), [{ id: 1, name: "Ada L." }, { id: 2, name: "Grace" }]);
console.log("ok");
