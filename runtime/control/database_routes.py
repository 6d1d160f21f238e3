"""Databases over HTTP: `/v1/projects/{project}/databases` and `/v1/databases/{database}/…`."""

import msgspec

from dataplane.messages import DatabaseLimits
from runtime.control import names, views
from runtime.control.endpoint import Answered, Endpoint, Parameter
from runtime.control.services import NodeCall, Services
from runtime.control.subjects import database_of
from runtime.state import databases
from runtime.state import usage as usage_by_day
from runtime.state.databases import Database

OF_PROJECT = "/v1/projects/{project}/databases"
ONE = "/v1/databases/{database}"
DEFAULT_DAYS = 90
MOST_DAYS = 1000


async def create(call: NodeCall) -> Answered:
    project = names.new_or_id(call.path("project"), "project")
    name = names.new_name(call.body.name, "database")
    database, token = await call.services.databases.create(project, name)
    created = views.CreatedDatabase(
        database_id=database.database_id,
        database_url=call.services.databases.url(database.database_id),
        created=token is not None,
        database_token=token,
    )
    return Answered(200 if token is None else 201, created)


async def list_all(call: NodeCall) -> views.Databases:
    project = names.name_or_id(call.path("project"), "project")
    found = await call.services.serving.store.read(databases.of_project, project)
    return views.Databases([_view(call.services, database) for database in found])


async def show(call: NodeCall) -> views.OneDatabase:
    return await _detail(call, await database_of(call))


async def usage(call: NodeCall) -> views.Usage:
    services = call.services
    database = await database_of(call)
    key = database.database_id
    days = call.number("days", DEFAULT_DAYS, 0, MOST_DAYS) or 0
    await services.usage.write()
    counted = services.reports.usage.sums([key])[key]
    return views.Usage(
        views.UsageView(
            database_id=key,
            rows_read=int(counted.get("rows_read", 0)),
            rows_written=int(counted.get("rows_written", 0)),
            queries=int(counted.get("queries", 0)),
            received_bytes=int(counted.get("received_bytes", 0)),
            sent_bytes=int(counted.get("sent_bytes", 0)),
            storage_bytes=(await services.databases.files(key)).storage_bytes,
            since=views.moment(services.started),
            days=await services.serving.store.read(usage_by_day.days, key, days),
        )
    )


async def delete(call: NodeCall) -> views.DatabaseDeleted:
    database = await database_of(call, to_change=True)
    await call.services.databases.delete(database)
    await call.services.snapshots.forget(database.database_id)
    call.services.reports.forget_database(database.database_id)
    return views.DatabaseDeleted(database.database_id, deleted=True)


async def rotate(call: NodeCall) -> views.DatabaseToken:
    rotated, token = await call.services.databases.rotate(await database_of(call, to_change=True))
    return views.DatabaseToken(rotated.database_id, token, rotated.epoch)


async def query_token(call: NodeCall) -> views.QueryToken:
    database = await database_of(call, to_change=True)
    body: views.QueryTokenRequest = call.body
    token, expires = await call.services.databases.query_token(
        database, body.ttl_seconds, body.audience, body.reason, body.access
    )
    return views.QueryToken(database.database_id, token, body.access, views.moment(expires))


async def suspend(call: NodeCall) -> views.OneDatabase:
    database = await database_of(call, to_change=True)
    return await _detail(call, await call.services.databases.suspend(database, True, call.body.reason))


async def resume(call: NodeCall) -> views.OneDatabase:
    database = await database_of(call, to_change=True)
    return await _detail(call, await call.services.databases.suspend(database, False))


async def limit(call: NodeCall) -> views.OneDatabase:
    database = await database_of(call, to_change=True)
    own = DatabaseLimits(**msgspec.structs.asdict(call.body))
    return await _detail(call, await call.services.databases.limit(database, own))


ENDPOINTS = [
    Endpoint(
        "POST", OF_PROJECT, create, "Create a database; its token is shown this once",
        views.CreatedDatabase, views.NewDatabase, 201,
    ),
    Endpoint("GET", OF_PROJECT, list_all, "Databases of a project", views.Databases),
    Endpoint("GET", ONE, show, "One database", views.OneDatabase),
    Endpoint("DELETE", ONE, delete, "Delete a database and its files", views.DatabaseDeleted),
    Endpoint(
        "GET", ONE + "/usage", usage, "What a database has used", views.Usage,
        query=(Parameter("days", f"How many of the newest days, 0 to {MOST_DAYS}; default {DEFAULT_DAYS}"),),
    ),
    Endpoint(
        "POST", ONE + "/token/rotate", rotate, "New token; all tokens issued before are dead at once",
        views.DatabaseToken, views.Nothing,
    ),
    Endpoint(
        "POST", ONE + "/query-token", query_token, "A token that expires by itself",
        views.QueryToken, views.QueryTokenRequest,
    ),
    Endpoint("POST", ONE + "/suspend", suspend, "Refuse reads and writes", views.OneDatabase, views.Suspension),
    Endpoint(
        "PUT", ONE + "/limits", limit, "Replace the limits that a database has of its own",
        views.OneDatabase, views.OwnDatabaseLimits,
    ),
    Endpoint("POST", ONE + "/resume", resume, "Allow reads and writes again", views.OneDatabase, views.Nothing),
]  # fmt: skip


def _view(services: Services, database: Database) -> views.DatabaseView:
    _, up = services.databases.runner(database.database_id)
    return views.DatabaseView(
        database_id=database.database_id,
        name=database.name,
        project=database.project,
        project_id=database.project_id,
        database_url=services.databases.url(database.database_id),
        status="suspended" if database.suspended else "ready" if up else "unavailable",
        suspend_reason=database.suspend_reason or None,
        protected=services.databases.is_protected(database.database_id),
        epoch=database.epoch,
        created_at=views.moment(database.created),
    )


async def _detail(call: NodeCall, database: Database) -> views.OneDatabase:
    services = call.services
    view = _view(services, database)
    facts = await services.databases.files(database.database_id)
    return views.OneDatabase(
        views.DatabaseDetail(
            **{field: getattr(view, field) for field in view.__struct_fields__},
            runner=services.databases.runner(database.database_id)[0],
            generation=facts.generation,
            frames=views.Frames(facts.frames, facts.checkpointed, facts.page_bytes),
            storage_bytes=facts.storage_bytes,
            limits=views.DatabaseLimitsView(
                **services.databases.limits(database),
                own=[name for name, value in msgspec.structs.asdict(database.limits).items() if value is not None],
            ),
        )
    )
