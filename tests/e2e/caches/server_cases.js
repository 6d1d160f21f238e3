import { equal, rejects, shown } from './assert.js';

const URL_A = 'https://example.com/served';
const put = (cache, headers, text = 'body') => cache.put(URL_A, new Response(text, { headers }));
const ask = (cache, headers) => cache.match(new Request(URL_A, { headers }));

export const serverCases = {
  async 'what must not be stored is not, and ends what was there'({ cache }) {
    const forbidding = ['no-store', 'private', 'no-cache', 'max-age=0', 's-maxage=0, max-age=60', 'max-age=nonsense'];
    for (const value of forbidding) {
      await put(cache, {}, 'earlier');
      equal(await put(cache, { 'cache-control': value }), undefined);
      equal(await cache.match(URL_A), undefined, value);
    }
    for (const expires of ['Thu, 01 Jan 1970 00:00:00 GMT', '0']) {
      await put(cache, { expires });
      equal(await cache.match(URL_A), undefined, expires);
    }
  },
  async 'a response that sets a cookie is not stored unless the cookie is kept out'({ cache }) {
    await put(cache, { 'set-cookie': 'a=1', 'cache-control': 'max-age=60' });
    equal(await cache.match(URL_A), undefined);
    await put(cache, { 'set-cookie': 'a=1', 'cache-control': 'private="Set-Cookie", max-age=60' });
    const found = await cache.match(URL_A);
    equal([found.headers.getSetCookie(), await found.text()], [[], 'body']);
  },
  async 'what has a lifetime is there until that ends'({ cache }) {
    const later = new Date(Date.now() + 3_600_000).toUTCString();
    for (const headers of [{ 'cache-control': 'max-age=60' }, { 'cache-control': 'max-age=0, s-maxage=60' }, { expires: later }]) {
      await put(cache, headers);
      equal(await (await cache.match(URL_A)).text(), 'body');
    }
    await put(cache, { 'cache-control': 'max-age=60', age: '59' });
    equal(await (await cache.match(URL_A)).text(), 'body');
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      if ((await cache.match(URL_A)) === undefined) break;
    }
    equal([(await cache.keys()).length, (await cache.matchAll()).length], [0, 0]);
  },
  async 'a range of the body is answered with 206'({ cache }) {
    await put(cache, { etag: '"v1"', 'content-length': '10' }, '0123456789');
    const range = async (value, more = {}) => shown(await ask(cache, { range: value, ...more }));
    for (const [value, text, place] of [
      ['bytes=2-4', '234', '2-4'],
      ['bytes=7-', '789', '7-9'],
      ['bytes=-3', '789', '7-9'],
      ['bytes=5-100', '56789', '5-9'],
    ]) {
      const found = await range(value);
      equal([found.status, found.text, found.headers['content-range']], [206, text, `bytes ${place}/10`], value);
      equal(found.headers['content-length'], String(text.length));
    }
    equal((await range('bytes=10-')).status, 416);
    for (const value of ['bytes=0-1,3-4', 'lines=1-2', 'bytes=4-2', 'bytes=-']) equal((await range(value)).status, 200, value);
    equal((await range('bytes=2-4', { 'if-range': '"v1"' })).status, 206);
    equal((await range('bytes=2-4', { 'if-range': '"v2"' })).status, 200);
  },
  async 'a range of a long body too'({ cache }) {
    await put(cache, {}, 'x'.repeat(300_000) + 'y'.repeat(300_000));
    const found = await shown(await ask(cache, { range: 'bytes=299999-500000' }));
    equal([found.status, found.text.length, found.text.slice(0, 3)], [206, 200_002, 'xyy']);
  },
  async 'conditions are answered with 304'({ cache }) {
    const modified = 'Wed, 21 Oct 2015 07:28:00 GMT';
    await put(cache, { etag: '"v1"', 'last-modified': modified });
    const status = async (headers) => (await ask(cache, headers)).status;
    equal(await status({ 'if-none-match': '"v1"' }), 304);
    equal(await status({ 'if-none-match': '"v0", W/"v1"' }), 304);
    equal(await status({ 'if-none-match': '*' }), 304);
    equal(await status({ 'if-none-match': '"v2"' }), 200);
    equal(await status({ 'if-none-match': '"v2"', 'if-modified-since': modified }), 200);
    equal(await status({ 'if-modified-since': modified }), 304);
    equal(await status({ 'if-modified-since': 'Wed, 21 Oct 2015 07:27:59 GMT' }), 200);
    const found = await ask(cache, { 'if-none-match': '"v1"' });
    equal([found.headers.get('etag'), found.body], ['"v1"', null]);
  },
  async 'an entry over the limit is refused, whether its length is known or not'({ cache }) {
    const size = 3 << 20;
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
    const text = (await rejects(cache.put(URL_A, new Response(endless)), 'QuotaExceededError')).message;
    equal(text.includes('cache_entry_mb'), true, text);
    await rejects(cache.put(URL_A, new Response(new Uint8Array(size))), 'QuotaExceededError');
    equal(await cache.match(URL_A), undefined);
  },
  async 'a URL, a name or headers that are too long are refused'({ cache }) {
    await rejects(cache.put(`${URL_A}?${'x'.repeat(20_000)}`, new Response('')), 'QuotaExceededError');
    await rejects(cache.match(`${URL_A}?${'x'.repeat(200_000)}`), 'QuotaExceededError');
    await rejects(caches.open('n'.repeat(2000)), 'QuotaExceededError');
    await rejects(put(cache, { 'x-long': 'h'.repeat(140_000) }), 'QuotaExceededError');
  },
  async 'too many caches are refused'() {
    const opened = [];
    const error = await rejects(
      (async () => {
        for (let i = 0; i < 300; i++) {
          await caches.open(`many ${i}`);
          opened.push(i);
        }
      })(),
      'QuotaExceededError',
    );
    equal(error.message.includes('256'), true, error.message);
    await Promise.all(opened.map((i) => caches.delete(`many ${i}`)));
  },
  async 'too many calls at once are refused, and then go on'({ cache }) {
    const all = await Promise.allSettled(Array.from({ length: 3000 }, () => cache.match(URL_A)));
    const refused = all.filter((one) => one.status === 'rejected');
    equal([refused.length, refused[0].reason.name], [2000, 'QuotaExceededError']);
    equal(await cache.match(URL_A), undefined);
  },
  async 'many long bodies at once wait for each other'({ cache }) {
    const text = 'z'.repeat(100_000);
    await Promise.all(Array.from({ length: 100 }, (_, i) => cache.put(`${URL_A}/${i}`, new Response(text))));
    equal((await cache.keys()).length > 0, true);
  },
};
