"""The pieces that files are imported in."""

import sqlite3
from pathlib import Path

from runtime.cli.import_source import BYTES_PER_STATEMENT, ROWS_PER_STATEMENT, open_source


def test_large_rows_of_a_database_file_go_in_statements_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    source = sqlite3.connect(path)
    source.execute("CREATE TABLE t (a)")
    sizes = [10] * 3 * ROWS_PER_STATEMENT + [BYTES_PER_STATEMENT] * 3 + [BYTES_PER_STATEMENT // 2] * 4
    source.executemany("INSERT INTO t VALUES (zeroblob(?))", [(size,) for size in sizes])
    source.commit()
    source.close()
    opened = open_source(path)
    pieces = [piece for piece in opened.pieces(0, "") if piece.args]
    assert [len(piece.args) // 2 for piece in pieces] == [ROWS_PER_STATEMENT] * 3 + [1] * 3 + [2] * 2
    # One that goes on does so at the same places.
    middle = pieces[4].position
    assert [piece for piece in opened.pieces(middle, "") if piece.args] == pieces[5:]


def test_a_full_text_index_of_a_database_file_is_filled_when_what_it_is_about_is_there(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    source = sqlite3.connect(path)
    source.executescript(
        """
        CREATE TABLE t (a);
        CREATE VIRTUAL TABLE x USING fts5(a, content='v');
        CREATE VIEW v AS SELECT a FROM t;
        CREATE INDEX i ON t (a);
        INSERT INTO t VALUES ('x');
        ANALYZE;
        """
    )
    source.close()
    statements = [piece.sql or "" for piece in open_source(path).pieces(0, "")]
    fill = statements.index("""INSERT INTO "x"("x") VALUES('rebuild')""")
    assert fill > statements.index("CREATE VIEW v AS SELECT a FROM t")
    assert statements[fill + 1] == "ANALYZE sqlite_schema"
    assert "INSERT INTO sqlite_stat1 VALUES ('t', 'i', '1 1')" in statements
