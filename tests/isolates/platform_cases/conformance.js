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
