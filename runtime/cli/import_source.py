"""What an import reads: an SQL file or a database file, as pieces in an order that is always the same.

So that an import can go on where it was stopped, a source gives each piece the position after it, and can say for any
position whether what comes before it is what was imported then.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from runtime.cli.errors import CommandError
from runtime.cli.hrana import Value
from runtime.cli.import_literals import bound
from runtime.cli.import_rules import IncompleteDump, Rules
from runtime.cli.import_sql import Splitter

READ_BYTES = 256 << 10
SQLITE_MAGIC = b"SQLite format 3\0"
ROWS_PER_STATEMENT = 50
BYTES_PER_STATEMENT = 1 << 20
"""Or fewer rows, if they are large."""
MOST_PARAMETERS = 900


class Piece(NamedTuple):
    """One statement to run. `sql` None: nothing is to be run, but the position moves."""

    sql: str | None
    args: Sequence[Value]
    position: int
    """After it, as its source counts."""
    place: str
    """For an error message: `dump.sql:12`."""
    size: int
    """About how many bytes it is to send."""


class Source(Protocol):
    """A file to import."""

    path: Path
    total: int
    """The last position."""
    left_out: Counter[str]
    """Statements that were not run, by reason."""

    def check(self, position: int) -> str:
        """A digest of everything before a position."""
        ...

    def pieces(self, position: int, memory: str) -> Iterator[Piece]:
        """Everything after a position. `memory` is what `mark` gave there."""
        ...

    def mark(self) -> tuple[str, str]:
        """Digest and memory at the piece that was taken last."""
        ...

    def finish(self) -> list[str]:
        """After the last piece: statements still to be run, which may be run twice."""
        ...


def open_source(path: Path) -> Source:
    """Return the source for a file by what is in it. Raises `CommandError`."""
    try:
        if str(path) == "-" or path.is_fifo() or path.is_char_device():
            raise CommandError(f"{path} is no file: an import needs one, in which it can go on after it was stopped")
        with path.open("rb") as file:
            head = file.read(16)
        size = path.stat().st_size
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    if head == SQLITE_MAGIC:
        return DatabaseFile(path)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise CommandError(f"{path} is UTF-16. Convert it first: iconv -f UTF-16 -t UTF-8 {path} > utf8.sql")
    return SqlFile(path, size)


class SqlFile:
    """Statements of a text; positions are offsets in bytes."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.total = size
        self.left_out: Counter[str] = Counter()
        self._rules = Rules()
        self._digest = hashlib.sha256()
        self._line = 1

    def __repr__(self) -> str:
        return f"<SqlFile {self.path} [{self.total} bytes]>"

    def check(self, position: int) -> str:
        """Raises `CommandError` if the file is shorter."""
        self._digest, self._line = hashlib.sha256(), 1
        with self.path.open("rb") as file:
            left = position
            while left:
                data = file.read(min(left, READ_BYTES))
                if not data:
                    return ""
                self._digest.update(data)
                self._line += data.count(b"\n")
                left -= len(data)
        return self._digest.hexdigest()

    def pieces(self, position: int, memory: str) -> Iterator[Piece]:
        """After `check(position)`. Raises `CommandError`."""
        if memory:
            self._rules = Rules(memory)
        splitter = Splitter(position, self._line)
        read = position
        with self.path.open("rb") as file:
            file.seek(position)
            pending, done = b"", 0
            while True:
                data = file.read(READ_BYTES)
                mark = position == 0 and file.tell() == len(data) and data.startswith(b"\xef\xbb\xbf")
                pending += data
                for statement in splitter.feed(b"   " + data[3:] if mark else data, last=not data):
                    if not data and splitter.unterminated:
                        raise CommandError(f"{self.path}:{statement.line}: the file ends within a statement")
                    self._digest.update(memoryview(pending)[done : statement.end - read])
                    done = statement.end - read
                    yield self._piece(statement)
                pending, read, done = pending[done:], read + done, 0
                if not data:
                    return

    def _piece(self, statement: Any) -> Piece:
        place = f"{self.path}:{statement.line}"
        try:
            decision = self._rules.decide(statement)
            text = decision.sql or statement.text.decode("utf-8")
        except IncompleteDump as error:
            raise CommandError(f"{place}: {error}") from None
        except UnicodeDecodeError:
            raise CommandError(
                f"{place}: this is not UTF-8, and the file is no SQLite database: compressed, encrypted, or a dump of "
                "texts in another encoding? Importing the database file itself keeps such texts as they are."
            ) from None
        if decision.fate != "run":
            self.left_out[decision.fate] += 1
            return Piece(None, (), statement.end, place, 0)
        sql, values = bound(text)
        return Piece(sql, values, statement.end, place, len(text))

    def mark(self) -> tuple[str, str]:
        """See `Source`."""
        return self._digest.hexdigest(), self._rules.memory()

    def finish(self) -> list[str]:
        """See `Source`."""
        return self._rules.fills()


class DatabaseFile:
    """A database file, read with this Python's SQLite as one consistent view; positions count statements and rows."""

    def __init__(self, path: Path) -> None:
        import sqlite3

        from dataplane import contents

        if sqlite3.sqlite_version_info < (3, 37):
            raise CommandError(f"reading {path} needs SQLite 3.37, and this Python has {sqlite3.sqlite_version}")
        self.path = path
        self.left_out: Counter[str] = Counter()
        try:
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
            self._connection.execute("BEGIN")
            self._contents = contents.read(lambda sql: self._connection.execute(sql).fetchall())
            counts = [
                self._connection.execute(f"SELECT count(*) FROM {contents.quote(table.name)}").fetchone()[0]  # noqa: S608
                for table in self._contents.tables
                if table.copied and table.fill is None
            ]
        except sqlite3.Error as error:
            raise CommandError(
                f"{path} cannot be read: {error}.\n"
                "If it was written by libSQL and has vector indexes, make an SQL dump with libSQL's own tools and "
                "import that."
            ) from None
        # Texts are taken as bytes: they may be something else than UTF-8.
        self._connection.text_factory = lambda data: _text(data)
        self.total = sum(counts) + len(self._contents.tables)

    def __repr__(self) -> str:
        return f"<DatabaseFile {self.path} [{self.total} statements and rows]>"

    def check(self, position: int) -> str:
        """Of the whole file, by size and time: its pages change in any order."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        found = [file.stat() for file in files if file.exists()]
        stamps = [(one.st_size, one.st_mtime_ns) for one in found if one.st_size]
        return hashlib.sha256(repr(stamps).encode()).hexdigest()

    def mark(self) -> tuple[str, str]:
        """See `Source`."""
        return self.check(0), ""

    def finish(self) -> list[str]:
        """See `Source`."""
        return []

    def pieces(self, position: int, memory: str) -> Iterator[Piece]:
        """Raises `CommandError`."""
        import sqlite3

        try:
            yield from (piece for piece in self._everything() if piece.position > position)
        except sqlite3.Error as error:
            raise CommandError(f"{self.path} cannot be read: {error}") from None

    def _everything(self) -> Iterator[Piece]:
        from dataplane.contents import MAKE_STATISTICS, STATISTICS, literal

        count = 0

        def plain(sql: str | None, place: str) -> Piece:
            nonlocal count
            count += 1
            return Piece(sql, (), count, f"{self.path}: {place}", len(sql or ""))

        for table in self._contents.tables:
            yield plain(table.sql, f"table {table.name}")
            if table.fill is not None:
                continue
            if table.copied:
                for piece in self._rows(table, count):
                    count = piece.position
                    yield piece
            else:
                self.left_out["contentless"] += 1
        for name, last in self._contents.sequences:
            key = literal(name)
            yield plain(f"DELETE FROM sqlite_sequence WHERE name = {key}", f"sequence of {name}")  # noqa: S608 literals
            row = f"({key}, {literal(last)})"
            yield plain(f"INSERT INTO sqlite_sequence (name, seq) VALUES {row}", f"sequence of {name}")  # noqa: S608
        for sql in self._contents.after:
            yield plain(sql, sql.split("(", 1)[0][:60].strip())
        for name, fill in self._contents.fills:
            yield plain(fill, f"table {name}")
        if self._contents.statistics:
            yield plain(MAKE_STATISTICS, STATISTICS)
        for found in self._contents.statistics:
            yield plain(f"INSERT INTO {STATISTICS} VALUES ({', '.join(map(literal, found))})", STATISTICS)  # noqa: S608
        for name in ("user_version", "application_id"):
            if value := getattr(self._contents, name):
                yield plain(f"PRAGMA {name} = {value}", name)

    def _rows(self, table: Any, count: int) -> Iterator[Piece]:
        from dataplane import contents

        cursor = self._connection.execute(contents.select(table, rowids=True))
        width = len(cursor.description)
        most = max(1, min(ROWS_PER_STATEMENT, MOST_PARAMETERS // width))
        head = contents.insert(table, rowids=True) + " VALUES "
        expressions: list[str] = []
        args: list[Value] = []
        size = 0

        def piece() -> Piece:
            place = f"{self.path}: table {table.name}"
            return Piece(head + ",".join(expressions), args, count, place, size)

        for row in cursor:
            marks = []
            for value in row:
                mark, argument = _argument(value)
                marks.append(mark)
                args.append(argument)
                size += 40 + (len(argument) if isinstance(argument, (str, bytes)) else 0)
            expressions.append(f"({','.join(marks)})")
            count += 1
            if len(expressions) == most or size >= BYTES_PER_STATEMENT:
                yield piece()
                expressions, args, size = [], [], 0
        if expressions:
            yield piece()


class _Bytes(bytes):
    """A text that is not UTF-8."""


def _text(data: bytes) -> str | _Bytes:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _Bytes(data)


def _argument(value: Any) -> tuple[str, Value]:
    """Return the expression and the value to bind for it: JSON carries neither broken UTF-8 nor infinity."""
    if isinstance(value, _Bytes):
        return "CAST(? AS TEXT)", bytes(value)
    if value in (float("inf"), float("-inf")):
        return "CAST(? AS REAL)", "9e999" if value > 0 else "-9e999"
    return "?", value
