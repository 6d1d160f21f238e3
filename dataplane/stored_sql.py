"""SQL texts that clients store under numbers, to run them without sending them again (Hrana's `store_sql`).

Of a stream or of a WebSocket, used by `dataplane.streams` and `dataplane.sessions`; what all of a database's have
together is bounded too, since a client may open a thousand. Pure.
"""

from weakref import WeakValueDictionary

from dataplane.errors import SqlError

MAX_TEXTS = 2_000
MAX_CHARACTERS = 10_000_000
"""Far above what ORMs need: libsql-server's 50 texts of 5,000 bytes are a frequent complaint (libsql#1280)."""
MAX_DATABASE_CHARACTERS = 50_000_000
"""Of all streams and WebSockets of one database."""


class StoredTotal:
    """How many characters all streams and WebSockets of a database have stored."""

    def __init__(self) -> None:
        self.characters = 0

    def __repr__(self) -> str:
        return f"<StoredTotal {self.characters} characters>"


class StoredTotals:
    """That of each database for as long as anybody uses it."""

    def __init__(self) -> None:
        self._totals: WeakValueDictionary[str, StoredTotal] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<StoredTotals of {len(self._totals)} databases>"

    def of(self, database_id: str) -> StoredTotal:
        total = self._totals.get(database_id)
        if total is None:
            total = self._totals[database_id] = StoredTotal()
        return total


class StoredSql:
    """SQL texts by the client's numbers: of a stream, or of a WebSocket. `clear` it at the end of that."""

    def __init__(self, total: StoredTotal) -> None:
        self.texts: dict[int, str] = {}
        self._characters = 0
        self._total = total

    def __repr__(self) -> str:
        return f"<StoredSql [{len(self.texts)} texts, {self._characters} characters]>"

    def add(self, sql_id: int, sql: str) -> None:
        """Keep an SQL text. Raises `SqlError` over the limits, `ValueError` if the id is in use."""
        if sql_id in self.texts:
            raise ValueError(f"SQL text {sql_id} is stored already")
        if len(self.texts) >= MAX_TEXTS:
            raise SqlError("SQL_STORE_TOO_MANY", f"More than {MAX_TEXTS:,} SQL texts stored at once")
        if self._characters + len(sql) > MAX_CHARACTERS:
            raise SqlError("SQL_STORE_TOO_LARGE", f"Stored SQL texts exceed {MAX_CHARACTERS:,} characters")
        if self._total.characters + len(sql) > MAX_DATABASE_CHARACTERS:
            most = f"{MAX_DATABASE_CHARACTERS:,} characters"
            raise SqlError("SQL_STORE_TOO_LARGE", f"Stored SQL texts of all streams of the database exceed {most}")
        self.texts[sql_id] = sql
        self._characters += len(sql)
        self._total.characters += len(sql)

    def remove(self, sql_id: int) -> None:
        """Forget an SQL text; unknown ids are no error."""
        size = len(self.texts.pop(sql_id, ""))
        self._characters -= size
        self._total.characters -= size

    def clear(self) -> None:
        """Forget all."""
        self.texts.clear()
        self._total.characters -= self._characters
        self._characters = 0
