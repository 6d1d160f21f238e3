"""Scripts that do not give the isolate's thread back, or give it back in order to take it again."""

from tests.hostile.attack import FINE, GONE, THROWN, TIMEOUT, Attack

_NEVER = "await new Promise(() => {});"

ATTACKS = [
    Attack("endless loop", TIMEOUT, "for (;;);"),
    Attack("loop that catches everything", TIMEOUT, "for (;;) { try { for (;;); } catch {} finally { continue; } }"),
    Attack("catastrophic regexp", TIMEOUT, "return new Response(String(/^(a+)+$/.test('a'.repeat(50) + 'b')));"),
    Attack("endless await", TIMEOUT, "for (;;) await 0;"),
    Attack("microtask that queues itself", TIMEOUT, "const f = () => queueMicrotask(f); f();" + _NEVER),
    Attack("promise chain without end", TIMEOUT, "const f = () => Promise.resolve().then(f); f();" + _NEVER),
    Attack("endless generator", TIMEOUT, "for (const x of (function* () { for (;;) yield 1; })()) void x;"),
    Attack("endless async generator", TIMEOUT, "for await (const x of (async function* () { for (;;) yield 1; })());"),
    Attack("endless proxy trap", TIMEOUT, "new Proxy({}, { get() { for (;;); } }).x;"),
    Attack("endless comparator", TIMEOUT, "[1, 2].sort(() => { for (;;); });"),
    Attack("sort of a huge array", GONE | THROWN, "Array.from({ length: 2e7 }, (_, i) => -i).sort();"),
    Attack("splice of a huge array", GONE | THROWN, "const a = new Array(1e8); for (;;) a.splice(1, 1);"),
    Attack("replace in a huge string", GONE | THROWN, "'a'.repeat(2e8).replace(/a/g, 'bb');"),
    Attack("huge powers", GONE | THROWN, "let x = 3n; for (;;) x **= 64n;"),
    Attack("BigInt to text", GONE | THROWN, "String(3n ** (2n ** 25n));"),
    Attack("endless toJSON", TIMEOUT, "JSON.stringify({ toJSON() { for (;;); } });"),
    Attack("endless Function", TIMEOUT, "new Function('for (;;);')();"),
    Attack("endless thenable", TIMEOUT, "return { then() { for (;;); } };"),
    Attack("endless toString as body", TIMEOUT, "return new Response({ toString() { for (;;); } });"),
    Attack("endless getter in headers", TIMEOUT, "return new Response('', { headers: { get x() { for (;;); } } });"),
    Attack("endless getter of a clone", TIMEOUT, "structuredClone({ get x() { for (;;); } });"),
    Attack("endless event listener", TIMEOUT, """
      const target = new EventTarget();
      target.addEventListener("x", () => { for (;;); });
      target.dispatchEvent(new Event("x"));"""),
    Attack("endless WebAssembly loop", TIMEOUT, """
      const bytes = [0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,7,5,1,1,102,0,0,10,9,1,7,0,3,64,12,0,11,11];
      new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes))).exports.f();"""),
    Attack("Atomics.wait", THROWN, "Atomics.wait(new Int32Array(new ArrayBuffer(8)), 0, 0);"),
    Attack("Atomics.wait on shared WebAssembly memory", THROWN, """
      const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      Atomics.wait(new Int32Array(buffer), 0, 0);"""),
    Attack("memory.atomic.wait of WebAssembly", THROWN, """
      const bytes = [0,97,115,109,1,0,0,0,1,5,1,96,0,1,127,2,9,1,1,109,1,109,2,3,1,1,3,2,1,0,7,5,1,1,102,0,0,
        10,14,1,12,0,65,0,65,0,66,127,254,1,2,0,11];
      const m = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)), { m: { m } });
      exports.f();"""),
    Attack("loop after the response", FINE, """
      setTimeout(() => { for (;;); }, 0);
      return new Response("ok");"""),
    Attack("loop in waitUntil", FINE, """
      ctx.waitUntil((async () => { await new Promise((r) => setTimeout(r, 20)); for (;;); })());
      return new Response("ok");"""),
    Attack("waitUntil that never ends", FINE, "ctx.waitUntil(new Promise(() => {})); return new Response('ok');"),
    Attack("many waitUntil", FINE, """
      for (let i = 0; i < 1e5; i++) ctx.waitUntil(new Promise(() => {}));
      return new Response("ok");"""),
    Attack("timer flood", THROWN, "for (;;) setTimeout(() => {}, 1e6);"),
    Attack("interval flood", FINE, """
      for (let i = 0; i < 1000; i++) setInterval(() => {}, 0);
      return new Response("ok");"""),
    Attack("timer that sets itself", TIMEOUT, "const f = () => setTimeout(f, 0); f();" + _NEVER),
    Attack("immediate microtasks and timers", TIMEOUT, """
      const f = () => { setTimeout(f, 0); setTimeout(f, 0); Promise.resolve().then(() => {}); }; f();""" + _NEVER),
    Attack("abort signal flood", GONE | FINE | THROWN, """
      for (let i = 0; i < 3e5; i++) AbortSignal.timeout(1e6);
      return new Response("ok");"""),
    Attack("endless abort listener", TIMEOUT, """
      request.signal.addEventListener("abort", () => { for (;;); });""" + _NEVER),
    Attack("message ping-pong", TIMEOUT, """
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => port1.postMessage(1); port2.onmessage = () => port2.postMessage(1);
      port1.postMessage(1);""" + _NEVER),
    Attack("errors in fifty thousand timers", FINE | TIMEOUT | GONE, """
      for (let i = 0; i < 50_000; i++) setTimeout(() => { throw new Error("timer " + i); }, 0);
      await new Promise((r) => setTimeout(r, 100));
      return new Response("ok");""", logged="Uncaught Error: timer"),
    Attack("signals of signals", FINE | TIMEOUT | GONE, """
      const first = new AbortController();
      let signal = first.signal;
      for (let i = 0; i < 1e5; i++) signal = AbortSignal.any([signal, AbortSignal.any([signal])]);
      first.abort();
      return new Response("ok");"""),
    Attack("all timers pending", FINE, """
      try { for (;;) setTimeout(() => {}, 1e6); } catch {}
      ctx.waitUntil(new Promise(() => {}));
      return new Response("ok");""", logged="limit timers", limits={"max_concurrent_requests": 1}),
    Attack("more CPU than cpu_ms", frozenset({503}), "for (;;);", text="cpu_ms", logged="limit cpu_ms",
           limits={"cpu_ms": 100}),
    Attack("slow but within cpu_ms", FINE, "await new Promise((r) => setTimeout(r, 500)); return new Response('ok');",
           limits={"cpu_ms": 100}),
]  # fmt: skip
