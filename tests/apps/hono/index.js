// A Hono application as its documentation writes one: middleware, parameters, validation, cookies, streaming, HTML.
import { Hono } from "hono";
import { upgradeWebSocket } from "hono/cloudflare-workers";
import { getCookie, setCookie } from "hono/cookie";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { html } from "hono/html";
import { HTTPException } from "hono/http-exception";
import { logger } from "hono/logger";
import { streamSSE, streamText } from "hono/streaming";
import { validator } from "hono/validator";

const app = new Hono();

app.use(logger());
app.use("/api/*", cors({ origin: "https://example.com" }));
app.use("/cached", etag());

app.get(
  "/socket/:name",
  upgradeWebSocket((c) => ({
    onMessage(event, socket) {
      socket.send(`${c.req.param("name")} heard ${event.data}`);
      if (event.data === "bye") socket.close(4001, "as you wish");
    },
    onClose: () => console.log("socket closed"),
  })),
);
app.get("/", (c) => c.text("Hello Hono!"));
app.get("/env", (c) => c.text(c.env.GREETING ?? "unset"));
app.get("/api/users/:id{[0-9]+}", (c) => c.json({ id: Number(c.req.param("id")), tags: c.req.queries("tag") ?? [] }));
app.post("/api/echo", async (c) => c.json(await c.req.json(), 201));
app.post("/form", async (c) => {
  const form = await c.req.parseBody({ all: true });
  const file = form.file;
  return c.json({ name: form.name, file: file.name, type: file.type, text: await file.text() });
});
app.post(
  "/validated",
  validator("json", (value, c) => (typeof value.n === "number" ? value : c.text("n must be a number", 400))),
  (c) => c.json({ doubled: c.req.valid("json").n * 2 }),
);
app.get("/cookie", (c) => {
  setCookie(c, "visits", String(Number(getCookie(c, "visits") ?? 0) + 1), { httpOnly: true, path: "/" });
  setCookie(c, "theme", "dark");
  return c.text(getCookie(c, "visits") ?? "first");
});
app.get("/page", (c) => c.html(html`<!doctype html><p>${"<escaped>"}</p>`));
app.get("/cached", (c) => c.text("same every time"));
app.get("/stream", (c) =>
  streamText(c, async (stream) => {
    for (let i = 0; i < 3; i++) {
      await stream.writeln(`line ${i}`);
      await stream.sleep(5);
    }
  }),
);
app.get("/events", (c) =>
  streamSSE(c, async (stream) => {
    await stream.writeSSE({ event: "greeting", data: "hello", id: "1" });
    await stream.writeSSE({ data: "done" });
  }),
);
app.get("/redirect", (c) => c.redirect("/", 302));
app.get("/teapot", () => {
  throw new HTTPException(418, { message: "short and stout" });
});
app.get("/later", (c) => {
  c.executionCtx.waitUntil(Promise.resolve());
  return c.body(null, 204);
});
app.notFound((c) => c.text("no such page", 404));

export default app;
