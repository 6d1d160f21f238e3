cases['the type of a data: URL is parsed and serialized as a MIME type'] = async () => {
  const types = {
    'data:IMAGE/gif;Charset= x,': 'image/gif;charset=" x"',
    'data:;charset="a\\"b",': 'text/plain;charset="a\\"b"',
    'data:text/html;a=1;A=2;b,': 'text/html;a=1',
    'data:nonsense,': 'text/plain;charset=US-ASCII',
  };
  for (const url of Object.keys(types)) equal((await fetch(url)).headers.get('content-type'), types[url], url);
};

cases['a body that was consumed is a locked stream'] = async () => {
  const response = new Response('text');
  await response.text();
  ok(response.body.locked);
  throws(() => response.body.getReader(), 'TypeError');
  const seen = new Response('text');
  const { body } = seen;
  await seen.text();
  ok(body.locked && seen.bodyUsed);
};

cases['a clone has chunks of its own'] = async () => {
  const chunk = new Int16Array([1, 2]);
  const response = new Response(new ReadableStream({ start(c) { c.enqueue(chunk); c.close(); } }));
  const [clone] = await read(response.clone().body);
  const [original] = await read(response.body);
  equal(original, chunk);
  ok(clone !== chunk && clone.buffer !== chunk.buffer && clone[1] === 2 && clone instanceof Int16Array);
};

cases['a request without cross-origin rights cannot have any method'] = () => {
  throws(() => new Request('http://a.test/', { mode: 'no-cors', method: 'PUT' }), 'TypeError');
  equal(new Request('http://a.test/', { mode: 'no-cors', method: 'POST' }).method, 'POST');
};

cases['a delay is a 32-bit integer'] = async () => {
  const order = [];
  await new Promise((resolve) => {
    setTimeout(() => { order.push('short'); resolve(); }, 3);
    setTimeout(() => order.push('wrapped'), 2 ** 32);
  });
  same(order, ['wrapped', 'short']);
};

cases['a view that is out of bounds cannot be cloned'] = () => {
  const buffer = new ArrayBuffer(8, { maxByteLength: 16 });
  const views = [new Uint8Array(buffer, 4, 4), new DataView(buffer, 4, 4)];
  buffer.resize(2);
  for (const view of views) throws(() => structuredClone(view), 'DataCloneError');
};

cases['interfaces have the lengths and names of their definitions'] = () => {
  same([Blob.length, File.length, URL.length, Event.length, AbortSignal.length], [0, 2, 1, 1, 0]);
  same([URL.canParse.length, Blob.prototype.slice.length, EventTarget.prototype.addEventListener.length], [1, 0, 2]);
  same([TransformStream.name, ReadableStream.name], ['TransformStream', 'ReadableStream']);
  throws(() => URL.prototype.toString.call({}), 'TypeError');
  ok(Object.getOwnPropertyDescriptor(File.prototype, 'name').enumerable);
};

cases['a broadcast reaches the other open channels of its name, as copies'] = async () => {
  const [sender, first, second, other] = ['news', 'news', 'news', 'else'].map((name) => new BroadcastChannel(name));
  const seen = [];
  const message = { n: 1 };
  for (const channel of [sender, first, second, other]) {
    channel.onmessage = (event) => seen.push([channel.name, event.data.n, event.data === message, event.isTrusted]);
  }
  sender.postMessage(message);
  message.n = 2;
  second.close();
  await sleep(5);
  same(seen, [['news', 1, false, true]]);
  throws(() => second.postMessage(1), 'InvalidStateError');
  throws(() => first.postMessage(() => 1), 'DataCloneError');
  for (const channel of [sender, first, other]) channel.close();
};

cases['a DOMException is a genuine error'] = () => {
  const error = new DOMException('no', { name: 'DataError', cause: 1 });
  ok(Error.isError(error) && error instanceof Error && error.stack.includes('no'));
  equal(`${error} ${error.cause} ${error.code} ${Object.keys(error)}`, 'DataError: no 1 0 ');
  throws(() => DOMException.prototype.name, 'TypeError');
};
cases['a clone of a view follows the length of its buffer as the view did'] = () => {
  for (const most of [16, 64]) {
    const buffer = new ArrayBuffer(16, { maxByteLength: most });
    const bytes = new Uint8Array(buffer).fill(7);
    const views = [bytes, new DataView(buffer), new Uint8Array(buffer, 0, 16), new Float64Array(buffer, 8, 1)];
    const clones = structuredClone(views);
    equal(bytes.join(), Array(16).fill(7).join());
    clones[0].buffer.resize(8);
    equal(clones[0].length, 8);
    equal(clones[1].byteLength, 8);
    equal(clones[2].length, 0);
    equal(clones[3].length, 0);
  }
};
cases['a body that is read as text asks no object of the app for a then'] = async () => {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('hello'));
      controller.close();
    },
  });
  const response = new Response(body);
  Object.prototype.then = (resolve) => resolve({ done: true });
  try {
    equal(await response.text(), 'hello');
  } finally {
    delete Object.prototype.then;
  }
};
cases['a port cannot be transferred through itself'] = () => {
  const { port1 } = new MessageChannel();
  throws(() => port1.postMessage(1, [port1]), 'DataCloneError');
};
cases['a pipe does not write within enqueue'] = async () => {
  let source;
  const written = [];
  const piped = new ReadableStream({ start: (controller) => (source = controller) }, { highWaterMark: 0 }).pipeTo(
    new WritableStream({ write: (chunk) => written.push(chunk) }),
  );
  await null;
  source.enqueue('chunk');
  equal(written.length, 0);
  source.close();
  await piped;
  equal(written.join(), 'chunk');
};
cases['HEAD of a data: URL has no body'] = async () => {
  equal((await fetch('data:,text', { method: 'HEAD' })).body, null);
};
cases['optional arguments do not count in the length of a function'] = () => {
  const functions = [Headers, Request, Response, Response.json, TextEncoder.prototype.encode, TextDecoder];
  equal(functions.map(({ length }) => length).join(), '0,1,0,1,0,0');
};
cases['an observer is either for one type or for several'] = () => {
  const observer = new PerformanceObserver(() => {});
  observer.observe({ type: 'mark' });
  throws(() => observer.observe({ entryTypes: ['measure'] }), 'InvalidModificationError');
  observer.disconnect();
};
