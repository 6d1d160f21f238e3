# ruff: noqa: E501 a script that fits on one line is easier to read than a broken one
"""Scripts that log what is hard, or much, to log."""

from tests.hostile.attack import FINE, GONE, THROWN, TIMEOUT, Attack

_OK = "return new Response('ok');"

ATTACKS = [
    Attack("log flood", TIMEOUT, "for (let i = 0; ; i++) console.log('x'.repeat(1000) + i);", logged="dropped"),
    Attack("log flood that ends", FINE, "for (let i = 0; i < 5000; i++) console.log('x'.repeat(1000) + i);" + _OK,
           logged="dropped"),
    Attack("huge line", FINE | GONE, "console.log('x'.repeat(1e8));" + _OK),
    Attack("cyclic object", FINE, "const a = { b: [] }; a.b.push(a); a.self = a; console.log(a, [a]);" + _OK),
    Attack("proxy with throwing traps", FINE, """
      const trap = () => { throw new Error("trapped"); };
      const handler = new Proxy({}, { get: () => trap });
      console.log(new Proxy({}, handler), new Proxy(function () {}, handler), [new Proxy([], handler)]);""" + _OK),
    Attack("proxy with endless traps", FINE | TIMEOUT, """
      const handler = new Proxy({}, { get: () => () => { for (;;); } });
      console.log(new Proxy({}, handler));""" + _OK),
    Attack("proxy with endless keys", FINE | GONE, """
      console.log(new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => "k" + i) }));""" + _OK),
    Attack("revoked proxy", FINE, "const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); console.log(proxy, [proxy]);" + _OK),
    Attack("endless getter", FINE | TIMEOUT, "console.log({ get x() { for (;;); } });" + _OK),
    Attack("throwing getters", FINE, """
      const o = { get x() { throw 1; }, get [Symbol.toStringTag]() { throw 2; }, toString() { throw 3; },
        [Symbol.toPrimitive]() { throw 4; }, get constructor() { throw 5; } };
      console.log(o, [o]);""" + _OK),
    Attack("format with throwing conversions", FINE | THROWN, """
      console.log("%s %d %i %f %j %o %O %c", { toString() { throw 1; } }, Symbol("x"), {}, [], 1n, o);
      var o = { toJSON() { throw 1; } };""" + _OK),
    Attack("error with throwing stack", FINE, """
      const e = new Error("x");
      Object.defineProperty(e, "stack", { get() { throw 1; } });
      Object.defineProperty(e, "message", { get() { throw 1; } });
      Object.defineProperty(e, "name", { get() { throw 1; } });
      console.log(e); console.error(e);""" + _OK),
    Attack("deep object", FINE, "let a = {}; for (let i = 0; i < 1e6; i++) a = { a }; console.log(a);" + _OK),
    Attack("wide object", FINE, "console.log(Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [i, i])));" + _OK),
    Attack("bushy object", FINE | TIMEOUT, """
      let a = {}; for (let i = 0; i < 40; i++) a = { l: a, r: a, m: [a, a, a] }; console.log(a);""" + _OK),
    Attack("huge arrays", FINE | GONE, "console.log(new Array(1e7).fill(1), new Uint8Array(1e8), new Map([[1, new Set()]]));" + _OK),
    Attack("huge table", FINE | GONE, """
      console.table(Array.from({ length: 20000 }, (_, i) => ({ ["k" + i]: i })));""" + _OK),
    Attack("table of proxies", FINE | THROWN, "console.table(new Proxy([], { get() { throw 1; } }));" + _OK),
    Attack("many counters", FINE | GONE, "for (let i = 0; i < 1e5; i++) { console.count('c' + i); console.time('t' + i); }" + _OK),
    Attack("many groups", FINE, "for (let i = 0; i < 1e5; i++) console.group(); console.log('deep');" + _OK),
    Attack("lone surrogates and line breaks", FINE, "console.log('\\ud800\\n\\r\\u0000\\u2028\\x1b[31m');" + _OK),
    Attack("throws a throwing proxy", THROWN, "throw new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 1; } });"),
    Attack("throws null", THROWN, "throw null;"),
    Attack("throws an endless error", THROWN | TIMEOUT, """
      const e = new Error("x"); Object.defineProperty(e, "stack", { get() { for (;;); } }); throw e;"""),
    Attack("throws a cause chain", THROWN, """
      let e = new Error("0"); for (let i = 0; i < 1e5; i++) e = new Error("x", { cause: e }); throw e;"""),
    Attack("throws a huge aggregate", THROWN, """
      throw new AggregateError(Array.from({ length: 1e4 }, (_, i) => new Error("e" + i)), "many");"""),
    Attack("error listener that throws", FINE, """
      addEventListener("error", () => { throw new Error("again"); }); reportError(new Error("first"));""" + _OK),
    Attack("rejection listener that rejects", FINE | TIMEOUT, """
      addEventListener("unhandledrejection", () => { Promise.reject(new Error("again")); });
      Promise.reject(new Error("first")); await new Promise((r) => setTimeout(r, 50));""" + _OK),
    Attack("prepareStackTrace that throws", THROWN | FINE, """
      Error.prepareStackTrace = () => { throw new Error("no"); }; throw new Error("x");"""),
    Attack("endless prepareStackTrace", THROWN | TIMEOUT, """
      Error.prepareStackTrace = () => { for (;;); }; throw new Error("x");"""),
]  # fmt: skip
