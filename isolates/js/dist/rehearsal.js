// Built from src/rehearsal.ts, which says what for: do not edit.
"use strict";
(() => {
  // src/rehearsal.ts
  var HEADER_BYTES = 64;
  var BUFFER_BYTES = HEADER_BYTES + (1 << 20);
  var FRAME_BYTES = 16;
  var REQUEST = 1;
  var RESPONSE = 2;
  var END = 1;
  var LEAVE = 1;
  var EGRESS = 1;
  var EDGE = 2;
  var MICROTASKS_PER_TURN = 200;
  var input = new DataView(new ArrayBuffer(BUFFER_BYTES));
  var output = new DataView(new ArrayBuffer(BUFFER_BYTES));
  var app = {
    async fetch(request, _env, ctx) {
      const url = new URL(request.url);
      switch (url.pathname) {
        case "/json": {
          const body = await request.json();
          return Response.json({ value: body.value + 1, query: url.searchParams.get("q") });
        }
        case "/stream": {
          const body = new ReadableStream({
            start(controller) {
              controller.enqueue(new TextEncoder().encode("first"));
              controller.enqueue(new TextEncoder().encode("second"));
              controller.close();
            }
          });
          return new Response(body, { headers: { "content-type": "text/plain" } });
        }
        case "/bytes":
          return new Response(new Uint8Array((await request.arrayBuffer()).byteLength));
        case "/later":
          ctx.waitUntil(Promise.resolve());
          await new Promise((resolve) => setTimeout(resolve, 0));
          return new Response(await request.text(), { status: 201, headers: new Headers({ "x-one": "1" }) });
        case "/fetch": {
          const answer = await fetch("http://service.test/", { headers: { accept: "*/*" } });
          return new Response(await answer.text(), answer);
        }
        case "/redirect":
          return Response.redirect("http://app.test/", 302);
        default:
          return new Response(`Hello ${request.method} ${request.headers.get("accept")}`);
      }
    }
  };
  var native = {
    input: input.buffer,
    output: output.buffer,
    scratch: new ArrayBuffer(BUFFER_BYTES),
    poll() {
    },
    call() {
    },
    importModule: () => Promise.resolve({ default: app }),
    getContinuation: () => void 0,
    setContinuation: () => {
    }
  };
  var inputAt = HEADER_BYTES;
  var clock = 1;
  function put(connection, stream, type, status, head, body) {
    const size = FRAME_BYTES + head.length + body.length;
    input.setUint32(inputAt, connection, true);
    input.setUint32(inputAt + 4, size, true);
    const at = inputAt + 8;
    input.setUint32(at, size, true);
    input.setUint32(at + 4, stream, true);
    input.setUint32(at + 8, type | END << 8 | status << 16, true);
    input.setUint32(at + 12, head.length, true);
    const text = head + body;
    for (let i = 0; i < text.length; i++) input.setUint8(at + FRAME_BYTES + i, text.charCodeAt(i));
    inputAt = at + size;
  }
  function takeSubrequests() {
    const streams = [];
    const end = HEADER_BYTES + output.getUint32(0, true);
    for (let at = HEADER_BYTES; at < end; ) {
      const connection = output.getUint32(at, true);
      const segmentEnd = at + 8 + output.getUint32(at + 4, true);
      for (at += 8; at < segmentEnd; at += output.getUint32(at, true)) {
        if (connection === EGRESS && output.getUint8(at + 8) === REQUEST) streams.push(output.getUint32(at + 4, true));
      }
    }
    output.setUint32(0, 0, true);
    return streams;
  }
  async function turn(run) {
    input.setUint32(0, inputAt - HEADER_BYTES, true);
    input.setUint32(4, LEAVE, true);
    input.setFloat64(8, 17e11 + clock, true);
    input.setFloat64(16, clock += 100, true);
    run();
    inputAt = HEADER_BYTES;
    for (let i = 0; i < MICROTASKS_PER_TURN; i++) await void 0;
  }
  async function rehearse(run) {
    await turn(run);
    await turn(run);
    const fields = "host\napp.test\naccept\n*/*\nx-request-id\n1\n";
    const typed = `${fields}content-type
application/json
content-length
11`;
    let stream = 1;
    const ask = (method, path, body = "") => put(
      EDGE,
      stream++,
      REQUEST,
      0,
      `${method}
http://app.test${path}
1
${body ? typed : fields.slice(0, -1)}`,
      body
    );
    for (let round = 0; round < 2; round++) {
      ask("GET", "/");
      ask("HEAD", "/");
      ask("POST", "/json?q=1", '{"value":1}');
      ask("GET", "/stream");
      ask("POST", "/bytes", '{"value":1}');
      ask("POST", "/later", '{"value":1}');
      ask("GET", "/fetch");
      ask("GET", "/redirect");
      await turn(run);
      for (const subrequest of takeSubrequests()) {
        put(EGRESS, subrequest, RESPONSE, 200, "OK\ncontent-type\ntext/plain", "answer");
      }
      await turn(run);
      await turn(run);
      takeSubrequests();
    }
  }
  function standIn() {
    const late = globalThis;
    const absent = () => {
      throw new TypeError("not in a rehearsal");
    };
    late.WebAssembly ??= { compile: absent, instantiate: absent };
    late.SharedArrayBuffer ??= class {
      get byteLength() {
        return absent();
      }
    };
    Error.isError ??= (value) => value instanceof Error;
    Uint8Array.fromBase64 ??= absent;
    const bytes = Uint8Array.prototype;
    bytes.toHex ??= absent;
    bytes.toBase64 ??= absent;
  }
  standIn();
  var boot = globalThis.__brrrd_boot;
  var limits = { wall_ms: 3e4, max_concurrent_requests: 100, queue_ms: 5e3, response_mb: 0 };
  globalThis.rehearsal = rehearse(
    boot(native, {
      app_id: "rehearsal",
      build_id: "rehearsal",
      main: "index.js",
      environment: { NAME: "value" },
      limits,
      node: false,
      version: "0"
    })
  );
})();
