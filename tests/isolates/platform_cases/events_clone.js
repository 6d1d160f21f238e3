cases['EventTarget'] = () => {
  const target = new EventTarget();
  const seen = [];
  const object = { handleEvent(event) { seen.push(`object ${this === object} ${event.type}`); } };
  target.addEventListener('x', object);
  target.addEventListener('x', (event) => { seen.push('once'); event.preventDefault(); }, { once: true });
  target.addEventListener('x', object);
  equal(target.dispatchEvent(new Event('x', { cancelable: true })), false);
  equal(target.dispatchEvent(new Event('x')), true);
  same(seen, ['object true x', 'once', 'object true x']);
  target.removeEventListener('x', object);
  target.dispatchEvent(new CustomEvent('x', { detail: 1 }));
  equal(seen.length, 3);
  const controller = new AbortController();
  target.addEventListener('y', () => seen.push('y'), { signal: controller.signal });
  controller.abort();
  target.dispatchEvent(new Event('y'));
  equal(seen.length, 3);
  target.addEventListener('z', (event) => { seen.push(event.eventPhase, event.target === target, event.currentTarget === target); event.stopImmediatePropagation(); });
  target.addEventListener('z', () => seen.push('never'));
  target.dispatchEvent(new Event('z'));
  same(seen.slice(3), [2, true, true]);
  throws(() => target.dispatchEvent({}), 'TypeError');
  const event = new Event('w');
  target.addEventListener('w', () => throws(() => target.dispatchEvent(event), 'InvalidStateError'));
  target.dispatchEvent(event);
  class Sub extends EventTarget {}
  ok(new Sub() instanceof EventTarget);
};
cases['AbortSignal'] = async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const order = [];
  signal.onabort = () => order.push('handler');
  signal.addEventListener('abort', () => order.push('listener'));
  const any = AbortSignal.any([signal, new AbortController().signal]);
  any.addEventListener('abort', () => order.push('any'));
  controller.abort();
  controller.abort('again');
  same(order, ['handler', 'listener', 'any']);
  same([signal.reason.name, signal.reason.code, any.reason === signal.reason], ['AbortError', 20, true]);
  equal(throws(() => signal.throwIfAborted(), 'AbortError'), signal.reason);
  equal(AbortSignal.abort(5).reason, 5);
  equal(AbortSignal.any([AbortSignal.abort(6)]).reason, 6);
  const timeout = AbortSignal.timeout(5);
  await new Promise((resolve) => timeout.addEventListener('abort', resolve));
  equal(timeout.reason.name, 'TimeoutError');
  throws(() => new AbortSignal(), 'TypeError');
};
cases['DOMException'] = () => {
  const error = new DOMException('m', 'DataCloneError');
  same([error.name, error.message, error.code, error instanceof Error, `${error}`], ['DataCloneError', 'm', 25, true, 'DataCloneError: m']);
  same([DOMException.ABORT_ERR, new DOMException().name, new DOMException().code], [20, 'Error', 0]);
  ok(typeof error.stack === 'string');
};
cases['structuredClone of values'] = () => {
  const source = { a: [1, , 3], d: new Date(5), r: /x/gi, m: new Map([[1, { z: 1 }]]), s: new Set(['q']), n: null, u: undefined, b: 10n, t: new Uint16Array([1, 2]), e: new RangeError('bad', { cause: 1 }), o: Object(7) };
  source.self = source;
  const copy = structuredClone(source);
  ok(copy !== source && copy.self === copy);
  same([copy.a.length, 1 in copy.a, copy.d.getTime(), copy.r.source, copy.r.flags, copy.m.get(1), [...copy.s], copy.n, 'u' in copy], [3, false, 5, 'x', 'gi', { z: 1 }, ['q'], null, true]);
  same([[...copy.t], copy.t instanceof Uint16Array, copy.e instanceof RangeError, copy.e.message, copy.e.cause, typeof copy.o], [[1, 2], true, true, 'bad', 1, 'object']);
  equal(copy.b, 10n);
  class Point { constructor() { this.x = 1; } get y() { return 2; } }
  const point = structuredClone(new Point());
  same([point.constructor === Object, point.x, point.y], [true, 1, undefined]);
  const buffer = new ArrayBuffer(8);
  const views = structuredClone([new Uint8Array(buffer, 2, 3), new DataView(buffer)]);
  ok(views[0].buffer === views[1].buffer && views[0].byteOffset === 2 && views[0].length === 3);
  equal(structuredClone(new DOMException('a', 'AbortError')).name, 'AbortError');
};
cases['structuredClone refusals and transfer'] = () => {
  for (const value of [() => {}, Symbol('x'), new WeakMap(), Promise.resolve(), { f() {} }, new Headers(), new WeakRef({})]) throws(() => structuredClone(value), 'DataCloneError');
  const buffer = new Uint8Array([1, 2, 3]).buffer;
  const moved = structuredClone({ view: new Uint8Array(buffer) }, { transfer: [buffer] });
  same([buffer.byteLength, [...moved.view]], [0, [1, 2, 3]]);
  throws(() => structuredClone(1, { transfer: [buffer] }), 'DataCloneError');
  for (const Stream of [ReadableStream, WritableStream, TransformStream]) {
    const forged = Object.create(Stream.prototype);
    throws(() => structuredClone(forged, { transfer: [forged] }), 'DataCloneError');
  }
  const kept = new ArrayBuffer(4);
  throws(() => structuredClone({ kept, f() {} }, { transfer: [kept] }), 'DataCloneError');
  equal(kept.byteLength, 4);
  throws(() => structuredClone(), 'TypeError');
};
cases['a transferred readable stream brings clones of the chunks'] = async () => {
  const chunk = { a: [1] };
  const given = ReadableStream.from([chunk, 'two']);
  const { stream } = structuredClone({ stream: given }, { transfer: [given] });
  equal(given.locked, true);
  const reader = stream.getReader();
  const first = (await reader.read()).value;
  same([first, first === chunk], [{ a: [1] }, false]);
  same([await reader.read(), await reader.read()], [{ value: 'two', done: false }, { value: undefined, done: true }]);
};
cases['a transferred readable stream passes on ends of either side'] = async () => {
  let reason;
  const cancelled = new ReadableStream({ cancel(why) { reason = why; } });
  await structuredClone(cancelled, { transfer: [cancelled] }).cancel('enough');
  equal(reason, 'enough');
  const error = new RangeError('broken');
  const failing = new ReadableStream({ pull() { throw error; } });
  const failed = await structuredClone(failing, { transfer: [failing] }).getReader().read().catch((why) => why);
  same([failed instanceof RangeError, failed.message, failed === error], [true, 'broken', false]);
  const odd = new ReadableStream({ pull(controller) { controller.enqueue(() => {}); }, cancel(why) { reason = why; } });
  const refused = await structuredClone(odd, { transfer: [odd] }).getReader().read().catch((why) => why);
  same([refused.name, reason.name], ['DataCloneError', 'DataCloneError']);
};
cases['a transferred writable stream takes clones and closes'] = async () => {
  const seen = [];
  const given = new WritableStream({ write(chunk) { seen.push(chunk); }, close() { seen.push('closed'); } });
  const writer = structuredClone(given, { transfer: [given] }).getWriter();
  const chunk = { a: 1 };
  await writer.write(chunk);
  await writer.close();
  same([seen, seen[0] === chunk, given.locked], [[{ a: 1 }, 'closed'], false, true]);
  let reason;
  const sink = new WritableStream({ write() { throw new TypeError('full'); }, abort(why) { reason = why; } });
  const other = structuredClone(sink, { transfer: [sink] }).getWriter();
  const failed = await other.write(1).catch((why) => why);
  equal(`${failed}`, 'TypeError: full');
  const left = new WritableStream({ abort(why) { reason = why; } });
  await structuredClone(left, { transfer: [left] }).abort('bye');
  equal(reason, 'bye');
};
cases['a transferred transform stream works through a port'] = async () => {
  const given = new TransformStream({ transform(chunk, controller) { controller.enqueue(chunk * 2); } });
  const { port1, port2 } = new MessageChannel();
  const arrived = new Promise((resolve) => { port2.onmessage = ({ data }) => resolve(data); });
  port1.postMessage(given, [given]);
  const { readable, writable } = await arrived;
  const writer = writable.getWriter();
  void writer.write(21);
  void writer.close();
  same([await Array.fromAsync(readable), given.readable.locked, given.writable.locked], [[42], true, true]);
  port1.close();
};
cases['streams that cannot be transferred are refused, and nothing else is transferred'] = () => {
  const both = new TransformStream();
  for (const list of [[both, both.readable], [both.writable, both]]) throws(() => structuredClone(list, { transfer: list }), 'DataCloneError');
  const locked = new ReadableStream();
  locked.getReader();
  const buffer = new ArrayBuffer(1);
  throws(() => structuredClone(locked, { transfer: [buffer, locked] }), 'DataCloneError');
  throws(() => structuredClone(new ReadableStream()), 'DataCloneError');
  throws(() => structuredClone(both), 'DataCloneError');
  same([buffer.byteLength, both.readable.locked], [1, false]);
};
cases['MessageChannel'] = async () => {
  const { port1, port2 } = new MessageChannel();
  const got = new Promise((resolve) => (port2.onmessage = (event) => resolve(event.data)));
  port1.postMessage({ a: new Date(1) });
  equal((await got).a.getTime(), 1);
};
cases['Timers'] = async () => {
  const order = [];
  await new Promise((resolve) => {
    setTimeout(() => order.push('t10'), 10);
    setTimeout(() => { order.push('t1'); Promise.resolve().then(() => order.push('micro')); }, 1);
    setTimeout((a, b) => order.push(a + b), 1, 'x', 'y');
    const cancelled = setTimeout(() => order.push('never'), 2);
    clearTimeout(cancelled);
    queueMicrotask(() => order.push('first'));
    let runs = 0;
    const interval = setInterval(() => { if (++runs === 3) { clearInterval(interval); setTimeout(resolve, 20); } }, 1);
  });
  same(order, ['first', 't1', 'micro', 'xy', 't10']);
};
cases['Many timers, most of them taken back'] = async () => {
  // Every timer is in a table by its number, which grows, shrinks, and closes the gaps that removal leaves.
  const fired = new Set();
  const kept = new Set();
  const ids = [];
  for (let i = 0; i < 3000; i++) ids.push(setTimeout((n) => fired.add(n), 20, i));
  for (let i = 0, at = 0; i < 3000; i++) {
    at = (at + 1171) % 3000;
    if (i % 300 === 0) kept.add(at);
    else {
      clearTimeout(ids[at]);
      clearTimeout(ids[at]);
    }
  }
  for (const odd of [0, -1, NaN, 2 ** 33, ids[0] + 0.5 - 3000]) clearTimeout(odd);
  await sleep(40);
  same([...fired].sort(), [...kept].sort());
};
cases['Errors outside of promises are reported'] = async () => {
  const seen = new Promise((resolve) => addEventListener('error', (event) => { event.preventDefault(); resolve(event.error); }, { once: true }));
  setTimeout(() => { throw new RangeError('x'); });
  equal((await seen).name, 'RangeError');
};
cases['AsyncLocalStorage without awaiting'] = async () => {
  const storage = new AsyncLocalStorage();
  const other = new AsyncLocalStorage();
  equal(storage.getStore(), undefined);
  same(storage.run(1, () => other.run(2, () => [storage.getStore(), other.getStore()])), [1, 2]);
  equal(storage.run(3, () => storage.exit(() => storage.getStore())), undefined);
  const bound = storage.run(4, () => AsyncLocalStorage.bind(() => storage.getStore()));
  equal(bound(), 4);
  const snapshot = storage.run(5, () => AsyncLocalStorage.snapshot());
  equal(snapshot(() => storage.getStore()), 5);
};
cases['Globals'] = () => {
  equal(self, globalThis);
  equal(navigator.userAgent, 'brrrd/1.2.3');
  ok(performance.now() >= 0 && performance.timeOrigin > 1e12);
  equal(typeof SharedArrayBuffer, 'undefined');
  equal(Atomics.wait, undefined);
  for (const name of Object.getOwnPropertyNames(globalThis)) ok(!name.startsWith('__brrrd'), name);
  equal(Object.keys(globalThis).includes('fetch'), true);
  equal(Object.keys(globalThis).includes('Response'), false);
  const uuid = crypto.randomUUID();
  ok(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid));
  const random = crypto.getRandomValues(new Uint32Array(4));
  ok(random.some((value) => value !== 0));
  throws(() => crypto.getRandomValues(new Float32Array(1)), 'TypeMismatchError');
  throws(() => crypto.getRandomValues(new Uint8Array(65537)), 'QuotaExceededError');
  same([typeof WebAssembly.instantiateStreaming, process.env.NAME], ['function', 'value']);
};
cases['Interfaces have their shape'] = () => {
  for (const [Class, member] of [[Response, 'status'], [Request, 'url'], [Headers, 'get'], [URL, 'href'], [Event, 'type'], [Blob, 'size'], [AbortSignal, 'aborted']]) {
    const descriptor = Object.getOwnPropertyDescriptor(Class.prototype, member);
    equal(descriptor.enumerable, true, Class.name);
    equal(Object.prototype.toString.call(Class.prototype), `[object ${Class.name}]`);
    throws(() => (descriptor.get ?? descriptor.value).call({}, 'x'), 'TypeError');
  }
};
cases['WebAssembly from a Response'] = async () => {
  const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 6, 1, 4, 0, 65, 42, 11]);
  const module = new WebAssembly.Module(bytes);
  equal(new WebAssembly.Instance(module).exports.f(), 42);
  await rejects(WebAssembly.compileStreaming(new Response(bytes)), 'TypeError');
};
