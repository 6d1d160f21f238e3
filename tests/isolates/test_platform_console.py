"""The console: levels and request ids of lines, and how values are shown."""

import pytest

from tests.isolates.platform_driver import Platform, handler


def test_console_lines_carry_level_and_request_id() -> None:
    app = """console.debug('at load'); return { default: { fetch() {
      console.log('%s is %d', 'x', 4.5, { a: { b: { c: {} } } }, [1, , 'two'], new Map([[1, new Set([2])]]));
      console.error(new TypeError('bad'));
      const cycle = { name: 'c' }; cycle.self = cycle; console.warn(cycle);
      console.log(new Proxy({}, { ownKeys() { throw 1 } }), 'y'.repeat(100000));
      console.table([{ a: 1 }]);
      return new Response('x');
    } } };"""
    with Platform(app) as platform:
        platform.fetch()
        assert platform.logs[0] == (0, "", "at load")
        levels = [(level, request_id) for level, request_id, _ in platform.logs[1:]]
        assert levels == [(1, "req-1"), (3, "req-1"), (2, "req-1"), (1, "req-1"), (1, "req-1")]
        lines = [text for _, _, text in platform.logs]
        assert lines[1] == (
            "x is 4.5 { a: { b: { c: {} } } } [ 1, <1 empty item>, 'two' ] Map(1) { 1 => Set(1) { 2 } }"
        )
        assert lines[2].startswith("TypeError: bad\n    at ")
        assert lines[3] == "<ref *1> { name: 'c', self: [Circular *1] }"
        assert len(lines[4]) < 20_000
        assert "│ 0       │ 1" in lines[5]


CONSOLE = {
    "new URLSearchParams('a=1&a=2')": "URLSearchParams { 'a' => '1', 'a' => '2' }",
    "[new URLSearchParams(), new Blob(['ab'])]": "[ URLSearchParams {}, Blob { size: 2, type: '' } ]",
    "(() => { const form = new FormData(); form.append('f', new File(['abc'], 'n.txt')); return form; })()": (
        "FormData { 'f' => File { name: 'n.txt', size: 3, type: '' } }"
    ),
    "Object('text')": "[String: 'text']",
    "Array.from({ length: 30 }, (_, i) => i + 70)": (
        "[\n  70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87,"
        "\n  88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99\n]"
    ),
    "'%s, %s', { toString: () => 'its own' }, { a: 1 }": "its own, { a: 1 }",
    "'%s', { toString() { throw new Error('none'); } }": "{ toString: [Function: toString] }",
}


def test_console_shows_what_values_hold() -> None:
    lines = "".join(f"console.log({arguments});" for arguments in CONSOLE)
    with Platform(f"return {{ default: {{ fetch() {{ {lines} return new Response('x'); }} }} }};") as platform:
        platform.fetch()
        assert [text for _, _, text in platform.logs] == list(CONSOLE.values())


def test_console_tables_and_dir() -> None:
    app = """return { default: { fetch() {
      console.table(new Map([['k', 1], [{ a: 1 }, 'x']]));
      console.table(new Set(['日本']));
      console.dir({ a: { b: { c: { d: { e: '100%s' } } } } }, { depth: null });
      console.dir({ a: { b: 1 } }, { depth: 0 });
      return new Response('x');
    } } };"""
    with Platform(app) as platform:
        platform.fetch()
        of_map, of_set, whole, shallow = (text for _, _, text in platform.logs)
        assert of_map.splitlines()[1::2] == [
            "│ (iteration index) │ Key      │ Values │",
            "│ 0                 │ 'k'      │ 1      │",
            "└───────────────────┴──────────┴────────┘",
        ]
        assert of_set.splitlines()[3] == "│ 0                 │ '日本' │"
        assert whole == "{ a: { b: { c: { d: { e: '100%s' } } } } }"
        assert shallow == "{ a: [Object] }"


OVERRIDDEN = {
    "class B extends Blob { get size() { ran(); } get type() { ran(); } }; console.log(new B(['ab']))": (
        "B { size: 2, type: '' }"
    ),
    "class F extends File { get name() { ran(); } }; console.log(new F(['ab'], 'n'))": (
        "F { name: 'n', size: 2, type: '' }"
    ),
    "class U extends URL { get href() { ran(); } }; console.log(new U('http://a/'))": "URL { href: 'http://a/' }",
    "class A extends Uint8Array { get length() { ran(); } }; console.log(new A(2))": "A(2) [ 0, 0 ]",
    "const e = new Error('m'); Object.defineProperty(e, 'stack', { get: ran }); console.log(e)": "Error: m",
    "console.table([{ get a() { throw 1; } }])": "[ { a: [Getter] } ]",
}
"""What an app might make of platform objects, and the first line that the console shows all the same."""


@pytest.mark.parametrize("script", OVERRIDDEN)
def test_console_runs_no_getters_of_the_app(script: str) -> None:
    counting = "let runs = 0; const ran = () => { runs++; throw 1; };"
    app = counting + handler(script + "; return new Response(`${runs}`);")
    with Platform(app) as platform:
        assert platform.fetch().body == b"0"
        assert [text.split("\n")[0] for _, _, text in platform.logs] == [OVERRIDDEN[script]]


@pytest.mark.parametrize("base, made", [("Error", "'m'"), ("DOMException", "'m', 'N'")])
def test_console_shows_errors_whose_getters_throw(base: str, made: str) -> None:
    # V8 itself asks for name and message when it puts the stack's text together.
    getters = "get name() { throw 1; } get message() { throw 2; }"
    script = f"class E extends {base} {{ {getters} }} console.log(new E({made})); return new Response('x');"
    with Platform(handler(script)) as platform:
        assert platform.fetch().body == b"x"
        assert platform.logs[0][2].split("\n")[0] == ("Error: m" if base == "Error" else "N: m")
