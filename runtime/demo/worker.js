// The example app of `brrrd demo`: a guest book in a libSQL database, and a streamed response.
// Files under public/ are served before this module is asked.

import { connect } from "./database.js";

let query;

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/api/stream") return countdown();
    if (pathname === "/api/entries") {
      query ??= await open(env);
      if (request.method === "GET") return Response.json({ entries: await entries() });
      if (request.method === "POST") return add(request);
      return new Response("Method not allowed\n", { status: 405, headers: { allow: "GET, POST" } });
    }
    return new Response("Not found\n", { status: 404 });
  },
};

async function open(env) {
  const query = connect(env.DATABASE_URL, env.DATABASE_TOKEN);
  await query(
    "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, name TEXT NOT NULL, message TEXT NOT NULL, at TEXT NOT NULL)",
  );
  return query;
}

function entries() {
  return query("SELECT id, name, message, at FROM entries ORDER BY id DESC LIMIT 50");
}

async function add(request) {
  const body = await request.json().catch(() => null);
  const name = String(body?.name ?? "").trim().slice(0, 80) || "anonymous";
  const message = String(body?.message ?? "").trim().slice(0, 500);
  if (!message) return Response.json({ error: "write a message" }, { status: 400 });
  const [entry] = await query("INSERT INTO entries (name, message, at) VALUES (?, ?, ?) RETURNING *", [
    name,
    message,
    new Date().toISOString(),
  ]);
  console.log("new entry", entry.id);
  return Response.json({ entry }, { status: 201 });
}

/** Ten lines, one every 100 ms: the client sees each as it is written. */
function countdown() {
  const encoder = new TextEncoder();
  let line = 0;
  const body = new ReadableStream({
    async pull(controller) {
      if (line > 0) await new Promise((done) => setTimeout(done, 100));
      line += 1;
      controller.enqueue(encoder.encode(`line ${line} of 10\n`));
      if (line === 10) controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
}
