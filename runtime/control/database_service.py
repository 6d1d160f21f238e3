"""Creating, rotating, suspending and deleting databases, and what can be seen of their files."""

import asyncio
import logging
import sqlite3
import time
from pathlib import Path
from typing import Literal

import msgspec

from dataplane import tokens
from dataplane.messages import DatabaseLimits
from runtime.config import Config
from runtime.control import database_files
from runtime.control.audit import Audit, of_database
from runtime.control.database_files import FileFacts
from runtime.control.problems import Problem
from runtime.control.serving import Serving
from runtime.state import audit, databases, ids
from runtime.state.audit import Subject
from runtime.state.databases import Database
from runtime.supervisor import routes

log = logging.getLogger("brrrd.control")


class DatabaseService:
    """Changes of databases."""

    def __init__(self, config: Config, serving: Serving, audit: Audit, directory: Path, token_key: bytes) -> None:
        self._protected = frozenset(config.protected_databases)
        self._serving = serving
        self._audit = audit
        self._directory = directory
        self._key = token_key
        self._node_limits = {
            "max_database_bytes": config.max_database_bytes,
            "max_answer_bytes": config.max_answer_bytes,
            "max_row_bytes": config.max_row_bytes,
            "max_sql_bytes": config.max_sql_bytes,
            "max_streams": config.max_database_streams,
            "max_websockets": config.max_database_websockets,
        }

    def __repr__(self) -> str:
        return f"<DatabaseService {self._directory}>"

    def url(self, database_id: str) -> str:
        """The database's address, as handed out."""
        return f"{self._serving.supervisor.public_db_url}/v1/{database_id}"

    def runner(self, database_id: str) -> tuple[str, bool]:
        """Name of the worker that holds it, and whether that is up."""
        workers = self._serving.supervisor.databases
        slot = workers[routes.worker_of(database_id, len(workers))]
        return slot.name, slot.ready.is_set()

    def is_protected(self, database_id: str) -> bool:
        """Whether the operator excluded it from changes."""
        return database_id in self._protected

    async def create(self, project: str, name: str) -> tuple[Database, str | None]:
        """Create a database. Returns its token, which is kept nowhere; None if it was there already."""
        database_id = ids.new("db")
        token = tokens.new_database_token(database_id)

        def change(connection: sqlite3.Connection) -> tuple[Database, bool]:
            return databases.create(connection, project, name, database_id, tokens.hash_token(token), time.time())

        def subject(made: tuple[Database, bool]) -> Subject | None:
            return of_database(made[0]) if made[1] else None

        (database, created), _ = await self._serving.publish(self._audit.noted("database.create", subject, change))
        return database, token if created else None

    async def find(self, key: str, *, to_change: bool = False) -> Database:
        """By id or unambiguous name. Raises `NotFound`, and `Problem` 403 for a change of a protected one."""
        database = await self._serving.store.read(databases.find, key)
        if to_change and self.is_protected(database.database_id):
            raise Problem(403, f"Database {database.database_id} is protected by the node's configuration.")
        return database

    async def rotate(self, database: Database) -> tuple[Database, str]:
        """New token; everything issued before is dead on every edge worker when this returns."""
        token = tokens.new_database_token(database.database_id)

        def change(connection: sqlite3.Connection) -> Database:
            return databases.rotate(connection, database.database_id, tokens.hash_token(token))

        rotated, _ = await self._serving.publish(self._audit.noted("database.rotate", of_database(database), change))
        await self._close_streams(database)
        log.info("token of database %s was rotated", database.database_id)
        return rotated, token

    async def _close_streams(self, database: Database) -> None:
        """End what was begun with rights that are no more: transactions, cursors, WebSockets."""
        try:
            await self._serving.supervisor.drop_database(database.database_id, delete=False)
        except TimeoutError:
            log.warning("streams of database %s were not closed in time", database.database_id)

    async def query_token(
        self, database: Database, ttl_seconds: int, audience: str, reason: str, access: Literal["rw", "ro"]
    ) -> tuple[str, float]:
        """A token that expires by itself, and when. The audit log has it before anybody else."""
        now, ttl_seconds = time.time(), int(tokens.clamped_ttl(ttl_seconds))
        token = tokens.new_query_token(
            self._key,
            database_id=database.database_id,
            epoch=database.epoch,
            ttl_seconds=ttl_seconds,
            audience=audience,
            access=access,
            now=now,
        )
        about = of_database(database)
        detail = {"ttl_seconds": ttl_seconds, "access": access, "audience": audience, "reason": reason}
        await self._audit.note(audit.TOKENS, about, **detail)
        log.info(
            "query token for database %s: %d s, %s, audience %r, reason %r",
            database.database_id, ttl_seconds, access, audience, reason,
        )  # fmt: skip
        return token, now + ttl_seconds

    async def suspend(self, database: Database, suspended: bool, reason: str = "") -> Database:
        """Refuse or allow use; clients are told the reason. Open streams of a suspended one are closed."""

        def change(connection: sqlite3.Connection) -> Database:
            return databases.suspend(connection, database.database_id, suspended, reason)

        action = "database.suspend" if suspended else "database.resume"
        detail = {"reason": reason} if suspended else {}
        noted = self._audit.noted(action, of_database(database), change, **detail)
        changed, _ = await self._serving.publish(noted)
        if suspended:
            await self._close_streams(database)
        return changed

    async def limit(self, database: Database, limits: DatabaseLimits) -> Database:
        """Replace the limits that it has of its own; they hold on every edge worker when this returns."""

        def change(connection: sqlite3.Connection) -> Database:
            return databases.limit(connection, database.database_id, limits)

        detail = {name: value for name, value in msgspec.structs.asdict(limits).items() if value is not None}
        noted = self._audit.noted("database.limits", of_database(database), change, **detail)
        changed, _ = await self._serving.publish(noted)
        return changed

    def limits(self, database: Database) -> dict[str, int]:
        """The limits that hold for it, by name."""
        own = msgspec.structs.asdict(database.limits)
        return {name: self._node_limits[name] if value is None else value for name, value in own.items()}

    async def delete(self, database: Database) -> None:
        """Remove a database and its files."""

        def change(connection: sqlite3.Connection) -> None:
            databases.delete(connection, database.database_id)

        await self._serving.publish(self._audit.noted("database.delete", of_database(database), change))
        await self._serving.drop_files(database.database_id)

    async def files(self, database_id: str) -> FileFacts:
        """Sizes and the state of the write-ahead log, read from the files themselves."""
        return await asyncio.to_thread(database_files.facts, self._directory / database_id)
