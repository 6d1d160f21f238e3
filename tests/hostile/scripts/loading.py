# ruff: noqa: E501 a script that fits on one line is easier to read than a broken one
"""Builds that attack while they are loaded, or through what they import."""

from tests.hostile.attack import FINE, GONE, THROWN, Attack

LARGE_MODULE = "\n".join(f"// {number * number:x}" for number in range(4_700_000))
"""More than the default module_mb, and not packed so well that it is refused as a bomb."""
_REFUSED = frozenset({422})


def _refused(name: str, around: str, text: str = "", **options: object) -> Attack:
    return Attack(name, _REFUSED, around=around, text=text, deploys=False, **options)  # type: ignore[arg-type]


ATTACKS = [
    _refused("loop at the top level", "for (;;);", "wall_ms"),
    _refused("await without end at the top level", "await new Promise(() => {});", "wall_ms"),
    _refused("microtasks at the top level", "for (;;) await 0;", "wall_ms"),
    _refused("throw at the top level", "throw new Error('at start');", "at start"),
    _refused("throwing proxy at the top level", "throw new Proxy({}, { get() { throw 1; } });"),
    _refused("heap at the top level", "const all = []; for (;;) all.push(new Array(1e4).fill(all.length));", "memory_mb",
             limits={"wall_ms": 5000}),
    _refused("crash at the top level", "new Array(5e8).fill(0);"),
    _refused("recursion at the top level", "const f = () => f(); f();", "call stack"),
    _refused("syntax error", "const = 1;", "SyntaxError"),
    _refused("import outside the package", "import '../../../../etc/passwd';", "outside the package"),
    _refused("import of a file URL outside", "import 'file:///etc/passwd';", "etc/passwd"),
    _refused("import of a missing module", "import './missing.js';", "missing.js"),
    _refused("module that never ends", "import './other.js';", "wall_ms",
             files={"other.js": "await new Promise(() => {});"}),
    _refused("module larger than the limit", "import './large.js';", "module_mb",
             files={"large.js": LARGE_MODULE}),
    _refused("handler with a throwing getter", "", files={
        "_worker.js": "export default { get fetch() { throw new Error('got'); } };"}),
    Attack("import flood", FINE | GONE, """
      let failed = 0;
      for (let i = 0; i < 3000; i++) await import("./missing" + i + ".js").catch(() => failed++);
      return new Response(failed + "");"""),
    Attack("dynamic import outside the package", THROWN, "await import('../../../../../../etc/passwd');"),
    Attack("dynamic import of text", THROWN, "await import('./notes.txt');", files={"notes.txt": "not a module {"}),
    Attack("import of throwing names", THROWN | FINE, """
      await import({ toString() { throw new Error("no"); } }); return new Response("ok");"""),
    Attack("import of an endless name", frozenset({504}), "await import({ toString() { for (;;); } });"),
    Attack("import cycle", FINE, "const m = await import('./a.js'); return new Response(String(m.a));",
           files={"a.js": "import { b } from './b.js'; export const a = 1;",
                  "b.js": "import { a } from './a.js'; export const b = 2;"}),
]  # fmt: skip
