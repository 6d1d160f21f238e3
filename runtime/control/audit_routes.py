"""The audit log over HTTP: `GET /v1/audit`."""

from runtime.control import views
from runtime.control.endpoint import Endpoint, Parameter
from runtime.control.services import NodeCall
from runtime.state import audit
from runtime.state.audit import Entry, Filter

MOST_ENTRIES = 1000
DEFAULT_ENTRIES = 100
_LAST_NUMBER = (1 << 63) - 1


async def list_entries(call: NodeCall) -> views.AuditLog:
    wanted = Filter(
        project=call.query("project") or None,
        app=call.query("app") or None,
        database=call.query("database") or None,
        action=call.query("action") or None,
        before=call.number("before", None, 0, _LAST_NUMBER),
        after=call.number("after", None, 0, _LAST_NUMBER),
    )
    limit = call.number("limit", DEFAULT_ENTRIES, 1, MOST_ENTRIES) or DEFAULT_ENTRIES
    found = await call.services.serving.store.read(audit.find, wanted, limit)
    return views.AuditLog([_view(entry) for entry in found])


def _view(entry: Entry) -> views.AuditEntry:
    subject = entry.subject
    return views.AuditEntry(
        number=entry.number,
        at=views.moment(entry.at),
        action=entry.action,
        by=entry.by,
        client=entry.client,
        project=subject.project,
        app=subject.app,
        app_id=subject.app_id,
        database=subject.database,
        database_id=subject.database_id,
        detail=entry.detail,
    )


ENDPOINTS = [
    Endpoint(
        "GET",
        "/v1/audit",
        list_entries,
        "What was changed, and which query tokens were issued; the newest first",
        views.AuditLog,
        query=(
            Parameter("project", "Only of this project, by name"),
            Parameter("app", "Only of this app, by name or id"),
            Parameter("database", "Only of this database, by name or id"),
            Parameter("action", "Only this action, such as database.rotate, or all of app or database"),
            Parameter("limit", f"How many, 1 to {MOST_ENTRIES}; default {DEFAULT_ENTRIES}"),
            Parameter("before", "Only entries with a smaller number: the next page"),
            Parameter("after", "Only entries with a larger number, the oldest first: what came since"),
        ),
    ),
]
