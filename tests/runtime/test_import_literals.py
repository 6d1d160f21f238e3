"""Large literals that become parameters."""

import sqlite3
from collections.abc import Sequence

import pytest

from runtime.cli.import_literals import LARGE, bound

TEXT = 'it\'s; "x" -- [?] ' * (LARGE // 8)
BLOB = bytes(range(256)) * (LARGE // 256)
QUOTED = "'" + TEXT.replace("'", "''") + "'"


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (f"INSERT INTO t VALUES(1,{QUOTED},X'{BLOB.hex()}')", [TEXT, BLOB]),
        (f"REPLACE INTO \"t\" VALUES('?',CAST(x'{BLOB.hex()}' AS TEXT),'it''s') -- '", [BLOB]),
        (f"insert into t /* '{'x' * LARGE}' */ values(2,'short',{QUOTED})", [TEXT]),
        (f"UPDATE t SET b = {QUOTED}, c = replace({QUOTED},'x','y')", [TEXT, TEXT]),
        (f"INSERT INTO t(a, b) VALUES(3,'{'x' * (LARGE - 3)}')", []),
    ],
    ids=["insert", "replace", "comment", "update", "small"],
)
def test_a_statement_with_values_apart_does_the_same(sql: str, values: list[object]) -> None:
    apart, found = bound(sql)
    assert found == values

    def result(text: str, arguments: Sequence[object]) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE t (a, b TEXT, c)")
        connection.execute("INSERT INTO t VALUES (0, 'x', 'x')")
        connection.text_factory = bytes
        connection.execute(text, tuple(arguments))
        rows = connection.execute("SELECT a, typeof(b), b, typeof(c), c FROM t").fetchall()
        connection.close()
        return rows

    assert result(apart, found) == result(sql, [])


def test_other_statements_stay_as_they_are() -> None:
    for sql in (f"CREATE VIEW v AS SELECT {QUOTED}", f"INSERT INTO t VALUES(x'{'0' * (LARGE + 1)}')"):
        assert bound(sql) == (sql, [])
