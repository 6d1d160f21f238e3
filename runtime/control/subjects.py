"""The app or database that a call's path names."""

from runtime.control import names
from runtime.control.services import NodeCall
from runtime.state import apps
from runtime.state.apps import App
from runtime.state.databases import Database


async def app_of(call: NodeCall) -> App:
    """Return the app. Raises `NotFound`, and `Problem` 404 for what can be no name."""
    project = names.name_or_id(call.path("project"), "project")
    app = names.name_or_id(call.path("app"), "app")
    return await call.services.serving.store.read(apps.find, project, app)


async def database_of(call: NodeCall, *, to_change: bool = False) -> Database:
    """Return the database, as `DatabaseService.find` does. Raises also `Problem` 404 for what can be no name."""
    key = names.name_or_id(call.path("database"), "database")
    return await call.services.databases.find(key, to_change=to_change)
