"""Builds one self-contained ES module per test file and variant, from a checkout and `worker.js`.

In the one script are testharness.js, the scripts that the file's META lines name, the file, and the static files of the
checkout that it fetches, which the script answers itself. Nothing of the checkout is changed; nothing is imported.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from tests.conformance import strict_mode
from tests.conformance.suites import META, Suite, Unit

WORKER = Path(__file__).with_name("worker.js")
HOST = "web-platform.test"
"""The name that the tests' server has in browsers; nothing here listens on it."""
ORIGIN = f"http://{HOST}:8000"
_ENVIRONMENT = "create_test_environment();"
_RESOURCE = re.compile(r"""["'`]([^"'`\s<>{}]+\.(?:json|txt|wasm|webm|vtt|idl|bin|gz|br|dat))["'`]""")
_IDL_TEST = re.compile(r"idl_test\(\s*\[([^\]]*)\]\s*,\s*\[([^\]]*)\]")
_MOST_RESOURCE_BYTES = 3_000_000
_PARSER = "resources/WebIDLParser.js"
_ALIASES = {_PARSER: "resources/webidl2/lib/webidl2.js"}
"""Routes of the tests' server."""


class CheckoutError(Exception):
    """The folder is no checkout of web-platform-tests, or one that this builder does not know."""


def build(checkout: Path, suite: Suite, unit: Unit, *, timeout_ms: int) -> str:
    """Return the script that runs a test file once and answers every request with its `Outcome`.

    The file is ended `timeout_ms` after its start. Raises `CheckoutError` if a file that it needs is missing.
    """
    test = _read(checkout, unit.file)
    sources = {path: _read(checkout, path) for path in _meta_scripts(unit.file, test)} | {unit.file: test}
    own = {path: text for path, text in sources.items() if not path.startswith("resources/")}
    body = "".join(f"// ---- {path}\n{text}\n" for path, text in sources.items())
    fill = {
        "__CONFIG__": json.dumps(_configuration(suite, unit, timeout_ms)),
        "__RESOURCES__": json.dumps(dict(_resources(checkout, unit.file, own.values()))),
        "__HARNESS__": _harness(checkout),
        "__BODY__": _preamble(unit.file, body, "".join(own.values())) + body,
    }
    return re.sub(r"\b__(?:CONFIG|RESOURCES|HARNESS|BODY)__\b", lambda match: fill[match[0]], WORKER.read_text())


def _read(checkout: Path, path: str) -> str:
    try:
        # Line ends are part of some tests.
        with (checkout / _ALIASES.get(path, path)).open(encoding="utf-8", newline="") as file:
            text = file.read()
    except FileNotFoundError as error:
        raise CheckoutError(f"{path} is missing in {checkout}: is it a checkout of web-platform-tests?") from error
    if ".sub." in path:
        text = _substitute(text)
    if path == _PARSER:
        text = f"(function(){{var exports,module,define;{text}\n}}).call(self);"
    if path == "resources/idlharness.js":
        text = _without_eval(text)
    if path == "html/webappapis/scripting/reporterror.any.js":
        # Where the script came from is no URL of the tests' server here.
        text = re.sub(r"^\s*assert_equals\(e\.filename,.*$", "", text, flags=re.MULTILINE)
    return strict_mode.rewrite(path, text)


def _substitute(text: str) -> str:
    """What the tests' server does with its templates, as far as constants need it."""
    text = text.replace("{{host}}", HOST).replace("{{domains[]}}", HOST).replace("{{location[server]}}", ORIGIN)
    text = re.sub(r"\{\{(?:domains|hosts\[\w*\])\[(\w+)\]\}\}", rf"\1.{HOST}", text)
    return re.sub(r"\{\{ports\[\w+\]\[\d\]\}\}", "8000", text)


def _without_eval(text: str) -> str:
    """idlharness.js evaluates expressions for objects, which `_preamble` compiles; and any worker's scope will do."""
    scopes = "['Worker','DedicatedWorker','SharedWorker','ServiceWorker'].some(one => globals.has(one))"
    text = text.replace("obj = eval(desc);", "obj = globalThis.__idl_objects[desc]();")
    opening = "function exposed_in(globals) {"
    return text.replace(opening, f"{opening} return globals === '*' || {scopes};")


def _harness(checkout: Path) -> str:
    text = _read(checkout, "resources/testharness.js")
    if _ENVIRONMENT not in text:
        raise CheckoutError(f"resources/testharness.js in {checkout} is one that this builder does not know")
    # As in a JavaScript shell: nothing of a page or of a browser's worker is looked for.
    return text.replace(_ENVIRONMENT, "new ShellTestEnvironment();")


def _meta_scripts(file: str, text: str) -> list[str]:
    paths = [_resolve(file, value.strip()) for key, value in META.findall(text) if key == "script"]
    return [path for path in paths if "testdriver" not in path]


def _resolve(file: str, reference: str) -> str:
    """The path within the checkout of what a file refers to."""
    parts: list[str] = []
    for part in (PurePosixPath("/", file).parent / reference).parts[1:]:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
    return "/".join(parts)


def _resources(checkout: Path, file: str, texts: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The static files that the texts name, by the path under which they are fetched."""
    for text in texts:
        names = [_resolve(file, name) for name in _RESOURCE.findall(text)]
        for first, second in _IDL_TEST.findall(text):
            names += [f"interfaces/{name}.idl" for name in re.findall(r"""['"]([\w.-]+)['"]""", f"{first},{second}")]
        for name in names:
            path = checkout / name
            if path.is_file() and path.stat().st_size <= _MOST_RESOURCE_BYTES:
                yield f"/{name}", _resource(path.read_bytes())


def _resource(content: bytes) -> dict[str, str]:
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _preamble(file: str, body: str, own: str) -> str:
    """What a classic script's surroundings would do: functions are properties of the global, undeclared names exist."""
    functions = sorted(set(re.findall(r"^(?:async )?function\s*\*?\s*(\w+)", body, re.MULTILINE)))
    lines = [f"typeof {name} === 'function' && (globalThis.{name} = {name});" for name in functions]
    if names := strict_mode.undeclared(file, own):
        lines.insert(0, f"var {', '.join(names)};")
    blocks = re.findall(r"add_objects\(\{(.*?)\}\);", own, re.DOTALL)
    if expressions := sorted({one for block in blocks for _, one in re.findall(r"""\[(["'])(.*)\1\]""", block)}):
        entries = ",".join(f"{json.dumps(one)}: () => ({one})" for one in expressions)
        lines.append(f"globalThis.__idl_objects = {{{entries}}};")
    return "".join(f"{line}\n" for line in lines)


def _configuration(suite: Suite, unit: Unit, timeout_ms: int) -> dict[str, object]:
    """What `worker.js` is told."""
    keep = None
    if suite.interfaces is not None:
        names = "|".join(suite.interfaces)
        keep = rf"^({names}) (interface|namespace|must be primary interface)|^Stringification of|^({names}) interface:"
    return {
        "origin": ORIGIN,
        "path": f"/{unit.file.replace('.any.js', '.any.worker.html')}",
        "search": unit.variant.partition("#")[0],
        "baseUrl": suite.base_url,
        "keep": keep,
        "drop": suite.dropped.get(unit.file),
        "hangMs": suite.hang_ms,
        "timeoutMs": timeout_ms,
    }
