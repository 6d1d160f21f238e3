"""The values of a result row, read at once from where the engine keeps them instead of through three calls for each.

After a step, a row's values lie side by side as `Mem` structures (sqlite3_value, SQLite's vdbeInt.h). One unpacking of
those gives all numbers and where texts and blobs are; measured with three columns, a row costs a fifth of what the
public functions take. The layout is private to the engine's version, which is pinned, so `row_pointer` compares it with
the public functions before it is relied on; what is unusual (zero blobs, UTF-16, wide rows) goes through the public
functions in any case. Used by `dataplane.statement` only. Must never look at a row after the next step or reset, and
never write.

    offset size field
    0      8    u      the number: i64 or double
    8      8    z      address of a text or blob
    16     4    n      its bytes, without a final NUL
    20     2    flags  MEM_…: which of the above are valid
    22     1    enc    1 is UTF-8
    23     1    subtype
    24     32   of no interest
"""

import ctypes as c
import logging
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from dataplane.engine import Engine

Value: TypeAlias = int | float | str | bytes | None

INTEGER, FLOAT, TEXT, BLOB, NULL = 1, 2, 3, 4, 5
"""As sqlite3_column_type has them."""

_STRIDE = 56
_CELL = "qiI32x"
_UTF8 = 1
_MEM_ZERO = 0x400
_KINDS = {0x01: NULL, 0x02: TEXT, 0x04: INTEGER, 0x06: INTEGER, 0x08: FLOAT, 0x0A: FLOAT, 0x10: BLOB}
"""Kind by the type bits of the flags, those combinations that occur; a number may have its text beside it."""
_TYPE_BITS = 0x3F
_pointer = struct.Struct("=q").unpack_from
_STATEMENT_BYTES = 256
"""How far from a statement's beginning the address of its row is searched for."""
_MOST_COLUMNS = 200
_MOST_SHAPES = 32
"""Of one statement: columns of mixed types make many, and each has to be compiled."""
_MOST_COMPILED = 4096
_KEPT_LENGTHS = 4096
_ROW, _DONE = 100, 101
log = logging.getLogger("brrrd.dataplane")

Step: TypeAlias = Callable[[int], int]
Fill: TypeAlias = Callable[[list[Any], tuple[int, ...], Step, int, c.c_size_t, int, int], tuple[int, int, int]]
"""Appends rows to a list as long as their cells have the given marks: rows, marks, step, its statement, where the row
is, most rows, most bytes. Returns the last result code of a step, or 0 at a row with other marks, the
bytes of texts and blobs, and how many more rows there might have been.
"""


class Form(NamedTuple):
    """What is to be made of values: a Python expression for each kind, in terms of {u}, {bytes} and `names`."""

    name: str
    expressions: dict[int, str]
    names: dict[str, Any]
    of: Callable[[Value], Any]
    """The same for a value that was read through the public functions."""


PLAIN = Form(
    "plain",
    {INTEGER: "{u}", FLOAT: "{u}", TEXT: "{bytes}.decode('utf-8', 'replace')", BLOB: "{bytes}", NULL: "None"},
    {},
    lambda value: value,
)
"""Python values."""


class _Cuts(dict[int, Callable[..., tuple[bytes]]]):
    """Copies so many bytes out of a buffer, by length: three times as fast as `ctypes.string_at`."""

    def __missing__(self, length: int) -> Callable[..., tuple[bytes]]:
        cut = struct.Struct(f"{length}s").unpack_from
        if length < _KEPT_LENGTHS:
            self[length] = cut
        return cut


_cuts = _Cuts()
_memory = memoryview((c.c_char * ((1 << 47) - 1)).from_address(0)).cast("B")
"""The process's own memory by address. Nothing is mapped beyond 47 bits on x86-64 unless asked for."""
_compiled: dict[tuple[str, tuple[int, ...]], Fill] = {}


def _compile(kinds: tuple[int, ...], form: Form) -> Fill:
    """Return a function that reads rows of these kinds, one per column.

    The whole loop is compiled, and not only what differs: looking at a row costs as much as making something of it.
    """
    key = (form.name, kinds)
    if (known := _compiled.get(key)) is not None:
        return known
    columns = range(len(kinds))
    made, sizes = [], []
    for column, kind in enumerate(kinds):
        copy = f"cuts[n{column}](memory, z{column})[0]"
        made.append(form.expressions[kind].format(u=f"u{column}", bytes=copy))
        if kind in (TEXT, BLOB):
            sizes.append(f"n{column}")
    source = f"""
def fill(rows, marks, step, handle, address, left, most_bytes):
    {"".join(f"a{i}, " for i in columns)} = marks
    append, size = rows.append, 0
    while True:
        {"".join(f"u{i}, z{i}, n{i}, m{i}, " for i in columns)} = unpack(memory, address.value)
        if {" or ".join(f"m{i} != a{i}" for i in columns)}:
            return 0, size, left
        append(({", ".join(made)},))
        {f"size += {' + '.join(sizes)}" if sizes else ""}
        left -= 1
        code = step(handle)
        if code != {_ROW} or left <= 0 or size >= most_bytes:
            return code, size, left
"""
    unpack = _unpacker(tuple(kind == FLOAT for kind in kinds))
    names: dict[str, Any] = {"cuts": _cuts, "memory": _memory, "unpack": unpack, **form.names}
    # As namedtuple does. Nothing of a tenant's is in the text: kinds are numbers, forms are constants.
    exec(source, names)  # noqa: S102
    if len(_compiled) >= _MOST_COMPILED:
        _compiled.clear()
    fill: Fill = names["fill"]
    _compiled[key] = fill
    return fill


@cache
def _unpacker(floats: tuple[bool, ...]) -> Callable[..., tuple[Any, ...]]:
    cells = "".join(("d" if is_float else "q") + _CELL for is_float in floats)
    unpacker = struct.Struct("=" + cells)
    assert unpacker.size == _STRIDE * len(floats)
    return unpacker.unpack_from


class Shape(NamedTuple):
    """How to read rows whose cells have these flags."""

    marks: tuple[int, ...]
    """Flags and encoding of each cell."""
    fill: Fill


class Reader:
    """Reads the rows of one running statement, whose number of columns is fixed while it runs."""

    __slots__ = ("_address", "_engine", "_handle", "_shape", "_shapes", "_usable", "filled", "form", "width")

    def __init__(self, engine: Engine, handle: int, width: int, form: Form) -> None:
        self._engine = engine
        self._handle = handle
        self.width = width
        self.form = form
        self.filled = 0
        """Bytes of texts and blobs that the last `fill` has read."""
        self._shapes: dict[tuple[int, ...], Shape | None] = {}
        self._address = c.c_size_t.from_address(handle + (row_pointer(engine) or 0))
        """The engine's own pointer to the current row."""
        self._usable = 0 < width <= _MOST_COLUMNS and row_pointer(engine) is not None
        self._shape: Shape | None = None
        """That of the row before."""

    def fill(self, rows: list[Any], most_rows: int, most_bytes: int) -> int:
        """Append the current row and those after it to `rows`, until it has `most_rows` or their texts and blobs
        `most_bytes`; return the last result code of a step, SQLITE_ROW if there is another row.
        """
        step, handle, shape = self._engine.step, self._handle, self._shape
        filled, left = 0, most_rows
        while True:
            if shape is not None:
                code, size, left = shape.fill(rows, shape.marks, step, handle, self._address, left, most_bytes - filled)
                filled += size
                if code:
                    self.filled = filled
                    return code
            shape = self._shape = self._shape_of_row()
            if shape is None:
                filled += self._read_publicly(rows)
                left -= 1
                code = int(step(handle))
                if code != _ROW or left <= 0 or filled >= most_bytes:
                    self.filled = filled
                    return code

    def _shape_of_row(self) -> Shape | None:
        """Return how to read the current row and others like it, None if through the public functions."""
        if not self._usable:
            return None
        return self._shape_of(_unpacker((False,) * self.width)(_memory, self._address.value)[3::4])

    def _shape_of(self, marks: tuple[int, ...]) -> Shape | None:
        """Return how to read such a row, None if through the public functions."""
        try:
            return self._shapes[marks]
        except KeyError:
            pass
        kinds = tuple(map(_kind, marks))
        shape: Shape | None = None
        if len(self._shapes) >= _MOST_SHAPES:
            return None
        if 0 not in kinds:
            shape = Shape(marks, _compile(kinds, self.form))
        self._shapes[marks] = shape
        return shape

    def _read_publicly(self, rows: list[Any]) -> int:
        values = public_row(self._engine, self._handle, self.width)
        rows.append(tuple(map(self.form.of, values)))
        return sum(len(value) for value in values if isinstance(value, str | bytes))


def _kind(mark: int) -> int:
    """Return the kind of a cell with these flags and encoding, 0 if the public functions have to say."""
    kind = _KINDS.get(mark & _TYPE_BITS, 0)
    if mark & _MEM_ZERO or (kind == TEXT and mark >> 16 & 0xFF != _UTF8):
        return 0
    return kind


def public_row(engine: Engine, handle: int, width: int) -> list[Value]:
    """Return the current row's values through SQLite's public functions."""
    column_type, column_bytes = engine.column_type, engine.column_bytes
    values: list[Value] = []
    for i in range(width):
        kind = column_type(handle, i)
        if kind == INTEGER:
            values.append(engine.column_int64(handle, i))
        elif kind == TEXT:
            pointer = engine.column_text(handle, i)
            values.append(c.string_at(pointer, column_bytes(handle, i)).decode("utf-8", "replace"))
        elif kind == FLOAT:
            values.append(engine.column_double(handle, i))
        elif kind == BLOB:
            pointer = engine.column_blob(handle, i)
            values.append(c.string_at(pointer, column_bytes(handle, i)) if pointer else b"")
        else:
            values.append(None)
    return values


_PROBE_ROWS = 3
_PROBE = b"""
SELECT 1, -9223372036854775808, 1.5, -0.0, 9e999, 'text', '', x'00ff', x'', NULL, 'a' || char(0) || 'b', 7
UNION ALL SELECT 'other', 2.5, x'01', 9223372036854775807, NULL, zeroblob(9), printf('%.3000c', 'x'), 3, .1, 'y', 5, ''
UNION ALL SELECT json('[1]'), abs(-3), avg(4), max('b', 'a'), randomblob(5), 'q', 2, 3, 4, 5, 6, 7.25
"""


@cache
def row_pointer(engine: Engine) -> int | None:
    """Return where in a statement the address of its current row is, in bytes; None if rows do not lie in memory as
    described above. Found out with rows of all kinds; None is logged.
    """
    database, statement = c.c_void_p(), c.c_void_p()
    engine.open_v2(b":memory:", c.byref(database), 0x6, None)
    try:
        probe = c.create_string_buffer(_PROBE)
        if engine.prepare_v3(database, c.cast(probe, c.c_void_p), -1, 0, c.byref(statement), None):
            raise AssertionError(f"the probe cannot be compiled: {engine.errmsg(database)}")
        handle, rows = statement.value, 0
        assert handle is not None
        offsets = set(range(0, _STATEMENT_BYTES, 8))
        while engine.step(handle) == _ROW:
            first = engine.column_value(handle, 0)
            offsets = {offset for offset in offsets if _pointer(_memory, handle + offset)[0] == first}
            rows += _cells_match(engine, handle, first)
    finally:
        engine.finalize(statement)
        engine.close_v2(database)
    if rows != _PROBE_ROWS or len(offsets) != 1:
        log.warning("this engine keeps its rows in an unknown way: reading large results will be slow")
        return None
    return offsets.pop()


def _cells_match(engine: Engine, handle: int, first: int) -> bool:
    """Compare the current row, from address `first`, with what the public functions say of it."""
    width = engine.column_count(handle)
    if any(engine.column_value(handle, i) != first + i * _STRIDE for i in range(width)):
        return False
    # Every flag that a row may have, before the public functions change some of them.
    marks = _unpacker((False,) * width)(_memory, first)[3::4]
    kinds = tuple(map(_kind, marks))
    types = [engine.column_type(handle, i) for i in range(width)]
    if any(kind not in (0, types[i]) for i, kind in enumerate(kinds)):
        return False
    known = tuple(kind or NULL for kind in kinds)
    found: list[Any] = []
    _compile(known, PLAIN)(found, marks, lambda _: _DONE, 0, c.c_size_t(first), 1, 1)
    expected = public_row(engine, handle, width)
    return all(
        not kind or (type(value) is type(wanted) and repr(value) == repr(wanted))
        for kind, value, wanted in zip(kinds, found[0], expected, strict=True)
    )
