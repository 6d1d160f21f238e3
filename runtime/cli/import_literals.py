"""Takes large literals out of a statement, to be bound instead: a server allows more for values than for text of SQL.

Pure. Used by imports of SQL text, whose blobs have two characters for each byte.
"""

import re

from runtime.cli.hrana import Value

LARGE = 64 << 10
"""Characters of a literal: no name is as long, and so no part of a statement but a value."""
_TOKEN = re.compile(
    r"(?<![\w$])[xX]'[0-9A-Fa-f]*'|'[^']*(?:''[^']*)*'"
    r"|\"[^\"]*(?:\"\"[^\"]*)*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)",
    re.DOTALL,
)
_TAKES_VALUES = ("INSERT", "REPLAC", "UPDATE")


def bound(sql: str) -> tuple[str, list[Value]]:
    """Return a statement that does the same, and the values of its parameters."""
    if len(sql) < LARGE or sql[:6].upper() not in _TAKES_VALUES:
        return sql, []
    pieces: list[str] = []
    values: list[Value] = []
    position = 0
    for match in _TOKEN.finditer(sql):
        text = match[0]
        if len(text) < LARGE or not text.endswith("'") or text.startswith(("-", "/")):
            continue
        if text[0] in "xX":
            if len(text) % 2 == 0:
                continue  # an odd number of digits: the server is to say so
            values.append(bytes.fromhex(text[2:-1]))
        else:
            values.append(text[1:-1].replace("''", "'"))
        pieces += sql[position : match.start()], "?"
        position = match.end()
    return "".join(pieces) + sql[position:], values
