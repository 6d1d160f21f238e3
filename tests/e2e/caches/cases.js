import { equal, rejects, urls } from './assert.js';

const URL_A = 'https://example.com/a';
const put = (cache, url, text = '', init = {}) => cache.put(url, new Response(text, init));

/** Entries that differ by a header that their responses depend on. */
async function varied(cache) {
  for (const language of ['de', 'en', null]) {
    const headers = language === null ? {} : { 'accept-language': language };
    await cache.put(new Request(URL_A, { headers }), new Response(`${language}`, { headers: { vary: 'Accept-Language' } }));
  }
}
const inLanguage = (language) => new Request(URL_A, { headers: { 'accept-language': language } });

export const cases = {
  async 'put gives undefined, and match a response like the one that was put'({ cache }) {
    const init = { status: 404, statusText: 'nope', headers: { 'content-type': 'text/x', 'x-one': 'ä' } };
    equal(await put(cache, URL_A, 'body', init), undefined);
    const found = await cache.match(URL_A);
    equal(
      [found.status, found.statusText, found.url, found.type, found.headers.get('x-one'), await found.text()],
      [404, 'nope', '', 'default', 'ä', 'body'],
    );
  },
  async 'match gives undefined where nothing is'({ cache }) {
    equal(await cache.match(URL_A), undefined);
  },
  async 'match gives a fresh body each time'({ cache }) {
    await put(cache, URL_A, 'body');
    const [one, two] = [await cache.match(URL_A), await cache.match(URL_A)];
    equal([await one.text(), await two.clone().text(), await two.text()], ['body', 'body', 'body']);
  },
  async 'headers of what match gives cannot be changed'({ cache }) {
    await put(cache, URL_A);
    const found = await cache.match(URL_A);
    try {
      found.headers.set('x', 'y');
    } catch (error) {
      equal(error.name, 'TypeError');
      return;
    }
    throw new Error('they were changed');
  },
  async 'put uses the body up, but not one that is not there'({ cache }) {
    const [full, empty] = [new Response('body'), new Response(null)];
    await cache.put(URL_A, full);
    await cache.put(`${URL_A}/empty`, empty);
    equal([full.bodyUsed, empty.bodyUsed], [true, false]);
    equal((await cache.match(`${URL_A}/empty`)).body, null);
    equal(await (await cache.match(`${URL_A}/empty`)).text(), '');
  },
  async 'put takes the place of what its request matches'({ cache }) {
    await put(cache, URL_A, 'one');
    await put(cache, `${URL_A}/other`, 'other');
    await put(cache, URL_A, 'two');
    equal(await (await cache.match(URL_A)).text(), 'two');
    equal(urls(await cache.keys()), [`${URL_A}/other`, URL_A]);
  },
  async 'put rejects what is not a request, a response, or not of http'({ cache }) {
    await rejects(cache.put(), 'TypeError');
    await rejects(cache.put('ftp://example.com/', new Response('')), 'TypeError');
    await rejects(cache.put('data:text/plain,x', new Response('')), 'TypeError');
    await rejects(cache.put(URL_A, 'a string'), 'TypeError');
    await rejects(cache.put(URL_A), 'TypeError');
    await rejects(cache.put(new Request(URL_A, { method: 'POST', body: 'x' }), new Response('')), 'TypeError');
    await rejects(cache.put(new Request(URL_A, { method: 'HEAD' }), new Response('')), 'TypeError');
  },
  async 'put rejects partial responses, Vary: *, and bodies that are used or locked'({ cache }) {
    await rejects(put(cache, URL_A, '', { status: 206 }), 'TypeError');
    await rejects(put(cache, URL_A, '', { headers: { vary: '*' } }), 'TypeError');
    await rejects(put(cache, URL_A, '', { headers: { vary: 'Accept, *' } }), 'TypeError');
    const used = new Response('body');
    await used.text();
    await rejects(cache.put(URL_A, used), 'TypeError');
    const locked = new Response('body');
    locked.body.getReader();
    await rejects(cache.put(URL_A, locked), 'TypeError');
    equal(await cache.match(URL_A), undefined);
  },
  async 'put of a response whose body fails stores nothing'({ cache }) {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (sent++ < 4) controller.enqueue(new Uint8Array(100_000));
        else controller.error(new RangeError('no more'));
      },
    });
    await put(cache, URL_A, 'earlier');
    await rejects(cache.put(URL_A, new Response(body)), 'RangeError');
    equal(await (await cache.match(URL_A)).text(), 'earlier');
  },
  async 'bodies of all sizes and kinds come back as they were'({ cache }) {
    for (const size of [0, 1, 21_845, 21_846, 65_536, 65_537, 262_144, 1_000_003]) {
      const bytes = new Uint8Array(size);
      for (let i = 0; i < size; i++) bytes[i] = (i * 7919) >> 3;
      const stream = new ReadableStream({
        start(controller) {
          for (let at = 0; at < size; at += 50_000) controller.enqueue(bytes.slice(at, at + 50_000));
          controller.close();
        },
      });
      for (const body of [bytes, stream, 'ü'.repeat(size / 2)]) {
        await cache.put(URL_A, new Response(body));
        const found = await (await cache.match(URL_A)).bytes();
        const expected = typeof body === 'string' ? new TextEncoder().encode(body) : bytes;
        equal([found.length, found.every((byte, i) => byte === expected[i])], [expected.length, true], `${size}`);
      }
    }
  },
  async 'a response of fetch is stored with its URL'({ cache, origin }) {
    const response = await fetch(`${origin}/origin`);
    await cache.put(URL_A, response);
    const found = await cache.match(URL_A);
    equal([found.url, found.type, await found.text()], [`${origin}/origin`, 'basic', 'from the origin for anybody']);
    equal([found.redirected, await cache.match(`${origin}/origin`)], [false, undefined]);
    await cache.put(URL_A, await fetch(`${origin}/origin?to=origin`));
    equal([(await cache.match(URL_A)).redirected, (await cache.match(URL_A)).url], [true, `${origin}/origin`]);
  },
  async 'an error response is stored as one'({ cache }) {
    await cache.put(URL_A, Response.error());
    const found = await cache.match(URL_A);
    equal([found.status, found.type], [0, 'error']);
  },
  async 'the fragment of a URL plays no part'({ cache }) {
    await put(cache, `${URL_A}#one`, 'body');
    equal(await (await cache.match(`${URL_A}#two`)).text(), 'body');
    equal(urls(await cache.keys()), [`${URL_A}#one`]);
    await put(cache, `${URL_A}#three`, 'other');
    equal([urls(await cache.keys()), (await cache.matchAll(`${URL_A}#x`)).length], [[`${URL_A}#three`], 1]);
  },
  async 'the search of a URL plays a part unless it is ignored'({ cache }) {
    await put(cache, `${URL_A}?q=1`, 'one');
    equal(await cache.match(URL_A), undefined);
    equal(await (await cache.match(URL_A, { ignoreSearch: true })).text(), 'one');
    equal(await (await cache.match(`${URL_A}?q=2`, { ignoreSearch: true })).text(), 'one');
    equal(await cache.match(`${URL_A}a`, { ignoreSearch: true }), undefined);
  },
  async 'only GET matches unless the method is ignored'({ cache }) {
    await put(cache, URL_A, 'body');
    const head = new Request(URL_A, { method: 'HEAD' });
    equal(await cache.match(head), undefined);
    equal(await (await cache.match(head, { ignoreMethod: true })).text(), 'body');
    equal([await cache.matchAll(head), await cache.keys(head), await cache.delete(head)], [[], [], false]);
  },
  async 'Vary is honoured unless it is ignored'({ cache }) {
    await varied(cache);
    equal(await (await cache.match(inLanguage('en'))).text(), 'en');
    equal(await (await cache.match(URL_A)).text(), 'null');
    equal(await cache.match(inLanguage('fr')), undefined);
    equal(await (await cache.match(inLanguage('fr'), { ignoreVary: true })).text(), 'de');
    equal((await cache.matchAll(URL_A, { ignoreVary: true })).length, 3);
  },
  async 'put replaces one variant only'({ cache }) {
    await varied(cache);
    await cache.put(inLanguage('en'), new Response('new', { headers: { vary: 'Accept-Language' } }));
    const texts = (await cache.matchAll()).map((response) => response.text());
    equal(await Promise.all(texts), ['de', 'null', 'new']);
  },
  async 'matchAll gives what matches, in the order of storing'({ cache }) {
    equal(await cache.matchAll(), []);
    for (const name of ['a', 'b', 'b?q', 'c']) await put(cache, `https://example.com/${name}`, name);
    const texts = async (responses) => Promise.all((await responses).map((response) => response.text()));
    equal(await texts(cache.matchAll()), ['a', 'b', 'b?q', 'c']);
    equal(await texts(cache.matchAll('https://example.com/b')), ['b']);
    equal(await texts(cache.matchAll('https://example.com/b', { ignoreSearch: true })), ['b', 'b?q']);
    equal(await texts(cache.matchAll('https://example.com/x')), []);
  },
  async 'matchAll gives long bodies too'({ cache }) {
    for (let i = 0; i < 5; i++) await put(cache, `${URL_A}/${i}`, `${i}`.repeat(300_000));
    const lengths = (await cache.matchAll()).map(async (response) => (await response.text()).length);
    equal(await Promise.all(lengths), [300_000, 300_000, 300_000, 300_000, 300_000]);
  },
  async 'keys gives requests with their headers'({ cache }) {
    await cache.put(new Request(URL_A, { headers: { 'x-one': '1', 'x-two': '2' } }), new Response(''));
    const [request] = await cache.keys();
    equal([request.url, request.method, request.headers.get('x-two')], [URL_A, 'GET', '2']);
    equal(request instanceof Request, true);
  },
  async 'keys gives as many as there are'({ cache }) {
    const all = Array.from({ length: 300 }, (_, i) => `${URL_A}/${i}`);
    await Promise.all(all.map((url) => put(cache, url)));
    equal(urls(await cache.keys()).sort(), all.sort());
    equal(urls(await cache.keys(`${URL_A}/7`)), [`${URL_A}/7`]);
  },
  async 'delete removes what matches and tells whether there was any'({ cache }) {
    await put(cache, URL_A);
    await put(cache, `${URL_A}?q`);
    equal(await cache.delete(`${URL_A}/none`), false);
    equal([await cache.delete(URL_A), await cache.delete(URL_A)], [true, false]);
    equal(urls(await cache.keys()), [`${URL_A}?q`]);
    equal(await cache.delete(URL_A, { ignoreSearch: true }), true);
    equal(urls(await cache.keys()), []);
  },
  async 'delete honours Vary'({ cache }) {
    await varied(cache);
    equal([await cache.delete(inLanguage('fr')), await cache.delete(inLanguage('de'))], [false, true]);
    equal((await cache.keys()).length, 2);
    equal(await cache.delete(URL_A, { ignoreVary: true }), true);
    equal((await cache.keys()).length, 0);
  },
  async 'add fetches and stores'({ cache, origin }) {
    equal(await cache.add(`${origin}/origin`), undefined);
    equal(await (await cache.match(`${origin}/origin`)).text(), 'from the origin for anybody');
    equal(await cache.addAll([`${origin}/origin?1`, new Request(`${origin}/origin?2`)]), undefined);
    equal((await cache.keys()).length, 3);
    equal(await cache.addAll([]), undefined);
  },
  async 'addAll stores nothing unless all can be stored'({ cache, origin }) {
    for (const bad of ['status=404', 'status=206', 'status=500', 'vary=*']) {
      await rejects(cache.addAll([`${origin}/origin`, `${origin}/origin?${bad}`]), 'TypeError');
    }
    await rejects(cache.addAll([`${origin}/origin`, 'ftp://example.com/']), 'TypeError');
    await rejects(cache.add(new Request(`${origin}/origin`, { method: 'POST', body: 'x' })), 'TypeError');
    await rejects(cache.add(), 'TypeError');
    equal(await cache.keys(), []);
  },
  async 'addAll rejects two requests for one place'({ cache, origin }) {
    const url = `${origin}/origin`;
    await rejects(cache.addAll([url, `${url}#x`]), 'InvalidStateError');
    const varying = `${url}?vary=x-for`;
    const to = (name) => new Request(varying, { headers: { 'x-for': name } });
    await rejects(cache.addAll([to('one'), to('one')]), 'InvalidStateError');
    await cache.addAll([to('one'), to('two')]);
    equal(await (await cache.match(to('two'))).text(), 'from the origin for two');
  },
  async 'an abort of the request ends add'({ cache, origin }) {
    const aborted = new Request(`${origin}/origin`, { signal: AbortSignal.abort() });
    await rejects(cache.add(aborted), 'AbortError');
    const controller = new AbortController();
    const added = cache.add(new Request(`${origin}/origin`, { signal: controller.signal }));
    controller.abort();
    await rejects(added, 'AbortError');
    equal(await cache.keys(), []);
  },
  async 'an abort while the body arrives ends put and add'({ cache, origin }) {
    const url = `${origin}/origin?slow`;
    const controller = new AbortController();
    const response = await fetch(url, { signal: controller.signal });
    const done = cache.put(url, response);
    setTimeout(() => controller.abort(), 50);
    await rejects(done, 'AbortError');
    const another = new AbortController();
    const added = cache.add(new Request(url, { signal: another.signal }));
    setTimeout(() => another.abort(), 200);
    await rejects(added, 'AbortError');
    equal(await cache.keys(), []);
  },
  async 'caches are opened, listed, asked for and deleted by name'() {
    const names = ['first', '', 'a\\b', 'two words', 'ünï ☃', 'a\uD800', 'line\nfeed'];
    for (const name of names) {
      equal(await caches.delete(name), false, name);
      equal(await caches.has(name), false, name);
    }
    for (const name of names) equal((await caches.open(name)) instanceof Cache, true);
    const listed = await caches.keys();
    equal(names.filter((name) => !listed.includes(name)), []);
    equal(listed.filter((name) => names.includes(name)), names);
    for (const name of names) equal([await caches.has(name), await caches.delete(name)], [true, true], name);
    equal((await caches.keys()).filter((name) => names.includes(name)), []);
  },
  async 'caches are apart from each other'({ cache }) {
    const other = await caches.open('another');
    await put(cache, URL_A, 'one');
    await put(other, URL_A, 'two');
    equal([await (await cache.match(URL_A)).text(), await (await other.match(URL_A)).text()], ['one', 'two']);
    equal(await caches.default.match(URL_A), undefined);
    await caches.delete('another');
    equal(await other.match(URL_A), undefined);
  },
  async 'caches.match looks in all that have a name, or in one'({ cache }) {
    const url = 'https://example.com/in-one';
    const other = await caches.open('another');
    await caches.default.put(`${url}/default`, new Response('default'));
    await put(other, url, 'body');
    equal(await (await caches.match(url)).text(), 'body');
    equal(await (await caches.match(url, { cacheName: 'another' })).text(), 'body');
    equal(await caches.match(url, { cacheName: 'none' }), undefined);
    equal(await caches.match(`${url}/default`), undefined);
    equal(await cache.match(url, { cacheName: 'another' }), undefined);
    await caches.delete('another');
  },
  async 'the interfaces have the shape of the standard'() {
    equal([String(caches), caches === self.caches], ['[object CacheStorage]', true]);
    equal([String(caches.default), caches.default === caches.default], ['[object Cache]', true]);
    for (const Interface of [Cache, CacheStorage]) {
      try {
        new Interface();
      } catch (error) {
        equal(error.name, 'TypeError');
        continue;
      }
      throw new Error('it was constructed');
    }
    await rejects(Cache.prototype.match.call({}, URL_A), 'TypeError');
    await rejects(CacheStorage.prototype.open.call({}, 'x'), 'TypeError');
    equal([Cache.prototype.put.length, Cache.prototype.match.length, CacheStorage.prototype.has.length], [2, 1, 1]);
  },
};
