"""How the shell prints rows: as a table, CSV, JSON, or one value a line. Rows are printed as they arrive."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Literal, Protocol, TextIO

from runtime.cli.hrana import Value
from runtime.cli.plain_text import ESCAPES, escaped

Mode = Literal["table", "csv", "json", "line"]
MODES: tuple[Mode, ...] = ("table", "csv", "json", "line")
ROWS_FOR_WIDTHS = 500
"""Widths come from the first rows; a later value that is wider is printed whole and shifts its line."""
WIDEST_ON_TERMINAL = 80
_ESCAPES_IN_CELLS = ESCAPES | {9: "\\t", 10: "\\n", 13: "\\r"}


class Output(Protocol):
    """Where rows go."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class Screen:
    """A terminal as the output: what it would obey is written as escapes, whatever the mode."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str, /) -> None:
        self._out.write(escaped(text))

    def flush(self) -> None:
        self._out.flush()


def show(mode: Mode, columns: Sequence[str], rows: Iterator[list[Value]], out: Output, *, terminal: bool) -> int:
    """Print a result; returns the number of rows. A statement without columns prints nothing."""
    if not columns:
        return sum(1 for _ in rows)
    printers: dict[Mode, Callable[[Sequence[str], Iterator[list[Value]], Output, bool], int]] = {
        "table": _table,
        "csv": _csv,
        "json": _json,
        "line": _line,
    }
    return printers[mode](columns, rows, out, terminal)


def plain(value: Value) -> str:
    """Return a value as text: blobs as SQL writes them, NULL as nothing."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, float):
        return "Inf" if value == math.inf else "-Inf" if value == -math.inf else repr(value)
    return str(value)


def _cell(value: Value, cut: bool) -> str:
    text = "NULL" if value is None else plain(value).translate(_ESCAPES_IN_CELLS)
    return text if not cut or len(text) <= WIDEST_ON_TERMINAL else text[: WIDEST_ON_TERMINAL - 1] + "…"


def _table(columns: Sequence[str], rows: Iterator[list[Value]], out: Output, terminal: bool) -> int:
    from rich.cells import cell_len

    first = list(islice(rows, ROWS_FOR_WIDTHS))
    titles = [_cell(column, terminal) for column in columns]
    cells = [[_cell(value, terminal) for value in row] for row in first]
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    right = [bool(first) and all(isinstance(row[i], int | float | None) for row in first) for i in range(len(columns))]

    def line(texts: Sequence[str]) -> str:
        parts = []
        for text, width, is_right in zip(texts, widths, right, strict=True):
            blanks = " " * (width - cell_len(text))
            parts.append(blanks + text if is_right else text + blanks)
        return "  ".join(parts).rstrip() + "\n"

    out.write(line(titles))
    out.write("  ".join("-" * width for width in widths) + "\n")
    count = 0
    for texts in chain(cells, ([_cell(value, terminal) for value in row] for row in rows)):
        out.write(line(texts))
        count += 1
    return count


def _csv(columns: Sequence[str], rows: Iterator[list[Value]], out: Output, terminal: bool) -> int:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([plain(value) for value in row])
        count += 1
    return count


def _json(columns: Sequence[str], rows: Iterator[list[Value]], out: Output, terminal: bool) -> int:
    """An array of objects, one a line; blobs as {"base64"}, infinities as numbers that are read as such."""
    count = 0
    out.write("[")
    for row in rows:
        pairs = ", ".join(
            f"{json.dumps(column, ensure_ascii=False)}: {_json_value(value)}"
            for column, value in zip(columns, row, strict=True)
        )
        out.write(f"{',' if count else ''}\n{{{pairs}}}")
        count += 1
    out.write("\n]\n" if count else "]\n")
    return count


def _json_value(value: Value) -> str:
    if isinstance(value, bytes):
        import base64

        return json.dumps({"base64": base64.b64encode(value).decode("ascii")})
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(value, ensure_ascii=False)


def _line(columns: Sequence[str], rows: Iterator[list[Value]], out: Output, terminal: bool) -> int:
    width = max(map(len, columns))
    count = 0
    for row in rows:
        if count:
            out.write("\n")
        for column, value in zip(columns, row, strict=True):
            out.write(f"{column.rjust(width)} = {_cell(value, False)}\n")
        count += 1
    return count
