"""What has to be copied, and in which order, so that a copy of a database holds the same: pure, over any connection.

Called by `dataplane.dump` (on the server) and by the command line's import of database files. Tables come first, then
their rows, then everything that would otherwise act while rows arrive: indexes, triggers, views. Tables that a virtual
table or a vector index keeps for itself are left out; creating their owner makes them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Query = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a statement and returns its rows."""

_FTS = re.compile(r"\bUSING\s+fts[345]\b", re.IGNORECASE)
_FTS_CONTENT = re.compile(r"\bcontent\s*=\s*(\"[^\"]*\"|'[^']*'|\[[^\]]*\]|[^\s,)]*)", re.IGNORECASE)
_QUOTED_OR_COMMENT = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_VECTOR_INDEX = re.compile(r"\blibsql_vector_idx\s*\(", re.IGNORECASE)
_VECTOR_META = "libsql_vector_meta_shadow"
STATISTICS = "sqlite_stat1"
MAKE_STATISTICS = "ANALYZE sqlite_schema"
"""Makes the table of statistics, which cannot be created."""
_ROWID_NAMES = ("rowid", "_rowid_", "oid")
_GENERATED = (2, 3)
_SMALLEST_NORMAL = 2.0**-1022
_SCALE = 2.0**200
_HIDDEN = 1


class Table(NamedTuple):
    """One table to copy."""

    name: str
    sql: str
    columns: list[str]
    """Those that can be inserted into: not the generated ones."""
    rowid: str | None
    """A name for the rowid if no column holds it, else None."""
    has_all_columns: bool
    """`columns` are all of them, in order: an INSERT needs no list."""
    virtual: bool
    fill: str | None
    """For a full-text index over another table or a view: what fills it, in place of rows, once that is there."""
    copied: bool = True
    """False for a contentless full-text index: its rows cannot be read."""


class Contents(NamedTuple):
    """Everything in a database."""

    tables: list[Table]
    """Virtual tables after the others."""
    after: list[str]
    """Statements for indexes, triggers and views, in order of creation."""
    sequences: list[tuple[str, int]]
    """Largest rowid ever used in each AUTOINCREMENT table."""
    user_version: int
    application_id: int
    statistics: list[tuple[Any, ...]]
    """What ANALYZE has found, if it was run: rows of `STATISTICS`."""

    @property
    def fills(self) -> list[tuple[str, str]]:
        """Full-text indexes to fill at the end, by name, each with its statement."""
        return [(table.name, table.fill) for table in self.tables if table.fill is not None]


def quote(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def read(query: Query) -> Contents:
    """Return the contents of the main database of a connection. Needs SQLite 3.37 for `PRAGMA table_list`."""
    schema = query("SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY rowid")
    kinds = {row[1]: (row[2], bool(row[4])) for row in query("PRAGMA main.table_list") if row[0] == "main"}
    own = _vector_tables(schema)
    tables = [
        _table(query, name, sql, *kinds[name])
        for kind, name, _, sql in schema
        if kind == "table" and kinds[name][0] != "shadow" and name not in own and not name.startswith("sqlite_")
    ]
    left_out = own | {name for name, (kind, _) in kinds.items() if kind == "shadow"}
    after = [sql for kind, _, table, sql in schema if kind != "table" and sql and table not in left_out]
    sequences: list[tuple[str, int]] = []
    if "sqlite_sequence" in kinds:
        sequences = [(name, seq) for name, seq in query("SELECT name, seq FROM main.sqlite_sequence ORDER BY rowid")]
    statistics: list[tuple[Any, ...]] = []
    if STATISTICS in kinds:
        statistics = [tuple(row) for row in query(f"SELECT tbl, idx, stat FROM main.{STATISTICS} ORDER BY rowid")]  # noqa: S608 a constant
    return Contents(
        sorted(tables, key=lambda table: table.virtual),
        after,
        sequences,
        int(query("PRAGMA main.user_version")[0][0]),
        int(query("PRAGMA main.application_id")[0][0]),
        statistics,
    )


def is_full_text(sql: str) -> bool:
    """Return whether this defines a full-text table."""
    return bool(_FTS.search(sql))


def content_of(sql: str) -> str | None:
    """Return where a full-text table has its content, by its definition: None in itself, else the name of a table or
    view, which is empty for a table that keeps none.
    """
    found = _FTS_CONTENT.search(sql)
    return found[1].strip("\"'[]") if found else None


def refilling(name: str) -> str:
    """Return what fills a full-text index from what it is about."""
    return f"INSERT INTO {quote(name)}({quote(name)}) VALUES('rebuild')"


def statement(sql: str) -> str:
    """Return how the schema has an object, as a statement of a text.

    SQLite keeps a comment at the end of views and indexes, which would swallow the semicolon.
    """
    last = ""
    for match in _QUOTED_OR_COMMENT.finditer(sql):
        last = match[0] if match.end() == len(sql) else ""
    if last.startswith("--"):
        return f"{sql}\n;"
    if last.startswith("/*") and (len(last) < len("/**/") or not last.endswith("*/")):
        return f"{sql}*/;"
    return f"{sql};"


def _vector_tables(schema: Sequence[Sequence[Any]]) -> set[str]:
    """Return the tables that libSQL's vector indexes keep for themselves."""
    indexes = {name for kind, name, _, sql in schema if kind == "index" and sql and _VECTOR_INDEX.search(sql)}
    return {f"{name}_shadow" for name in indexes} | ({_VECTOR_META} if indexes else set())


def _table(query: Query, name: str, sql: str, kind: str, without_rowid: bool) -> Table:
    # cid, name, type, notnull, default, position in the primary key, hidden (https://sqlite.org/pragma.html)
    info = query(f"PRAGMA main.table_xinfo({quote(name)})")
    columns = [row[1] for row in info if row[6] != _HIDDEN and row[6] not in _GENERATED]
    complete = not any(row[6] in _GENERATED for row in info)
    if kind == "virtual":
        fts = is_full_text(sql)
        source = content_of(sql) if fts else None
        fill = refilling(name) if source else None
        rowid = "rowid" if fts else None
        return Table(name, sql, columns, rowid, False, True, fill, copied=source != "")
    key = [row for row in info if row[5]]
    has_alias = len(key) == 1 and str(key[0][2]).upper() == "INTEGER"
    taken = {column.lower() for column in (row[1] for row in info)}
    free = next((alias for alias in _ROWID_NAMES if alias not in taken), None)
    return Table(name, sql, columns, None if without_rowid or has_alias else free, complete, False, None)


def select(table: Table, *, rowids: bool) -> str:
    """Return the query for a table's rows, in the order of `insert`."""
    columns = _selected(table, rowids)
    return f"SELECT {', '.join(columns)} FROM main.{quote(table.name)}"  # noqa: S608 quoted


def insert(table: Table, *, rowids: bool) -> str:
    """Return `INSERT INTO …` up to and without VALUES."""
    columns = _selected(table, rowids)
    if table.has_all_columns and len(columns) == len(table.columns):
        return f"INSERT INTO {quote(table.name)}"
    return f"INSERT INTO {quote(table.name)}({', '.join(columns)})"


def _selected(table: Table, rowids: bool) -> list[str]:
    columns = [quote(column) for column in table.columns]
    # A full-text index without its rowids would be of no use: they are what it finds.
    return [table.rowid, *columns] if table.rowid and (rowids or table.virtual) else columns


def text_literal(text: str) -> str:
    """Return a text as an SQL expression; SQL text itself cannot contain a NUL."""
    if "\0" in text:
        return bytes_as_text_literal(text.encode("utf-8", "surrogatepass"))
    return "'" + text.replace("'", "''") + "'"


def bytes_as_text_literal(data: bytes) -> str:
    """Return an expression for a text value of exactly these bytes, valid UTF-8 or not."""
    return f"CAST(x'{data.hex()}' AS TEXT)"


def number_literal(value: float) -> str:
    """Return a number that the engine reads back as exactly this float.

    Shortest digits (`repr`) do not: SQLite 3.45 rounds some of them to a neighbour. 15 digits of a moderate exponent
    and 21 digits do, measured over random bit patterns; subnormal ones are a product that is exact.
    """
    if value in (float("inf"), float("-inf")):
        return "9e999" if value > 0 else "-9e999"
    short = f"{value:.15g}"
    if float(short) == value and 1e-15 < abs(value) < 1e15:
        return short if "." in short or "e" in short else short + ".0"
    if abs(value) < _SMALLEST_NORMAL:
        return f"({value * _SCALE:.20e}*{1 / _SCALE:.20e})"
    return f"{value:.20e}"


def literal(value: Any) -> str:
    """Return an SQL expression for a value as Python has it."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return text_literal(value)
    if isinstance(value, float):
        return number_literal(value)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    # The most negative integer cannot be written as one number: it would be read as minus a float.
    return str(value) if value != -(1 << 63) else "(-9223372036854775807-1)"
