"""Apps over HTTP: `/v1/projects/{project}/apps/…`."""

import logging
import sqlite3
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from runtime.bounds import MOST_CONCURRENT_REQUESTS
from runtime.control import audit, names, views
from runtime.control.deployments import Request
from runtime.control.endpoint import Answered, Endpoint, Parameter
from runtime.control.problems import Problem
from runtime.control.services import NodeCall, Services
from runtime.control.subjects import app_of
from runtime.state import apps, builds, domains, environment
from runtime.state.apps import App
from runtime.state.domains import Domain
from runtime.telemetry.app_logs import LINES_IN_MEMORY

log = logging.getLogger("brrrd.control")

APPS = "/v1/projects/{project}/apps"
APP = APPS + "/{app}"


async def create(call: NodeCall) -> views.OneApp:
    project = names.new_or_id(call.path("project"), "project")
    name = names.new_name(call.body.name, "app")
    app = await call.services.deployments.create(project, name)
    return views.OneApp(_view(call.services, app, []))


async def list_all(call: NodeCall) -> views.Apps:
    project = names.name_or_id(call.path("project"), "project")

    def read(connection: sqlite3.Connection) -> list[tuple[App, list[Domain]]]:
        found = apps.of_project(connection, project)
        return [(app, domains.of_app(connection, app.app_id)) for app in found]

    listed = await call.services.serving.store.read(read)
    return views.Apps([_view(call.services, app, bound) for app, bound in listed])


async def show(call: NodeCall) -> views.OneApp:
    app = await app_of(call)
    bound = await call.services.serving.store.read(domains.of_app, app.app_id)
    return views.OneApp(_view(call.services, app, bound))


async def delete(call: NodeCall) -> views.DeletedApp:
    services = call.services
    removed = await services.deployments.delete(await app_of(call))
    services.logs.remove(removed.app.app_id)
    services.reports.forget_app(removed.app.app_id)
    return views.DeletedApp(
        app_id=removed.app.app_id,
        deleted=True,
        routing=len(removed.hosts),
        isolates=removed.isolates,
        artifacts=removed.artifacts,
        environment=removed.environment,
        cached=await _forget_cached(services, removed.app),
        hosts=removed.hosts,
    )


async def purge(call: NodeCall) -> views.CacheEmptied:
    app = await app_of(call)
    try:
        emptied = await call.services.supervisor.empty_cache(app.app_id, for_good=False)
    except TimeoutError:
        raise Problem(503, "The cache process does not answer at the moment; see the node's log.") from None
    if emptied.entries < 0:
        raise Problem(503, "The disk did not let the cache be emptied; see the node's log.")
    await call.services.audit.note("app.purge", audit.of_app(app), entries=emptied.entries)
    return views.CacheEmptied(app.app_id, emptied.entries, emptied.bytes)


async def _forget_cached(services: Services, app: App) -> int:
    """Remove what a deleted app has stored; returns how many entries."""
    try:
        return max(0, (await services.supervisor.empty_cache(app.app_id, for_good=True)).entries)
    except TimeoutError:
        log.warning("the cache process does not answer; what app %s has stored goes at its next start", app.name)
        return 0


async def deploy(call: NodeCall) -> views.Deployed:
    app = await app_of(call)
    request = Request(
        hosts=list(dict.fromkeys(names.host_name(name) for name in call.query("hosts").split(",") if name.strip())),
        env_ref=call.query("env_ref")[:200],
        max_concurrent_requests=call.number("max_concurrent_requests", None, 1, MOST_CONCURRENT_REQUESTS),
    )
    build_id, hosts = await call.services.deployments.deploy(app, call.chunks(), request)
    return views.Deployed(app.app_id, build_id, hosts, uploaded=True)


async def list_builds(call: NodeCall) -> views.Builds:
    app = await app_of(call)
    return views.Builds(
        [
            views.BuildView(
                build_id=build.build_id,
                active=build.build_id == app.active_build,
                digest=build.digest,
                size=build.size,
                env_ref=build.env_ref,
                limits=build.limits,
                created_at=views.moment(build.created),
            )
            for build in await call.services.serving.store.read(builds.of_app, app.app_id)
        ]
    )


async def rollback(call: NodeCall) -> views.Activated:
    app = await app_of(call)
    build_id, hosts = await call.services.deployments.rollback(app, call.body.build_id)
    return views.Activated(app.app_id, build_id, hosts)


async def show_environment(call: NodeCall) -> views.Environment:
    app = await app_of(call)
    variables = await call.services.serving.store.read(environment.of_app, app.app_id)
    return views.Environment({entry.key: entry.value for entry in variables})


async def set_variable(call: NodeCall) -> views.VariableSet:
    app = await app_of(call)
    key, value = call.path("key"), call.body.value
    if call.body.secret:
        raise Problem(
            400, "This node keeps no secrets: values are stored as they are. Send secret:false if that is fine."
        )
    names.variable(key, value)
    await call.services.deployments.change_environment(app, key, value)
    return views.VariableSet(key, value)


async def remove_variable(call: NodeCall) -> views.VariableRemoved:
    app = await app_of(call)
    key = call.path("key")
    return views.VariableRemoved(key, await call.services.deployments.change_environment(app, key, None))


async def list_domains(call: NodeCall) -> views.Domains:
    app = await app_of(call)
    bound = await call.services.serving.store.read(domains.of_app, app.app_id)
    return views.Domains([_domain(domain) for domain in bound])


async def attach_domain(call: NodeCall) -> Answered:
    app = await app_of(call)
    domain, is_new = await call.services.deployments.attach(app, call.body.domain, call.body.dns_mode)
    return Answered(201 if is_new else 200, views.OneDomain(_domain(domain)))


async def finalize_domain(call: NodeCall) -> views.OneDomain:
    app = await app_of(call)
    return views.OneDomain(_domain(await call.services.deployments.finalize(app, call.path("domain"))))


async def remove_domain(call: NodeCall) -> views.DomainRemoved:
    app = await app_of(call)
    return views.DomainRemoved(*await call.services.deployments.detach(app, call.path("domain")))


async def read_logs(call: NodeCall) -> Response:
    app = await app_of(call)
    limit = call.number("limit", 100, 0, LINES_IN_MEMORY) or 0
    logs = call.services.logs
    if call.flag("follow"):
        lines: AsyncIterator[bytes] = logs.follow(app.app_id, limit)
        return StreamingResponse(lines, media_type="application/x-ndjson")
    return Response(b"".join(logs.tail(app.app_id, limit)), media_type="application/x-ndjson")


ENDPOINTS = [
    Endpoint("POST", APPS, create, "Create an app, and its project if new", views.OneApp, views.NewApp, 201),
    Endpoint("GET", APPS, list_all, "Apps of a project", views.Apps),
    Endpoint("GET", APP, show, "One app", views.OneApp),
    Endpoint("DELETE", APP, delete, "Delete an app with builds, environment and hosts", views.DeletedApp),
    Endpoint("DELETE", APP + "/cache", purge, "Remove all that an app keeps with the Cache API", views.CacheEmptied),
    Endpoint(
        "POST",
        APP + "/deployments",
        deploy,
        "Deploy a package; answers when every edge worker serves it",
        views.Deployed,
        status=201,
        upload=True,
        query=(
            Parameter("hosts", "Host names to bind, comma-separated; without: the app's own, else a default"),
            Parameter("env_ref", "Your mark for the configuration, kept with the build"),
            Parameter("max_concurrent_requests", "Overrides the manifest's"),
        ),
    ),
    Endpoint("GET", APP + "/builds", list_builds, "Builds of an app, newest first", views.Builds),
    Endpoint(
        "POST", APP + "/rollbacks", rollback, "Serve an earlier build; without a body the previous one",
        views.Activated, views.Rollback,
    ),
    Endpoint("GET", APP + "/environment", show_environment, "Variables of an app", views.Environment),
    Endpoint(
        "PUT", APP + "/environment/{key}", set_variable, "Set a variable; answers when requests see it",
        views.VariableSet, views.VariableValue,
    ),
    Endpoint("DELETE", APP + "/environment/{key}", remove_variable, "Unset a variable", views.VariableRemoved),
    Endpoint("GET", APP + "/domains", list_domains, "Host names of an app", views.Domains),
    Endpoint(
        "POST", APP + "/domains", attach_domain, "Bind a host name; local names are served at once",
        views.OneDomain, views.NewDomain, 201,
    ),
    Endpoint(
        "POST", APP + "/domains/{domain}/finalize", finalize_domain, "Serve a bound host name", views.OneDomain,
        views.Nothing,
    ),
    Endpoint("DELETE", APP + "/domains/{domain}", remove_domain, "Unbind a host name", views.DomainRemoved),
    Endpoint(
        "GET",
        APP + "/logs",
        read_logs,
        "Log of an app, one JSON object per line",
        media_type="application/x-ndjson",
        query=(
            Parameter("limit", f"How many of the newest lines, at most {LINES_IN_MEMORY}; default 100"),
            Parameter("follow", "true: keep sending; empty lines are heartbeats"),
        ),
    ),
]  # fmt: skip


def _view(services: Services, app: App, bound: list[Domain]) -> views.AppView:
    status, detail = services.supervisor.app_status(app.app_id)
    return views.AppView(
        app_id=app.app_id,
        name=app.name,
        project=app.project,
        project_id=app.project_id,
        status=status if app.active_build is not None else "no build",
        detail=detail,
        build_id=app.active_build,
        hosts=[domain.domain for domain in bound if domain.active],
        created_at=views.moment(app.created),
    )


def _domain(domain: Domain) -> views.DomainView:
    return views.DomainView(
        domain=domain.domain,
        app_id=domain.app_id,
        status="active" if domain.active else "pending",
        dns_mode=domain.dns_mode,
        created_at=views.moment(domain.created),
    )
