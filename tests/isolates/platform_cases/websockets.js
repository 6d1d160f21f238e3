const next = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
const pair = () => Object.values(new WebSocketPair());
cases['WebSocket constants and shape'] = () => {
  same([WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED], [0, 1, 2, 3]);
  equal(WebSocket.prototype.CLOSED, 3);
  equal(WebSocket.length, 1);
  equal(String(new WebSocketPair()[0]), '[object WebSocket]');
  for (const name of ['url', 'readyState', 'bufferedAmount', 'extensions', 'protocol', 'binaryType', 'onopen', 'onmessage', 'onerror', 'onclose', 'send', 'close']) ok(name in WebSocket.prototype, name);
  ok(new WebSocketPair()[1] instanceof EventTarget);
  throws(() => new WebSocket(), 'TypeError');
  throws(() => WebSocket('ws://a.test'), 'TypeError');
};
cases['WebSocket refuses bad URLs and subprotocols'] = () => {
  for (const url of ['', '/relative', 'ftp://a.test', 'ws://', 'ws://a.test/#fragment', 'ws://a b/', 'mailto:a@b']) throws(() => new WebSocket(url), 'SyntaxError');
  for (const protocols of ['', 'a b', 'a,b', 'ü', ['a', 'a'], ['a', 'A'], ['ok', '\x00'], '"quoted"']) throws(() => new WebSocket('ws://a.test/', protocols), 'SyntaxError');
  for (const [given, url] of [['ws://a.test', 'ws://a.test/'], ['wss://A.test:443/x?y', 'wss://a.test/x?y'], ['http://a.test:80', 'ws://a.test/'], ['https://a.test/', 'wss://a.test/']]) {
    const socket = new WebSocket(given, ['one', 'two']);
    same([socket.url, socket.readyState, socket.bufferedAmount, socket.protocol, socket.extensions, socket.binaryType], [url, 0, 0, '', '', 'blob']);
    throws(() => socket.send('x'), 'InvalidStateError');
    socket.close();
    equal(socket.readyState, 2);
  }
};
cases['WebSocket.close checks its arguments'] = async () => {
  const socket = new WebSocket('ws://a.test/');
  for (const code of [0, 500, 999, 1001, 1005, 2999, 5000, 65536 + 1001]) throws(() => socket.close(code), 'InvalidAccessError');
  throws(() => socket.close(1000, 'x'.repeat(124)), 'SyntaxError');
  throws(() => socket.close(1000, 'é'.repeat(62)), 'SyntaxError');
  const seen = [];
  for (const type of ['open', 'error', 'close']) socket[`on${type}`] = ({ type }) => seen.push(type);
  socket.close(3000, 'never mind');
  throws(() => socket.close(1), 'InvalidAccessError');
  socket.close();
  const { code, reason, wasClean } = await next(socket, 'close');
  same([seen, code, reason, wasClean, socket.readyState], [['error', 'close'], 1006, '', false, 3]);
  socket.send('lost');
  equal(socket.bufferedAmount, 4);
};
cases['WebSocketPair within an isolate'] = async () => {
  const [one, two] = pair();
  equal(one.readyState, 0);
  throws(() => one.send('x'), 'TypeError');
  one.accept();
  throws(() => one.accept(), 'TypeError');
  one.send('before the other end accepts');
  two.accept();
  equal((await next(two, 'message')).data, 'before the other end accepts');
  two.send(new Uint8Array([1, 2, 3]).subarray(1));
  same([...new Uint8Array((await next(one, 'message')).data)], [2, 3]);
  one.binaryType = 'blob';
  one.binaryType = 'nonsense';
  two.send(new DataView(new ArrayBuffer(5)));
  const { data } = await next(one, 'message');
  ok(data instanceof Blob);
  equal(data.size, 5);
  two.send(12);
  equal((await next(one, 'message')).data, '12');
  const ends = [next(one, 'close'), next(two, 'close')];
  one.close(1011, 'enough');
  equal(one.readyState, 2);
  for (const { code, reason, wasClean } of await Promise.all(ends)) same([code, reason, wasClean], [1011, 'enough', true]);
  same([one.readyState, two.readyState], [3, 3]);
  two.close(1005, 'no matter');
  two.send('no matter');
};
cases['a message is its own task'] = async () => {
  const [one, two] = pair();
  one.accept();
  two.accept();
  for (const text of ['a', 'b', 'c']) one.send(text);
  const seen = [];
  for (let i = 0; i < 3; i++) {
    const { data } = await next(two, 'message');
    await Promise.resolve().then(() => {});
    seen.push(data);
  }
  same(seen, ['a', 'b', 'c']);
};
cases['what is sent is taken at once'] = async () => {
  const [one, two] = pair();
  one.accept();
  two.accept();
  const bytes = new Uint8Array([1, 2]);
  one.send(bytes);
  bytes[0] = 9;
  same([...new Uint8Array((await next(two, 'message')).data)], [1, 2]);
};
cases['WebSocket handlers and close without a code'] = async () => {
  const [one, two] = pair();
  one.accept();
  two.accept();
  const seen = [];
  const closed = next(two, 'close');
  two.onmessage = function (event) { seen.push(this === two, event.constructor.name, event.isTrusted); };
  two.onclose = ({ code, reason }) => seen.push(code, reason);
  one.send('x');
  one.close();
  await closed;
  same(seen, [true, 'MessageEvent', true, 1005, '']);
};
cases['CloseEvent'] = () => {
  const empty = new CloseEvent('close');
  same([empty.type, empty.wasClean, empty.code, empty.reason, empty.isTrusted], ['close', false, 0, '', false]);
  const full = new CloseEvent('close', { wasClean: true, code: 65536 + 1000, reason: 'why', bubbles: true });
  same([full.wasClean, full.code, full.reason, full.bubbles], [true, 1000, 'why', true]);
  ok(full instanceof Event);
};
cases['a response of 101'] = () => {
  const [client] = pair();
  const response = new Response(null, { status: 101, webSocket: client, headers: { 'x-a': '1' } });
  equal(response.webSocket, client);
  equal(new Response(response.body, response).webSocket, client);
  equal(new Response('x').webSocket, null);
  throws(() => new Response(null, { status: 101 }), 'RangeError');
  throws(() => new Response('body', { status: 101, webSocket: client }), 'TypeError');
  throws(() => response.clone(), 'TypeError');
  throws(() => new Response(null, { status: 100 }), 'RangeError');
};
