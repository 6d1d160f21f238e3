# ruff: noqa: E501 a script that fits on one line is easier to read than a broken one
"""Scripts that answer in ways that a server, or a client, chokes on."""

from tests.hostile.attack import BROKEN, CUT, FINE, GONE, THROWN, TIMEOUT, Attack

ATTACKS = [
    Attack("no answer", TIMEOUT, "await new Promise(() => {});"),
    Attack("body that never begins", BROKEN, "return new Response(new ReadableStream({}));"),
    Attack("body that never ends", BROKEN, """
      return new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array(8)); } }));"""),
    Attack("body without end, with backpressure", BROKEN, """
      return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)); } }));"""),
    Attack("body in single bytes", BROKEN | TIMEOUT, """
      return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1)); } }));"""),
    Attack("body in single bytes of an iterator", BROKEN | TIMEOUT, """
      return new Response(ReadableStream.from({ *[Symbol.iterator]() { for (;;) yield new Uint8Array(1); } }));"""),
    Attack("clones of an endless body", TIMEOUT | GONE, """
      const first = new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1e5)); } }));
      const all = []; for (let i = 0; i < 2e4; i++) all.push(first.clone());
      await all[0].text();"""),
    Attack("a chain of twenty thousand pipes", TIMEOUT | GONE | FINE, """
      let stream = new ReadableStream({ pull(c) { c.enqueue("x"); } });
      for (let i = 0; i < 20_000; i++) stream = stream.pipeThrough(new TransformStream());
      await stream.getReader().read();
      return new Response("ok");"""),
    Attack("body of empty chunks", GONE | BROKEN, """
      return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(0)); } }));"""),
    Attack("body that fails", BROKEN, """
      let n = 0;
      return new Response(new ReadableStream({ pull(c) { if (n++) throw new Error("no"); c.enqueue(new Uint8Array(9)); } }));
      """),
    Attack("body of text chunks", BROKEN, """
      return new Response(new ReadableStream({ pull(c) { c.enqueue("text"); } }));"""),
    Attack("body of detached buffers", frozenset({CUT, 200}), """
      return new Response(new ReadableStream({ pull(c) {
        const b = new Uint8Array(10); structuredClone(b, { transfer: [b.buffer] }); c.enqueue(b); c.close(); } }));"""),
    Attack("cancel without end", TIMEOUT | GONE | BROKEN, """
      return new Response(new ReadableStream({ cancel() { for (;;); }, pull() { return new Promise(() => {}); } }));"""),
    Attack("content-length that lies, short", frozenset({200, 500, 502, CUT}), """
      return new Response("abcdef", { headers: { "content-length": "3" } });"""),
    Attack("content-length that lies, long", frozenset({200, 500, 502, CUT}), """
      return new Response("abc", { headers: { "content-length": "100" } });"""),
    Attack("several content-lengths", frozenset({200, 500, 502, CUT}), """
      return new Response("abc", { headers: [["content-length", "3"], ["content-length", "4"]] });"""),
    Attack("chunked twice", frozenset({200, 500, 502}), """
      return new Response("0\\r\\n\\r\\n", { headers: { "transfer-encoding": "chunked" } });"""),
    Attack("connection headers", frozenset({200, 500, 502}), """
      return new Response("a", { headers: { connection: "upgrade", upgrade: "x", "keep-alive": "x", te: "x" } });"""),
    Attack("huge header", THROWN, "return new Response('', { headers: { x: 'a'.repeat(1e6) } });"),
    Attack("headers just within the frame", frozenset({200, 502}), """
      return new Response('', { headers: { x: 'a'.repeat(120000) } });"""),
    Attack("a million headers", THROWN | GONE, """
      const headers = new Headers();
      for (let i = 0; i < 1e6; i++) headers.append("x-" + i, "v");
      return new Response("", { headers });"""),
    Attack("a million values of one header", THROWN | GONE, """
      const headers = new Headers();
      for (let i = 0; i < 1e6; i++) headers.append("x", "v");
      return new Response("", { headers });"""),
    Attack("many cookies", THROWN | GONE, """
      const headers = new Headers();
      for (let i = 0; i < 1e5; i++) headers.append("set-cookie", "a=" + i);
      return new Response("", { headers });"""),
    Attack("header with line breaks", THROWN, "return new Response('', { headers: { x: 'a\\r\\nset-cookie: b=1' } });"),
    Attack("header beyond latin-1", THROWN, "return new Response('', { headers: { x: '☃' } });"),
    Attack("status text with line breaks", THROWN, "return new Response('', { statusText: 'a\\r\\nx: y' });"),
    Attack("huge status text", THROWN, "return new Response('', { statusText: 'a'.repeat(1e6) });"),
    Attack("status out of range", THROWN, "return new Response('', { status: 1000 });"),
    Attack("informational status", THROWN, "return new Response('', { status: 101 });"),
    Attack("Response.error", THROWN, "return Response.error();"),
    Attack("number", THROWN, "return 42;"),
    Attack("nothing", THROWN, ""),
    Attack("look-alike", THROWN, "return { status: 200, headers: new Headers(), body: null, ok: true };"),
    Attack("proxy of a response", THROWN, "return new Proxy(new Response('x'), {});"),
    Attack("object of the response's prototype", THROWN, "return Object.create(Response.prototype);"),
    Attack("body used twice", THROWN, "const r = new Response('x'); await r.text(); return r;"),
    Attack("locked body", THROWN, "const r = new Response('x'); r.body.getReader(); return r;"),
    Attack("body larger than response_mb", frozenset({502}), "return new Response(new Uint8Array(2 << 20));",
           limits={"response_mb": 1}, logged="response_mb"),
    Attack("text larger than response_mb", frozenset({502}), "return new Response('é'.repeat(1 << 20));",
           limits={"response_mb": 1}, logged="response_mb"),
    Attack("stream larger than response_mb", BROKEN, """
      return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)); } }));""",
           limits={"response_mb": 1}, logged="response_mb"),
    Attack("exactly response_mb", FINE, "return new Response(new Uint8Array(1 << 20));", limits={"response_mb": 1}),
    Attack("answer without reading the request", FINE, "return new Response('ok');",
           method="POST", content=b"x" * 5_000_000),
    Attack("answer that reads the request for ever", FINE | TIMEOUT, """
      const reader = request.body.getReader();
      for (;;) { const { done } = await reader.read(); if (done) break; await new Promise((r) => setTimeout(r, 1)); }
      return new Response("ok");""", method="POST", content=b"x" * 5_000_000),
    Attack("request's body sent back and cancelled", FINE | BROKEN | THROWN, """
      const [a, b] = request.body.tee(); void b.cancel(); return new Response(a);""",
           method="POST", content=b"x" * 2_000_000),
]  # fmt: skip
