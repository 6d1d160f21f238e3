"""Where statements end, compared with SQLite's own opinion; what a dump's statements are to an import."""

import sqlite3

import pytest

from runtime.cli.import_sql import Splitter

TEXTS = [
    "SELECT 1; SELECT 2;",
    "  ;; SELECT ';' ; -- a ; comment\nSELECT \"a;b\", `c;d`, [e;f] /* ; */ ;",
    "INSERT INTO t VALUES ('it''s; fine', x'3b');INSERT INTO t VALUES(1-2,3/4);",
    "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM t; END; SELECT 3;",
    "create temp trigger b after insert on t begin /* ; end; */ select ';end;'; end ; select 4;",
    "EXPLAIN CREATE TEMPORARY TRIGGER c AFTER INSERT ON t BEGIN SELECT 1; END;",
    'CREATE TABLE trigger_log (x); CREATE TABLE "trigger" (y);',
    "/* only a comment; */ -- and another\n",
    "SELECT 'ünïcode;';\r\nSELECT 1 -- no semicolon",
    "SELECT 1 - -2; SELECT '--'; SELECT '/*'; SELECT 1;",
]


def split(text: str, size: int) -> list[str]:
    data = text.encode()
    splitter = Splitter()
    found = []
    for start in range(0, len(data), size):
        found += list(splitter.feed(data[start : start + size]))
    found += list(splitter.feed(b"", last=True))
    for statement in found:
        assert data[statement.start : statement.end].rstrip() == statement.text
        assert statement.line == data[: statement.start].count(b"\n") + 1
    return [statement.text.decode() for statement in found]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_of_any_size_give_the_same_statements(text: str) -> None:
    whole = split(text, len(text) + 10)
    for size in (1, 2, 3, 7):
        assert split(text, size) == whole


@pytest.mark.parametrize("text", TEXTS)
def test_sqlite_agrees(text: str) -> None:
    for statement in split(text, 5):
        if not statement.endswith(";"):
            continue
        assert sqlite3.complete_statement(statement)
        # No shorter text up to a semicolon is a statement, or it would have been cut there.
        cuts = [i + 1 for i, character in enumerate(statement[:-1]) if character == ";"]
        assert not any(sqlite3.complete_statement(statement[:cut]) for cut in cuts)


def test_the_number_of_statements() -> None:
    assert [len(split(text, 100)) for text in TEXTS] == [2, 2, 2, 2, 2, 1, 2, 0, 2, 4]


def test_what_is_unfinished_is_known() -> None:
    splitter = Splitter()
    assert list(splitter.feed(b"SELECT 'a")) == []
    assert splitter.pending
    assert list(splitter.feed(b"';")) != []
    assert not splitter.pending
    (rest,) = splitter.feed(b" SELECT 'b", last=True)
    assert rest.text == b"SELECT 'b"
    assert splitter.unterminated


def test_it_goes_on_at_an_offset() -> None:
    (statement,) = Splitter(offset=100, line=7).feed(b"\n SELECT 1;")
    assert (statement.start, statement.end, statement.line) == (102, 111, 8)


def test_a_long_text_takes_time_in_proportion() -> None:
    text = b"INSERT INTO t VALUES (" + b"'" + b"x;" * 500_000 + b"');"
    splitter = Splitter()
    found = [one for start in range(0, len(text), 65536) for one in splitter.feed(text[start : start + 65536])]
    assert [len(one.text) for one in found] == [len(text)]
