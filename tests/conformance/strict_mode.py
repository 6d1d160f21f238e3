"""Makes scripts that were written for sloppy mode run as part of an ES module, which is strict. Pure.

Apps are ES modules, so tests have to be one, too. What sloppy mode forgives is a matter of the test's text, not of the
runtime: names assigned without a declaration, assignments to read-only attributes that are expected to do nothing,
`arguments` as a parameter's name.
"""

import re
from fnmatch import fnmatchcase

_REAL_GLOBALS = {"location", "name", "status", "event", "onerror", "onmessage", "onunhandledrejection", "self"}
_REAL_GLOBALS |= {"globalThis", "fetch", "Request", "ReadableStream", "WritableStream", "TransformStream", "Array"}
_LONG_LINE = 400
"""Longer lines are tables of data."""

_SILENTLY_READ_ONLY = {
    "wasm/jsapi/instance/exports.any.js": r"instance\.exports",
    "wasm/jsapi/memory/buffer.any.js": r"memory\.buffer",
    "wasm/jsapi/table/length.any.js": r"table\.length",
    "fetch/api/request/request-structure.any.js": r"request\.headers",
}
"""Files whose first assignment to an attribute is expected to do nothing, to that attribute."""
_COMPUTED = re.compile(r"request\[attributeToCheck\] = newValue;")
_UNDECLARED_HERE = {
    "WebCryptoAPI/derive_bits_keys/*": [
        "publicKeys", "privateKeys", "noDeriveBitsKeys", "noDeriveKeyKeys", "ecdsaKeyPairs",
    ],
}  # fmt: skip
"""Names that `undeclared` does not see, since some function has a variable of the same name."""


def rewrite(file: str, text: str) -> str:
    """Return the text of one file with the statements replaced that strict mode makes impossible."""
    if file.startswith("wasm/jsapi/"):
        text = re.sub(r"\barguments\b", "arguments_", text)
    if target := _SILENTLY_READ_ONLY.get(file):
        text = re.sub(rf"^(\s*)({target}) = ([^;]+);", _reflect, text, count=1, flags=re.MULTILINE)
    if file == "fetch/api/request/request-structure.any.js":
        text = _COMPUTED.sub("Reflect.set(request, attributeToCheck, newValue);", text)
    if file.startswith("streams/"):
        # The global was replaced or deleted before: in strict mode only a property can be assigned then.
        text = re.sub(r"^(\s*)((?:Readable|Writable)Stream) = ", r"\1self.\2 = ", text, flags=re.MULTILINE)
    return text


def _reflect(match: re.Match[str]) -> str:
    target, _, attribute = match[2].rpartition(".")
    return f"{match[1]}Reflect.set({target}, '{attribute}', {match[3]});"


def undeclared(file: str, text: str) -> list[str]:
    """Names that a script assigns but never declares."""
    text = "\n".join(line for line in text.split("\n") if len(line) < _LONG_LINE)
    assigned = set(re.findall(r"^[ \t]*([A-Za-z_]\w*)\s*=[^=>]", text, re.MULTILINE))
    assigned |= set(re.findall(r"\bfor\s*\(\s*([A-Za-z_]\w*)\s+(?:of|in)\b", text))
    for group in re.findall(r"\bfor\s*\(\s*\[([^\]]*)\]\s+of\b", text):
        assigned |= set(re.findall(r"\w+", group))
    names = {name for name in assigned - _REAL_GLOBALS if not _is_declared(name, text)}
    for pattern, more in _UNDECLARED_HERE.items():
        if fnmatchcase(file, pattern):
            names |= set(more)
    return sorted(names)


def _is_declared(name: str, text: str) -> bool:
    return any(
        re.search(pattern, text)
        for pattern in (
            rf"\b(?:var|let|const|function|class)\s*\*?\s+{name}\b",
            rf"\b(?:var|let|const)\b[^;\n]{{0,200}}[,{{\[]\s*{name}\b",
            rf"\([^()\n]{{0,200}}\b{name}\b[^()\n]{{0,200}}\)\s*(?:=>|{{)",
        )
    )
