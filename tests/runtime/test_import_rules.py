"""What an import makes of a dump's statements about virtual tables."""

from runtime.cli.import_rules import Decision, Rules
from runtime.cli.import_sql import Statement

INDEX = "CREATE VIRTUAL TABLE x USING fts5(text, content='docs')"
CONTENTLESS = "CREATE VIRTUAL TABLE c USING fts5(text, content='')"
PLACES = "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)"


def decide(rules: Rules, sql: str) -> Decision:
    return rules.decide(Statement(sql.encode(), 0, len(sql), 1))


def test_an_index_over_another_table_is_filled_at_the_end() -> None:
    rules = Rules()
    assert decide(rules, INDEX).fate == "run"
    assert rules.fills() == []  # a dump that is no copy of inner tables says itself how it is filled
    assert decide(rules, "INSERT INTO x_data VALUES(1,x'00');").fate == "internal"
    assert rules.fills() == ["""INSERT INTO "x"("x") VALUES('rebuild')"""]
    # An import that goes on knows as much.
    assert Rules(rules.memory()).fills() == rules.fills()


def test_rows_in_an_inner_form_are_counted() -> None:
    rules = Rules()
    for sql in (CONTENTLESS, PLACES):
        decide(rules, sql)
    rules = Rules(rules.memory())
    fates = {
        sql: decide(rules, sql).fate
        for sql in (
            "INSERT INTO r_node VALUES(1,x'0000');",
            "INSERT INTO r_rowid VALUES(7,1);",
            "CREATE TABLE IF NOT EXISTS 'r_rowid'(rowid INTEGER PRIMARY KEY, nodeno);",
            "INSERT INTO c_data VALUES(1,x'00');",
            "INSERT INTO c_docsize VALUES(1,x'01');",
            "INSERT INTO other_rowid VALUES(1);",
        )
    }
    assert list(fates.values()) == ["internal", "unreadable", "internal", "internal", "unreadable", "run"]
    assert rules.fills() == []
