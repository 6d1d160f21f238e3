// One query per request through the libSQL client for the web.
import { createClient } from "@libsql/client/web";

let client;

export default {
  async fetch(request, env) {
    client ??= createClient({ url: env.DATABASE_URL, authToken: env.DATABASE_TOKEN });
    const { rows } = await client.execute({ sql: "SELECT id, name, price FROM items WHERE id = ?", args: [4711] });
    const { id, name, price } = rows[0];
    return Response.json({ id, name, price });
  },
};
