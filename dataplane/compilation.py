"""What is seen of a statement while SQLite compiles it: the state behind the authorizer's answers.

One per compilation, and one for what is compiled while statements run, made by `dataplane.statements`.
`dataplane.guard` decides single actions; here is what takes more than one of them to tell.
"""

from dataplane import guard
from dataplane.vectors import SHADOW_SUFFIX, VECTOR_INDEX_FUNCTION

ALLOW, DENY, IGNORE = 0, 1, 2
MAX_AGGREGATES = 30_000
"""Calls of aggregate functions in one statement. SQLite counts those of one SELECT in 16 bits and writes beyond its
memory after 32,767 (CVE-2025-6965); for columns, `connection.MAX_COLUMNS` keeps it from that."""

_CREATE_INDEX, _CREATE_TEMP_INDEX, _DROP_TABLE = 1, 3, 11
_INSERT = 18
_SECOND_IS_TABLE = frozenset({5, 7, 26})
"""CREATE_TEMP_TRIGGER, CREATE_TRIGGER, ALTER_TABLE."""
_FIRST_IS_TABLE = frozenset({9, _INSERT, 23})
"""DELETE, INSERT, UPDATE."""
_OF_TABLES = frozenset({_CREATE_INDEX, _CREATE_TEMP_INDEX, _DROP_TABLE}) | _FIRST_IS_TABLE | _SECOND_IS_TABLE
_MAKES_OR_DROPS = frozenset({"CREATE", "DROP", "EXPLAIN"})
_INSERTS = frozenset({"INSERT", "REPLACE", "WITH"})


class Compilation:
    """The statement that begins with `keyword` and, if that is CREATE or DROP, goes on with `object`. `may_write`: it
    may change the file while it is compiled.
    """

    __slots__ = (
        "_aggregates",
        "_created",
        "_drops",
        "_keyword",
        "_may_write",
        "_not_vector",
        "changes_session",
        "inserts",
        "refusal",
        "shadows",
        "tells_path",
        "vector_index",
        "writes",
        "writes_at_once",
    )

    def __init__(self, keyword: str, object: str = "", *, may_write: bool = False) -> None:
        self.refusal: str | None = None
        """Why it was denied."""
        self.changes_session = self.writes = self.tells_path = False
        """See `guard.Verdict`."""
        self.inserts = False
        """It is an INSERT, whatever its triggers do."""
        self.writes_at_once = False
        """It makes or drops a vector index, which changes the file while it is compiled, and was not allowed to."""
        self.vector_index: str | None = None
        """Name of the vector index that it would make."""
        self.shadows: set[str] = set()
        """Tables that it would change and that are called like those that vector indexes keep themselves in."""
        self._keyword = keyword
        self._may_write = may_write
        self._created: str | None = None
        # The engine compares entries of a unique one that it does not have, and reads where nothing is.
        self._not_vector = "a vector index cannot be unique" if object == "UNIQUE" else None
        """Why the index that is made cannot be a vector index."""
        self._drops = object == "INDEX" or keyword == "EXPLAIN"
        """What is dropped next goes along with something else."""
        self._aggregates = 0

    def see(self, action: int, first: str | None, second: str | None, *, in_trigger: bool) -> int:
        """Return what the authorizer answers to `action` with its first two arguments."""
        verdict = guard.decide(action, first, second, vacuum=self._keyword == "VACUUM")
        refusal = verdict.refusal
        if action == guard.FUNCTION:
            if second in guard.AGGREGATES:
                self._aggregates += 1
                if self._aggregates > MAX_AGGREGATES:
                    refusal = f"one statement calls at most {MAX_AGGREGATES:,} aggregate functions"
            elif second == VECTOR_INDEX_FUNCTION and self._created is not None:
                self.vector_index = self._created
                self.writes_at_once = not self._may_write and self._not_vector is None
                refusal = refusal or self._not_vector
        elif action in _OF_TABLES:
            if action == _INSERT and not in_trigger and self._keyword in _INSERTS:
                self.inserts = True
            self._see_tables(action, first or "", second or "")
        if self.writes_at_once:
            return DENY
        if refusal is not None:
            self.refusal = refusal
            return DENY
        if verdict is guard.ALLOWED:
            return ALLOW
        self.changes_session |= verdict.changes_session
        self.writes |= verdict.writes
        self.tells_path |= verdict.tells_path
        return IGNORE if verdict.hidden else ALLOW

    def _see_tables(self, action: int, first: str, second: str) -> None:
        if action == _CREATE_INDEX:
            # The first one; making a vector index makes another one for its table.
            self._created = self._created or first
        elif action == _CREATE_TEMP_INDEX:
            # `dataplane.vectors` looks after the tables of those in the file.
            self._created = first
            self._not_vector = "a vector index cannot be of a temporary table"
        elif action in _SECOND_IS_TABLE:
            self._see_change(second)
        elif action == _DROP_TABLE and not self._drops:
            self._drops = True
            self._see_change(first)
        elif action == _DROP_TABLE:
            # With its index, by a statement within the statement.
            if _is_shadow(first) and not self._may_write:
                self.writes_at_once = True
        elif action in _FIRST_IS_TABLE and self._keyword not in _MAKES_OR_DROPS:
            self._see_change(first)

    def _see_change(self, table: str) -> None:
        if _is_shadow(table):
            self.shadows.add(table)


class Running(Compilation):
    """What the engine compiles while a statement runs: its own ones, for VACUUM and for vector indexes, and that
    statement once more if the schema has changed since it was compiled.
    """

    __slots__ = ("_known", "outdated")

    def __init__(self) -> None:
        # Nothing else attaches while it runs, and whoever writes has the turn.
        super().__init__("VACUUM", may_write=True)
        self.outdated: str | None = None
        """Table of `shadows` that the statement was not known to change when it was compiled."""
        self._known: frozenset[str] = frozenset()

    def begin(self, shadows: frozenset[str]) -> None:
        """A statement begins to run of which `Compilation.shadows` are known."""
        self.refusal = self.outdated = None
        self._known = shadows
        self._created = self._not_vector = None
        self._aggregates = 0

    def see(self, action: int, first: str | None, second: str | None, *, in_trigger: bool) -> int:
        # The engine's own changes of them are in no trigger, and those that the statement names itself are known.
        if in_trigger and action in _FIRST_IS_TABLE and first and _is_shadow(first) and first not in self._known:
            self.outdated = first
            return DENY
        return super().see(action, first, second, in_trigger=in_trigger)

    def _see_change(self, table: str) -> None:
        """The engine may."""


def _is_shadow(table: str) -> bool:
    return table.lower().endswith(SHADOW_SUFFIX)
