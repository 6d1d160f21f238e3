"""Joins single-row INSERTs that follow each other into one statement, which runs several times faster. Pure.

Only where the result is certainly the same: the same text up to VALUES, one row in parentheses and nothing after it.
"""

import re
from collections.abc import Sequence

from runtime.cli.import_source import Piece

MOST_ROWS = 200
MOST_CHARACTERS = 256 << 10
_INSERT = re.compile(
    r"(INSERT\s+(?:OR\s+\w+\s+)?INTO\s+[^()']*(?:\([^()']*\)\s*)?VALUES\s*)(\(.*\))\s*;?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
_TRICKY = re.compile(r"--|/\*|\bCONFLICT\b|\bRETURNING\b|\bSELECT\b", re.IGNORECASE)
"""What may follow the row, or hide its end. Within a string it does no harm, but then the row is simply not joined."""


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Return pieces that do the same, with the last one's position and the first one's place."""
    found: list[Piece] = []
    head = ""
    rows: list[Piece] = []
    texts: list[str] = []
    size = 0

    def close() -> None:
        if len(rows) > 1:
            found.append(rows[0]._replace(sql=head + ",".join(texts), position=rows[-1].position))
        else:
            found.extend(rows)
        rows.clear()
        texts.clear()

    for piece in pieces:
        parts = _row(piece)
        if parts is None:
            close()
            found.append(piece)
            continue
        if not rows or parts[0] != head or len(rows) >= MOST_ROWS or size >= MOST_CHARACTERS:
            close()
            head, size = parts[0], 0
        rows.append(piece)
        texts.append(parts[1])
        size += len(parts[1])
    close()
    return found


def _row(piece: Piece) -> tuple[str, str] | None:
    """Split a single-row INSERT into what comes before the row, and the row; None for anything else."""
    if piece.sql is None or piece.args or piece.sql[:6].upper() != "INSERT" or _TRICKY.search(piece.sql):
        return None
    match = _INSERT.match(piece.sql)
    return (match[1], match[2]) if match else None
