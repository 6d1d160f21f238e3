"""A prepared statement: parameters in, rows out. Made and owned by `dataplane.statements`."""

import ctypes as c
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from dataplane.cells import Form, Reader, Value, public_row
from dataplane.compilation import Compilation

if TYPE_CHECKING:
    from dataplane.connection import Connection

_ROW = 100
_DONE = 101
_BLOCK_CELLS = 512
_BLOCK_BYTES = 64 << 10
"""How much `fill` reads before its caller looks at the clock and at limits."""
_TRANSIENT = c.c_void_p(-1)
_BLANKS = b" \t\r\n\v\f;"
"""A vertical tab is one after another blank only; by itself it is an error to SQLite."""
_BOM = b"\xef\xbb\xbf"
"""A blank to SQLite, wherever it is."""
_STATUS_REPREPARE, _STATUS_MEMORY = 5, 99
_STATUS_ROWS_READ = 1025  # libSQL's own counters
_STATUS_ROWS_WRITTEN = 1026


class Column(msgspec.Struct, frozen=True):
    """Name and declared type of a result column, as the protocol's Col object."""

    name: str
    decltype: str | None


class Statement:
    """A compiled statement; `bind`, `step` until False, then `reset`. Owned by its connection's `Statements`."""

    __slots__ = (
        "_columns",
        "_columns_bytes",
        "_connection",
        "_engine",
        "_index",
        "_reader",
        "failed",
        "filled",
        "handle",
        "in_use",
        "inserts",
        "is_explain",
        "kept_bytes",
        "keyword",
        "params",
        "plain",
        "readonly",
        "shadows",
        "slow",
        "suspect",
    )

    def __init__(self, connection: "Connection", handle: int, keyword: str, seen: Compilation) -> None:
        engine = connection.engine
        self._connection = connection
        self._engine = engine
        self.handle = handle
        self.in_use = False
        """It runs, or waits between two of its rows: a cursor may leave it so while its stream runs others."""
        self.keyword = keyword
        """First word of the text, in capitals."""
        self.is_explain = bool(engine.stmt_isexplain(handle))
        self.readonly = self.is_explain or (not seen.writes and bool(engine.stmt_readonly(handle)))
        self.plain = self.readonly and keyword == "SELECT"
        """It leaves no trace: neither in the file nor in the state of the connection."""
        self.inserts = seen.inserts
        """It is an INSERT: there is a rowid to tell."""
        self.shadows = frozenset(seen.shadows)
        """Tables that it changes and that may be what vector indexes keep themselves in: see `Statements.begin`."""
        count = engine.bind_parameter_count(handle)
        names = [engine.bind_parameter_name(handle, i) for i in range(1, count + 1)]
        self.params: list[str | None] = [name and name.decode() for name in names]
        """Names with their prefix, None for a bare `?`; position 0 is parameter 1."""
        self._index: dict[str, list[int]] | None = None
        self._columns: list[Column] | None = None
        self._columns_bytes = 0
        self._reader: Reader | None = None
        self.filled = 0
        self.failed = False
        """A run of it has ended with an error."""
        self.kept_bytes = 0
        """What the engine keeps of it between two runs, as of when `measure` was called."""
        self.suspect = False
        """Its first step took long when it ran last."""
        self.slow = False
        """It did so twice, and the processor was busy with it as long the last time."""

    @property
    def columns(self) -> list[Column]:
        """Result columns; empty for a statement that returns no rows."""
        if self._columns is None or self._engine.stmt_status(self.handle, _STATUS_REPREPARE, 1):
            return self._look_at_columns()
        return self._columns

    @property
    def columns_bytes(self) -> int:
        """Size of the texts of `columns`, about, as they were the last time."""
        if self._columns is None:
            self._look_at_columns()
        return self._columns_bytes

    def _look_at_columns(self) -> list[Column]:
        columns = self._columns = [self._column(i) for i in range(self._engine.column_count(self.handle))]
        self._columns_bytes = sum(len(column.name) + len(column.decltype or "") for column in columns)
        return columns

    def _column(self, i: int) -> Column:
        name = self._engine.column_name(self.handle, i) or b""
        declared = self._engine.column_decltype(self.handle, i)
        return Column(
            name.decode("utf-8", "replace"), None if declared is None else declared.decode("utf-8", "replace")
        )

    def measure(self) -> None:
        """Set `kept_bytes`."""
        self.kept_bytes = self._engine.stmt_status(self.handle, _STATUS_MEMORY, 0)

    def positions_of(self, name: str) -> Sequence[int]:
        """Return the positions (from 1) of a named parameter, given with its prefix, or without: then of all that are
        called so, `:a` as well as `@a`.
        """
        if self._index is None:
            self._index = {}
            for position, known in enumerate(self.params, 1):
                if known is not None:
                    for spelling in (known, known[1:]):
                        self._index.setdefault(spelling, []).append(position)
        return self._index.get(name, ())

    def bind(self, values: Sequence[Value]) -> None:
        """Bind `values` to parameters 1, 2, …; integers must fit 64 bits."""
        engine, handle = self._engine, self.handle
        for position, value in enumerate(values, 1):
            if value is None:
                code = engine.bind_null(handle, position)
            elif type(value) is int:
                code = engine.bind_int64(handle, position, value)
            elif type(value) is float:
                code = engine.bind_double(handle, position, value)
            elif type(value) is str:
                text = value.encode("utf-8", "surrogatepass")
                code = engine.bind_text(handle, position, text, len(text), _TRANSIENT)
            elif type(value) is bytes:
                # A null pointer would bind NULL, and an empty bytes object is not one, but be explicit.
                if value:
                    code = engine.bind_blob(handle, position, value, len(value), _TRANSIENT)
                else:
                    code = engine.bind_zeroblob(handle, position, 0)
            else:
                raise TypeError(f"cannot bind {type(value).__name__}")
            if code:
                raise self._connection.error(code)

    def step(self) -> bool:
        """Run to the next row; True if there is one. Raises `SqlError`; the caller resets either way."""
        code = self._engine.step(self.handle)
        if code == _ROW:
            return True
        if code == _DONE:
            return False
        raise self._connection.error(code)

    @property
    def width(self) -> int:
        """Number of columns of the current row."""
        return int(self._engine.column_count(self.handle))

    def row(self, width: int) -> list[Value]:
        """Return the current row's values."""
        return public_row(self._engine, self.handle, width)

    def fill(self, rows: list[Any], form: Form) -> bool:
        """Append the current row and a good deal of what follows to `rows`, in `form`; False at the end of the rows.

        `filled` is then the size of their texts and blobs, in bytes. Raises `SqlError`; the caller resets either way.
        """
        reader, width = self._reader, self._engine.column_count(self.handle)
        if reader is None or reader.form is not form or reader.width != width:
            reader = self._reader = Reader(self._engine, self.handle, width, form)
        code = reader.fill(rows, max(1, _BLOCK_CELLS // max(1, width)), _BLOCK_BYTES)
        self.filled = reader.filled
        if code == _ROW:
            return True
        if code == _DONE:
            return False
        raise self._connection.error(code)

    def skip(self) -> bool:
        """Pass over a number of rows; False at the end of the rows. Raises `SqlError`."""
        return all(self.step() for _ in range(_BLOCK_CELLS))

    def counters(self) -> tuple[int, int]:
        """Return rows read and rows written since the last call."""
        status = self._engine.stmt_status
        return status(self.handle, _STATUS_ROWS_READ, 1), status(self.handle, _STATUS_ROWS_WRITTEN, 1)

    def reset(self) -> None:
        """Make the statement ready for another run and let go of its parameters."""
        self._engine.reset(self.handle)
        if self.params:
            self._engine.clear_bindings(self.handle)


def first_word(text: bytes, start: int) -> str:
    """Return the first word of a statement in capitals, past blanks, semicolons and comments, or an empty string."""
    return _word(text, start)[0]


def second_word(text: bytes, start: int) -> str:
    """Return the second one."""
    return _word(text, _word(text, start)[1])[0]


def _word(text: bytes, start: int) -> tuple[str, int]:
    """Return the word in capitals, and where it ends."""
    position, end = start, len(text)
    while position < end:
        byte = text[position]
        if byte in _BLANKS:
            position += 1
        elif text.startswith(_BOM, position):
            position += len(_BOM)
        elif text.startswith(b"--", position):
            position = (text.find(b"\n", position) + 1) or end
        elif text.startswith(b"/*", position):
            position = (text.find(b"*/", position + 2) + 2) if b"*/" in text[position + 2 :] else end
        else:
            break
    stop = position
    while stop < end and (text[stop : stop + 1].isalpha()):
        stop += 1
    return text[position:stop].decode("ascii").upper(), stop
