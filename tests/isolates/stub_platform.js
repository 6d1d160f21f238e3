// The least platform that a host can serve with: a handler gets { method, url, body } and returns text or a promise of it.
globalThis.__brrrd_boot = (native, config) => {
  delete globalThis.__brrrd_boot;
  const input = new DataView(native.input), output = new DataView(native.output);
  const inputBytes = new Uint8Array(native.input), outputBytes = new Uint8Array(native.output);
  const scratch = new DataView(native.scratch), scratchBytes = new Uint8Array(native.scratch);
  const REQUEST = 1, RESPONSE = 2, CANCEL = 4, REFUSE = 6, LOG = 16, LOADED = 17, FAILED = 18;
  let handler = null, nextTimer = 1, now = 0, active = 0, total = 0, exceptions = 0, background = 0, closed = '';
  const timers = new Map();
  const latin1 = (start, end) => { let s = ''; for (; start < end; start++) s += String.fromCharCode(inputBytes[start]); return s; };
  const bytes = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));
  const call = (op, ...args) => {
    scratch.setInt32(0, op, true);
    args.forEach((value, index) => scratch.setInt32(4 + index * 4, value, true));
    native.call();
    return scratch.getInt32(0, true);
  };
  function header() {
    output.setUint32(16, active, true);
    output.setUint32(24, total, true);
    output.setUint32(32, exceptions, true);
    output.setUint32(36, background, true);
    let next = Infinity;
    for (const timer of timers.values()) next = Math.min(next, timer.at);
    output.setFloat64(8, next === Infinity ? -1 : Math.max(0, next - now), true);
  }
  function frame(connection, stream, type, flags, status, head, data) {
    const size = 16 + head.length + data.length;
    if (72 + output.getUint32(0, true) + size > native.output.byteLength) call(1);
    let at = 64 + output.getUint32(0, true);
    output.setUint32(0, output.getUint32(0, true) + 8 + size, true);
    output.setUint32(at, connection, true); output.setUint32(at + 4, size, true); at += 8;
    output.setUint32(at, size, true); output.setUint32(at + 4, stream, true);
    output.setUint8(at + 8, type); output.setUint8(at + 9, flags); output.setUint16(at + 10, status, true);
    output.setUint32(at + 12, head.length, true);
    outputBytes.set(bytes(head), at + 16); outputBytes.set(bytes(data), at + 16 + head.length);
    header();
  }
  globalThis.log = (text, level = 1) => frame(0, 0, LOG, 0, level, 'request-1', text);
  globalThis.setTimeout = (run, ms) => { timers.set(nextTimer, { run, at: now + ms }); header(); return nextTimer++; };
  globalThis.waitUntil = (promise) => { background++; promise.then(() => { background--; header(); }); };
  globalThis.host = {
    native, config, call, scratchBytes, closed: () => closed,
    egress: (head) => frame(1, 1, REQUEST, 1, 0, head, ''),
    flushMany: (count, size) => { for (let i = 0; i < count; i++) frame(0, 0, LOG, 0, 0, '', 'x'.repeat(size)); },
  };
  function serve(connection, stream, method, url, body) {
    active++; total++;
    const done = (value) => { active--; frame(connection, stream, RESPONSE, 1, 200, '', String(value)); };
    const failed = (error) => { active--; exceptions++; frame(connection, stream, REFUSE, 1, 500, 'exception\n' + error, ''); };
    try { Promise.resolve(handler({ method, url, body })).then(done, failed); } catch (error) { failed(error); }
  }
  function turn() {
    now = input.getFloat64(16, true);
    for (const [id, timer] of timers) if (timer.at <= now) { timers.delete(id); timer.run(); }
    const end = 64 + input.getUint32(0, true);
    for (let at = 64; at < end; ) {
      const connection = input.getUint32(at, true), size = input.getUint32(at + 4, true);
      at += 8;
      if (size === 0) closed += connection + ' ';
      for (const stop = at + size; at < stop; at += input.getUint32(at, true)) {
        const split = at + 16 + input.getUint32(at + 12, true), stream = input.getUint32(at + 4, true);
        if (inputBytes[at + 8] === RESPONSE) globalThis.egressAnswer = latin1(at + 16, split);
        if (inputBytes[at + 8] !== REQUEST) continue;
        const [method, url] = latin1(at + 16, split).split('\n');
        serve(connection, stream, method, url, latin1(split, at + input.getUint32(at, true)));
      }
    }
    header();
  }
  return function run() {
    header();
    native.importModule(config.main).then(
      (module) => { handler = module.default; frame(0, 0, LOADED, 0, 0, '', ''); },
      (error) => {
        const place = error?.__location ?? { file: '', line: '', column: '' };
        frame(0, 0, FAILED, 0, 0, [place.file, place.line, place.column].join('\n'), String(error));
      },
    );
    for (;;) { native.poll(); if (input.getUint32(4, true) & 1) return; turn(); }
  };
};
