"""Crons of an app over HTTP: `/v1/projects/{project}/apps/{app}/crons` and `…/runs`."""

import asyncio

from runtime.control import views
from runtime.control.app_routes import APP
from runtime.control.audit import of_app
from runtime.control.endpoint import Endpoint
from runtime.control.problems import Problem
from runtime.control.services import NodeCall
from runtime.control.subjects import app_of
from runtime.supervisor.crons import Cron

WAIT_SECONDS = 60.0
"""How long the call that begins a run waits for its end."""


async def list_crons(call: NodeCall) -> views.Crons:
    app = await app_of(call)
    return views.Crons([_view(cron) for cron in call.services.supervisor.crons.of_app(app.app_id)])


async def run(call: NodeCall) -> views.RunView:
    app = await app_of(call)
    runs = call.services.supervisor.crons
    cron = _chosen(runs.of_app(app.app_id), call.body.cron)
    begun = runs.fire(app.app_id, cron)
    if begun is None:
        raise Problem(409, f"The last run of {cron.expression!r} still goes on.")
    await call.services.audit.note("app.cron-run", of_app(app), cron=cron.expression)
    await asyncio.wait([begun.task], timeout=WAIT_SECONDS)
    outcome = begun.run.outcome
    return views.RunView(cron.expression, outcome is None, outcome, None if outcome is None else begun.run.milliseconds)


def _chosen(crons: list[Cron], wanted: str | None) -> Cron:
    """The cron that is meant. Raises `Problem` if that cannot be told."""
    listed = ", ".join(repr(cron.expression) for cron in crons)
    if not crons:
        raise Problem(409, "The app has no crons: its brrrd.json lists none, or it has no build.")
    if wanted is None:
        if len(crons) > 1:
            raise Problem(422, f"The app has several crons; name one of {listed}.")
        return crons[0]
    for cron in crons:
        if cron.expression == wanted:
            return cron
    raise Problem(404, f"The app has no cron {wanted!r}; it has {listed}.")


def _view(cron: Cron) -> views.CronView:
    last = cron.last
    return views.CronView(
        cron=cron.expression,
        next_at=views.moment(cron.next),
        running=cron.running is not None,
        last_at=views.moment(last.started) if last is not None else None,
        last_outcome=last.outcome if last is not None else None,
        last_ms=last.milliseconds if last is not None else None,
    )


ENDPOINTS = [
    Endpoint("GET", APP + "/crons", list_crons, "Crons of an app, with their next and last runs", views.Crons),
    Endpoint(
        "POST", APP + "/runs", run, "Run a cron of an app now; answers at its end, or after a minute", views.RunView,
        views.NewRun,
    ),
]  # fmt: skip
