"""Rows read from the engine's memory are those that SQLite's public functions tell of."""

import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataplane import cells, protobuf_answers
from dataplane.connection import MAX_COLUMNS, Connection
from dataplane.engine import load
from dataplane.formats import JSON, LEGACY, PROTOBUF, Format
from dataplane.protobuf import message

VALUES: list[cells.Value] = [
    *(0, 1, -1, 127, 1 << 40, (1 << 63) - 1, -(1 << 63)),
    *(0.0, -0.0, 1.5, 1e308, 5e-324, float("inf"), float("-inf"), 0.1),
    *("", "text", "a\0b", "ü€😀", "x" * 5000, '"quoted\\"\n'),
    *(b"", b"\x00\xff", b"z" * 70_000),
    None,
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    opened = Connection(tmp_path / "data.db")
    yield opened
    opened.close()


def run(connection: Connection, sql: str, *values: cells.Value) -> None:
    statement = connection.statements.prepare(sql)
    statement.bind(values)
    statement.step()
    statement.reset()


def read(connection: Connection, sql: str, form: cells.Form) -> list[tuple[Any, ...]]:
    """Read all rows from memory."""
    statement = connection.statements.prepare(sql)
    rows: list[tuple[Any, ...]] = []
    more = statement.step()
    while more:
        more = statement.fill(rows, form)
    statement.reset()
    return rows


def read_publicly(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    statement = connection.statements.prepare(sql)
    rows = []
    while statement.step():
        rows.append(tuple(statement.row(statement.width)))
    statement.reset()
    return rows


def store(connection: Connection, table: list[list[cells.Value]]) -> str:
    """Make a table; return the query that reads it."""
    names = ", ".join(f"c{i}" for i in range(len(table[0])))
    run(connection, f"CREATE TABLE t ({names})")
    run(connection, "BEGIN")
    for row in table:
        run(connection, f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", *row)
    run(connection, "COMMIT")
    return f"SELECT {names} FROM t ORDER BY rowid"


def test_the_layout_of_the_pinned_engine_is_known() -> None:
    assert cells.row_pointer(load()) is not None


def test_values_of_every_type_in_every_column(connection: Connection) -> None:
    chance = random.Random(3)
    query = store(connection, [[chance.choice(VALUES) for _ in range(5)] for _ in range(400)])
    expected = read_publicly(connection, query)
    assert repr(read(connection, query, cells.PLAIN)) == repr(expected)
    sorted_query = query.replace("rowid", "c1, c3 DESC, rowid")
    assert repr(read(connection, sorted_query, cells.PLAIN)) == repr(read_publicly(connection, sorted_query))


@pytest.mark.parametrize("form", [JSON, PROTOBUF], ids=["json", "protobuf"])
def test_rows_are_encoded_as_their_values_are_one_by_one(connection: Connection, form: Format) -> None:
    chance = random.Random(4)
    query = store(connection, [[chance.choice(VALUES) for _ in range(3)] for _ in range(200)])
    rows = read(connection, query, form.form)
    values = read_publicly(connection, query)
    one_by_one = [tuple(map(form.form.of, row)) for row in values]
    assert form.block(rows) == form.block(one_by_one)
    if form is PROTOBUF:
        assert rows[0] == tuple(message(1, protobuf_answers.encode_value(v)) for v in values[0])
    else:
        assert json.loads(form.block(rows))[0][0]["type"] in ("integer", "float", "text", "blob", "null")


def test_text_that_is_not_utf_8_is_repaired(connection: Connection) -> None:
    query = "SELECT CAST(x'61ff62' AS TEXT)"
    assert read(connection, query, cells.PLAIN) == [("a\ufffdb",)]
    assert JSON.block(read(connection, query, JSON.form)) == '[[{"type":"text","value":"a\ufffdb"}]]'.encode()
    assert PROTOBUF.block(read(connection, query, PROTOBUF.form)).endswith("a\ufffdb".encode())
    assert LEGACY.block(read(connection, query, LEGACY.form)) == '[["a\ufffdb"]]'.encode()


def test_what_is_unusual_is_read_publicly(connection: Connection) -> None:
    assert read(connection, "SELECT zeroblob(3), 1, zeroblob(0)", cells.PLAIN) == [(b"\0\0\0", 1, b"")]
    wide = "SELECT " + ", ".join(f"{i}" for i in range(MAX_COLUMNS))
    assert read(connection, wide, cells.PLAIN) == [tuple(range(MAX_COLUMNS))]
    wire = read(connection, "SELECT zeroblob(3), 1.5", JSON.form)
    assert JSON.block(wire) == b'[[{"type":"blob","base64":"AAAA"},{"type":"float","value":1.5}]]'


def test_a_database_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "wide.db"
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA encoding = 'UTF-16'")
        made.execute("CREATE TABLE t AS SELECT 'grün' AS a, 1 AS b")
    made.close()
    connection = Connection(path)
    assert read(connection, "SELECT a, b, a || b FROM t", cells.PLAIN) == [("grün", 1, "grün1")]
    connection.close()


def test_columns_whose_types_vary_without_end_stay_bounded(connection: Connection) -> None:
    chance = random.Random(5)
    kinds: list[cells.Value] = [1, 1.5, "t", None]
    query = store(connection, [[chance.choice(kinds) for _ in range(12)] for _ in range(300)])
    before = len(cells._compiled)
    assert read(connection, query, cells.PLAIN) == read_publicly(connection, query)
    assert len(cells._compiled) - before <= cells._MOST_SHAPES


def test_large_values_end_a_block_early(connection: Connection) -> None:
    store(connection, [[b"x" * 100_000] for _ in range(10)])
    statement = connection.statements.prepare("SELECT c0 FROM t")
    rows: list[Any] = []
    assert statement.step()
    assert statement.fill(rows, cells.PLAIN)
    assert (len(rows), statement.filled) == (1, 100_000)
    statement.reset()


def test_a_changed_table_gives_the_statement_its_new_columns(connection: Connection) -> None:
    store(connection, [[1, "a"]])
    assert read(connection, "SELECT * FROM t", cells.PLAIN) == [(1, "a")]
    run(connection, "ALTER TABLE t ADD COLUMN c2 DEFAULT 2.5")
    assert read(connection, "SELECT * FROM t", cells.PLAIN) == [(1, "a", 2.5)]
