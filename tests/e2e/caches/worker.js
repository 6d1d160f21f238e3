// An app that tests the Cache API from inside: each of its cases is a path. What is expected of the standard follows
// Service Workers §5.4 and the tests of its cache-storage folder in web-platform-tests; the rest is this node's own.
import { cases } from './cases.js';
import { serverCases } from './server_cases.js';

const all = { ...cases, ...serverCases };

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const name = decodeURIComponent(url.pathname.slice(1));
    if (name === 'origin') return origin(request, url);
    if (name === 'site') return site(request, env, ctx);
    if (name === 'has') return new Response(String((await caches.default.match(url.search.slice(1))) !== undefined));
    const run = all[name];
    if (run === undefined) return new Response(`no case ${name}`, { status: 404 });
    const cacheName = `case ${name}`;
    await caches.delete(cacheName);
    try {
      await run({ cache: await caches.open(cacheName), origin: url.origin, ctx });
      return new Response('passed');
    } catch (error) {
      return new Response(`${error.stack ?? error}`, { status: 500 });
    } finally {
      await caches.delete(cacheName);
    }
  },
};

/** What the cases fetch: answers as its query says. */
function origin(request, url) {
  if (url.searchParams.has('to')) return Response.redirect(new URL(url.searchParams.get('to'), url), 302);
  if (url.searchParams.has('slow')) return new Response(slow());
  const status = Number(url.searchParams.get('status') ?? 200);
  const headers = new Headers({ 'content-type': 'text/plain' });
  if (url.searchParams.has('vary')) headers.set('vary', url.searchParams.get('vary'));
  const size = Number(url.searchParams.get('size') ?? 0);
  const body = size > 0 ? 'x'.repeat(size) : `from the origin for ${request.headers.get('x-for') ?? 'anybody'}`;
  return new Response(status === 204 ? null : body, { status, headers });
}

/** A body that does not end by itself. */
function slow() {
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      controller.enqueue(new Uint8Array(1000));
    },
  });
}

/** A site as users write it: answers from the cache, and stores what it made behind the response's back. */
async function site(request, env, ctx) {
  const cached = await caches.default.match(request);
  if (cached !== undefined) return cached;
  const response = new Response(`made at ${performance.now()} with ${crypto.randomUUID()}`, {
    headers: { 'cache-control': 'public, max-age=600', etag: '"v1"' },
  });
  ctx.waitUntil(caches.default.put(request, response.clone()));
  return response;
}
