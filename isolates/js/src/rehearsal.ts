/**
 * A script of its own, run once while the start-up snapshot is made: it boots the platform in a context that is thrown
 * away afterwards and plays a few requests to it. V8 compiles functions when they are first called, and keeps what it
 * compiled in the snapshot; without this every new isolate would compile the way of a request during its first one.
 *
 * It must not import the platform, which is there already, and what it plays should be what most apps do: compiled
 * code of functions that an app never calls only costs its isolate memory.
 */

import type * as encoding from './encoding/text_encoding.ts';
import type * as fetching from './fetch.ts';
import type * as headers from './http/headers.ts';
import type * as requests from './http/request.ts';
import type * as responses from './http/response.ts';
import type { Native } from './native.ts';
import type * as streams from './streams.ts';
import type * as timers from './timers.ts';
import type * as urls from './url/url.ts';

declare const TextEncoder: typeof encoding.TextEncoder;
declare const fetch: typeof fetching.fetch;
declare const Headers: typeof headers.Headers;
declare const Response: typeof responses.Response;
declare const ReadableStream: typeof streams.ReadableStream;
declare const setTimeout: typeof timers.setTimeout;
declare const URL: typeof urls.URL;
const HEADER_BYTES = 64;
const BUFFER_BYTES = HEADER_BYTES + (1 << 20);
const FRAME_BYTES = 16;
const REQUEST = 1;
const RESPONSE = 2;
const END = 1;
const LEAVE = 1;
const EGRESS = 1;
const EDGE = 2;
/** More than any chain of promises on the way of a request. */
const MICROTASKS_PER_TURN = 200;

type Boot = (native: Native, config: object) => () => void;
/** Mixed into Request and Response. */
interface Body {
  json(): Promise<unknown>;
  text(): Promise<string>;
  arrayBuffer(): Promise<ArrayBuffer>;
}
interface Worker {
  fetch(
    request: requests.Request & Body,
    env: unknown,
    ctx: { waitUntil(promise: Promise<unknown>): void },
  ): Promise<responses.Response>;
}

const input = new DataView(new ArrayBuffer(BUFFER_BYTES));
const output = new DataView(new ArrayBuffer(BUFFER_BYTES));

const app: Worker = {
  async fetch(request, _env, ctx) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case '/json': {
        const body = (await request.json()) as { value: number };
        return Response.json({ value: body.value + 1, query: url.searchParams.get('q') });
      }
      case '/stream': {
        const body = new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode('first'));
            controller.enqueue(new TextEncoder().encode('second'));
            controller.close();
          },
        });
        return new Response(body, { headers: { 'content-type': 'text/plain' } });
      }
      case '/bytes':
        return new Response(new Uint8Array((await request.arrayBuffer()).byteLength));
      case '/later':
        ctx.waitUntil(Promise.resolve());
        await new Promise((resolve) => setTimeout(resolve, 0));
        return new Response(await request.text(), { status: 201, headers: new Headers({ 'x-one': '1' }) });
      case '/fetch': {
        const answer = (await fetch('http://service.test/', { headers: { accept: '*/*' } })) as responses.Response &
          Body;
        return new Response(await answer.text(), answer);
      }
      case '/redirect':
        return Response.redirect('http://app.test/', 302);
      default:
        return new Response(`Hello ${request.method} ${request.headers.get('accept')}`);
    }
  },
};

const native = {
  input: input.buffer,
  output: output.buffer,
  scratch: new ArrayBuffer(BUFFER_BYTES),
  poll() {},
  call() {},
  importModule: () => Promise.resolve({ default: app }),
  getContinuation: () => undefined,
  setContinuation: () => {},
} as unknown as Native;

let inputAt = HEADER_BYTES;
let clock = 1;

function put(connection: number, stream: number, type: number, status: number, head: string, body: string): void {
  const size = FRAME_BYTES + head.length + body.length;
  input.setUint32(inputAt, connection, true);
  input.setUint32(inputAt + 4, size, true);
  const at = inputAt + 8;
  input.setUint32(at, size, true);
  input.setUint32(at + 4, stream, true);
  input.setUint32(at + 8, type | (END << 8) | (status << 16), true);
  input.setUint32(at + 12, head.length, true);
  const text = head + body;
  for (let i = 0; i < text.length; i++) input.setUint8(at + FRAME_BYTES + i, text.charCodeAt(i));
  inputAt = at + size;
}

/** The streams of the subrequests that the platform wrote, all of whose output is taken. */
function takeSubrequests(): number[] {
  const streams: number[] = [];
  const end = HEADER_BYTES + output.getUint32(0, true);
  for (let at = HEADER_BYTES; at < end;) {
    const connection = output.getUint32(at, true);
    const segmentEnd = at + 8 + output.getUint32(at + 4, true);
    for (at += 8; at < segmentEnd; at += output.getUint32(at, true)) {
      if (connection === EGRESS && output.getUint8(at + 8) === REQUEST) streams.push(output.getUint32(at + 4, true));
    }
  }
  output.setUint32(0, 0, true);
  return streams;
}

async function turn(run: () => void): Promise<void> {
  input.setUint32(0, inputAt - HEADER_BYTES, true);
  input.setUint32(4, LEAVE, true);
  input.setFloat64(8, 1_700_000_000_000 + clock, true);
  input.setFloat64(16, (clock += 100), true);
  run();
  inputAt = HEADER_BYTES;
  for (let i = 0; i < MICROTASKS_PER_TURN; i++) await undefined;
}

async function rehearse(run: () => void): Promise<void> {
  await turn(run);
  await turn(run);
  const fields = 'host\napp.test\naccept\n*/*\nx-request-id\n1\n';
  const typed = `${fields}content-type\napplication/json\ncontent-length\n11`;
  let stream = 1;
  const ask = (method: string, path: string, body = '') =>
    put(
      EDGE,
      stream++,
      REQUEST,
      0,
      `${method}\nhttp://app.test${path}\n1\n${body ? typed : fields.slice(0, -1)}`,
      body,
    );
  for (let round = 0; round < 2; round++) {
    ask('GET', '/');
    ask('HEAD', '/');
    ask('POST', '/json?q=1', '{"value":1}');
    ask('GET', '/stream');
    ask('POST', '/bytes', '{"value":1}');
    ask('POST', '/later', '{"value":1}');
    ask('GET', '/fetch');
    ask('GET', '/redirect');
    await turn(run);
    for (const subrequest of takeSubrequests()) {
      put(EGRESS, subrequest, RESPONSE, 200, 'OK\ncontent-type\ntext/plain', 'answer');
    }
    await turn(run);
    await turn(run);
    takeSubrequests();
  }
}

/** What V8 gives a context only after a snapshot (see `late_intrinsics.ts`): boot wants to see it, requests do not. */
function standIn(): void {
  const late = globalThis as unknown as Record<string, unknown>;
  const absent = () => {
    throw new TypeError('not in a rehearsal');
  };
  late.WebAssembly ??= { compile: absent, instantiate: absent };
  late.SharedArrayBuffer ??= class {
    get byteLength(): number {
      return absent();
    }
  };
  (Error as unknown as { isError?: unknown }).isError ??= (value: unknown) => value instanceof Error;
  (Uint8Array as unknown as { fromBase64?: unknown }).fromBase64 ??= absent;
  const bytes = Uint8Array.prototype as unknown as { toHex?: unknown; toBase64?: unknown };
  bytes.toHex ??= absent;
  bytes.toBase64 ??= absent;
}

standIn();
const boot = (globalThis as unknown as { __brrrd_boot: Boot }).__brrrd_boot;
const limits = { wall_ms: 30_000, max_concurrent_requests: 100, queue_ms: 5000, response_mb: 0 };
/** For the test that looks whether it goes through; the context is thrown away. */
(globalThis as unknown as { rehearsal: Promise<void> }).rehearsal = rehearse(
  boot(native, {
    app_id: 'rehearsal',
    build_id: 'rehearsal',
    main: 'index.js',
    environment: { NAME: 'value' },
    limits,
    node: false,
    version: '0',
  }),
);
