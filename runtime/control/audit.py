"""Notes in the audit log what the control API does, for whom. Reading it is `audit_routes`.

`endpoint` sets who calls, for the time of one request; what the node does outside of one is noted as its own.
"""

import sqlite3
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request

from runtime.state import audit
from runtime.state.apps import App
from runtime.state.audit import Entry, Subject
from runtime.state.databases import Database
from runtime.state.store import Store

ACTOR_HEADER = "brrrd-actor"
MOST_CHARACTERS = 200
Result = TypeVar("Result")


class Caller(NamedTuple):
    """Who asks for something."""

    by: str
    client: str


NODE = Caller("node", "")
_caller: ContextVar[Caller] = ContextVar("caller", default=NODE)


def called_by(request: Request) -> None:
    """Note everything that follows in this task as asked for by this request, which had the operator token.

    Whom the caller acts for is what it says: it has the token that may do everything.
    """
    address = request.client.host if request.client else ""
    agent = request.headers.get("user-agent", "")
    by = _line(request.headers.get(ACTOR_HEADER, "")) or "operator"
    _caller.set(Caller(by, _line(f"{address} {agent}")))


def _line(text: str) -> str:
    """What a caller says of itself, as one line of bounded length."""
    return "".join(character if character.isprintable() else " " for character in text[:MOST_CHARACTERS]).strip()


def of_app(app: App) -> Subject:
    """An app as the subject of an entry."""
    return Subject(app.project, app=app.name, app_id=app.app_id)


def of_database(database: Database) -> Subject:
    """A database as the subject of an entry."""
    return Subject(database.project, database=database.name, database_id=database.database_id)


class Audit:
    """Writes entries."""

    def __init__(self, store: Store, keep: int) -> None:
        self._store = store
        self._keep = keep

    def __repr__(self) -> str:
        return f"<Audit keeps {self._keep}>"

    def noted(
        self,
        action: str,
        subject: Subject | Callable[[Result], Subject | None],
        change: Callable[[sqlite3.Connection], Result],
        **detail: Any,
    ) -> Callable[[sqlite3.Connection], Result]:
        """`change` and its entry, as one function of a connection and so in one transaction.

        `subject` may depend on what the change returns; None: nothing was changed, and nothing is noted.
        """
        caller = _caller.get()

        def both(connection: sqlite3.Connection) -> Result:
            result = change(connection)
            about = subject if isinstance(subject, Subject) else subject(result)
            if about is not None:
                entry = Entry(time.time(), action, caller.by, caller.client, about, detail)
                audit.add(connection, entry, self._keep)
            return result

        return both

    async def note(self, action: str, subject: Subject, **detail: Any) -> None:
        """Write an entry for something that changes no state. It is on the disk when this returns."""
        await self._store.write(self.noted(action, subject, lambda _: None, **detail))
