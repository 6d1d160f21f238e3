"""What a tenant's SQL may not do: decisions for SQLite's authorizer (https://sqlite.org/c3ref/set_authorizer.html).

`decide` is asked while a statement is compiled, for every action in it, triggers and views included, so nothing can be
hidden in text. Files outside the database, settings that durability or other tenants depend on, and functions of the
engine that reach the file system or run SQL of their own are refused. TEMP tables and harmless pragmas are allowed.
"""

from typing import NamedTuple

CREATE_VTABLE = 29
PRAGMA = 19
READ = 20
ATTACH = 24
DETACH = 25
FUNCTION = 31
CREATE_TEMP = frozenset({3, 4, 5, 6})

FORBIDDEN_FUNCTIONS = frozenset(
    {
        # Files of the machine.
        "readfile",
        "writefile",
        "edit",
        "load_extension",
        # Run SQL given as text, or take pointers.
        "sha3_query",
        "fts3_tokenizer",
        # Settings and keys of the page cipher that is compiled in.
        "sqlite3mc_config",
        "sqlite3mc_config_table",
        "sqlite3mc_codec_data",
        "sqlite_crypt",
        # Writes to the server's log.
        "sqlite_log",
        # Extensions that come with the engine's package and that libSQL's server does not have. Their code is not made
        # for hostile arguments: the first four write beyond their memory, the next two read beyond that of a text,
        # which may be another database's, regular expressions recurse as deep as the pattern is nested, the others take
        # memory that no limit counts.
        "padc",
        "padl",
        "padr",
        "replicate",
        "charindex",
        "rightstr",
        "regexp",
        "regexpi",
        "lower_quartile",
        "median",
        "mode",
        "upper_quartile",
    }
)
AGGREGATES = frozenset(
    {
        "avg",
        "count",
        "geopoly_group_bbox",
        "group_concat",
        "json_group_array",
        "json_group_object",
        "jsonb_group_array",
        "jsonb_group_object",
        "max",
        "min",
        "stdev",
        "string_agg",
        "sum",
        "total",
        "variance",
    }
)
"""All aggregate functions of the engine that are not forbidden; `min` and `max` of several arguments are none."""
FORBIDDEN_TABLES = frozenset({"fsdir", "sqlite_dbpage", "sqlite_stmt", "carray"})
"""Virtual tables that exist by name alone: the machine's files, raw pages, other statements, memory addresses."""

READ_PRAGMAS = frozenset(
    {
        "application_id",
        "auto_vacuum",
        "cache_size",
        "cache_spill",
        "checkpoint_fullfsync",
        "collation_list",
        "compile_options",
        "data_version",
        "encoding",
        "foreign_key_check",
        "foreign_key_list",
        "freelist_count",
        "fullfsync",
        "function_list",
        "hard_heap_limit",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "journal_mode",
        "journal_size_limit",
        "legacy_file_format",
        "locking_mode",
        "max_page_count",
        "mmap_size",
        "module_list",
        "page_count",
        "page_size",
        "pragma_list",
        "query_only",
        "quick_check",
        "read_uncommitted",
        "schema_version",
        "secure_delete",
        "soft_heap_limit",
        "stats",
        "synchronous",
        "table_info",
        "table_list",
        "table_xinfo",
        "temp_store",
        "threads",
        "trusted_schema",
        "user_version",
        "wal_autocheckpoint",
    }
)
"""May be read, as with libsql-server. With an argument that is a name or a number of rows to report, still reading."""

WRITE_PRAGMAS = frozenset(
    {
        "analysis_limit",
        "application_id",
        "automatic_index",
        "busy_timeout",
        "case_sensitive_like",
        "cell_size_check",
        "count_changes",
        "defer_foreign_keys",
        "empty_result_callbacks",
        "foreign_keys",
        "full_column_names",
        "ignore_check_constraints",
        "legacy_alter_table",
        "recursive_triggers",
        "reverse_unordered_selects",
        "short_column_names",
        "user_version",
    }
)
"""May be read and set: they touch this connection only, or the tenant's own version numbers and pages."""

_WRITING_PRAGMAS = frozenset({"incremental_vacuum", "optimize"})

_TAKES_ARGUMENT = frozenset(
    {
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)

_HARMLESS_VALUES = {
    "encoding": frozenset({"utf-8", "utf8"}),
    "journal_mode": frozenset({"wal"}),
    "synchronous": frozenset({"2", "full"}),
}
"""Settings asked for by tools although they are in force already."""


LIST_WITHOUT_PATHS = b"SELECT seq, name, '' AS file FROM pragma_database_list"
"""What runs in the place of PRAGMA database_list, which would tell where the files lie on this machine."""


class Verdict(NamedTuple):
    """`refusal` is None when allowed. `changes_session`: the connection must not be given to another stream later.

    `writes`: the statement changes the file, although SQLite calls it read-only. `hidden`: the column reads as NULL.
    `tells_path`: the statement is to be replaced by `LIST_WITHOUT_PATHS`.
    """

    refusal: str | None
    changes_session: bool = False
    writes: bool = False
    hidden: bool = False
    tells_path: bool = False


ALLOWED = Verdict(None)
_SESSION = Verdict(None, changes_session=True)
_WRITING = Verdict(None, writes=True)
_HIDDEN = Verdict(None, hidden=True)
_TELLS_PATH = Verdict(None, tells_path=True)


def decide(action: int, first: str | None, second: str | None, *, vacuum: bool) -> Verdict:
    """Return whether an authorizer `action` with its first two arguments is allowed.

    `vacuum`: the statement is VACUUM, which attaches a nameless temporary database internally.
    """
    if action == FUNCTION:
        if second is not None and second.lower() in FORBIDDEN_FUNCTIONS:
            return Verdict(f"the function {second} is not available")
    elif action in (READ, CREATE_VTABLE):
        name = (first if action == READ else second) or ""
        if name.lower() in FORBIDDEN_TABLES:
            return Verdict(f"the table {name} is not available")
        if action == READ and name.lower() == "pragma_database_list" and (second or "").lower() == "file":
            return _HIDDEN
    elif action == PRAGMA:
        return _decide_pragma((first or "").lower(), second)
    elif action == ATTACH:
        if not (vacuum and not first):
            what = "VACUUM INTO is" if vacuum else "ATTACH is"
            return Verdict(f"{what} not available: a database is one file")
    elif action == DETACH:
        if not vacuum:
            return Verdict("DETACH is not available: a database is one file")
    elif action in CREATE_TEMP:
        return _SESSION
    return ALLOWED


def _decide_pragma(name: str, value: str | None) -> Verdict:
    if name in _WRITING_PRAGMAS:
        return _WRITING
    if name == "database_list":
        return _TELLS_PATH
    if value is None:
        if name in READ_PRAGMAS or name in WRITE_PRAGMAS:
            return ALLOWED
        return Verdict(f"PRAGMA {name} is not available")
    if name in _TAKES_ARGUMENT:
        return ALLOWED
    if name in WRITE_PRAGMAS:
        return _SESSION
    if value.lower() in _HARMLESS_VALUES.get(name, ()):
        # `synchronous=FULL` would make the connection's commits wait for the disk themselves, one by one.
        return _SESSION if name == "synchronous" else ALLOWED
    return Verdict(f"PRAGMA {name} cannot be set here")
