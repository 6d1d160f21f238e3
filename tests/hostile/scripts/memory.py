# ruff: noqa: E501 a script that fits on one line is easier to read than a broken one
"""Scripts that take memory, of V8's heap and beside it."""

from tests.hostile.attack import CUT, FINE, GONE, THROWN, Attack

_ANY = GONE | THROWN

ATTACKS = [
    Attack("fill of a huge array", GONE, "new Array(5e8).fill(0);"),
    Attack("Array.from of a huge length", _ANY, "Array.from({ length: 4e8 });"),
    Attack("split of a huge string", _ANY, "'a'.repeat(3e8).split('');"),
    Attack("heap of objects", GONE, "const all = []; for (;;) all.push(new Array(1e4).fill(all.length));",
           logged="memory_mb", limits={"wall_ms": 5000}),
    Attack("growing Map", _ANY, "const all = new Map(); for (let i = 0; ; i++) all.set(i, { i });"),
    Attack("growing Set of strings", _ANY, "const all = new Set(); for (let i = 0; ; i++) all.add('key' + i);"),
    Attack("growing object", _ANY, "const all = {}; for (let i = 0; ; i++) all['key' + i] = i;"),
    Attack("sparse array", _ANY, "const all = []; for (let i = 1; ; i *= 2) all[i % 4e9] = all.slice();"),
    Attack("typed arrays", _ANY, "const all = []; for (;;) all.push(new Uint8Array(1e8).fill(1));"),
    Attack("small typed arrays", _ANY, "const all = []; for (;;) all.push(new Uint8Array(1e4).fill(1));"),
    Attack("resizable buffers", _ANY, """
      const all = [];
      for (;;) { const b = new ArrayBuffer(0, { maxByteLength: 1e8 }); b.resize(1e8); all.push(b); }"""),
    Attack("shared buffers", _ANY, """
      const { constructor: Shared } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer;
      const all = []; for (;;) { const b = new Shared(1e8); new Uint8Array(b).fill(1); all.push(b); }"""),
    Attack("growable shared buffers", _ANY, """
      const { constructor: Shared } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer;
      const all = [];
      for (;;) { const b = new Shared(1, { maxByteLength: 1e8 }); b.grow(1e8); new Uint8Array(b).fill(1); all.push(b); }"""),
    Attack("shared WebAssembly memories", _ANY, """
      const all = [];
      for (;;) {
        const m = new WebAssembly.Memory({ initial: 1000, maximum: 1000, shared: true });
        new Uint8Array(m.buffer).fill(1);
        all.push(m);
      }"""),
    Attack("transfer of buffers", _ANY, """
      const all = [];
      for (;;) all.push(new ArrayBuffer(1e6).transfer(1e8));"""),
    Attack("WebAssembly memories", _ANY, """
      const all = [];
      for (;;) { const m = new WebAssembly.Memory({ initial: 1000 }); new Uint8Array(m.buffer).fill(1); all.push(m); }
      """),
    Attack("growing WebAssembly memory", _ANY, """
      const m = new WebAssembly.Memory({ initial: 1 });
      for (;;) { m.grow(1000); new Uint8Array(m.buffer).fill(1); }"""),
    Attack("WebAssembly tables", _ANY, """
      const all = [];
      for (;;) all.push(new WebAssembly.Table({ initial: 1e7, element: "externref" }));"""),
    Attack("Intl objects", _ANY, "const all = []; for (;;) all.push(new Intl.DateTimeFormat('de'));"),
    Attack("case mapping", _ANY, "const all = []; for (;;) all.push(('ß' + all.length).repeat(1e7).toUpperCase());"),
    Attack("normalisation", _ANY, "const all = []; for (;;) all.push(('ﷺ' + all.length).repeat(1e6).normalize('NFKD'));"),
    Attack("string that doubles", THROWN, "let s = 'x'; for (;;) s += s;"),
    Attack("flat strings", _ANY, "const all = []; for (;;) { const s = 'x'.repeat(1e7) + all.length; all.push(s + s[0] + 'é'.repeat(3)); JSON.stringify(s); }"),
    Attack("pending promises", _ANY, "const all = []; for (;;) all.push(new Promise(() => {}));"),
    Attack("rejected promises", _ANY, "for (;;) Promise.reject(new Error('x'));"),
    Attack("closures", _ANY, "const all = []; for (;;) { const big = new Array(1000).fill(1); all.push(() => big); }"),
    Attack("symbols", _ANY, "for (let i = 0; ; i++) Symbol.for('symbol ' + i);"),
    Attack("regular expressions", _ANY, "const all = []; for (let i = 0; ; i++) { const r = new RegExp('a{' + i + '}b|' + i); r.test('aab'); all.push(r); }"),
    Attack("functions from text", _ANY, "const all = []; for (let i = 0; ; i++) all.push(new Function('return ' + i)); "),
    Attack("long stack traces", _ANY, """
      Error.stackTraceLimit = Infinity;
      const all = [];
      const deeper = (n) => { all.push(new Error("x").stack); if (n) deeper(n - 1); };
      for (;;) deeper(2000);"""),
    Attack("blobs", _ANY, "let b = new Blob([new Uint8Array(1e6)]); for (;;) b = new Blob([b, b]);"),
    Attack("clones", _ANY, "const all = [new Array(1e5).fill({})]; for (;;) all.push(structuredClone(all[0]));"),
    Attack("finalisation registry", _ANY | FINE, """
      const registry = new FinalizationRegistry(() => { for (;;); });
      for (let i = 0; i < 1e6; i++) registry.register({}, i);
      await new Promise((r) => setTimeout(r, 50));
      return new Response("ok");"""),
    Attack("weak references", _ANY, "const all = []; for (;;) all.push(new WeakRef({ x: new Array(100) }));"),
    Attack("stream without backpressure", _ANY | {CUT}, """
      return new Response(new ReadableStream({ start(c) { for (;;) c.enqueue(new Uint8Array(1e6)); } }));"""),
    Attack("tee that nobody reads", _ANY | {CUT}, """
      const [kept, sent] = new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1e6)); } }).tee();
      globalThis.kept = kept;
      return new Response(sent);"""),
    Attack("async contexts", _ANY | FINE, """
      const als = new AsyncLocalStorage();
      const deeper = (n) => als.run({ n }, () => (n ? deeper(n - 1) : 0));
      for (let i = 0; i < 100; i++) { try { deeper(1e5); } catch {} }
      return new Response("ok");"""),
    Attack("deep recursion", THROWN, "const deeper = () => deeper() + 1; deeper();"),
    Attack("deep recursion through the platform", THROWN, """
      const t = new EventTarget();
      t.addEventListener("x", (e) => { throw new RangeError("deep"); });
      const deeper = () => { new Headers({ get a() { return deeper(); } }); };
      deeper();"""),
    Attack("deep JSON", THROWN, "JSON.parse('['.repeat(1e6) + ']'.repeat(1e6)); throw 1;"),
    Attack("deep clone", THROWN | FINE, "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; structuredClone(a); return new Response('ok');"),
    Attack("huge random request", THROWN, "crypto.getRandomValues(new Uint8Array(1e8));"),
    Attack("digest of a huge buffer", FINE | _ANY, "await crypto.subtle.digest('SHA-256', new Uint8Array(2e8)); return new Response('ok');"),
    Attack("huge base64", _ANY | FINE, "btoa('x'.repeat(3e8)); return new Response('ok');"),
    Attack("huge URL", _ANY | FINE, "new URL('http://a/' + 'é'.repeat(5e7)); return new Response('ok');"),
    Attack("huge decoding", _ANY | FINE, "new TextDecoder('utf-16le').decode(new Uint8Array(3e8)); return new Response('ok');"),
]  # fmt: skip
