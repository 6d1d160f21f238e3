"""What an import does with each statement of a dump by `sqlite3`, `wrangler d1 export` or another server. Pure.

Three kinds are left out and counted: those that the import does itself (transactions), those that SQLite's own dump
uses to write to the schema table, and those that a libSQL server refuses. Rows of full-text indexes, which such dumps
write to the index's inner tables, are turned into ordinary inserts; an index over another table is filled at the end.
Rows of other virtual tables are there in an inner form only, and are counted.
"""

import re
import sqlite3
from typing import Literal, NamedTuple

import msgspec

from dataplane.contents import content_of, is_full_text, quote, refilling
from runtime.cli.hrana import SqlFailed
from runtime.cli.import_sql import Statement

_HEAD_BYTES = 400
_COMMENT = re.compile(rb"\s*(?:--[^\n]*\n|/\*.*?\*/)", re.DOTALL)
_NAME = (
    r"""(?:main\s*\.\s*)?(?:"(?P<double>[^"]+)"|'(?P<single>[^']+)'|`(?P<tick>[^`]+)`"""
    r"""|\[(?P<square>[^\]]+)\]|(?P<bare>[\w$]+))"""
)
_TARGET = re.compile(
    r"(?:CREATE\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|TRIGGER|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"|(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO\s+|DELETE\s+FROM\s+|DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?)" + _NAME,
    re.IGNORECASE,
)
_VIRTUAL = re.compile(r"CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?" + _NAME, re.IGNORECASE)
_SCHEMA_ROW = re.compile(
    r"INSERT\s+INTO\s+sqlite_(?:schema|master)\b.*?VALUES\s*\(\s*'table'\s*,\s*'((?:[^']|'')*)'\s*,.*?,\s*0\s*,\s*"
    r"'(CREATE\s+VIRTUAL\s+TABLE(?:[^']|'')*)'\s*\)\s*;?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)
_KEPT_PRAGMAS = re.compile(r"PRAGMA\s+(?:main\s*\.\s*)?(?:user_version|application_id)\s*[=(]", re.IGNORECASE)
_INNER = ("content", "data", "idx", "docsize", "config", "segments", "segdir", "stat", "node", "rowid", "parent")
_REFUSED_CODES = ("SQLITE_AUTH", "BLOCKED")
_REFUSED_WORDS = ("reserved for internal use", "not authorized", "may not be modified", "no such table: sqlite_")

Fate = Literal["run", "transaction", "pragma", "internal", "refused", "unreadable"]
REASONS = {
    "transaction": "transaction control",
    "pragma": "pragma",
    "internal": "on internal tables",
    "refused": "refused by the server",
    "unreadable": "rows of virtual tables that a dump has in an inner form only (import the database file itself)",
    "contentless": "full-text index without content",
}


class IncompleteDump(ValueError):
    """The dump itself says that it is not whole."""


class Decision(NamedTuple):
    """What becomes of a statement; `sql` is what to run instead of it, when that differs."""

    fate: Fate
    sql: str | None = None


RUN = Decision("run")


class Virtual(msgspec.Struct, array_like=True):
    """A virtual table of the dump."""

    columns: list[str]
    """Of a full-text table, to insert its rows into; none of others."""
    content: str | None = None
    """As `dataplane.contents.content_of` has it."""
    has_inner_rows: bool = False
    """The dump has rows of tables that it keeps for itself, which are left out."""


class Rules:
    """Decides statement by statement; remembers virtual tables that it has seen.

    `memory` is that of the rules up to where to go on.
    """

    def __init__(self, memory: str = "") -> None:
        self._virtual = msgspec.json.decode(memory or "{}", type=dict[str, Virtual])
        self._plain_inserts: set[bytes] = set()
        """Beginnings of statements that are run as they are, each with its opening parenthesis."""

    def __repr__(self) -> str:
        return f"<Rules [{len(self._virtual)} virtual tables]>"

    def memory(self) -> str:
        """Return what the next ones need to know, empty if that is nothing."""
        return msgspec.json.encode(self._virtual).decode() if self._virtual else ""

    def fills(self) -> list[str]:
        """Return what fills the full-text indexes over other tables whose inner rows were left out."""
        return [refilling(name) for name, table in self._virtual.items() if table.content and table.has_inner_rows]

    def decide(self, statement: Statement) -> Decision:
        """Raises `IncompleteDump`."""
        # Most of a dump is rows: what was decided for one INSERT into a table holds for the next.
        head = statement.text[: statement.text.find(b"(") + 1]
        if head in self._plain_inserts:
            return RUN
        decision = self._decide(statement)
        if decision is RUN and head[:6].upper() == b"INSERT":
            self._plain_inserts.add(head)
        elif decision is not RUN:
            self._plain_inserts.clear()
        return decision

    def _decide(self, statement: Statement) -> Decision:
        head = _without_comments(statement.text)[:_HEAD_BYTES].decode("utf-8", "replace")
        word = head[:20].upper().split(None, 1)[0].rstrip(";") if head.strip() else ""
        if word == "ROLLBACK":
            raise IncompleteDump("the file ends with ROLLBACK: whoever wrote it met errors, and it is not complete")
        if word in ("BEGIN", "COMMIT", "END", "SAVEPOINT", "RELEASE"):
            return Decision("transaction")
        if word == "PRAGMA":
            return RUN if _KEPT_PRAGMAS.match(head) else Decision("pragma")
        if word in ("VACUUM", "ATTACH", "DETACH"):
            return Decision("refused")
        return self._decide_target(statement, head)

    def _decide_target(self, statement: Statement, head: str) -> Decision:
        if virtual := _VIRTUAL.match(head):
            self._plain_inserts.clear()
            self._virtual[_name(virtual)] = virtual_table(_without_comments(statement.text).decode("utf-8", "replace"))
            return RUN
        target = _TARGET.match(head)
        name = _name(target) if target else ""
        if name.lower() in ("sqlite_schema", "sqlite_master"):
            return self._schema_row(statement)
        if name.startswith("_cf_") or (name.lower() == "sqlite_sequence" and head[:6].upper() == "CREATE"):
            return Decision("internal")
        if target:
            return self._inner(statement, name, head[: target.end()])
        return RUN

    def _schema_row(self, statement: Statement) -> Decision:
        """SQLite's dump puts a virtual table right into the schema table."""
        row = _SCHEMA_ROW.search(statement.text.decode("utf-8", "replace"))
        if row is None:
            return Decision("internal")
        name, sql = (text.replace("''", "'") for text in row.groups())
        self._virtual[name] = virtual_table(sql)
        return Decision("run", sql + ";")

    def _inner(self, statement: Statement, name: str, head: str) -> Decision:
        """Tables of a virtual table: its rows are inserted through it, everything else it makes itself."""
        owner, _, part = name.rpartition("_")
        table = self._virtual.get(owner)
        if table is None or part not in _INNER:
            return RUN
        if head[:6].upper() != "INSERT":
            return Decision("internal")
        table.has_inner_rows = True
        if part == "content" and table.columns:
            names = ", ".join(map(quote, ["rowid", *table.columns]))
            text = _without_comments(statement.text).decode("utf-8", "replace")
            return Decision("run", f"INSERT INTO {quote(owner)}({names}){text[len(head) :]}")
        # Of R*Trees, of a full-text table that cannot be understood, and of one without content: one for each row.
        is_row = part in ("rowid", "content") or (part == "docsize" and table.content == "")
        return Decision("unreadable" if is_row else "internal")


def virtual_table(sql: str) -> Virtual:
    """Return a virtual table by its definition."""
    return Virtual(_columns_of(sql), content_of(sql)) if is_full_text(sql) else Virtual([])


def _columns_of(sql: str) -> list[str]:
    """Return the columns of a full-text table, as SQLite itself reads its definition; none if it cannot."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(sql.rstrip().rstrip(";"))
        match = _VIRTUAL.match(sql)
        assert match is not None
        return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (_name(match),))]
    except sqlite3.Error:
        return []  # this SQLite has no full-text search, or the definition refers to something else
    finally:
        connection.close()


def is_refusal(error: SqlFailed) -> bool:
    """Whether the server does not allow a statement, as opposed to one that fails."""
    return error.extended_code in _REFUSED_CODES or any(words in str(error) for words in _REFUSED_WORDS)


def _name(match: "re.Match[str]") -> str:
    return next((name for name in match.groupdict().values() if name is not None), "")


def _without_comments(text: bytes) -> bytes:
    position = 0
    while match := _COMMENT.match(text, position):
        position = match.end()
    return text[position:].lstrip()
