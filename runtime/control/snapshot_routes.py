"""Snapshots over HTTP: `/v1/databases/{database}/snapshots…` and `…/restore`."""

from starlette.responses import FileResponse

from runtime.control import views
from runtime.control.audit import of_database
from runtime.control.endpoint import Endpoint
from runtime.control.problems import Problem
from runtime.control.services import NodeCall
from runtime.control.subjects import database_of
from runtime.state import ids
from runtime.state.databases import Database
from runtime.state.snapshots import Kind, Snapshot

ALL = "/v1/databases/{database}/snapshots"
ONE = ALL + "/{snapshot}"
LATEST = "latest"


class RestoreRequest(views.Body, frozen=True):
    snapshot_id: str
    """`latest` is the newest that is not of the state before a restore."""


class SnapshotView(views.View, frozen=True):
    snapshot_id: str
    database_id: str
    kind: Kind
    created_at: str
    """The moment whose state it holds."""
    size_bytes: int


class OneSnapshot(views.View, frozen=True):
    snapshot: SnapshotView


class AllSnapshots(views.View, frozen=True):
    snapshots: list[SnapshotView]


class Restored(views.View, frozen=True):
    database_id: str
    restored: SnapshotView
    kept: SnapshotView
    """What the database was until now."""


class SnapshotDeleted(views.View, frozen=True):
    snapshot_id: str
    deleted: bool


async def take(call: NodeCall) -> OneSnapshot:
    database = await database_of(call)
    return OneSnapshot(_view(await call.services.snapshots.take(database.database_id)))


async def list_all(call: NodeCall) -> AllSnapshots:
    found = await call.services.snapshots.of(await database_of(call))
    return AllSnapshots([_view(snapshot) for snapshot in found])


async def download(call: NodeCall) -> FileResponse:
    database = await database_of(call)
    snapshot = await _snapshot(call, database, call.path("snapshot"))
    detail = {"snapshot_id": snapshot.snapshot_id}
    await call.services.audit.note("database.snapshot-download", of_database(database), **detail)
    return FileResponse(
        call.services.snapshots.path(snapshot),
        media_type="application/vnd.sqlite3",
        filename=f"{snapshot.snapshot_id}.db",
    )


async def remove(call: NodeCall) -> SnapshotDeleted:
    snapshot = await _snapshot(call, await database_of(call, to_change=True), call.path("snapshot"))
    await call.services.snapshots.remove(snapshot)
    return SnapshotDeleted(snapshot.snapshot_id, deleted=True)


async def restore(call: NodeCall) -> Restored:
    database = await database_of(call, to_change=True)
    snapshot = await _snapshot(call, database, call.body.snapshot_id)
    kept = await call.services.snapshots.restore(snapshot)
    return Restored(database.database_id, _view(snapshot), _view(kept))


ENDPOINTS = [
    Endpoint(
        "POST", ALL, take, "Copy the database as it is at this moment, while it is used",
        OneSnapshot, views.Nothing, 201,
    ),
    Endpoint("GET", ALL, list_all, "Snapshots of a database, the newest first", AllSnapshots),
    Endpoint("GET", ONE, download, "The snapshot as a database file", media_type="application/vnd.sqlite3"),
    Endpoint("DELETE", ONE, remove, "Delete a snapshot", SnapshotDeleted),
    Endpoint(
        "POST", "/v1/databases/{database}/restore", restore,
        "Make the database what it was; what it is now is kept as a snapshot", Restored, RestoreRequest,
    ),
]  # fmt: skip


async def _snapshot(call: NodeCall, database: Database, key: str) -> Snapshot:
    if key == LATEST:
        usual = [found for found in await call.services.snapshots.of(database) if found.kind != "before-restore"]
        if not usual:
            raise Problem(404, f"Database {database.name} has no snapshot.")
        return usual[0]
    if not ids.is_id(key):
        raise Problem(400, f"{key[:40]!r} is no snapshot id; it looks like snp-abcdefghijkl, or is {LATEST!r}.")
    return await call.services.snapshots.find(database, key)


def _view(snapshot: Snapshot) -> SnapshotView:
    return SnapshotView(
        snapshot.snapshot_id,
        snapshot.database_id,
        snapshot.kind,
        views.moment(snapshot.created),
        snapshot.size,
    )
