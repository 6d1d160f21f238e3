"""Vector indexes of libSQL, which keep themselves in tables of the same database and trust what is in those.

An index `i` has the table `i_shadow`, and all of them share `libsql_vector_meta_shadow`. The engine makes these while
CREATE INDEX is compiled, takes tables that exist already, and reads beyond its memory if their contents are not its
own. So only the engine may change them. Used by `dataplane.statements`.
"""

from collections.abc import Callable

from dataplane.contents import literal, quote
from dataplane.errors import SqlError

VECTOR_INDEX_FUNCTION = "libsql_vector_idx"
SHADOW_SUFFIX = "_shadow"
META_TABLE = "libsql_vector_meta_shadow"
_META_SQL = f"CREATE TABLE {META_TABLE} ( name TEXT PRIMARY KEY, metadata BLOB ) WITHOUT ROWID"


def is_kept_by_index(table: str) -> str:
    """Return the query that finds a row if a vector index keeps itself in `table`."""
    index = table[: -len(SHADOW_SUFFIX)]
    return (
        "SELECT 1 FROM main.sqlite_schema WHERE type = 'index' AND instr(lower(sql), 'libsql_vector_idx') "  # noqa: S608
        f"AND (name = {literal(index)} COLLATE NOCASE OR {literal(table)} = '{META_TABLE}' COLLATE NOCASE)"
    )


def unique_index() -> str:
    """Return the query for the name of a vector index that is unique. None can be made; a file may have one that was
    made before that was so. Whatever is written to its table is compared with entries that it does not have, and the
    engine reads where nothing is.
    """
    return (
        "SELECT s.name FROM main.sqlite_schema AS s, pragma_index_list(s.tbl_name, 'main') AS l "
        "WHERE s.type = 'index' AND instr(lower(s.sql), 'libsql_vector_idx') AND l.name = s.name AND l.\"unique\""
    )


def make_way(index: str, finds: Callable[[str], bool], run: Callable[[bytes], None]) -> None:
    """See to it that `index`, which is to be created, starts from nothing. Raises `SqlError`.

    `finds` tells whether a query has a row, `run` runs a statement.
    """
    known = finds(has_meta_table())
    if finds(has_table(index)):
        if not known or not finds(is_left_over(index)):
            raise SqlError("SQLITE_ERROR", f"SQLite error: there is already a table named {index}{SHADOW_SUFFIX}")
        run(drop_left_over(index).encode())
    if finds(foreign_meta_table()):
        raise SqlError("SQLITE_ERROR", f"SQLite error: {META_TABLE} is not the engine's own: drop it, or its triggers")
    if known:
        run(forget(index).encode())


def foreign_meta_table() -> str:
    """Return the query that finds a row if the table of all vector indexes is not the engine's own."""
    trigger = f"type = 'trigger' AND tbl_name = '{META_TABLE}' COLLATE NOCASE"
    return (
        f"SELECT 1 FROM main.sqlite_schema WHERE name = '{META_TABLE}' COLLATE NOCASE "  # noqa: S608
        f"AND sql <> {literal(_META_SQL)} OR {trigger} UNION ALL SELECT 1 FROM temp.sqlite_schema WHERE {trigger}"
    )


def has_table(index: str) -> str:
    """Return the query that finds a row if there is a table of the name that `index`, a new one, takes for itself."""
    return (
        "SELECT 1 FROM main.sqlite_schema WHERE type IN ('table', 'view') "  # noqa: S608
        f"AND name = {literal(index + SHADOW_SUFFIX)} COLLATE NOCASE"
    )


def has_meta_table() -> str:
    """Return the query that finds a row if there was a vector index before."""
    return f"SELECT 1 FROM main.sqlite_schema WHERE name = '{META_TABLE}' COLLATE NOCASE"  # noqa: S608


def is_left_over(index: str) -> str:
    """Return the query that finds a row if such a table is what the engine left when `index` could not be filled."""
    return f"SELECT 1 FROM main.{META_TABLE} WHERE name = {literal(index)} COLLATE NOCASE"  # noqa: S608 a literal


def drop_left_over(index: str) -> str:
    """Return the statement that removes it."""
    return f"DROP TABLE main.{quote(index + SHADOW_SUFFIX)}"


def forget(index: str) -> str:
    """Return the statement that removes what the table of all vector indexes says of `index`, a new one."""
    return f"DELETE FROM main.{META_TABLE} WHERE name = {literal(index)} COLLATE NOCASE"  # noqa: S608 a literal
