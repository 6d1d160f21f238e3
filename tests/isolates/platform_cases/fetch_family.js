cases['Headers'] = () => {
  const headers = new Headers({ 'X-B': ' 2 ', 'x-a': '1' });
  headers.append('X-A', '3');
  headers.append('set-cookie', 'a=1');
  headers.append('Set-Cookie', 'b=2');
  same([...headers], [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x-a', '1, 3'], ['x-b', '2']]);
  same(headers.getSetCookie(), ['a=1', 'b=2']);
  equal(headers.get('set-cookie'), 'a=1, b=2');
  equal(headers.get('nope'), null);
  headers.delete('x-a');
  equal(headers.has('X-A'), false);
  headers.set('X-B', 'new');
  equal(headers.get('x-b'), 'new');
  for (const name of ['', 'a b', 'ä', 'a:b']) throws(() => headers.append(name, 'x'), 'TypeError');
  for (const value of ['a\0b', 'a\nb', 'ā']) throws(() => headers.set('x', value), 'TypeError');
  same([...new Headers([['a', '1'], ['b', '2']]).keys()], ['a', 'b']);
  same([...new Headers(new Map([['k', 'v']])).values()], ['v']);
  throws(() => new Headers([['a']]), 'TypeError');
  throws(() => new Headers(null), 'TypeError');
  equal(Object.prototype.toString.call(headers), '[object Headers]');
  equal(Headers.prototype.entries, Headers.prototype[Symbol.iterator]);
};
cases['Headers that change while they are iterated'] = () => {
  const headers = new Headers({ b: '1', a: '2' });
  const seen = [];
  for (const [name, value] of headers) {
    seen.push(name + value);
    if (name === 'a') headers.set('c', '3');
    if (name === 'b') headers.set('c', '4');
    if (name === 'c') headers.delete('c');
  }
  same(seen, ['a2', 'b1', 'c4']);
  const told = [];
  headers.forEach((value, name) => told.push(name) === 1 && headers.append('d', value));
  same(told, ['a', 'b', 'd']);
};
cases['As many headers as a client can send take no time'] = () => {
  const headers = new Headers(Array.from({ length: 8000 }, (_, i) => [`a${i % 7000}`, 'b']));
  // Hours, if each step of an iteration sorted them, and comparing each name with each.
  const started = Date.now();
  equal([...headers].length, 7000);
  equal([...headers.keys()].length, 7000);
  headers.forEach(() => {});
  equal(Date.now() - started < 5000, true);
};
cases['data: URLs'] = async () => {
  const text = async (url) => (await fetch(url)).text();
  equal(await text('data:,a%20b%zz%4'), 'a b%zz%4');
  equal(await text('data:text/plain;base64,%59WJj#no'), 'abc');
  equal(await text('data:,a?b'), 'a?b');
  equal(new Request('data:/,a/../b').url, 'data:/b');
  equal((await fetch('data:text/html;charset=utf-8,x')).headers.get('content-type'), 'text/html;charset=utf-8');
  for (const url of ['data:text/plain', 'data:;base64,a', 'data:,a b#c', 'data:,é']) {
    equal(new Request(url).url, new URL(url).href);
  }
  const started = Date.now();
  equal((await (await fetch(`data:;base64,${btoa('x'.repeat(3e6))}`)).arrayBuffer()).byteLength, 3e6);
  // Ten seconds by the state machine for URLs, character by character and three times.
  equal(Date.now() - started < 3000, true);
};
cases['Response basics'] = async () => {
  const response = new Response('body', { status: 201, statusText: 'Made', headers: { 'x-a': 'b' } });
  same([response.status, response.statusText, response.ok, response.type, response.url, response.redirected], [201, 'Made', true, 'default', '', false]);
  equal(response.headers.get('content-type'), 'text/plain;charset=UTF-8');
  equal(response.bodyUsed, false);
  equal(await response.text(), 'body');
  equal(response.bodyUsed, true);
  await rejects(response.text(), 'TypeError');
  throws(() => new Response('', { status: 204 }), 'TypeError');
  throws(() => new Response('', { status: 199 }), 'RangeError');
  throws(() => new Response('', { statusText: 'a\nb' }), 'TypeError');
  equal(new Response(null, { status: 204 }).body, null);
  equal(await new Response().text(), '');
};
cases['Response statics'] = async () => {
  const json = Response.json({ a: [1] }, { status: 202, headers: { 'x-a': '1' } });
  equal(json.headers.get('content-type'), 'application/json');
  same(await json.json(), { a: [1] });
  equal(Response.json(1, { headers: { 'content-type': 'x/y' } }).headers.get('content-type'), 'x/y');
  throws(() => Response.json(undefined), 'TypeError');
  const redirect = Response.redirect('http://a/b', 307);
  same([redirect.status, redirect.headers.get('location')], [307, 'http://a/b']);
  throws(() => redirect.headers.set('a', 'b'), 'TypeError');
  throws(() => Response.redirect('http://a', 200), 'RangeError');
  same([Response.error().type, Response.error().status], ['error', 0]);
};
cases['Bodies of every kind'] = async () => {
  equal(await new Response(new Uint8Array([104, 105])).text(), 'hi');
  equal(await new Response(new Uint8Array([0, 104, 105]).subarray(1)).text(), 'hi');
  equal(await new Response(new DataView(new Uint8Array([104]).buffer)).text(), 'h');
  equal(await new Response(new Blob(['a', 'é'], { type: 'X/y' })).text(), 'aé');
  equal(new Response(new Blob([], { type: 'X/y' })).headers.get('content-type'), 'x/y');
  equal(await new Response(new URLSearchParams({ a: 'b c' })).text(), 'a=b+c');
  equal(new Response(new URLSearchParams()).headers.get('content-type'), 'application/x-www-form-urlencoded;charset=UTF-8');
  equal(await new Response(ReadableStream.from([new Uint8Array([97]), new Uint8Array([98])])).text(), 'ab');
  equal(await new Response(42).text(), '42');
  equal(await new Response('\ufeffa').text(), 'a');
  equal((await new Response('aé').arrayBuffer()).byteLength, 3);
  same([...(await new Response('é').bytes())], [195, 169]);
  const blob = await new Response('x', { headers: { 'content-type': 'Text/HTML; charset=utf-8' } }).blob();
  same([blob.size, blob.type], [1, 'text/html;charset=utf-8']);
  await rejects(new Response('{').json(), 'SyntaxError');
  await rejects(new Response(ReadableStream.from(['text'])).text(), 'TypeError');
  equal(await new Response('\ud800').text(), '\ufffd');
};
cases['Bodies are copied'] = async () => {
  const bytes = new Uint8Array([97]);
  const response = new Response(bytes);
  bytes[0] = 98;
  equal(await response.text(), 'a');
};
cases['Body as a stream'] = async () => {
  const response = new Response('héllo');
  ok(response.body instanceof ReadableStream);
  equal(response.body, response.body);
  const reader = response.body.getReader({ mode: 'byob' });
  throws(() => response.clone(), 'TypeError');
  await rejects(response.text(), 'TypeError');
  const { value } = await reader.read(new Uint8Array(2));
  same([...value], [104, 195]);
  reader.releaseLock();
  equal(response.bodyUsed, true);
  const empty = new Response('');
  same(await read(empty.body), []);
};
cases['Cloning bodies'] = async () => {
  const text = new Response('abc', { headers: { a: 'b' } });
  const copy = text.clone();
  same([await copy.text(), await text.text(), copy.headers.get('a')], ['abc', 'abc', 'b']);
  throws(() => text.clone(), 'TypeError');
  const stream = new Response(ReadableStream.from([new Uint8Array([97]), new Uint8Array([98])]));
  const other = stream.clone();
  same([await stream.text(), await other.text()], ['ab', 'ab']);
};
cases['Request'] = async () => {
  const request = new Request('http://A.com/x y', { method: 'post', body: 'b', headers: { a: '1' } });
  same([request.method, request.url, request.headers.get('a'), request.headers.get('content-type')], ['POST', 'http://a.com/x%20y', '1', 'text/plain;charset=UTF-8']);
  const second = new Request(request, { headers: { c: '2' } });
  equal(request.bodyUsed, true);
  same([second.method, await second.text(), second.headers.get('a')], ['POST', 'b', null]);
  same([request.redirect, request.cache, request.credentials, request.mode, request.referrer, request.integrity, request.keepalive], ['follow', 'default', 'same-origin', 'cors', 'about:client', '', false]);
  throws(() => new Request('http://a/', { method: 'GET', body: 'x' }), 'TypeError');
  throws(() => new Request('http://a/', { method: 'a b' }), 'TypeError');
  throws(() => new Request('http://a/', { method: 'TRACE' }), 'TypeError');
  throws(() => new Request('/rel'), 'TypeError');
  throws(() => new Request('http://u:p@a/'), 'TypeError');
  throws(() => new Request('http://a/', { redirect: 'x' }), 'TypeError');
  throws(() => new Request('http://a/', { method: 'POST', body: new ReadableStream() }), 'TypeError');
  equal(new Request('http://a/', { method: 'patch' }).method, 'patch');
  equal(new Request('http://a/#f').url, 'http://a/#f');
  equal(new Request(new URL('http://a/b')).url, 'http://a/b');
};
cases['Request clone and signal'] = async () => {
  const controller = new AbortController();
  const request = new Request('http://a/', { method: 'POST', body: 'x', signal: controller.signal });
  const copy = request.clone();
  same([await request.text(), await copy.text()], ['x', 'x']);
  ok(request.signal !== controller.signal);
  controller.abort('why');
  same([request.signal.aborted, request.signal.reason, copy.signal.aborted], [true, 'why', true]);
  equal(new Request('http://a/').signal.aborted, false);
};
cases['FormData'] = async () => {
  const form = new FormData();
  form.append('a', '1');
  form.append('a', 2);
  form.append('f', new Blob(['data'], { type: 'text/x' }), 'n"a\nme.txt');
  form.set('b', 'ü\n');
  same([...form.keys()], ['a', 'a', 'f', 'b']);
  same(form.getAll('a'), ['1', '2']);
  const file = form.get('f');
  same([file instanceof File, file.name, file.type, file.size], [true, 'n"a\nme.txt', 'text/x', 4]);
  const response = new Response(form);
  ok(/^multipart\/form-data; boundary=/.test(response.headers.get('content-type')));
  const parsed = await response.formData();
  same([...parsed.keys()], ['a', 'a', 'f', 'b']);
  same([parsed.get('b'), parsed.get('f').name, await parsed.get('f').text()], ['ü\r\n', 'n"a\nme.txt', 'data']);
  throws(() => form.append('x', 'y', 'z'), 'TypeError');
};
cases['FormData from the wire'] = async () => {
  const body = '--B\r\nContent-Disposition: form-data; name="x"\r\n\r\none\r\n--B\r\ncontent-disposition: form-data; name="f"; filename="a.bin"\r\ncontent-type: image/png\r\n\r\n\0\r\n-\r\n--B--\r\n';
  const form = await new Response(body, { headers: { 'content-type': 'multipart/form-data; boundary="B"' } }).formData();
  same([form.get('x'), form.get('f').name, form.get('f').type, await form.get('f').text()], ['one', 'a.bin', 'image/png', '\0\r\n-']);
  const urlencoded = await new Response('a=1&b=%20+', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }).formData();
  same([...urlencoded], [['a', '1'], ['b', '  ']]);
  await rejects(new Response('x', { headers: { 'content-type': 'multipart/form-data; boundary=B' } }).formData(), 'TypeError');
  await rejects(new Response('x').formData(), 'TypeError');
};
cases['Blob and File'] = async () => {
  const blob = new Blob(['ab', new Uint8Array([99]), new Blob(['d'])], { type: 'Text/Plain' });
  same([blob.size, blob.type, await blob.text()], [4, 'text/plain', 'abcd']);
  equal(await blob.slice(1, -1).text(), 'bc');
  equal(await blob.slice(-2, 100, 'a/b').text(), 'cd');
  same((await read(blob.stream())).map((chunk) => chunk.length), [4]);
  same([...new Uint8Array(await blob.arrayBuffer())], [97, 98, 99, 100]);
  const file = new File(['x'], 'n', { lastModified: 5 });
  same([file.name, file.lastModified, file.size], ['n', 5, 1]);
  equal(new Blob([], { type: 'é' }).type, '');
  throws(() => new Blob('no'), 'TypeError');
  throws(() => new File(['x']), 'TypeError');
};
cases['fetch of a data URL'] = async () => {
  const response = await fetch('data:text/x;charset=a,%41b');
  same([response.status, response.headers.get('content-type'), await response.text()], [200, 'text/x;charset=a', 'Ab']);
  equal(await (await fetch('data:;base64,aGk=')).text(), 'hi');
  await rejects(fetch('data:nocomma'), 'TypeError');
  await rejects(fetch('nope:x'), 'TypeError');
  const signal = AbortSignal.abort('why');
  let reason;
  await fetch('http://a/', { signal }).catch((error) => (reason = error));
  equal(reason, 'why');
};
cases['Copies of large arrays that share their bytes'] = async () => {
  const given = new Uint8Array(200_000).fill(1);
  const first = new Response(given);
  given.fill(2);
  const clone = first.clone();
  const passed = new Response(new Response(given).body);
  given.fill(3);
  const [a, b, c] = await Promise.all([first.bytes(), clone.bytes(), passed.bytes()]);
  for (const [bytes, value] of [[a, 1], [b, 1], [c, 2]]) {
    equal(bytes.length, 200_000);
    equal(bytes.buffer.byteLength, 200_000);
    ok(bytes.every((byte) => byte === value), `all bytes are ${value}`);
  }
};
