"""`GET …/dump`: a whole database as SQL text, streamed from one consistent view while others write.

A generator like those of `dataplane.execution`, run by the database worker: it yields pieces of the answer and may
touch nothing but its stream. The text makes the same database again in SQLite, libSQL and `brrrd databases import`.
"""

import ctypes
from collections.abc import Generator, Iterator
from time import monotonic
from typing import Any

from dataplane import contents
from dataplane.connection import Connection
from dataplane.contents import Contents, Table
from dataplane.errors import HttpError, SqlError, suspended
from dataplane.execution import Work
from dataplane.statement import Statement
from dataplane.streams import Stream

LAST_LINE = "COMMIT;\n"
"""Who reads a dump knows by it that nothing is missing."""
_PIECE_CHARACTERS = 64 << 10
_ROWS_PER_INSERT = 100
_CHARACTERS_PER_INSERT = 64 << 10
"""Or fewer rows, if they are large: servers bound the length of a statement."""
_ROWS_PER_CHECK = 64
_REPLACEMENT = "\ufffd"


def dump(stream: Stream, *, rowids: bool, blocked: str | None) -> Work:
    """Yield the text as UTF-8. Raises `HttpError`; after the first piece that ends the answer in the middle."""
    stream.closing = True
    try:
        if blocked is not None:
            raise suspended(blocked)
        connection = stream.open()
        connection.run(b"BEGIN")
        text: list[str] = []
        size = 0
        for part in _text(stream, connection, rowids):
            text.append(part)
            size += len(part)
            if size >= _PIECE_CHARACTERS:
                yield _encode(text)
                text, size = [], 0
                # The time that the client took to read must not count as the statement's.
                stream.restart_clock()
    except SqlError as error:
        raise HttpError(403 if error.code == "BLOCKED" else 500, error.code, str(error)) from None
    return _encode(text)


def _encode(text: list[str]) -> bytes:
    return "".join(text).encode("utf-8", "surrogatepass")


def _text(stream: Stream, connection: Connection, rowids: bool) -> Iterator[str]:
    def query(sql: str) -> list[list[Any]]:
        return [row for row, _ in _rows(stream, connection, sql)]

    found = contents.read(query)
    yield "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"
    for table in found.tables:
        yield f"{contents.statement(table.sql)}\n"
        yield from _table(stream, connection, table, rowids)
    yield from _remainder(found)
    yield LAST_LINE


def _table(stream: Stream, connection: Connection, table: Table, rowids: bool) -> Iterator[str]:
    if table.fill is not None:
        return
    if not table.copied:
        yield f"-- The rows of {table.name} cannot be read: it keeps no content.\n"
        return
    head = contents.insert(table, rowids=rowids) + " VALUES"
    count = size = 0
    for values, statement in _rows(stream, connection, contents.select(table, rowids=rowids)):
        row = ",".join(_literal(connection, statement, i, value) for i, value in enumerate(values))
        yield f"{',' if count else head}({row})"
        count += 1
        size += len(row)
        if count == _ROWS_PER_INSERT or size >= _CHARACTERS_PER_INSERT:
            yield ";\n"
            count = size = 0
    if count:
        yield ";\n"


def _remainder(found: Contents) -> Iterator[str]:
    for name, last in found.sequences:
        yield f"DELETE FROM sqlite_sequence WHERE name={contents.literal(name)};\n"  # noqa: S608 a literal
        yield f"INSERT INTO sqlite_sequence(name,seq) VALUES({contents.literal(name)},{contents.literal(last)});\n"
    for sql in found.after:
        yield f"{contents.statement(sql)}\n"
    for _, fill in found.fills:
        yield f"{fill};\n"
    if found.statistics:
        yield f"{contents.MAKE_STATISTICS};\n"
    for row in found.statistics:
        yield f"INSERT INTO {contents.STATISTICS} VALUES({','.join(map(contents.literal, row))});\n"
    if found.user_version:
        yield f"PRAGMA user_version={found.user_version};\n"
    if found.application_id:
        yield f"PRAGMA application_id={found.application_id};\n"


def _literal(connection: Connection, statement: Statement, column: int, value: Any) -> str:
    if isinstance(value, str) and _REPLACEMENT in value:
        # Perhaps not UTF-8 in the file: take the bytes as they are.
        engine, handle = connection.engine, statement.handle
        data = engine.column_bytes(handle, column)
        return contents.bytes_as_text_literal(_copy(engine.column_blob(handle, column), data))
    return contents.literal(value)


def _copy(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size)


def _rows(stream: Stream, connection: Connection, sql: str) -> Generator[tuple[list[Any], Statement], None, None]:
    """Run a query; each row with its statement, which still stands on it."""
    text = connection.statements.encode(sql)
    statement, _ = connection.statements.prepare_next(text, 0)
    assert statement is not None
    stream.begin_statement()
    count = 0
    try:
        while statement.step():
            count += 1
            yield statement.row(statement.width), statement
            if not count % _ROWS_PER_CHECK:
                stream.check_clock(monotonic())
    finally:
        stream.rows_read += statement.counters()[0]
        connection.statements.discard(statement)
