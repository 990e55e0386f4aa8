"""The control plane: every route under `/api/v1/projects/{project}`, and the OpenAPI document that describes them."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from tidemill.api import (
    alerts,
    approvals,
    artifacts,
    audit,
    blobs,
    compare,
    datasets,
    endpoints,
    evaluations,
    evidence,
    feedback,
    from_traces,
    gate,
    indexes,
    jobs,
    keys,
    maturity,
    models,
    models_compare,
    monitors,
    pipelines,
    plan,
    policies,
    releases,
    rollouts,
    runs,
    traces,
    tune,
)
from tidemill.api.platform import Platform
from tidemill.api.problems import install_problems
from tidemill.version import __version__

PREFIX = "/api/v1/projects/{project}"
_ROUTERS: tuple[APIRouter, ...] = (
    artifacts.router, models.router, models_compare.router,
    plan.router, blobs.router, releases.router, runs.router, datasets.router,
    from_traces.router, evaluations.router, compare.router, evidence.router, maturity.router,
    gate.router, endpoints.router, rollouts.router, traces.router, feedback.router, indexes.router, keys.router, jobs.router,
    pipelines.router, monitors.router, alerts.router, approvals.router, audit.router, policies.router,
    tune.router,
)  # fmt: skip


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
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX)
    return app
