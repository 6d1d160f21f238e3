"""Text for people: tables, times and sizes."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runtime.cli.plain_text import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 1000
"""Columns to lay out for when stdout is no terminal: ids in a pipe must never be cut."""


def console() -> "Console":
    """Return a console for stdout."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False, soft_wrap=False)


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> "Table | str":
    """Return a plain table, or the sentence `empty` when there are no rows. A title that ends with `>` aligns right."""
    from rich.table import Table

    lines = [[text(cell) for cell in row] for row in rows]
    if not lines:
        return empty
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        right = title.endswith(">")
        grid.add_column(title.rstrip(">"), justify="right" if right else "left", overflow="fold")
    for line in lines:
        grid.add_row(*line)
    return grid


def details(pairs: Iterable[tuple[str, Any]]) -> "Table":
    """Return name and value lines for one object; absent values (None) are left out."""
    from rich.table import Table

    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            grid.add_row(name, text(value))
    return grid


def text(value: Any) -> str:
    """Return a cell's text for a JSON value."""
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{label(key)} {text(item)}" for key, item in value.items())
    return escaped(str(value))


def moment(value: Any) -> str:
    """Return an RFC 3339 time as local time without a fraction; anything else as its text."""
    try:
        return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError):
        return text(value)


def size(count: int | None) -> str:
    """Return a number of bytes in decimal units."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def label(key: str) -> str:
    """Return a JSON field's name as a label: `build_id` is shown as `build id`."""
    return key.replace("_", " ")


def plain(value: dict[str, Any]) -> "Table":
    """Return every field of an object that this command has no better layout for."""
    return details((label(key), _field(key, item)) for key, item in value.items())


def _field(key: str, value: Any) -> Any:
    if key.endswith("_at") or key == "since":
        return moment(value)
    return size(value) if key.endswith("_bytes") and isinstance(value, int) else value
