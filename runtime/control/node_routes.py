"""The node over HTTP: health, readiness, metrics, status, projects."""

from collections import Counter

import msgspec
from starlette.responses import Response

from runtime.control import views
from runtime.control.endpoint import Endpoint
from runtime.control.services import NodeCall
from runtime.state import projects
from runtime.telemetry import metrics

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})
"""Served without the operator token."""


async def healthz(call: NodeCall) -> views.Health:
    return views.Health("ok")


async def readyz(call: NodeCall) -> Response:
    waiting = [slot.name for slot in call.services.supervisor.slots() if not slot.ready.is_set()]
    health = views.Health("starting" if waiting else "ready", waiting)
    return Response(msgspec.json.encode(health), 503 if waiting else 200, media_type="application/json")


async def show_metrics(call: NodeCall) -> Response:
    return Response(metrics.text(call.services.metrics), headers={"content-type": metrics.CONTENT_TYPE})


async def status(call: NodeCall) -> views.Status:
    services = call.services
    supervisor = services.supervisor
    apps = Counter({"total": 0, "ready": 0, "idle": 0, "starting": 0, "quarantined": 0})
    for app_id in supervisor.app_ids():
        apps["total"] += 1
        apps[supervisor.app_status(app_id)[0]] += 1
    return views.Status(
        version=services.version,
        ready=supervisor.ready,
        started_at=views.moment(services.started),
        edge=supervisor.edge_address,
        edge_scheme=services.config.edge_scheme(),
        control=services.control_address,
        public_db_url=supervisor.public_db_url,
        engine=supervisor.hosts.zygote.engine,
        containment=supervisor.hosts.zygote.containment + supervisor.hosts.groups.applied,
        not_contained=supervisor.hosts.zygote.not_contained + supervisor.hosts.groups.missing,
        data_dir=str(services.data_dir.path),
        apps=dict(apps),
        databases=supervisor.database_count,
        processes=[views.ProcessView(slot.name, slot.state, slot.pid, slot.restarts) for slot in supervisor.slots()],
        hosts=[
            views.HostView(
                host_id=host.host_id,
                app_id=host.placement.app_id if host.placement else None,
                build_id=host.placement.build_id if host.placement else None,
                state="blocked" if host.blocked else host.state.value,
                pid=host.pid,
                active=host.stats.active if host.stats else 0,
                queued=host.stats.queued if host.stats else 0,
                heap_bytes=host.stats.heap_bytes if host.stats else 0,
            )
            for host in supervisor.hosts.alive.values()
        ],
    )


async def list_projects(call: NodeCall) -> views.Projects:
    found = await call.services.serving.store.read(projects.every)
    return views.Projects(
        [views.ProjectView(project.project_id, project.name, views.moment(project.created)) for project in found]
    )


ENDPOINTS = [
    Endpoint("GET", "/healthz", healthz, "Whether the control API answers", views.Health),
    Endpoint("GET", "/readyz", readyz, "200 when every process is up, else 503", views.Health),
    Endpoint("GET", "/metrics", show_metrics, "Prometheus metrics", media_type="text/plain"),
    Endpoint("GET", "/v1/status", status, "The node: listeners, processes, hosts", views.Status),
    Endpoint("GET", "/v1/projects", list_projects, "All projects", views.Projects),
]
