"""Rows that are joined, and rows that must not be."""

import pytest

from runtime.cli.import_rows import MOST_ROWS, joined
from runtime.cli.import_source import Piece


def run(*statements: str) -> list[str | None]:
    pieces = [Piece(sql, (), number, f"line {number}", len(sql)) for number, sql in enumerate(statements, 1)]
    return [piece.sql for piece in joined(pieces)]


def test_rows_of_one_table_are_joined() -> None:
    assert run("INSERT INTO t VALUES (1);", "INSERT INTO t VALUES ('a;)');", "INSERT INTO u VALUES (2);") == [
        "INSERT INTO t VALUES (1),('a;)')",
        "INSERT INTO u VALUES (2);",
    ]
    named = run('INSERT INTO "t" (a, b) VALUES(1,(2));', 'INSERT INTO "t" (a, b) VALUES(3,4)')
    assert named == ['INSERT INTO "t" (a, b) VALUES(1,(2)),(3,4)']


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET n = (2);",
        "INSERT INTO t VALUES (1) RETURNING (n);",
        "INSERT INTO t VALUES (1) -- (x)\n;",
        "INSERT INTO t VALUES (1 /* ) */);",
        "INSERT INTO t SELECT * FROM (VALUES (1));",
        "INSERT INTO t DEFAULT VALUES;",
        "UPDATE t SET n = (1);",
    ],
)
def test_anything_else_is_left_as_it_is(statement: str) -> None:
    assert run(statement, statement) == [statement, statement]


def test_a_joined_statement_stands_for_its_pieces() -> None:
    pieces = [Piece("INSERT INTO t VALUES (1)", (), number, f"line {number}", 9) for number in range(MOST_ROWS + 5)]
    first, second = joined(pieces)
    assert (first.place, first.position) == ("line 0", MOST_ROWS - 1)
    assert (second.place, second.position) == (f"line {MOST_ROWS}", MOST_ROWS + 4)


def test_values_with_arguments_are_not_touched() -> None:
    pieces = [Piece("INSERT INTO t VALUES (?)", [1], number, "", 9) for number in range(2)]
    assert joined(pieces) == pieces
