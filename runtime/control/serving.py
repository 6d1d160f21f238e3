"""Turns the state file into what the supervisor is told to serve, and changes both together.

Every change of what is served goes through `publish`: one transaction, then the tables, under one lock. So the tables
are never older than the state, and an app's files and its host never come from different builds.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from artifacts.errors import PackageError
from artifacts.store import Build as Package
from artifacts.store import Store as Packages
from dataplane.messages import DatabaseLimits
from isolates.messages import Limits
from runtime.state import apps, builds, databases, domains, environment
from runtime.state.apps import App
from runtime.state.builds import Build
from runtime.state.databases import Database
from runtime.state.store import Store
from runtime.supervisor.host import Host
from runtime.supervisor.placement import DatabasePlacement, Desired, Placement
from runtime.supervisor.supervisor import Supervisor

NO_REASON = "by the operator of this node"
log = logging.getLogger("brrrd.control")
Result = TypeVar("Result")


class _State(NamedTuple):
    apps: list[App]
    builds: dict[str, Build]
    environment: Mapping[str, dict[str, str]]
    hosts: dict[str, str]
    databases: list[Database]


def _read(connection: sqlite3.Connection) -> _State:
    return _State(
        apps.every(connection),
        {build.build_id: build for build in builds.active(connection)},
        environment.every(connection),
        domains.every_active(connection),
        databases.every(connection),
    )


def placement(app: App, build_id: str, package: Package, limits: Limits, variables: dict[str, str]) -> Placement:
    """What a host needs to serve one build of an app."""
    return Placement(
        app_id=app.app_id,
        project=app.project,
        app=app.name,
        build_id=build_id,
        directory=str(package.directory),
        main=package.manifest.main if package.has_worker else None,
        node=package.manifest.node,
        asset_index=str(package.asset_index) if package.asset_index is not None else None,
        environment=variables,
        limits=limits,
        crons=tuple(package.manifest.crons),
        max_isolates=package.manifest.limits.max_isolates,
    )


class Serving:
    """State, packages and supervisor, kept in agreement."""

    def __init__(self, store: Store, packages: Packages, supervisor: Supervisor) -> None:
        self.store = store
        self.packages = packages
        self.supervisor = supervisor
        self.names: dict[str, tuple[str, str]] = {}
        """Project and name of every app and database, by id."""
        self._opened: dict[str, Package] = {}
        self._pins: Counter[str] = Counter()
        self._publishing = asyncio.Lock()
        self._releasing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Serving {len(self._opened)} packages open>"

    async def start(self) -> None:
        """Bring up what the state says. Leftovers of a crash are swept first."""
        keep = await self.store.read(builds.digests)
        await asyncio.to_thread(self.packages.sweep, keep)
        await self.supervisor.start(await self._desired())

    async def finish_drops(self) -> None:
        """Remove the files of databases whose deletion was acknowledged before a crash."""
        for database_id in await self.store.read(databases.dropped):
            await self.drop_files(database_id)

    async def drop_files(self, database_id: str) -> None:
        """Let the worker remove a deleted database's files, and forget about it."""
        try:
            await self.supervisor.drop_database(database_id, delete=True)
        except TimeoutError:
            log.warning("files of database %s are not removed yet; the next start tries again", database_id)
            return
        await self.store.write(databases.files_gone, database_id)

    async def package(self, digest: str) -> Package:
        """An unpacked package of the store. Raises `PackageError` and `FileNotFoundError`."""
        found = self._opened.get(digest)
        if found is None:
            found = self._opened[digest] = await self.packages.open(digest)
        return found

    async def publish(
        self,
        change: Callable[[sqlite3.Connection], Result],
        *,
        app_id: str | None = None,
        host: Host | None = None,
    ) -> tuple[Result, int]:
        """Run `change` as one transaction, then make every edge worker serve by it.

        With `app_id`, that app is served by `host` from now on (None: by no host). Returns the change's result and how
        many hosts it ended. If the transaction fails, nothing has changed. Once begun it is finished, even if the
        caller goes away.
        """
        return await asyncio.shield(asyncio.ensure_future(self._publish(change, app_id, host)))

    async def _publish(
        self, change: Callable[[sqlite3.Connection], Result], app_id: str | None, host: Host | None
    ) -> tuple[Result, int]:
        async with self._publishing:
            try:
                result = await self.store.write(change)
            except BaseException:
                if host is not None:
                    host.kill()
                raise
            desired = await self._desired()
            if app_id is None:
                await self.supervisor.apply(desired)
                return result, 0
            return result, await self.supervisor.swap(app_id, host, desired)

    @asynccontextmanager
    async def pinned(self, digest: str) -> AsyncIterator[None]:
        """While this is open, `release` leaves the package alone; a removal under way is waited for."""
        async with self._releasing:
            self._pins[digest] += 1
        try:
            yield
        finally:
            self._pins[digest] -= 1

    async def release(self, digest: str) -> bool:
        """Remove a package from the disk unless a build or a deployment under way uses it."""
        async with self._releasing:
            if self._pins[digest] > 0 or digest in await self.store.read(builds.digests):
                return False
            del self._pins[digest]
            self._opened.pop(digest, None)
            await asyncio.to_thread(self.packages.remove, digest)
            return True

    async def release_unused(self) -> None:
        """Remove opened packages that no build refers to any more."""
        used = await self.store.read(builds.digests)
        for digest in set(self._opened) - used:
            await self.release(digest)

    async def _desired(self) -> Desired:
        state = await self.store.read(_read)
        self.names = {app.app_id: (app.project, app.name) for app in state.apps}
        self.names |= {database.database_id: (database.project, database.name) for database in state.databases}
        placements: dict[str, Placement] = {}
        for app in state.apps:
            build = state.builds.get(app.active_build or "")
            if build is None:
                continue
            try:
                package = await self.package(build.digest)
            except (PackageError, FileNotFoundError) as error:
                log.error("build %s of app %s cannot be served: %s", build.build_id, app.name, error)
                continue
            variables = state.environment.get(app.app_id, {})
            placements[app.app_id] = placement(app, build.build_id, package, build.limits, variables)
        return Desired(
            apps=placements,
            hosts=state.hosts,
            databases={
                database.database_id: DatabasePlacement(
                    database_id=database.database_id,
                    token_hash=database.token_hash,
                    epoch=database.epoch,
                    blocked=(database.suspend_reason or NO_REASON) if database.suspended else None,
                    limits=database.limits if database.limits != DatabaseLimits() else None,
                )
                for database in state.databases
            },
        )
