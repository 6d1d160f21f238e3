// Keeps notes in its own libSQL database through @libsql/client/web, whose transport is this runtime's fetch.
import { type Client, createClient } from "@libsql/client/web";

interface Environment {
  DATABASE_URL: string;
  DATABASE_TOKEN: string;
}

let client: Client | undefined;

async function database(environment: Environment): Promise<Client> {
  if (!client) {
    client = createClient({ url: environment.DATABASE_URL, authToken: environment.DATABASE_TOKEN });
    await client.execute("create table if not exists notes (id integer primary key, text text not null)");
  }
  return client;
}

export default {
  async fetch(request: Request, environment: Environment): Promise<Response> {
    const notes = await database(environment);
    const { pathname } = new URL(request.url);
    if (request.method === "POST" && pathname === "/notes") {
      const { lastInsertRowid } = await notes.execute({
        sql: "insert into notes (text) values (?)",
        args: [await request.text()],
      });
      return Response.json({ id: Number(lastInsertRowid) }, { status: 201 });
    }
    if (request.method === "POST" && pathname === "/swap") {
      const transaction = await notes.transaction("write");
      try {
        await transaction.execute("update notes set text = upper(text)");
        if (request.headers.has("x-fail")) throw new Error("changed my mind");
        await transaction.commit();
        return new Response("swapped");
      } catch (thrown) {
        return new Response(String(thrown), { status: 409 });
      } finally {
        transaction.close();
      }
    }
    const { rows } = await notes.execute("select id, text from notes order by id");
    return Response.json(rows.map(({ id, text }) => ({ id, text })));
  },
};
