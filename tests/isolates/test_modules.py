"""ES modules of a package in a real host."""

from urllib.parse import unquote

import pytest

from isolates.messages import Limits, LoadFailed
from isolates.v8.builtins import Builtins
from isolates.v8.specifiers import HOST, Kind, ResolutionError, Target, resolve
from tests.isolates.driver import Host

NO_BUILTINS = Builtins({})
NODE = Builtins(
    {"node:fs/promises": b"", "node:path": b"", "internal:chunk": b"", "cloudflare:workers": b""}, node=True
)


@pytest.mark.parametrize(
    ("specifier", "referrer", "path"),
    [
        ("main.js", "", "main.js"),
        ("./a.js", "", "a.js"),
        ("./a.js", "main.js", "a.js"),
        ("./a.js", "lib/b.js", "lib/a.js"),
        ("../a.js", "lib/b.js", "a.js"),
        ("/x/a.js", "lib/b.js", "x/a.js"),
        ("file:///x/a.js", "lib/b.js", "x/a.js"),
        ("./x/../a.js", "main.js", "a.js"),
    ],
)
def test_specifiers_mean_paths_in_the_package(specifier: str, referrer: str, path: str) -> None:
    assert resolve(specifier, Target(Kind.SCRIPT, referrer), None, NO_BUILTINS) == (Kind.SCRIPT, path)


@pytest.mark.parametrize(
    ("specifier", "attribute", "kind"),
    [
        ("./a.json", None, Kind.JSON),
        ("./a.txt", None, Kind.TEXT),
        ("./a.html", None, Kind.TEXT),
        ("./a.sql", None, Kind.TEXT),
        ("./a.bin", None, Kind.BUFFER),
        ("./a.wasm", None, Kind.WASM),
        ("./a.wasm?module", None, Kind.WASM),
        ("./a.mjs", None, Kind.SCRIPT),
        ("./a.js", "json", Kind.JSON),
        ("./a.js", "text", Kind.TEXT),
        ("./a.wasm", "bytes", Kind.BYTES),
    ],
)
def test_extension_and_attribute_say_what_a_file_is(specifier: str, attribute: str | None, kind: Kind) -> None:
    target = resolve(specifier, Target(Kind.SCRIPT, "main.js"), attribute, NO_BUILTINS)
    assert target == (kind, specifier[2:].removesuffix("?module"))


@pytest.mark.parametrize(
    ("specifier", "referrer", "name"),
    [
        ("node:path", "script:main.js", "node:path"),
        ("path", "script:main.js", "node:path"),
        ("fs/promises", "script:main.js", "node:fs/promises"),
        ("cloudflare:workers", "script:main.js", "cloudflare:workers"),
        ("../internal/chunk.js", "builtin:node:path", "internal:chunk"),
        ("../../internal/chunk.js", "builtin:node:fs/promises", "internal:chunk"),
        ("node:path", "script:", "node:path"),
        ("internal:chunk", "script:", "internal:chunk"),
    ],
)
def test_modules_of_the_platform_are_found(specifier: str, referrer: str, name: str) -> None:
    kind, _, path = referrer.partition(":")
    assert resolve(specifier, Target(Kind(kind), path), None, NODE) == (Kind.BUILTIN, name)


def test_a_main_module_that_is_named_like_a_node_module_is_a_file() -> None:
    assert resolve("path", HOST, None, NODE) == (Kind.SCRIPT, "path")


@pytest.mark.parametrize(
    ("specifier", "why"),
    [
        ("../../a.js", "outside the package"),
        ("/../a.js", "outside the package"),
        ("file:///../a.js", "outside the package"),
        ("react", "bundle dependencies"),
        ("node:path", '"node": true in brrrd.json'),
        ("path", '"node": true in brrrd.json'),
        ("node:nothing", "no such Node.js module"),
        ("internal:chunk", "Cannot find module"),
        ("internal:platform", "Cannot find module"),
        ("https://example.com/a.js", "Cannot find package"),
        ("./\0.js", "outside the package"),
    ],
)
def test_other_specifiers_are_refused(specifier: str, why: str) -> None:
    with pytest.raises(ResolutionError, match=why):
        resolve(specifier, Target(Kind.SCRIPT, "lib/b.js"), None, Builtins({"node:path": b"", "internal:chunk": b""}))


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ResolutionError, match="expected json, text or bytes"):
        resolve("./a.css", Target(Kind.SCRIPT, "main.js"), "css", NO_BUILTINS)


def test_files_import_each_other_also_in_a_circle(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "import { b } from './lib/b.js'; export const a = 40; export default () => b();",
            "lib/b.js": "import { a } from '../main.js'; import two, * as all from './c.js'; "
            "export const b = () => a + two + all.three;",
            "lib/c.js": "export default 2; export const three = 3;",
        }
    )
    assert edge.ask() == "45"


def test_top_level_await_is_waited_for(host: Host) -> None:
    edge = host.serve("const t = await new Promise((r) => setTimeout(() => r('late'), 20)); export default () => t;")
    assert edge.ask() == "late"


def test_dynamic_import_and_import_meta(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "export default async () => (await import('./sub/x.js')).default + import.meta.url;",
            "sub/x.js": "export default import.meta.url + ' ';",
        }
    )
    assert edge.ask() == "file:///sub/x.js file:///main.js"


def test_dynamic_import_of_a_missing_file_rejects(host: Host) -> None:
    edge = host.serve("export default () => import('./none.js').catch((e) => e instanceof TypeError && e.message);")
    assert "none.js" in edge.ask()


def test_a_module_that_failed_can_be_imported_again(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "export default async () => { let n = 0; for (const i of [1, 2]) "
            "await import('./bad.js').catch(() => n++); return n; };",
            "bad.js": "import './good.js'; import './none.js';",
            "good.js": "",
        }
    )
    assert edge.ask() == "2"


def failure(host: Host, files: dict[str, str] | str, **limits: int) -> LoadFailed:
    host.load(files, limits=Limits(**limits))
    failed = host.end.expect(LoadFailed)
    assert host.exit_status() == 1
    return failed


def test_a_syntax_error_is_reported_with_file_line_and_column(host: Host) -> None:
    failed = failure(host, {"main.js": "import './lib/bad.js'", "lib/bad.js": "export default 1;\nlet x = = 2;"})
    assert (failed.file, failed.line, failed.column) == ("lib/bad.js", 2, 9)
    assert "Unexpected token '='" in failed.message


def test_an_exception_in_evaluation_is_reported_with_its_place(host: Host) -> None:
    failed = failure(host, "\n\nfunction f() { throw new RangeError('not today'); }\nf();")
    assert (failed.file, failed.line) == ("main.js", 3)
    assert failed.message == "RangeError: not today"


def test_a_missing_import_is_reported_at_its_statement(host: Host) -> None:
    failed = failure(host, "\n  import x from './zz.js';")
    assert (failed.file, failed.line, failed.column) == ("main.js", 2, 17)
    assert "zz.js" in failed.message


def test_a_missing_export_is_reported(host: Host) -> None:
    failed = failure(host, {"main.js": "\nimport { zip } from './b.js';", "b.js": ""})
    assert (failed.file, failed.line) == ("main.js", 2)
    assert "'zip'" in failed.message


def test_a_missing_main_is_reported(host: Host) -> None:
    assert "main.js" in failure(host, {"other.js": ""}).message


def test_a_symbolic_link_out_of_the_package_is_not_followed(host: Host) -> None:
    package = host.folder / host.host_id
    package.mkdir()
    (package / "main.js").symlink_to("/etc/hostname")
    assert "outside the package" in failure(host, {}).message


def test_an_exception_that_is_no_error_is_reported(host: Host) -> None:
    assert "null" in failure(host, "throw null").message


ADDS = bytes.fromhex("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b")
"""A WebAssembly module that exports add(i32, i32)."""


def test_files_that_are_no_scripts_are_imported_as_values(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "import data from './data.json' with { type: 'json' }; import bare from './data.json';"
            "import text from './lib/note.txt'; import page from './page.html'; import buffer from './raw.bin';"
            "import script from './main.js' with { type: 'text' };"
            "import bytes from './raw.bin' with { type: 'bytes' };"
            "export default () => encodeURI(JSON.stringify([data.list, data === bare, text, page,"
            "buffer instanceof ArrayBuffer, [...new Uint8Array(buffer)],"
            "bytes instanceof Uint8Array && bytes.length, script.startsWith('import')]));",
            "data.json": '{"list": [1, "\u00fc"]}',
            "lib/note.txt": "\ufeffgr\u00fc\u00dfe",
            "page.html": "<p>",
            "raw.bin": "abc",
        }
    )
    assert unquote(edge.ask()) == '[[1,"\u00fc"],true,"gr\u00fc\u00dfe","<p>",true,[97,98,99],3,true]'


def test_a_wasm_file_is_a_compiled_module(host: Host) -> None:
    package = host.folder / host.host_id
    package.mkdir()
    (package / "add.wasm").write_bytes(ADDS)
    edge = host.serve(
        {
            "main.js": "import add from './add.wasm'; import same from './add.wasm?module';"
            "const { exports } = new WebAssembly.Instance(add);"
            "export default async () => `${exports.add(40, 2)} ${add === same} ${add instanceof WebAssembly.Module}`;"
        }
    )
    assert edge.ask() == "42 true true"


def test_values_can_be_imported_later(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "export default async () => { const one = await import('./a.json', { with: { type: 'json' } });"
            "const two = await import('./b.txt'); return `${one.default.a} ${two.default} ${Object.keys(two)}`; };",
            "a.json": '{"a": 1}',
            "b.txt": "text",
        }
    )
    assert edge.ask() == "1 text default"


def test_json_that_is_not_json_is_refused_at_its_import(host: Host) -> None:
    failed = failure(
        host, {"main.js": "\nimport './lib/a.js';", "lib/a.js": "import a from './bad.json';", "lib/bad.json": "{"}
    )
    assert (failed.file, failed.line) == ("lib/a.js", 1)
    assert failed.message.startswith("TypeError: Cannot import 'lib/bad.json' as json: SyntaxError")
    assert "(imported from lib/a.js)" in failed.message


def test_wasm_that_is_not_wasm_is_refused(host: Host) -> None:
    failed = failure(host, {"main.js": "import a from './bad.wasm';", "bad.wasm": "text"})
    assert "Cannot import 'bad.wasm' as wasm: CompileError" in failed.message


def test_what_an_app_replaced_makes_no_values(host: Host) -> None:
    edge = host.serve(
        {
            "main.js": "JSON.parse = () => 'stolen'; globalThis.ArrayBuffer = null;"
            "const get = async (path) => (await import(path)).default;"
            "export default async () => (await get('./a.json')).a + (await get('./b.bin')).byteLength;",
            "a.json": '{"a": 1}',
            "b.bin": "xx",
        }
    )
    assert edge.ask() == "3"


def test_every_kind_of_file_counts_against_the_size_of_modules(host: Host) -> None:
    failed = failure(host, {"main.js": "import text from './big.txt';", "big.txt": "x" * (1 << 20) + "y"}, module_mb=1)
    assert "big.txt has 1,048,577 bytes, more than the limit module_mb = 1 allows (imported from main.js)" in (
        failed.message
    )
