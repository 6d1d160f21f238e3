"""`brrrd databases shell`, `dump`, `import`, `backup`, `restore` with a whole node."""

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.errors import CommandError
from runtime.cli.hrana import Remote
from runtime.cli.import_load import CHUNK_PIECES, Load
from runtime.cli.import_source import open_source
from tests.node_server import BRRRD, Node, eventually


def shell(node: Node, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(BRRRD), "databases", "shell", *arguments],
        env=environment(node),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def environment(node: Node) -> dict[str, str]:
    return node.env | {"BRRRD_API": node.control_url, "BRRRD_OPERATOR_TOKEN": node.token}


def values(node: Node, database: dict[str, Any], sql: str) -> list[list[Any]]:
    (result,) = node.sql(database, sql)
    return [[value.get("value", value.get("base64")) for value in row] for row in result["rows"]]


# Shell


def test_the_shell_runs_standard_input_on_one_stream(node: Node) -> None:
    node.create_database("sh-stdin")
    text = """
CREATE TABLE t (n INTEGER,
  s TEXT); -- a comment; with a semicolon
BEGIN;
INSERT INTO t VALUES (1, 'one;'), (2, NULL);
COMMIT;
.mode csv
SELECT * FROM t ORDER BY n;
.tables
.schema t
CREATE VIEW v AS SELECT n FROM t -- of t
;
.schema v
SELECT 'no semicolon at the end'"""
    assert shell(node, "sh-stdin", stdin=text).stdout == (
        "n,s\n1,one;\n2,\nt\nCREATE TABLE t (n INTEGER,\n  s TEXT);\nCREATE VIEW v AS SELECT n FROM t -- of t\n;\n"
        "'no semicolon at the end'\nno semicolon at the end\n"
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("table", " n  s     b\n--  ----  -------\n-1  a\\nb  x'00ff'\n"),
        ("csv", "n,s,b\n-1,\"a\nb\",x'00ff'\n"),
        ("json", '[\n{"n": -1, "s": "a\\nb", "b": {"base64": "AP8="}}\n]\n'),
        ("line", "n = -1\ns = a\\nb\nb = x'00ff'\n"),
    ],
)
def test_modes(node: Node, mode: str, expected: str) -> None:
    node.create_database("sh-modes")
    sql = "SELECT -1 AS n, 'a' || char(10) || 'b' AS s, x'00ff' AS b"
    assert shell(node, "sh-modes", "--mode", mode, "-c", sql).stdout == expected


def test_an_error_has_its_line_and_ends_the_shell_with_status_1(node: Node) -> None:
    database = node.create_database("sh-error")
    text = ".timer off\nCREATE TABLE t (n);\nINSERT INTO t VALUES (1);\nSELEC 1;\nINSERT INTO t VALUES (2);\n"
    done = shell(node, "sh-error", stdin=text, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("brrrd: line 4: ")
    assert values(node, database, "SELECT n FROM t") == [["1"]]


def test_an_error_says_which_statement_of_its_line_it_is(node: Node) -> None:
    node.create_database("sh-line")
    for text, place in (("SELEC 1", "line 1: "), ("SELECT 1; SELECT 2; SELEC 3;", "line 1, statement 3: ")):
        done = shell(node, "sh-line", stdin=text, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(f"brrrd: {place}"), done.stderr
    done = shell(node, "sh-line", "SELECT 1; SELEC 2", check=False)
    assert done.stderr.startswith("brrrd: line 1, statement 2: ")


def test_what_is_wrong_with_a_line_is_told_by_its_number_and_other_things_are_not(node: Node) -> None:
    created = node.create_database("sh-places")
    script = [str(BRRRD), "databases", "shell", "sh-places"]
    latin = subprocess.run(
        script, env=environment(node), input=b"SELECT 1;\nSELECT '\xff';", capture_output=True, timeout=60, check=False
    )
    assert (latin.returncode, latin.stderr) == (1, b"brrrd: line 2: the text is not UTF-8\n")
    for line, answer in (
        (".mode xml", ".mode is followed by table, csv, json or line."),
        (".timer", ".timer is followed by on or off."),
    ):
        assert shell(node, "sh-places", stdin=line, check=False).stderr == f"brrrd: {answer}\n"
    refused = shell(node, "--url", created["database_url"], "--db-token", "x", "SELECT 1", check=False)
    assert refused.stderr == "brrrd: The token is missing or not valid for this database\n"


def test_infinite_numbers_are_shown(node: Node) -> None:
    node.create_database("sh-infinite")
    select = ("sh-infinite", "SELECT 9e999 AS a, -9e999 AS b, 1.5 AS c")
    assert shell(node, *select, "--mode", "csv").stdout == "a,b,c\nInf,-Inf,1.5\n"
    assert json.loads(shell(node, *select, "--json").stdout) == [{"a": float("inf"), "b": float("-inf"), "c": 1.5}]


def test_statements_may_be_arguments(node: Node) -> None:
    database = node.create_database("sh-arguments")
    arguments = ("SELECT 1 AS n", ".mode line", "-c", "SELECT 2 AS n", "-c", ".quit", "-c", "SELECT 3")
    assert shell(node, "sh-arguments", "--mode", "csv", *arguments).stdout == "n\n1\nn = 2\n"
    address = ("--url", database["database_url"], "--db-token", database["database_token"])
    assert shell(node, *address, "--mode", "csv", "SELECT 1 AS n; SELECT 2 AS n").stdout == "n\n1\nn\n2\n"


def test_a_million_rows_are_printed_as_they_arrive(node: Node) -> None:
    node.create_database("sh-rows")
    sql = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c"
    process = subprocess.Popen(
        [str(BRRRD), "databases", "shell", "sh-rows", "--mode", "csv", "-c", sql],
        env=environment(node), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    # Without an end: the rows have to come before the result is complete.
    assert [process.stdout.readline() for _ in range(1000)][-1] == b"999\n"
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_read_only_and_a_remote_address(node: Node) -> None:
    database = node.create_database("sh-remote")
    node.sql(database, "CREATE TABLE t (n)")
    refused = shell(node, "sh-remote", "--read-only", "-c", "INSERT INTO t VALUES (1)", check=False)
    assert refused.returncode == 1
    address = ("--url", database["database_url"], "--db-token", database["database_token"])
    assert shell(node, *address, "--mode", "csv", "-c", "SELECT count(*) FROM t").stdout == "count(*)\n0\n"
    wrong = shell(node, "--url", database["database_url"], "--db-token", "x", "-c", "SELECT 1", check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("brrrd: ")


class Terminal:
    """The shell at a pseudo-terminal."""

    def __init__(self, node: Node, *arguments: str) -> None:
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            [str(BRRRD), "databases", "shell", *arguments],
            env=environment(node) | {"TERM": "dumb"},
            stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(follower)
        self.seen = ""

    def expect(self, pattern: str) -> str:
        """Read until the new output matches; return it."""
        deadline = time.monotonic() + 30
        while not re.search(pattern, self.seen):
            readable, _, _ = select.select([self.leader], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"no {pattern!r} in {self.seen!r}"
            self.seen += os.read(self.leader, 65536).decode("utf-8", "replace")
        seen, self.seen = self.seen.replace("\r\n", "\n"), ""
        return seen

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode("utf-8", "surrogateescape"))

    def interrupt(self, pattern: str) -> str:
        """Press Ctrl-C until the new output matches; return it.

        As a user would: Python sees a signal that comes just before it begins to wait only with the next one.
        """
        for _ in range(10):
            self.type("\x03")
            deadline = time.monotonic() + 3
            while not re.search(pattern, self.seen) and (left := deadline - time.monotonic()) > 0:
                if select.select([self.leader], [], [], left)[0]:
                    self.seen += os.read(self.leader, 65536).decode("utf-8", "replace")
            if re.search(pattern, self.seen):
                break
        return self.expect(pattern)

    def end(self) -> int:
        try:
            while os.read(self.leader, 65536):
                pass
        except OSError:
            pass  # the other side is closed
        os.close(self.leader)
        return self.process.wait(20)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_at_a_terminal(node: Node) -> None:
    node.create_database("sh-tty")
    terminal = Terminal(node, "sh-tty")
    terminal.expect(r"sh-tty> $")
    terminal.type("CREATE TABLE t (n\n")
    terminal.expect(r"\.\.\.> $")
    terminal.type(");\n")
    terminal.expect(r"sh-tty> $")
    terminal.type("BEGIN;\n")
    terminal.expect(r"sh-tty\*> $")
    terminal.type("INSERT INTO t VALUES (1), (2);\n")
    assert "2 rows changed." in terminal.expect(r"sh-tty\*> $")
    terminal.type("SELEC;\n")
    assert "Error: " in terminal.expect(r"sh-tty\*> $")
    terminal.type("COMMIT;\n")
    terminal.expect(r"sh-tty> $")
    terminal.type(".timer on\n")
    terminal.expect(r"sh-tty> $")
    terminal.type("SELECT n FROM t;\n")
    assert re.search(r"2 rows in [\d.]+ ms, [\d.]+ ms of it in the database", terminal.expect(r"sh-tty> $"))
    # Ctrl-C ends a statement that would run on, and the shell goes on.
    terminal.type("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i FROM c) SELECT count(*) FROM c;\n")
    terminal.expect("count")
    time.sleep(0.5)  # for the statement to be under way
    terminal.interrupt(r"sh-tty> $")
    # One that was in a transaction takes it along, and the shell says so.
    terminal.type("BEGIN; INSERT INTO t VALUES (3);\n")
    terminal.expect(r"sh-tty\*> $")
    terminal.type("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i FROM c) SELECT count(*) FROM c;\n")
    terminal.expect("count")
    time.sleep(0.5)
    assert "The open transaction was rolled back." in terminal.interrupt(r"sh-tty> $")
    terminal.type(".nonsense\n")
    assert ".help" in terminal.expect(r"sh-tty> $")
    terminal.type(".quit\n")
    assert terminal.end() == 0
    history = Path(node.env["XDG_STATE_HOME"]) / "brrrd" / "shell_history"
    assert "SELECT n FROM t;" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_terminal_does_not_obey_what_is_in_a_database(node: Node) -> None:
    created = node.create_database("sh-escapes")
    node.sql(
        created,
        'CREATE TABLE "a\x1b[5m" (x CONSTRAINT "c\x1b[5m" CHECK (x <> 0))',
        'INSERT INTO "a\x1b[5m" VALUES (char(27, 91, 53, 109, 155, 8238))',
    )
    terminal = Terminal(node, "sh-escapes")
    terminal.expect("sh-escapes> $")
    seen = ""
    for mode in ("json", "csv", "line", "table"):
        terminal.type(f".mode {mode}\n")
        terminal.expect("sh-escapes> $")
        terminal.type('SELECT x FROM "a' + "\x16\x1b[5m" + '";\n')
        seen += terminal.expect(r"x9b[^>]*sh-escapes> $")
    for command, end in (
        (".tables", "5m"),
        (".schema", r"0\)\);"),
        ('INSERT INTO "a\x16\x1b[5m" VALUES (0);', "Error: .*"),
    ):
        terminal.type(f"{command}\n")
        seen += terminal.expect(rf"{end}\s+sh-escapes> $")
    assert not set(seen) & {"\x1b", "\x9b", "\u202e"}
    assert r"\x1b[5m" in seen
    terminal.type("SELECT '\udcff';\n")
    assert "Error: the text is not UTF-8" in terminal.expect(r"8\s+sh-escapes> $")
    terminal.type(".quit\n")
    assert terminal.end() == 0


def test_a_shell_goes_on_after_a_rotation_and_a_suspension(node: Node) -> None:
    created = node.create_database("sh-changed")
    path = f"/v1/databases/{created['database_id']}"
    terminal = Terminal(node, "sh-changed")
    terminal.expect("sh-changed> $")

    def run(sql: str, prompt: str = "sh-changed> $") -> str:
        terminal.type(f"{sql}\n")
        return terminal.expect(rf";(.*\n)+{prompt}")

    node.control("POST", f"{path}/token/rotate", json={})
    assert "4\n-\n4\n" in run("SELECT 4;")
    run("BEGIN;", r"sh-changed\*> $")
    node.control("POST", f"{path}/token/rotate", json={})
    assert "The open transaction was rolled back." in run("SELECT 5;")
    run("SELECT 6;")
    node.control("POST", f"{path}/suspend", json={"reason": "unpaid"})
    assert "Error: The database is suspended: unpaid" in run("SELECT 7;")
    node.control("POST", f"{path}/resume", json={})
    assert "8\n-\n8\n" in run("SELECT 8;")
    terminal.type(".quit\n")
    assert terminal.end() == 0


def test_output_without_room_is_told_in_a_sentence(node: Node) -> None:
    node.create_database("sh-full")
    for command in (["shell", "sh-full", "SELECT 1"], ["dump", "sh-full"], ["list"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [str(BRRRD), "databases", *command],
                env=environment(node), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
            )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, "brrrd: cannot write: No space left on device\n")


# Dump and import


def test_a_dump_is_imported_into_another_database(node: Node, tmp_path: Path) -> None:
    source, target = node.create_database("dump-source"), node.create_database("dump-target")
    node.sql(
        source,
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT, y REAL, z BLOB)",
        "INSERT INTO a (x, y, z) VALUES ('it''s; -- \"x\"', 0.30000000000000004, x'00ff'), (NULL, 9e999, x'')",
        "CREATE TABLE b (a REFERENCES a)",
        "INSERT INTO b VALUES (1)",
        "CREATE TRIGGER tr AFTER INSERT ON a BEGIN INSERT INTO b VALUES (new.id); SELECT ';'; END",
        "CREATE VIRTUAL TABLE f USING fts5(t)",
        "INSERT INTO f VALUES ('green tea')",
        "CREATE TABLE v (id INTEGER PRIMARY KEY, e F32_BLOB(2))",
        "CREATE INDEX ve ON v (libsql_vector_idx(e))",
        "INSERT INTO v VALUES (5, vector('[1,0]'))",
    )
    file = tmp_path / "dump.sql"
    node.cli("databases", "dump", "dump-source", str(file))
    assert node.cli("databases", "dump", "dump-source").stdout == file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    node.cli("databases", "import", "dump-target", str(file))
    for sql in (
        "SELECT * FROM a", "SELECT * FROM b", "SELECT seq FROM sqlite_sequence",
        "SELECT rowid FROM f WHERE f MATCH 'tea'", "SELECT id FROM vector_top_k('ve', vector('[1,0]'), 1)",
    ):  # fmt: skip
        assert values(node, target, sql) == values(node, source, sql)
    assert node.cli("databases", "dump", "dump-target").stdout == file.read_text()


D1_EXPORT = """PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE d1_migrations(
\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,
\t\tname       TEXT UNIQUE,
\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
);
INSERT INTO "d1_migrations" VALUES(1,'0001_init.sql','2024-01-01 00:00:00');
CREATE TABLE IF NOT EXISTS "orders" (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id), note TEXT);
INSERT INTO "orders" VALUES(1,7,'first; second');
INSERT INTO "orders" VALUES(2,8,replace('a\\nb','\\n',char(10)));
CREATE TABLE customers (id INTEGER PRIMARY KEY);
INSERT INTO customers VALUES(7);
CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
INSERT INTO _cf_KV VALUES('x',x'00');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('d1_migrations',1);
ATTACH 'other.db' AS other;
SELECT load_extension('x');
CREATE INDEX orders_customer ON orders (customer);
"""


def test_one_statement_is_counted_as_one(node: Node, tmp_path: Path) -> None:
    node.create_database("single")
    (tmp_path / "one.sql").write_text("CREATE TABLE t (a);")
    assert "into single: 1 statement.\n" in node.cli("databases", "import", "single", str(tmp_path / "one.sql")).stdout


def test_a_d1_export_with_what_is_left_out_counted(node: Node, tmp_path: Path) -> None:
    database = node.create_database("d1")
    (tmp_path / "d1.sql").write_text(D1_EXPORT)
    result = node.cli_json("databases", "import", "d1", str(tmp_path / "d1.sql"))
    assert result["left_out"] == {"pragma": 1, "internal": 2, "refused": 2}
    assert result["foreign_key_violations"] == 1
    assert values(node, database, "SELECT id, customer FROM orders") == [["1", "7"], ["2", "8"]]
    assert values(node, database, "SELECT * FROM sqlite_sequence") == [["d1_migrations", "1"]]
    assert values(node, database, "SELECT name FROM sqlite_schema WHERE name LIKE '\\_%' ESCAPE '\\'") == []


def test_sqlite_dump_with_full_text_search(node: Node, tmp_path: Path) -> None:
    """As `sqlite3 .dump` writes virtual tables: into the schema table, rows into the inner tables."""
    database = node.create_database("fts-dump")
    (tmp_path / "fts.sql").write_text(
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nPRAGMA writable_schema=ON;\n"
        "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)"
        "VALUES('table','f','f',0,'CREATE VIRTUAL TABLE f USING fts5(title, body)');\n"
        "CREATE TABLE IF NOT EXISTS 'f_data'(id INTEGER PRIMARY KEY, block BLOB);\n"
        "INSERT INTO f_data VALUES(1,X'0204');\n"
        "CREATE TABLE IF NOT EXISTS 'f_content'(id INTEGER PRIMARY KEY, c0, c1);\n"
        "INSERT INTO f_content VALUES(4,'tea','green leaves');\n"
        "CREATE TABLE IF NOT EXISTS 'f_config'(k PRIMARY KEY, v) WITHOUT ROWID;\n"
        "INSERT INTO f_config VALUES('version',4);\n"
        "CREATE TABLE docs (text);\nINSERT INTO docs VALUES ('black coffee');\n"
        "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)"
        "VALUES('table','x','x',0,'CREATE VIRTUAL TABLE x USING fts5(text, content=''docs'')');\n"
        "CREATE TABLE IF NOT EXISTS 'x_data'(id INTEGER PRIMARY KEY, block BLOB);\n"
        "INSERT INTO x_data VALUES(1,X'0102');\nPRAGMA writable_schema=OFF;\nCOMMIT;\n"
    )
    node.cli("databases", "import", "fts-dump", str(tmp_path / "fts.sql"))
    assert values(node, database, "SELECT rowid, title FROM f WHERE f MATCH 'leaves'") == [["4", "tea"]]
    assert values(node, database, "SELECT rowid FROM x WHERE x MATCH 'coffee'") == [["1"]]


def test_a_database_file_is_imported_exactly(node: Node, tmp_path: Path) -> None:
    database = node.create_database("from-file")
    path = tmp_path / "source.db"
    source = sqlite3.connect(path)
    source.executescript(
        """
        CREATE TABLE plain (a, b TEXT, c REAL);
        CREATE TABLE keyed (id INTEGER PRIMARY KEY AUTOINCREMENT, twice AS (id * 2) STORED, x);
        CREATE TABLE "odd name" (k PRIMARY KEY, v) WITHOUT ROWID;
        CREATE TRIGGER tr AFTER INSERT ON keyed BEGIN DELETE FROM plain; END;
        CREATE VIEW vw AS SELECT a FROM plain;
        CREATE UNIQUE INDEX ix ON plain (a);
        PRAGMA user_version = 3;
        """
    )
    rows: list[tuple[Any, ...]] = [(number, f"text {number}", number / 7) for number in range(1000)]
    source.executemany("INSERT INTO plain (rowid, a, b, c) VALUES (?1 * 10 + 5, ?1, ?2, ?3)", rows)
    source.execute("INSERT INTO plain VALUES (-1, CAST(x'ff41' AS TEXT), 9e999)")
    source.execute("INSERT INTO plain VALUES (-2, 'nul' || char(0) || 'end', 5e-324)")
    source.execute("INSERT INTO plain VALUES (-3, x'', -9223372036854775808)")
    source.execute("""INSERT INTO "odd name" VALUES ('k', x'00ff')""")
    source.commit()
    source.execute("DROP TRIGGER tr")
    source.execute("INSERT INTO keyed (id, x) VALUES (9, 'x')")
    source.execute("CREATE TRIGGER tr AFTER INSERT ON keyed BEGIN DELETE FROM plain; END")
    source.commit()
    source.close()
    result = node.cli_json("databases", "import", "from-file", str(path))
    assert result["left_out"] == {}
    backup = tmp_path / "backup.db"
    node.cli("databases", "backup", "from-file", "--output", str(backup))
    ours, theirs = sqlite3.connect(backup), sqlite3.connect(path)
    for connection in (ours, theirs):
        connection.text_factory = bytes
    for sql in (
        "SELECT rowid, a, typeof(b), b, typeof(c), c FROM plain ORDER BY rowid",
        "SELECT * FROM keyed",
        'SELECT * FROM "odd name"',
        "SELECT name, seq FROM sqlite_sequence",
        "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name",
        "PRAGMA user_version",
    ):
        assert ours.execute(sql).fetchall() == theirs.execute(sql).fetchall()
    ours.close()
    theirs.close()
    assert values(node, database, "SELECT count(*) FROM plain") == [["1003"]]


def test_an_error_names_the_line_and_a_repaired_file_goes_on(node: Node, tmp_path: Path) -> None:
    database = node.create_database("repaired")
    file = tmp_path / "big.sql"
    good = ["CREATE TABLE t (n INTEGER PRIMARY KEY);"] + [f"INSERT INTO t VALUES ({n});" for n in range(5000)]
    file.write_text("\n".join([*good, "INSERT INTO t VALUES (1);", "INSERT INTO t VALUES (9999);"]))
    failed = node.cli("databases", "import", "repaired", str(file), check=False)
    assert failed.returncode == 1
    assert f"{file}:5002: " in failed.stderr
    assert "UNIQUE" in failed.stderr
    other = tmp_path / "other.sql"
    other.write_text("SELECT 1;")
    assert "unfinished import of big.sql" in node.cli("databases", "import", "repaired", str(other), check=False).stderr
    file.write_text("\n".join([*good, "INSERT INTO t VALUES (9999);"]))
    result = node.cli_json("databases", "import", "repaired", str(file))
    assert result["resumed_at"] > 0
    assert result["statements"] < 5000
    assert values(node, database, "SELECT count(*), max(n) FROM t") == [["5001", "9999"]]
    assert values(node, database, "SELECT name FROM sqlite_schema") == [["t"]]


def test_an_import_survives_kills_of_the_database_worker_and_of_itself(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_node("--workers", "1", "--database-workers", "1")
    database = node.create_database("killed")
    file = tmp_path / "big.sql"
    count = 60_000
    with file.open("w") as sql:
        sql.write("CREATE TABLE t (n INTEGER, s TEXT);\n")
        sql.writelines(f"INSERT INTO t VALUES ({n}, 'some text of row {n}');\n" for n in range(count))
    arguments = [str(BRRRD), "databases", "import", "killed", str(file)]

    def position() -> int:
        try:
            return int(values(node, database, "SELECT position FROM _brrrd_import")[0][0])
        except (AssertionError, IndexError):
            return 0

    first = subprocess.Popen(arguments, env=environment(node), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    eventually(30, lambda: position() > 200_000)
    for process in node.processes("database"):
        process.kill()
    before = 0

    def moved() -> bool:
        nonlocal before
        before = before or position()
        return position() > before > 0

    eventually(30, moved)
    first.kill()
    first.wait()
    second = subprocess.run([*arguments, "--json"], env=environment(node), capture_output=True, text=True, timeout=100)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["resumed_at"] > 0
    assert values(node, database, "SELECT count(*), count(DISTINCT n) FROM t") == [[str(count), str(count)]]


def test_large_values_go_out_and_in_again(node: Node, tmp_path: Path) -> None:
    source, target = node.create_database("large-out"), node.create_database("large-in")
    node.sql(
        source,
        "CREATE TABLE t (a, b)",
        "INSERT INTO t SELECT randomblob(10000000), replace(printf('%.*c', 9000000, 'x'), 'xx', 'x?') || char(39, 10)",
        *["INSERT INTO t VALUES (randomblob(1000000), NULL)"] * 40,
    )
    file = tmp_path / "large.sql"
    node.cli("databases", "dump", "large-out", str(file))
    node.cli("databases", "import", "large-in", str(file))
    again = tmp_path / "again.sql"
    node.cli("databases", "dump", "large-in", str(again))
    assert again.read_bytes() == file.read_bytes()
    assert values(node, target, "SELECT count(*) FROM t") == [["41"]]


class Stopped(Exception):
    """An import ends here, as if it were killed."""


@pytest.mark.parametrize("chunks", [1, 2, 4])
def test_the_same_import_twice_at_once_runs_nothing_twice(node: Node, tmp_path: Path, chunks: int) -> None:
    created = node.create_database(f"twice-{chunks}")
    node.sql(created, "CREATE TABLE t (n)")
    file = tmp_path / "rows.sql"
    file.write_text("".join(f"INSERT INTO t VALUES ({number});\n" for number in range(4 * CHUNK_PIECES)))
    left = chunks

    def stop(_: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Stopped

    def meanwhile(_: int) -> None:
        if left:
            with suppress(Stopped):
                Load(remote, open_source(file), stop).run()

    with Remote(created["database_url"], lambda _: created["database_token"]) as remote:
        if chunks == 1:
            # What the other one has run is what this one would: it goes on after it.
            Load(remote, open_source(file), meanwhile).run()
        else:
            with pytest.raises(CommandError, match="is under way" if chunks < 3 else "has ended"):
                Load(remote, open_source(file), meanwhile).run()
            if chunks < 3:
                Load(remote, open_source(file), lambda _: None).run()
    assert values(node, created, "SELECT count(*), count(DISTINCT n) FROM t") == [[str(4 * CHUNK_PIECES)] * 2]


def test_an_import_that_is_interrupted_says_how_to_go_on(node: Node, tmp_path: Path) -> None:
    database = node.create_database("interrupted")
    file = tmp_path / "big.sql"
    file.write_text("CREATE TABLE t (n);\n" + "INSERT INTO t VALUES (zeroblob(1000));\n" * 100_000)
    arguments = [str(BRRRD), "databases", "import", "interrupted", str(file)]
    running = subprocess.Popen(arguments, env=environment(node), stderr=subprocess.PIPE, text=True)
    eventually(30, lambda: bool(values(node, database, "SELECT 1 FROM sqlite_schema WHERE name = '_brrrd_import'")))
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert (running.returncode, said.strip()) == (130, "Stopped. The same command goes on where it was.")
    assert node.cli_json("databases", "import", "interrupted", str(file))["resumed_at"] > 0
    assert values(node, database, "SELECT count(*) FROM t") == [["100000"]]


def test_files_that_cannot_be_imported_are_named(node: Node, tmp_path: Path) -> None:
    node.create_database("bad-files")

    def attempt(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        done = node.cli("databases", "import", "bad-files", str(tmp_path / name), check=False)
        assert done.returncode == 1
        return done.stderr

    assert "cannot be read" in node.cli("databases", "import", "bad-files", "/nonexistent.sql", check=False).stderr
    assert "ends within a statement" in attempt("open.sql", b"SELECT 1;\nINSERT INTO t VALUES ('x")
    assert "not UTF-8" in attempt("latin.sql", b"SELECT '\xff';")
    assert "UTF-16" in attempt("utf16.sql", "SELECT 1;".encode("utf-16"))
    assert "ROLLBACK" in attempt("rolled.sql", b"BEGIN;\nROLLBACK; -- due to errors\n")
    assert "cannot be read" in attempt("torn.db", b"SQLite format 3\0" + b"\xff" * 5000)
    pipe = subprocess.run(
        [str(BRRRD), "databases", "import", "bad-files", "/dev/stdin"],
        env=environment(node), input="SELECT 1;", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (pipe.returncode, pipe.stderr[:31]) == (1, "brrrd: /dev/stdin is no file: a")


# Backup and restore


def test_backup_and_restore(node: Node, tmp_path: Path) -> None:
    database = node.create_database("bk")
    node.sql(database, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
    said = node.cli("databases", "backup", "bk", "-o", str(tmp_path / "bk.db")).stdout
    match = re.search(r"restore bk (snp-\w{12})", said)
    assert match is not None
    node.sql(database, "DELETE FROM t")
    assert node.cli("databases", "restore", "bk", "latest", check=False).returncode == 1  # nobody said yes
    undo = node.cli("databases", "restore", "bk", match[1], "--yes").stdout
    assert values(node, database, "SELECT n FROM t") == [["1"]]
    listed = node.cli("databases", "snapshots", "bk").stdout
    assert match[1] in listed
    assert "before-restore" in listed
    node.cli("databases", "restore", "bk", undo.split()[-1], "--yes")
    assert values(node, database, "SELECT n FROM t") == []
    assert "Deleted" in node.cli("databases", "snapshots", "bk", "--delete", match[1]).stdout
    assert match[1] not in node.cli("databases", "snapshots", "bk").stdout
    copy = sqlite3.connect(tmp_path / "bk.db")
    assert copy.execute("SELECT n FROM t").fetchall() == [(1,)]
    copy.close()
