"""The state file: one SQLite connection on a thread of its own.

A commit with `synchronous=FULL` waits for the disk (milliseconds), so it must not run on the supervisor's loop.
Calls take functions of a connection: `await store.write(apps.create, project, "blog")` is one transaction.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from runtime.state.schema import migrate

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Store:
    """All reads and writes of desired state, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"<Store {self._path} {'open' if self._connection else 'closed'}>"

    @classmethod
    async def open(cls, path: Path) -> "Store":
        """Open or create the file and bring its schema up to date. Raises `SchemaError` and `sqlite3.Error`."""
        store = cls(path)
        await asyncio.get_running_loop().run_in_executor(store._thread, store._open)
        return store

    def _open(self) -> None:
        self._path.touch(mode=0o600)
        # Transactions are spelled out: autocommit mode, foreign keys on.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        migrate(connection)
        self._connection = connection

    async def read(
        self,
        work: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run `work(connection, …)` on a consistent view."""
        return await self._run("BEGIN", lambda connection: work(connection, *args, **kwargs))

    async def write(
        self,
        work: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run `work(connection, …)` as one transaction: all of it is on disk when this returns, or none."""
        return await self._run("BEGIN IMMEDIATE", lambda connection: work(connection, *args, **kwargs))

    async def _run(self, begin: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
        # Shielded: the transaction goes on even if its caller is gone, so who waits next sees its outcome.
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, begin, work)
        return await asyncio.shield(future)

    def _transaction(self, begin: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = self._connection
        assert connection is not None
        connection.execute(begin)
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
        return result

    async def close(self) -> None:
        """Finish what was asked for and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
