"""The libSQL engine's C functions, taken from the shared object of the `libsql-experimental` package.

Called by `dataplane.connection` only. The package's own Python surface cannot serve databases: it stores every integer
beyond 32 bits as a float, cuts text at a NUL, panics on text that is not UTF-8, has no error codes, no decltypes, no
authorizer and no way to interrupt a statement, and keeps the GIL while a query runs. The same file contains the
complete SQLite C API of libSQL, as symbols that are not exported for linking but named in its symbol table; their
addresses are read from there once. The version is therefore pinned exactly in pyproject.toml, and `load` says what is
missing if the file ever lacks it. Functions that may run long or touch the disk release the GIL (`CFUNCTYPE`), quick
accessors keep it (`PYFUNCTYPE`), which is cheaper.

Must never be used together with `libsql_experimental.connect` in one process: that configures the engine's threading
itself and refuses to work once the engine is initialised.
"""

import ctypes as c
import importlib.util
import mmap
import struct
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

_PACKAGE = "libsql_experimental"
_INIT = f"PyInit_{_PACKAGE}"
_SYMTAB = 2
_OBJECT, _FUNCTION = 1, 2

_PTR = c.c_void_p
_INT = c.c_int
_I64 = c.c_longlong
_STR = c.c_char_p
_OUT = c.POINTER(c.c_void_p)
_COUNT = c.POINTER(_INT)

AUTHORIZER = c.CFUNCTYPE(_INT, _PTR, _INT, _STR, _STR, _STR, _STR)
PROGRESS = c.CFUNCTYPE(_INT, _PTR)
WAL_HOOK = c.CFUNCTYPE(_INT, _PTR, _PTR, _STR, _INT)

# Name, releases the GIL, result, arguments. Names without prefix are sqlite3_*.
_FUNCTIONS: tuple[tuple[str, bool, Any, tuple[Any, ...]], ...] = (
    ("open_v2", True, _INT, (_STR, _OUT, _INT, _STR)),
    ("close_v2", True, _INT, (_PTR,)),
    ("prepare_v3", True, _INT, (_PTR, _PTR, _INT, c.c_uint, _OUT, _OUT)),
    ("step", True, _INT, (_PTR,)),
    ("reset", True, _INT, (_PTR,)),
    ("finalize", True, _INT, (_PTR,)),
    ("exec", True, _INT, (_PTR, _STR, _PTR, _PTR, _PTR)),
    ("clear_bindings", False, _INT, (_PTR,)),
    ("bind_int64", False, _INT, (_PTR, _INT, _I64)),
    ("bind_double", False, _INT, (_PTR, _INT, c.c_double)),
    ("bind_text", False, _INT, (_PTR, _INT, _STR, _INT, _PTR)),
    ("bind_blob", False, _INT, (_PTR, _INT, _STR, _INT, _PTR)),
    ("bind_zeroblob", False, _INT, (_PTR, _INT, _INT)),
    ("bind_null", False, _INT, (_PTR, _INT)),
    ("bind_parameter_count", False, _INT, (_PTR,)),
    ("bind_parameter_name", False, _STR, (_PTR, _INT)),
    ("column_count", False, _INT, (_PTR,)),
    ("column_name", False, _STR, (_PTR, _INT)),
    ("column_decltype", False, _STR, (_PTR, _INT)),
    ("column_value", False, _PTR, (_PTR, _INT)),
    ("column_type", False, _INT, (_PTR, _INT)),
    ("column_int64", False, _I64, (_PTR, _INT)),
    ("column_double", False, c.c_double, (_PTR, _INT)),
    ("column_text", False, _PTR, (_PTR, _INT)),
    ("column_blob", False, _PTR, (_PTR, _INT)),
    ("column_bytes", False, _INT, (_PTR, _INT)),
    ("stmt_readonly", False, _INT, (_PTR,)),
    ("stmt_isexplain", False, _INT, (_PTR,)),
    ("stmt_status", False, _INT, (_PTR, _INT, _INT)),
    ("expired", False, _INT, (_PTR,)),
    ("errmsg", False, _STR, (_PTR,)),
    ("extended_errcode", False, _INT, (_PTR,)),
    ("error_offset", False, _INT, (_PTR,)),
    ("get_autocommit", False, _INT, (_PTR,)),
    ("changes64", False, _I64, (_PTR,)),
    ("total_changes64", False, _I64, (_PTR,)),
    ("last_insert_rowid", False, _I64, (_PTR,)),
    ("set_last_insert_rowid", False, None, (_PTR, _I64)),
    ("limit", False, _INT, (_PTR, _INT, _INT)),
    ("db_config", False, _INT, (_PTR, _INT, _INT, _OUT)),
    ("interrupt", False, None, (_PTR,)),
    ("progress_handler", False, None, (_PTR, _INT, PROGRESS, _PTR)),
    ("set_authorizer", False, _INT, (_PTR, AUTHORIZER, _PTR)),
    ("wal_hook", False, _PTR, (_PTR, WAL_HOOK, _PTR)),
    ("wal_checkpoint_v2", True, _INT, (_PTR, _STR, _INT, _COUNT, _COUNT)),
    ("hard_heap_limit64", False, _I64, (_I64,)),
    ("memory_used", False, _I64, ()),
    ("db_release_memory", False, _INT, (_PTR,)),
    ("db_status", False, _INT, (_PTR, _INT, _COUNT, _COUNT, _INT)),
    ("backup_init", True, _PTR, (_PTR, _STR, _PTR, _STR)),
    ("backup_step", True, _INT, (_PTR, _INT)),
    ("backup_finish", True, _INT, (_PTR,)),
    ("create_function", False, _INT, (_PTR, _STR, _INT, _INT, _PTR, _PTR, _PTR, _PTR)),
    ("create_module", False, _INT, (_PTR, _STR, _PTR, _PTR)),
    ("value_type", False, _INT, (_PTR,)),
    ("value_int64", False, _I64, (_PTR,)),
    ("value_bytes", False, _INT, (_PTR,)),
    ("result_error", False, None, (_PTR, _STR, _INT)),
    ("result_error_toobig", False, None, (_PTR,)),
    ("mprintf", False, _PTR, (_STR, _STR)),
    ("libversion", False, _STR, ()),
)
_INTERNALS = frozenset({b"concatwsFunc", b"vectorModule"})
"""Further symbols, for `dataplane.functions`."""
_NAMED = (b"sqlite3_", b"PyInit_")
_PREFIXES = (*_NAMED, *_INTERNALS)


class EngineError(RuntimeError):
    """The installed `libsql-experimental` does not contain what brrrd needs."""


class Engine:
    """The C functions as attributes, under their names without `sqlite3_`."""

    def __init__(self, library: c.CDLL, base: int, symbols: dict[str, tuple[int, int]]) -> None:
        self._library = library
        self._base = base
        self._symbols = symbols
        for name, releases_gil, result, arguments in _FUNCTIONS:
            prototype = (c.CFUNCTYPE if releases_gil else c.PYFUNCTYPE)(result, *arguments)
            setattr(self, name, prototype(self.internal(f"sqlite3_{name}")))

    def internal(self, symbol: str) -> int:
        """Return the address of a function or an object, by the name that it has in the file."""
        return self._base + self._symbols[symbol][0]

    def internal_size(self, symbol: str) -> int:
        """Return the size of an object in bytes."""
        return self._symbols[symbol][1]

    if TYPE_CHECKING:
        # At run time it would make every access slower.
        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        return f"<Engine libSQL on SQLite {self.libversion().decode()}>"


@cache
def load() -> Engine:
    """Return the engine of this process. Raises `EngineError`, naming what to install, if it cannot be had."""
    spec = importlib.util.find_spec(f"{_PACKAGE}.{_PACKAGE}")
    if spec is None or spec.origin is None:
        raise EngineError("The package libsql-experimental is not installed: pip install libsql-experimental==0.0.55")
    path = Path(spec.origin)
    symbols = _find_symbols(path)
    wanted = {f"sqlite3_{name}" for name, *_ in _FUNCTIONS} | {name.decode() for name in _INTERNALS} | {_INIT}
    if missing := sorted(wanted - symbols.keys()):
        raise EngineError(
            f"{path} lacks {', '.join(missing[:3])} ({len(missing)} symbols in all): reinstall the unmodified wheel, "
            "pip install --force-reinstall libsql-experimental==0.0.55"
        )
    library = c.CDLL(str(path))
    address = c.cast(library[_INIT], c.c_void_p).value
    assert address is not None
    return Engine(library, address - symbols[_INIT][0], symbols)


def _find_symbols(path: Path) -> dict[str, tuple[int, int]]:
    """Return name → value and size of SQLite's functions, and of what else is used here, in the symbol table of a
    64-bit little-endian ELF file (System V gABI).
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        if data[:6] != b"\x7fELF\x02\x01":
            raise EngineError(f"{path} is not a 64-bit little-endian ELF file; brrrd's databases need Linux on x86-64")
        (table,) = struct.unpack_from("<Q", data, 40)
        entry, count = struct.unpack_from("<HH", data, 58)
        sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * entry) for i in range(count)]
        found: dict[str, tuple[int, int]] = {}
        for _, kind, _, _, offset, size, link, *_ in sections:
            if kind != _SYMTAB:
                continue
            strings = data[sections[link][4] : sections[link][4] + sections[link][5]]
            for name, info, _, _, value, length in struct.iter_unpack("<IBBHQQ", data[offset : offset + size]):
                if info & 15 in (_OBJECT, _FUNCTION) and strings.startswith(_PREFIXES, name):
                    symbol = strings[name : strings.index(b"\0", name)]
                    if symbol.startswith(_NAMED) or symbol in _INTERNALS:
                        found[symbol.decode("ascii")] = value, length
        return found
