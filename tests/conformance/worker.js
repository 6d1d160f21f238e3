// The worker around one test file; script.py fills in the four names in capitals. The file
// sees as little as possible of what is around it, as its own globals might have the same names.
//
// The file runs once, at the first request, in this order: testharness.js, what its META lines name, the file itself. All
// answers are its outcome (outcome.py). What the reporting needs is taken before a test can replace it.

function __harness(self) {
__HARNESS__
}

function __body(self, GLOBAL, location) {
__BODY__
}

const __answer = ((testharness, test) => {
  const CONFIG = __CONFIG__;
  const RESOURCES = __RESOURCES__;

  const scope = globalThis;
  const { atob, clearTimeout, fetch, JSON, Map, Object, Promise, Proxy, Reflect, RegExp, Request, Response, setTimeout, String } =
    globalThis;
  const { TextEncoder, Uint8Array } = globalThis;
  const STATUSES = ['PASS', 'FAIL', 'TIMEOUT', 'NOTRUN', 'PRECONDITION_FAILED'];
  const TYPES = { json: 'application/json', wasm: 'application/wasm', txt: 'text/plain' };
  const MOST_MESSAGE = 300;
  /** How long after the harness's own timeout the file is ended. */
  const GRACE_MS = 1500;
  /** How long tests that were registered may take when the file threw. */
  const AFTER_THROW_MS = 3000;

  /** An URL relative to the test file, without asking the class that may be under test. */
  function absolute(reference) {
    if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return reference;
    const href = CONFIG.origin + CONFIG.path + CONFIG.search;
    if (reference === '' || reference[0] === '#') return href + reference;
    if (reference[0] === '?') return CONFIG.origin + CONFIG.path + reference;
    if (reference.startsWith('//')) return `http:${reference}`;
    const from = reference[0] === '/' ? reference : CONFIG.path.replace(/[^/]*$/, '') + reference;
    const parts = [];
    for (const part of from.split('/').slice(1)) {
      if (part === '..') parts.pop();
      else if (part !== '.') parts.push(part);
    }
    return `${CONFIG.origin}/${parts.join('/')}`;
  }

  function served(path) {
    const { text, base64 } = RESOURCES[path];
    const body = text === undefined ? Uint8Array.from(atob(base64), (one) => one.charCodeAt(0)) : new TextEncoder().encode(text);
    const type = TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
    return new Response(body, { headers: { 'content-type': type } });
  }

  function setGlobal(name, value) {
    Object.defineProperty(scope, name, { value, writable: true, configurable: true, enumerable: false });
  }

  /** What tests expect around them, and no runtime for workers has. */
  function install() {
    const { origin, path: pathname, search } = CONFIG;
    const href = origin + pathname + search;
    const host = origin.slice('http://'.length);
    const [hostname, port] = host.split(':');
    const location = { href, origin, protocol: 'http:', host, hostname, port, pathname, search, hash: '', toString: () => href };
    const GLOBAL = { isWindow: () => false, isWorker: () => true, isShadowRealm: () => false };
    setGlobal('location', location);
    setGlobal('GLOBAL', GLOBAL);
    setGlobal('fetch', function (input, init) {
      if (arguments.length === 0) return fetch();
      const url = typeof input === 'string' ? absolute(input) : input;
      const path = typeof url === 'string' && url.startsWith(`${origin}/`) ? url.slice(origin.length).split('?')[0] : null;
      if (path !== null && Object.hasOwn(RESOURCES, path) && !init?.signal) return Promise.resolve(served(path));
      return fetch(url, init);
    });
    if (CONFIG.baseUrl) installBaseUrl();
    return { GLOBAL, location };
  }

  function installBaseUrl() {
    const proxy = new Proxy(Request, {
      construct(target, [input, ...rest], newTarget) {
        const isUrl = !(input instanceof target) && typeof input !== 'symbol';
        const given = isUrl ? [absolute(String(input)), ...rest] : [input, ...rest];
        return Reflect.construct(target, arguments[1].length === 0 ? [] : given, newTarget === proxy ? target : newTarget);
      },
    });
    const { Cache } = globalThis;
    for (const name of ['delete', 'keys', 'match', 'matchAll', 'put']) {
      const original = Cache?.prototype[name];
      if (original === undefined) continue;
      Cache.prototype[name] = function (input, ...rest) {
        if (arguments.length === 0) return original.call(this);
        return original.call(this, typeof input === 'string' ? absolute(input) : input, ...rest);
      };
    }
    const { redirect } = Response;
    Response.redirect = (url, status = 302) => redirect.call(Response, absolute(String(url)), status);
    setGlobal('Request', proxy);
    Object.defineProperty(Request.prototype, 'constructor', { value: proxy, writable: true, configurable: true });
  }

  /** Collects results; a name that is used again gets a number, as names tell subtests apart. */
  function collector() {
    const keep = CONFIG.keep === null ? null : new RegExp(CONFIG.keep);
    const drop = CONFIG.drop === null ? null : new RegExp(CONFIG.drop);
    const byTest = new Map();
    const uses = new Map();
    return {
      subtests: () => [...byTest.values()],
      add(test) {
        const name = String(test.name).toWellFormed();
        if ((keep !== null && !keep.test(name)) || drop?.test(name)) return;
        if (!byTest.has(test)) {
          const count = (uses.get(name) ?? 0) + 1;
          uses.set(name, count);
          byTest.set(test, { name: count === 1 ? name : `${name} (${count})` });
        }
        const message = test.message ? String(test.message).toWellFormed().slice(0, MOST_MESSAGE) : null;
        Object.assign(byTest.get(test), { status: STATUSES[test.status] ?? String(test.status), message });
      },
    };
  }

  /** A promise test that never settles fails alone, rather than take the rest of its file along. */
  function boundPromiseTests() {
    const original = scope.promise_test;
    scope.promise_test = function (run, name, properties) {
      if (typeof run !== 'function') return original(run, name, properties);
      const bounded = function (test) {
        const promise = run.call(this, test);
        if (typeof promise?.then !== 'function') return promise;
        return new Promise((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error('the promise does not settle')), CONFIG.hangMs);
          const settle = (how) => (value) => {
            clearTimeout(timer);
            how(value);
          };
          promise.then(settle(resolve), settle(reject));
        });
      };
      return original(bounded, name, properties);
    };
  }

  function run(finish) {
    const results = collector();
    let problem = null;
    const end = (why) => finish({ subtests: results.subtests(), problem: problem ?? why });
    try {
      const { GLOBAL, location } = install();
      testharness.call(scope, scope);
      boundPromiseTests();
      // The harness's own timers are off: the ones below end the run. An exception outside a test does not end the file,
      // as runtimes differ in whether they report one at all, and every subtest is to be counted.
      scope.setup({ explicit_timeout: true, output: false, allow_uncaught_exception: true });
      scope.add_result_callback(results.add);
      scope.add_completion_callback((tests, { status, message }) => {
        for (const test of tests) results.add(test);
        end(status === 0 ? null : `the harness ended with status ${status}: ${message}`);
      });
      setTimeout(() => scope.timeout(), CONFIG.timeoutMs);
      setTimeout(() => end('it did not end in time'), CONFIG.timeoutMs + GRACE_MS);
      try {
        test.call(scope, scope, GLOBAL, location);
      } catch (error) {
        problem = `it threw: ${String(error?.stack ?? error).slice(0, MOST_MESSAGE)}`;
        // What was registered before still runs, as in a browser.
        setTimeout(() => scope.done(), 50);
        setTimeout(() => end(null), AFTER_THROW_MS);
      }
    } catch (error) {
      end(`the harness threw: ${String(error?.stack ?? error).slice(0, MOST_MESSAGE)}`);
    }
  }

  let outcome;
  return async () => {
    outcome ??= new Promise(run);
    return new Response(JSON.stringify(await outcome), { headers: { 'content-type': 'application/json' } });
  };
})(__harness, __body);

export default { fetch: () => __answer() };
