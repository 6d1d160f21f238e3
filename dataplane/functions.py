"""What the engine offers to SQL with too much trust in its arguments: the same, behind a look at them.

`install` is called by `dataplane.connection` for every new connection. Without it, these write beyond their memory or
read where nothing is, which costs every database of the worker at least its process:

- `concat_ws` adds lengths in 32 bits (CVE-2025-29087), so that a long separator overflows;
- `vector_top_k` makes room for the number of rows that it is asked for, and overflows it for 0 or very many;
- `libsql_vector_idx` looks at its first argument, whether there is one or not.
"""

import ctypes as c
from functools import cache
from typing import Any

from dataplane.engine import Engine, load

MAX_TOP_K = 100_000
_MAX_INT = (1 << 31) - 1
_UTF8, _DETERMINISTIC, _INNOCUOUS = 1, 0x800, 0x200000
_NUMBERS = frozenset({1, 2})
"""SQLITE_INTEGER and SQLITE_FLOAT: clients in JavaScript bind every number as the latter."""
_ERROR = 1
_FILTER_OFFSET = 64
"""Of xFilter in a sqlite3_module (https://sqlite.org/c3ref/module.html)."""
_MESSAGE_OFFSET = 16
"""Of zErrMsg in a sqlite3_vtab."""

_Values = c.POINTER(c.c_void_p)
_FUNCTION = c.CFUNCTYPE(None, c.c_void_p, c.c_int, _Values)
_FILTER = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int, c.c_char_p, c.c_int, _Values)


def install(handle: int | None) -> None:
    """Put them in place of the engine's on a new connection."""
    _replacements().install(handle)


@cache
def _replacements() -> "_Replacements":
    return _Replacements(load())


class _Replacements:
    """The functions as C sees them, for all connections of the process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._concat_ws = _FUNCTION(self._on_concat_ws)
        self._no_argument = _FUNCTION(self._on_no_argument)
        self._original_concat_ws = _FUNCTION(engine.internal("concatwsFunc"))
        address, size = engine.internal("vectorModule"), engine.internal_size("vectorModule")
        self._module = c.create_string_buffer(c.string_at(address, size), size)
        place = c.c_void_p.from_buffer(self._module, _FILTER_OFFSET)
        assert place.value is not None
        self._original_filter = _FILTER(place.value)
        self._filter = _FILTER(self._on_filter)
        place.value = c.cast(self._filter, c.c_void_p).value

    def install(self, handle: int | None) -> None:
        engine = self._engine
        flags = _UTF8 | _DETERMINISTIC | _INNOCUOUS
        engine.create_function(handle, b"concat_ws", -1, flags, None, self._concat_ws, None, None)
        # Not deterministic, so that it is refused in indexes and generated columns at once.
        engine.create_function(handle, b"libsql_vector_idx", 0, _UTF8, None, self._no_argument, None, None)
        engine.create_module(handle, b"vector_top_k", self._module, None)

    def _on_concat_ws(self, context: int, count: int, values: Any) -> None:
        engine = self._engine
        if count < 2:
            engine.result_error(context, b"wrong number of arguments to function concat_ws()", -1)
        elif engine.value_bytes(values[0]) * count > _MAX_INT:
            engine.result_error_toobig(context)
        else:
            self._original_concat_ws(context, count, values)

    def _on_no_argument(self, context: int, _count: int, _values: Any) -> None:
        self._engine.result_error(context, b"libsql_vector_idx() needs a column", -1)

    def _on_filter(self, cursor: int, number: int, text: bytes, count: int, values: Any) -> int:
        engine = self._engine
        if count == 3 and engine.value_type(values[2]) in _NUMBERS:
            wanted = engine.value_int64(values[2])
            if not 1 <= wanted <= MAX_TOP_K:
                table = c.c_void_p.from_address(cursor).value
                assert table is not None
                message = f"vector index(search): third parameter (k) must be 1 to {MAX_TOP_K}, but is {wanted}"
                c.c_void_p.from_address(table + _MESSAGE_OFFSET).value = engine.mprintf(b"%s", message.encode())
                return _ERROR
        return int(self._original_filter(cursor, number, text, count, values))
