"""Deploying, rolling back, reconfiguring and deleting apps.

Each change of an app brings up a new host first, which may fail without consequence; then one transaction decides, and
the tables follow. Changes of one app happen one after the other; those of different apps do not wait for each other.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from runtime.config import Config
from runtime.control import names
from runtime.control.audit import Audit, of_app
from runtime.control.limits import limits
from runtime.control.problems import Problem
from runtime.control.serving import Serving, placement
from runtime.state import apps, builds, domains, environment
from runtime.state.apps import App
from runtime.state.audit import Subject
from runtime.state.builds import Build
from runtime.state.domains import Domain
from runtime.state.errors import Conflict
from runtime.supervisor.host import Host, HostFailed
from runtime.supervisor.placement import Placement
from runtime.telemetry.stack_traces import StackTraces

DISCARD_BYTES = 1 << 30
DISCARD_SECONDS = 20.0


class Request(NamedTuple):
    """What a deploy call asks for beside the package."""

    hosts: list[str]
    """Empty: the app's own hosts, or the default ones if it has none."""
    env_ref: str
    max_concurrent_requests: int | None


class Removed(NamedTuple):
    """What deleting an app cleaned up."""

    app: App
    hosts: list[str]
    isolates: int
    artifacts: int
    environment: int


def default_hosts(app: App) -> list[str]:
    """Hosts of an app for which none were named: the first one is required, the others are taken if free."""
    if app.project == "default":
        return [f"{app.name}.localhost"]
    return [f"{app.name}-{app.project}.localhost", f"{app.name}.localhost"]


class Deployments:
    """Changes of apps."""

    def __init__(self, config: Config, serving: Serving, audit: Audit, traces: StackTraces) -> None:
        self._config = config
        self._audit = audit
        self._traces = traces
        self._serving = serving
        self._store = serving.store
        self._locks: dict[str, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"<Deployments {sum(lock.locked() for lock in self._locks.values())} under way>"

    async def create(self, project: str, name: str) -> App:
        """Create an app, and its project if that is new. Raises `Conflict`."""

        def change(connection: sqlite3.Connection) -> App:
            return apps.create(connection, project, name, time.time())

        return await self._store.write(self._audit.noted("app.create", of_app, change))

    async def deploy(self, app: App, chunks: AsyncIterator[bytes], request: Request) -> tuple[str, list[str]]:
        """Take a package and serve it. Returns build id and hosts.

        Raises `PackageError`, `Conflict`, and `Problem` 422 with file and line when the build does not evaluate;
        nothing has changed then.
        """
        self._refuse_data_hosts(request.hosts)
        await self._store.read(domains.check_free, app.app_id, request.hosts)
        try:
            upload = await self._serving.packages.receive(chunks)
        except Exception:
            await _discard(chunks)
            raise
        try:
            async with self._serving.pinned(upload.digest):
                package = await self._serving.packages.unpack(upload)
                build = Build(
                    number=0,
                    build_id=builds.new_id(),
                    app_id=app.app_id,
                    digest=upload.digest,
                    env_ref=request.env_ref,
                    limits=limits(self._config, package.manifest, request.max_concurrent_requests),
                    size=upload.size,
                    created=time.time(),
                )
                change = self._audit.noted(
                    "app.deploy",
                    of_app(app),
                    lambda c: self._add_build(c, build, request.hosts),
                    build_id=build.build_id,
                    digest=build.digest,
                    env_ref=build.env_ref,
                    hosts=request.hosts,
                )
                async with self._lock(app.app_id):
                    hosts = await self._swap(app.app_id, build, change)
        except BaseException:
            await self._serving.release(upload.digest)
            raise
        await self._serving.release_unused()
        return build.build_id, hosts

    async def rollback(self, app: App, build_id: str | None) -> tuple[str, list[str]]:
        """Serve an earlier build again. Raises `NotFound` and `Conflict`."""
        async with self._lock(app.app_id):
            app = await self._store.read(apps.get, app.app_id)
            if build_id is None:
                build = await self._store.read(builds.before, app.app_id, app.active_build)
            else:
                build = await self._store.read(builds.get, app.app_id, build_id)
            if build.build_id == app.active_build:
                return build.build_id, await self.hosts(app.app_id)
            change = self._audit.noted(
                "app.rollback",
                of_app(app),
                lambda c: builds.activate(c, build.app_id, build.build_id),
                build_id=build.build_id,
                instead_of=app.active_build,
            )
            return build.build_id, await self._swap(app.app_id, build, change)

    async def change_environment(self, app: App, key: str, value: str | None) -> bool:
        """Set a variable, or unset it with None, and swap in a host that sees it. False: there was nothing to unset."""
        async with self._lock(app.app_id):
            app = await self._store.read(apps.get, app.app_id)
            before = {entry.key: entry.value for entry in await self._store.read(environment.of_app, app.app_id)}
            if before.get(key) == value:
                return value is not None
            variables = {name: text for name, text in before.items() if name != key}
            if value is not None:
                variables[key] = value
                names.environment(variables)

            def store(connection: sqlite3.Connection) -> None:
                if value is None:
                    environment.remove(connection, app.app_id, key)
                else:
                    environment.put(connection, app.app_id, key, value, time.time())

            action = "app.environment.remove" if value is None else "app.environment.set"
            change = self._audit.noted(action, of_app(app), store, key=key)
            if app.active_build is None:
                await self._store.write(change)
            else:
                build = await self._store.read(builds.get, app.app_id, app.active_build)
                await self._swap(app.app_id, build, change, variables)
            return True

    async def attach(self, app: App, text: str, dns_mode: str) -> tuple[Domain, bool]:
        """Bind a host name; local ones are served at once, others after `finalize`. True: it was not bound before."""
        name = names.host_name(text)
        self._refuse_data_hosts([name])
        known = await self._store.read(domains.find, name) is not None

        def change(connection: sqlite3.Connection) -> Domain:
            active = names.is_local(name)
            return domains.attach(connection, app.app_id, name, dns_mode, active=active, now=time.time())

        attached, _ = await self._serving.publish(
            self._audit.noted("app.domain.attach", of_app(app), change, domain=name)
        )
        return attached, not known

    async def finalize(self, app: App, text: str) -> Domain:
        """Serve a bound host name from now on. Raises `NotFound`."""
        name = names.host_name(text)
        found, _ = await self._serving.publish(
            self._audit.noted(
                "app.domain.finalize", of_app(app), lambda c: domains.finalize(c, app.app_id, name), domain=name
            )
        )
        return found

    async def detach(self, app: App, text: str) -> tuple[str, bool]:
        """Unbind a host name. False: the app did not have it."""
        name = names.host_name(text)

        def subject(removed: bool) -> Subject | None:
            return of_app(app) if removed else None

        removed, _ = await self._serving.publish(
            self._audit.noted("app.domain.remove", subject, lambda c: domains.remove(c, app.app_id, name), domain=name)
        )
        return name, removed

    async def delete(self, app: App) -> Removed:
        """Remove an app and everything of it."""
        async with self._lock(app.app_id):
            hosts = await self.hosts(app.app_id)
            variables = len(await self._store.read(environment.of_app, app.app_id))
            digests = {build.digest for build in await self._store.read(builds.of_app, app.app_id)}
            change = self._audit.noted("app.delete", of_app(app), lambda c: apps.delete(c, app.app_id), hosts=hosts)
            _, isolates = await self._serving.publish(change, app_id=app.app_id)
            artifacts = sum([await self._serving.release(digest) for digest in digests])
        self._locks.pop(app.app_id, None)
        return Removed(app, hosts, isolates, artifacts, variables)

    async def hosts(self, app_id: str) -> list[str]:
        """Host names under which an app answers."""
        return [domain.domain for domain in await self._store.read(domains.of_app, app_id) if domain.active]

    def _lock(self, app_id: str) -> asyncio.Lock:
        return self._locks.setdefault(app_id, asyncio.Lock())

    def _refuse_data_hosts(self, hosts: list[str]) -> None:
        for name in hosts:
            if name in self._config.data_hosts():
                raise Conflict(f"The host name {name!r} belongs to the data plane (db_hosts).")

    async def _swap(
        self,
        app_id: str,
        build: Build,
        change: Callable[[sqlite3.Connection], object],
        variables: dict[str, str] | None = None,
    ) -> list[str]:
        """Bring up a host for `build`, then `change` the state and serve by it. Returns the app's hosts."""
        app = await self._store.read(apps.get, app_id)  # it may have been deleted while this call waited
        package = await self._serving.package(build.digest)
        if variables is None:
            variables = {entry.key: entry.value for entry in await self._store.read(environment.of_app, app_id)}
        wanted = placement(app, build.build_id, package, build.limits, variables)
        host = None if wanted.main is None else await self._bring_up(wanted)
        await self._serving.publish(change, app_id=app_id, host=host)
        return await self.hosts(app_id)

    async def _bring_up(self, wanted: Placement) -> Host:
        try:
            return await self._serving.supervisor.start_host(wanted)
        except HostFailed as error:
            load = error.load
            if not error.is_build:
                raise Problem(503, f"The build could not be tried: {error}.") from None
            if load is None:
                raise Problem(422, f"The build cannot be served: {error}.", "Build failed") from None
            file, line, column = load.file, load.line, load.column
            source = await self._traces.place(wanted.app_id, wanted.directory, file, line, column)
            if source is not None:
                file, line, column = source
            place = ":".join(str(part) for part in (file, line, column) if part)
            raise Problem(
                422,
                f"{place}: {load.message}" if place else load.message,
                "Build failed",
                file=file,
                line=line,
                column=column,
            ) from None

    def _add_build(self, connection: sqlite3.Connection, build: Build, hosts: list[str]) -> None:
        app = apps.get(connection, build.app_id)
        now = build.created
        builds.add_active(connection, build)
        builds.prune(connection, app.app_id, self._config.keep_builds)
        for name in hosts:
            domains.attach(connection, app.app_id, name, "external", active=True, now=now)
        if hosts or domains.of_app(connection, app.app_id):
            return
        required, *others = default_hosts(app)
        domains.attach(connection, app.app_id, required, "external", active=True, now=now)
        for name in others:
            if domains.find(connection, name) is None:
                domains.attach(connection, app.app_id, name, "external", active=True, now=now)


async def _discard(chunks: AsyncIterator[bytes]) -> None:
    """Read the rest of a refused upload: a client that still sends would lose the answer to a connection reset."""
    left = DISCARD_BYTES
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    return
    except Exception:  # noqa: BLE001, S110, RUF100 the client is gone or too slow, and its refusal stands
        return
