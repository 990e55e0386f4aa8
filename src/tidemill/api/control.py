"""The control plane: every route under `/api/v1/projects/{project}`, and the OpenAPI document that describes them."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from tidemill.api import (
    access,
    alerts,
    alias_moves,
    approvals,
    artifacts,
    audit,
    audit_of_all,
    blobs,
    compare,
    datasets,
    db,
    delete,
    diff,
    endpoints,
    environments,
    erase,
    evaluations,
    evidence,
    feedback,
    from_traces,
    gate,
    history,
    indexes,
    jobs,
    keys,
    lineage,
    maturity,
    model_routes,
    models,
    models_compare,
    monitors,
    people,
    pipelines,
    plan,
    policies,
    projects,
    promote,
    pull,
    query,
    releases,
    reprice,
    retention,
    rollouts,
    runs,
    session,
    tags,
    traces,
    traces_erase,
    traces_import,
    traces_payload,
    traces_saved,
    traces_stream,
    transfer,
    tune,
    usage,
)
from tidemill.api.bodies import Bodies
from tidemill.api.cursors import Cursors
from tidemill.api.docs_page import install_docs
from tidemill.api.document import install_document
from tidemill.api.etags import Conditional
from tidemill.api.idempotency import Idempotency
from tidemill.api.methods import Methods
from tidemill.api.platform import Platform
from tidemill.api.problems import install_problems
from tidemill.api.queries import Queries
from tidemill.api.replay import install_replays
from tidemill.api.router import Router
from tidemill.api.routes import Routes
from tidemill.version import __version__

PREFIX = "/api/v1/projects/{project}"
_ROUTERS: tuple[Router, ...] = (
    artifacts.router, alias_moves.router, tags.router, delete.router, diff.router, history.router,
    models.router, models_compare.router, model_routes.router,
    plan.router, blobs.router, releases.router, runs.router, datasets.router, erase.router,
    from_traces.router, query.router, reprice.router,
    retention.router, traces_erase.router, traces_import.router, traces_payload.router,
    evaluations.router, compare.router, evidence.router, maturity.router, lineage.router,
    gate.router, endpoints.router, rollouts.router, traces.router, feedback.router,
    traces_saved.router, traces_stream.router, indexes.router, keys.router, usage.router, jobs.router,
    pipelines.router, monitors.router, alerts.router, approvals.router, audit.router, policies.router,
    tune.router, transfer.router, pull.router, environments.router, promote.router, projects.router, access.router,
)  # fmt: skip
OUTSIDE = "/api/v1"
_OUTSIDE: tuple[Router, ...] = (
    db.outside, projects.outside, people.outside, access.outside, session.outside, audit_of_all.outside,
)  # fmt: skip
"""Of no project."""
ROUTES = Routes(known=[*Routes.of(_ROUTERS, prefix=PREFIX).known, *Routes.of(_OUTSIDE, prefix=OUTSIDE).known])


def control_plane(platform: Platform) -> FastAPI:
    """The control plane's ASGI application over these parts."""
    app = FastAPI(
        title="Tidemill",
        version=__version__,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.platform = platform
    install_problems(app)
    install_replays(app)
    app.router.routes.extend(each.route for each in ROUTES.known)
    install_document(app, ROUTES)
    install_docs(app)
    return app


def in_form(app: FastAPI, platform: Platform) -> ASGIApp:
    """The control plane with what every route has: bounded bodies, entity tags, idempotency keys and sealed cursors."""
    repeatable = Idempotency(
        Cursors(app), database=platform.database, clock=platform.clock, process=platform.process, applies=ROUTES.repeats
    )
    bounded = Bodies(
        Conditional(Queries(repeatable, parameters=ROUTES.parameters), takes_condition=ROUTES.takes_condition),
        limits=platform.settings.limits,
        streams=ROUTES.streams,
    )
    return Methods(bounded, methods_of=ROUTES.methods_of)
