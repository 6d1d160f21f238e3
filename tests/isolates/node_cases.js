// What `node:` modules do. The app runs the case that the request's path names.
import assert from 'node:assert';
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { Buffer as Imported, isAscii, isUtf8 } from 'node:buffer';
import * as crypto from 'node:crypto';
import EventEmitter, { errorMonitor, getEventListeners, once, on } from 'events';
import { createRequire } from 'node:module';
import path, { posix } from 'node:path';
import process from 'node:process';
import querystring from 'node:querystring';
import stream, { Duplex, PassThrough, Readable, Transform, Writable, pipeline } from 'node:stream';
import { buffer, json, text } from 'node:stream/consumers';
import { finished, pipeline as pipelined } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import timers from 'node:timers/promises';
import url from 'node:url';
import util, { inspect, promisify, types } from 'node:util';
import { env, waitUntil, WorkerEntrypoint } from 'cloudflare:workers';

const cases = {};
const { deepStrictEqual: same, strictEqual: equal, ok } = assert;

cases['the globals of Node.js are there'] = () => {
  equal(Buffer, Imported);
  equal(globalThis.process, process);
  equal(global, globalThis);
  equal(typeof setImmediate, 'function');
};

cases['a buffer is a Uint8Array with encodings'] = () => {
  ok(Buffer.from('grüße') instanceof Uint8Array);
  equal(Buffer.from('grüße 🎉').toString('hex'), '6772c3bcc39f6520f09f8e89');
  equal(Buffer.from('68c3a9', 'hex').toString(), 'hé');
  equal(Buffer.from([255, 254]).toString('base64'), '//4=');
  equal(Buffer.concat([Buffer.from('a'), Buffer.alloc(2, 'b')]).toString('latin1'), 'abb');
  equal(Buffer.from([1, 2, 3, 4]).readUInt32BE(1 - 1), 0x01020304);
  equal(Buffer.compare(Buffer.from('a'), Buffer.from('b')), -1);
  same(JSON.parse(JSON.stringify(Buffer.from('a'))), { type: 'Buffer', data: [97] });
  ok(Buffer.isBuffer(Buffer.from('x').subarray(0, 1)));
};

cases['base64url goes both ways'] = () => {
  equal(Buffer.from([255, 254, 253]).toString('base64url'), '__79');
  equal(Buffer.from([255]).toString('base64url'), '_w');
  same([...Buffer.from('__79', 'base64url')], [255, 254, 253]);
  ok(Buffer.isEncoding('base64url'));
  equal(Buffer.byteLength('__79', 'base64url'), 3);
};

cases['text that is ASCII or UTF-8 is recognised'] = () => {
  same(
    [isAscii(Buffer.from('a')), isAscii(Buffer.from('ä')), isUtf8(Buffer.from('ä')), isUtf8(Buffer.from([255]))],
    [true, false, true, false],
  );
};

cases['an emitter calls its listeners, also those of a class that is called without new'] = async () => {
  function Legacy() {
    EventEmitter.call(this);
  }
  util.inherits(Legacy, EventEmitter);
  const emitter = new Legacy();
  const seen = [];
  emitter.once('a', (value) => seen.push(`once ${value}`));
  emitter.on('a', (value) => seen.push(`on ${value}`));
  emitter.emit('a', 1);
  emitter.emit('a', 2);
  same(seen, ['once 1', 'on 1', 'on 2']);
  equal(getEventListeners(emitter, 'a').length, 1);
  equal(emitter.listenerCount('a'), 1);
  setTimeout(() => emitter.emit('later', 'x'));
  same(await once(emitter, 'later'), ['x']);
  assert.throws(() => emitter.emit('error', new Error('nobody listens')), /nobody listens/);
};

cases['events can be iterated and errors monitored'] = async () => {
  const emitter = new EventEmitter();
  queueMicrotask(() => [1, 2].forEach((value) => emitter.emit('tick', value)));
  const seen = [];
  for await (const [value] of on(emitter, 'tick')) {
    seen.push(value);
    if (value === 2) break;
  }
  emitter.on(errorMonitor, (error) => seen.push(error.message));
  emitter.on('error', () => seen.push('handled'));
  emitter.emit('error', new Error('e'));
  same(seen, [1, 2, 'e', 'handled']);
};

cases['streams are piped, with back pressure and errors'] = async () => {
  const upper = new Transform({
    transform(chunk, encoding, done) {
      done(null, chunk.toString().toUpperCase());
    },
  });
  const parts = [];
  const sink = new Writable({
    highWaterMark: 2,
    write(chunk, encoding, done) {
      parts.push(`${chunk}`);
      setTimeout(done, 1);
    },
  });
  await pipelined(Readable.from(['ab', 'cd', 'ef']), upper, sink);
  same(parts, ['AB', 'CD', 'EF']);
  const broken = new Readable({
    read() {
      this.destroy(new Error('broken'));
    },
  });
  await assert.rejects(pipelined(broken, new PassThrough()), /broken/);
  await new Promise((resolve, reject) => {
    pipeline(Readable.from(['x']), new PassThrough().resume(), (error) => (error ? reject(error) : resolve()));
  });
  const done = new PassThrough();
  done.end('x');
  done.resume();
  await finished(done);
  equal(typeof stream, 'function');
  ok(new Readable() instanceof stream);
};

cases['streams become web streams and come back'] = async () => {
  equal(await new Response(Readable.toWeb(Readable.from(['a', 'b']))).text(), 'ab');
  equal(await text(Readable.fromWeb(new Response('web').body)), 'web');
  const { readable, writable } = new TransformStream();
  const sink = Writable.fromWeb(writable);
  sink.end('written');
  equal(await new Response(readable).text(), 'written');
  const chunks = [];
  const target = new Writable({ write: (chunk, encoding, done) => (chunks.push(`${chunk}`), done()) });
  await new Response('to node').body.pipeTo(Writable.toWeb(target));
  same(chunks, ['to node']);
  same(await json(Duplex.fromWeb(new CompressionStream('gzip')) && Readable.from(['{"a":1}'])), { a: 1 });
  equal((await buffer(Readable.from([Buffer.from('xy')]))).length, 2);
};

cases['a decoder keeps characters that are cut in two'] = () => {
  const decoder = new StringDecoder('utf8');
  equal(decoder.write(Buffer.from([0xe2, 0x82])) + decoder.write(Buffer.from([0xac])) + decoder.end(), '€');
};

cases['digests and HMAC'] = () => {
  equal(
    crypto.createHash('sha256').update('a').update(Buffer.from('b')).digest('hex').slice(0, 16),
    'fb8e20fc2e4c3f24',
  );
  equal(crypto.createHash('md5').update('').digest('hex'), 'd41d8cd98f00b204e9800998ecf8427e');
  equal(crypto.createHash('sha512').update('x'.repeat(200)).digest().length, 64);
  equal(crypto.createHash('SHA-1').update('abc').digest('base64'), 'qZk+NkcGgWq6PiVxeFDCbJzQ2J0=');
  const hash = crypto.createHash('sha256').update('a');
  equal(hash.copy().update('b').digest('hex'), crypto.createHash('sha256').update('ab').digest('hex'));
  equal(
    crypto.createHmac('sha256', 'key').update('The quick brown fox jumps over the lazy dog').digest('hex'),
    'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8',
  );
  equal(
    crypto
      .createHmac('sha256', Buffer.alloc(131, 0xaa))
      .update('Test Using Larger Than Block-Size Key - Hash Key First')
      .digest('hex'),
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  );
  assert.throws(() => crypto.createHash('whirlpool'), /not supported/);
  assert.throws(() => (hash.digest(), hash.digest()), { code: 'ERR_CRYPTO_HASH_FINALIZED' });
};

cases['a digest is a stream'] = async () => {
  const hash = crypto.createHash('sha1');
  await pipelined(Readable.from(['a', 'bc']), hash);
  equal(hash.read().toString('hex'), 'a9993e364706816aba3e25717850c26c9cd0d89d');
};

cases['keys are derived'] = async () => {
  const salt = Buffer.from('000102030405060708090a0b0c', 'hex');
  const info = Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex');
  const derived = crypto.hkdfSync('sha256', Buffer.alloc(22, 0x0b), salt, info, 42);
  equal(Buffer.from(derived).toString('hex').slice(0, 30), '3cb25f25faacd57a90434f64d0362f');
  const key = await promisify(crypto.pbkdf2)('password', 'salt', 2, 20, 'sha1');
  equal(key.toString('hex'), 'ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957');
};

cases['random values'] = async () => {
  equal(crypto.randomBytes(70_000).length, 70_000);
  equal((await promisify(crypto.randomBytes)(8)).length, 8);
  const drawn = Array.from({ length: 200 }, () => crypto.randomInt(3, 6));
  same([...new Set(drawn)].sort(), [3, 4, 5]);
  equal(crypto.randomUUID().length, 36);
  equal(crypto.timingSafeEqual(Buffer.from('ab'), Buffer.from('ab')), true);
  equal(crypto.timingSafeEqual(Buffer.from('ab'), Buffer.from('ac')), false);
  assert.throws(() => crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('ab')), RangeError);
  equal(crypto.webcrypto.subtle, globalThis.crypto.subtle);
};

cases['what there is not says so'] = () => {
  assert.throws(() => crypto.createCipheriv('aes-128-cbc', Buffer.alloc(16), Buffer.alloc(16)), /createCipheriv/);
};

cases['paths'] = () => {
  equal(path.join('/a', '../b', './c.txt'), '/b/c.txt');
  equal(path.resolve('/a', 'b'), '/a/b');
  equal(path.relative('/a/b', '/a/c'), '../c');
  equal(posix.basename('/x/y.tar.gz', '.gz'), 'y.tar');
  equal(path.join('a\\b', 'c'), 'a\\b/c');
};

cases['URLs and queries'] = () => {
  equal(url.fileURLToPath('file:///a/b%20c'), '/a/b c');
  equal(url.pathToFileURL('/a b').href, 'file:///a%20b');
  equal(url.parse('http://a.example:80/b?c=d').pathname, '/b');
  equal(url.URL, URL);
  same({ ...querystring.parse('a=1&a=2&b=%20') }, { a: ['1', '2'], b: ' ' });
  equal(querystring.stringify({ a: [1, 2], b: ' ' }), 'a=1&a=2&b=%20');
};

cases['formatting and inspecting'] = () => {
  equal(util.format('%s is %d, %j %%', 'x', 4.5, { a: 1 }), 'x is 4.5, {"a":1} %');
  equal(inspect({ a: [1, { b: 'text' }] }), "{ a: [ 1, { b: 'text' } ] }");
  equal(inspect({ [inspect.custom]: () => 'shown' }), 'shown');
  equal(util.stripVTControlCharacters('\u001b[31mred\u001b[0m'), 'red');
};

cases['functions are turned around'] = async () => {
  equal(await promisify((value, done) => done(null, value + 1))(1), 2);
  await assert.rejects(promisify((done) => done(new Error('no')))(), /no/);
  equal(await promisify(Object.assign(() => {}, { [promisify.custom]: async () => 'custom' }))(), 'custom');
  const [error, value] = await new Promise((resolve) => {
    util.callbackify(async (x) => x * 2)(21, (...args) => resolve(args));
  });
  same([error, value], [null, 42]);
};

cases['equality is deep and strict'] = () => {
  ok(
    util.isDeepStrictEqual(
      { a: [1, new Map([[{ k: 1 }, new Set([2])]])] },
      { a: [1, new Map([[{ k: 1 }, new Set([2])]])] },
    ),
  );
  ok(!util.isDeepStrictEqual(new Map([[1, 2]]), new Map([[1, 3]])));
  ok(!util.isDeepStrictEqual([1], { 0: 1, length: 1 }));
  ok(!util.isDeepStrictEqual(new Date(1), new Date(2)));
  const [left, right] = [{}, {}];
  left.self = left;
  right.self = right;
  ok(util.isDeepStrictEqual(left, right));
};

cases['kinds of values are told apart'] = () => {
  ok(types.isMap(new Map()) && !types.isMap(new Set()) && types.isDate(new Date()) && types.isRegExp(/x/));
  ok(
    types.isUint8Array(Buffer.alloc(1)) &&
      types.isTypedArray(new Float64Array()) &&
      !types.isTypedArray(new DataView(new ArrayBuffer())),
  );
  ok(
    types.isAsyncFunction(async () => {}) &&
      types.isGeneratorFunction(function* () {}) &&
      types.isNativeError(new RangeError()),
  );
  ok(
    types.isBoxedPrimitive(Object(1)) &&
      !types.isBoxedPrimitive(1) &&
      types.isArrayBuffer(new ArrayBuffer()) &&
      types.isPromise(Promise.resolve()),
  );
};

cases['assertions'] = () => {
  assert(true);
  assert.throws(() => assert.equal(1, 2), assert.AssertionError);
  assert.deepEqual({ a: [1] }, { a: [1] });
  assert.notStrictEqual(1, '1');
  assert.throws(() => assert.deepStrictEqual(new Map([[1, 2]]), new Map()), assert.AssertionError);
};

cases['the process has the environment of the app'] = async () => {
  equal(process.env.NAME, 'value');
  process.env.OTHER = 'set';
  equal(globalThis.process.env.OTHER, 'set');
  equal(process.platform, 'linux');
  ok(/^v2\d\./.test(process.version) && process.versions.node);
  equal(process.cwd(), '/');
  equal(typeof process.hrtime.bigint(), 'bigint');
  equal(process.hrtime().length, 2);
  equal(await new Promise((resolve) => process.nextTick(resolve, 'ticked')), 'ticked');
  equal(process.memoryUsage === undefined, false);
};

cases['modules are found by name'] = () => {
  const require = createRequire(import.meta.url);
  equal(require('node:path'), path);
  equal(require('buffer').Buffer, Buffer);
  equal(process.getBuiltinModule('node:events'), EventEmitter);
  equal(process.getBuiltinModule('node:nothing'), undefined);
  equal(process.getBuiltinModule('./main.js'), undefined);
  equal(process.getBuiltinModule('internal:platform'), undefined);
  equal(typeof process.getBuiltinModule('os').EOL, 'string');
  assert.throws(() => require('left-pad'), { code: 'MODULE_NOT_FOUND' });
};

cases['timers as promises'] = async () => {
  equal(await timers.setTimeout(1, 'value'), 'value');
};

cases['a store follows what is awaited'] = async () => {
  const storage = new AsyncLocalStorage();
  equal(globalThis.AsyncLocalStorage, AsyncLocalStorage);
  const seen = await storage.run('kept', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return [storage.getStore(), new AsyncResource('x').runInAsyncScope(() => storage.getStore())];
  });
  same(seen, ['kept', 'kept']);
};

cases['the bindings can be imported'] = async () => {
  equal(env.NAME, 'value');
  waitUntil(Promise.resolve());
  same(Object.keys(new WorkerEntrypoint('c', 'e')), ['ctx', 'env']);
};

export default {
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    if (pathname === '/import') {
      const modules = await Promise.all(
        search
          .slice(1)
          .split('&')
          .map((name) => import(name)),
      );
      return new Response(`${modules.filter((module) => module.default !== undefined).length}`);
    }
    try {
      await cases[decodeURIComponent(pathname.slice(1))]();
      return new Response('passed');
    } catch (error) {
      return new Response(`${error.stack}`);
    }
  },
};
