# ruff: noqa: E501 a script that fits on one line is easier to read than a broken one
"""Scripts that break the platform under themselves: only their own requests may suffer, and mostly none do."""

from tests.hostile.attack import FINE, GONE, THROWN, TIMEOUT, Attack

_OK = "return new respond('ok');"
_NO = "() => { throw new Error('polluted'); }"


_HARMED = FINE | THROWN | GONE
"""The platform itself reads and writes typed arrays by length: the app harms itself, and only that."""
_BROKEN = "defined an array element on Array.prototype or Object.prototype"


def _replace(name: str, *targets: str, expected: frozenset[int] = FINE) -> Attack:
    """Every method of the objects throws; the answer must still get out."""
    script = f"""
      const {{ defineProperty, getOwnPropertyDescriptor }} = Object;
      const found = [{", ".join(targets)}].map((target) => ({{ target, keys: Reflect.ownKeys(target) }}));
      for (let i = 0; i < found.length; i++) {{
        const {{ target, keys }} = found[i];
        for (let j = 0; j < keys.length; j++) {{
          if (keys[j] === "constructor") continue;
          try {{ defineProperty(target, keys[j], {{ value: {_NO}, configurable: true }}); }} catch {{}}
        }}
      }}"""
    return Attack(f"replaced methods of {name}", expected, script + _OK)


ATTACKS = [
    _replace("Array", "Array.prototype", "Array"),
    _replace("Map, Set and WeakMap", "Map.prototype", "Set.prototype", "WeakMap.prototype", "WeakSet.prototype"),
    _replace("typed arrays", "Object.getPrototypeOf(Uint8Array.prototype)", "Uint8Array.prototype", "DataView.prototype",
             "ArrayBuffer.prototype", expected=_HARMED),
    _replace("String and RegExp", "String.prototype", "RegExp.prototype"),
    _replace("Number, Math and JSON", "Number", "Math", "JSON", "Number.prototype", "Date.prototype", "Date"),
    _replace("Error", "Error.prototype", "TypeError.prototype"),
    _replace("Headers", "Headers.prototype"),
    _replace("Response", "Response.prototype", "Response"),
    _replace("Request", "Request.prototype"),
    _replace("streams", "ReadableStream.prototype", "ReadableStreamDefaultReader.prototype",
             "ReadableStreamDefaultController.prototype", "TransformStream.prototype", "WritableStream.prototype"),
    _replace("events", "EventTarget.prototype", "Event.prototype", "AbortSignal.prototype", "AbortController.prototype"),
    _replace("text coding", "TextEncoder.prototype", "TextDecoder.prototype"),
    _replace("URL", "URL.prototype", "URLSearchParams.prototype"),
    _replace("iterators", "Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()))",
             "Object.getPrototypeOf([][Symbol.iterator]())", "Object.getPrototypeOf(new Map().entries())"),
    _replace("Reflect", "Reflect"),
    _replace("Atomics and WebAssembly", "Atomics", "WebAssembly"),
    Attack("replaced methods of Promise", FINE | TIMEOUT, f"""
      Promise.prototype.then = Promise.prototype.catch = Promise.prototype.finally = {_NO};
      Promise.resolve = Promise.reject = Promise.all = {_NO};""" + _OK),
    Attack("replaced methods of Function", FINE, f"""
      Function.prototype.call = Function.prototype.apply = Function.prototype.bind = {_NO};""" + _OK),
    Attack("replaced methods of Object", FINE, f"""
      Object.defineProperty = Object.freeze = Object.create = Object.keys = Object.assign = Object.entries = {_NO};
      Object.prototype.hasOwnProperty = Object.prototype.toString = Object.prototype.valueOf = {_NO};""" + _OK),
    Attack("setters for what the platform sets", FINE, f"""
      const names = "status statusText list body source stream incoming value done head headers connection closed";
      for (const key of names.split(" ").concat("method url type next resolve reject get set writable configurable"
        .split(" "))) {{
        if (!(key in Object.prototype)) {{
          Object.defineProperty(Object.prototype, key, {{ __proto__: null, set: {_NO}, get() {{}}, configurable: true }});
        }}
      }}""" + _OK),
    Attack("setters for array elements", _HARMED, f"""
      for (let i = 0; i < 10; i++) {{
        Object.defineProperty(Array.prototype, i, {{ set: {_NO}, get: () => undefined, configurable: true }});
      }}""" + _OK, logged=_BROKEN),
    Attack("setters for elements of all objects", _HARMED, f"""
      Object.defineProperty(Object.prototype, "0", {{ set: {_NO}, get: () => undefined, configurable: true }});
      """ + _OK, logged=_BROKEN),
    Attack("setters that swallow array elements", _HARMED, """
      for (let i = 0; i < 10; i++) {
        Object.defineProperty(Array.prototype, i, { set() {}, get() {}, configurable: true });
      }""" + _OK, logged=_BROKEN),
    Attack("thenable objects everywhere", FINE | TIMEOUT, "Object.prototype.then = function () {};" + _OK),
    Attack("species that throws", FINE | THROWN, f"""
      for (const c of [Promise, Array, ArrayBuffer, Object.getPrototypeOf(Uint8Array), RegExp, Map, Set]) {{
        Object.defineProperty(c, Symbol.species, {{ get: {_NO} }});
      }}""" + _OK),
    Attack("constructor that throws", FINE | THROWN | TIMEOUT, f"""
      Object.defineProperty(Promise.prototype, "constructor", {{ get: {_NO} }});""" + _OK),
    Attack("no prototypes", FINE | THROWN, """
      for (const c of [Response, Request, Headers, ReadableStream, URL]) Object.setPrototypeOf(c.prototype, null);
      """ + _OK),
    Attack("deleted globals", FINE, """
      for (const key of Object.getOwnPropertyNames(globalThis)) { try { delete globalThis[key]; } catch {} }""" + _OK),
    Attack("overwritten globals", FINE, """
      for (const key of Object.getOwnPropertyNames(globalThis)) {
        if (key !== "globalThis") { try { globalThis[key] = null; } catch {} }
      }""" + _OK),
    Attack("trapped global object", FINE | THROWN, """
      Object.setPrototypeOf(globalThis, new Proxy({}, { get() { throw 1; }, has() { throw 1; } }));""" + _OK),
    Attack("frozen primordials", FINE, """
      for (const o of [Object, Array, Promise, Map, Set, Response, Headers, Function, Uint8Array, globalThis]) {
        try { Object.freeze(o.prototype); Object.freeze(o); } catch {}
      }""" + _OK),
    Attack("subclass of Response with traps", FINE, """
      class R extends Response {
        get status() { throw 1; } get headers() { for (;;); } get body() { throw 2; }
        clone() { throw 3; } get then() { return undefined; } get [Symbol.toStringTag]() { throw 4; }
      }
      return new R("ok");"""),
    Attack("subclass of Request with traps", FINE, """
      class R extends Request { get url() { throw 1; } get headers() { throw 2; } get signal() { throw 3; } }
      await fetch(new R("http://hostile.localhost/well")).catch(() => {});""" + _OK),
    Attack("subclass of Headers with traps", FINE, """
      class H extends Headers { entries() { throw 1; } [Symbol.iterator]() { throw 2; } get(x) { throw 3; } }
      return new Response("ok", { headers: { a: "b" } });"""),
    Attack("headers from a throwing iterator", THROWN, """
      return new Response("ok", { headers: { [Symbol.iterator]: () => ({ next() { throw new Error("no"); } }) } });"""),
    Attack("headers from an endless iterator", frozenset({500, 503, 504}), """
      return new Response("ok", { headers: { *[Symbol.iterator]() { for (;;) yield ["a", "b"]; } } });"""),
    Attack("request's own methods replaced", FINE, f"""
      request.headers.get = {_NO}; request.text = {_NO}; Object.setPrototypeOf(request, null);""" + _OK),
    Attack("context and environment changed", FINE, f"""
      ctx.waitUntil = {_NO};
      try {{ env.x = 1; }} catch {{}}
      try {{ Object.setPrototypeOf(env, {{ get x() {{ throw 1; }} }}); }} catch {{}}""" + _OK),
    Attack("what is withheld", FINE, """
      const names = ["SharedArrayBuffer", "__brrrd_boot", "__brrrd_ring", "__timer_manager", "Worker", "importScripts",
        "require", "Deno", "gc", "d8", "load", "read", "print", "quit"];
      const there = names.filter((name) => globalThis[name] !== undefined);
      if (Atomics.wait !== undefined || Atomics.waitAsync !== undefined) there.push("Atomics.wait");
      return new Response("withheld but for [" + there + "]");""", text="but for []"),
    Attack("shared memory where none is allowed", FINE, """
      const Shared = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer.constructor;
      const view = new Uint8Array(new Shared(16));
      const transform = new CompressionStream("gzip");
      transform.readable.cancel();
      const taken = [];
      for (const [name, use] of Object.entries({
        digest: () => crypto.subtle.digest("SHA-256", view),
        importKey: () => crypto.subtle.importKey("raw", view, "AES-GCM", true, ["encrypt"]),
        random: () => crypto.getRandomValues(view),
        response: () => new Response(view),
        request: () => new Request("http://a", { method: "POST", body: view }),
        blob: () => new Blob([view]),
        clone: () => structuredClone(view),
        transfer: () => structuredClone(view, { transfer: [view.buffer] }),
        message: () => new MessageChannel().port1.postMessage(view.buffer),
        compression: () => transform.writable.getWriter().write(view),
        enqueue: () => new ReadableStream({ type: "bytes", start(c) { c.enqueue(view); } }),
        intoBytes: () => new ReadableStream({ type: "bytes" }).getReader({ mode: "byob" }).read(view),
      })) {
        try { await use(); taken.push(name); } catch {}
      }
      const text = new TextDecoder().decode(view) + new TextEncoder().encodeInto("a", view).written;
      const own = new ReadableStream({ type: "bytes", start(c) { c.enqueue(new Uint8Array(3)); c.close(); } });
      const { length } = await new Response(own).bytes();
      return new Response("taken: [" + taken + "] " + text.length + length);""", text="taken: [] 173"),
    Attack("no fine clock", FINE, """
      const steps = new Set();
      let last = performance.now();
      for (let i = 0; i < 2e6; i++) { const now = performance.now(); if (now !== last) steps.add(now - last); last = now; }
      const fine = [...steps].filter((step) => step < 0.9);
      let date = 0;
      for (let i = 0; i < 1000; i++) if (Date.now() % 1) date++;
      return new Response("fine steps: " + fine.length + date);""", text="fine steps: 00"),
    Attack("stolen intrinsics of other realms", FINE, """
      const own = Function("return this")() === globalThis;
      const calls = (function () { return Function.prototype.caller; });
      let callers = "none"; try { callers = String(calls()); } catch {}
      return new Response(own + " " + callers);""", text="true"),
    Attack("access to the ring through exceptions", FINE, """
      const seen = [];
      Error.prepareStackTrace = (error, frames) => {
        for (const f of frames) { seen.push(typeof f.getThis?.(), typeof f.getFunction?.()); } return "";
      };
      void new Error("x").stack;
      delete Error.prepareStackTrace;
      return new Response("platform frames leak: " + seen.includes("object"));"""),
]  # fmt: skip
