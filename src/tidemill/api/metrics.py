"""The platform watches itself: every request is counted and timed, and `GET /metrics` shows all figures to a Prometheus."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Final

import anyio
import anyio.to_thread
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.part import Figures
from tidemill.api.platform import Platform
from tidemill.api.problems import problem_response
from tidemill.core.errors import Denied, MethodNotAllowed, TidemillError
from tidemill.core.logs import LINES, WITHIN
from tidemill.core.records import SpanRecord
from tidemill.store import jobs
from tidemill.store.access import Principal
from tidemill.telemetry.engine.embedded import EmbeddedEngine
from tidemill.telemetry.recorder import Recorder, Span
from tidemill.telemetry.watch import Labels, Measures, Series
from tidemill.telemetry.watch_machine import read_machine
from tidemill.version import __version__

OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
OWN_PROJECT: Final = "tidemill-internal"
"""Where the spans of the platform's own work are, apart from those of any user."""
_DATA_PLANE: Final = "/v1/"
_SLOW_SECONDS: Final = 1.0
_PATIENCE: Final = 2.0  # seconds for the span store to say what is in it
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PLAIN: Final = frozenset(
    {
        "/", "/healthz", "/readyz", "/metrics", "/login", "/openapi.json", "/v1/chat/completions", "/v1/models",
        "/v1/embeddings", "/v1/messages", "/v1/traces", "/v1/logs", "/v1/metrics",
    }
)  # fmt: skip
_MAY: Final = frozenset({"operator", "admin"})
_CALLS: Final = frozenset({"llm", "embedding", "reranker"})
_log = logging.getLogger("tidemill.requests")


class Measured:
    """ASGI middleware: counts and times every request, and gives the lines that it logs a trace.

    A request to the control plane that fails or takes longer than a second is recorded as a span of the project
    `tidemill-internal`; with `own` "all" every one is, with "off" none.
    """

    def __init__(self, app: ASGIApp, *, measures: Measures, recorder: Recorder, own: str = "slow") -> None:
        self._app = app
        self._measures = measures
        self._recorder = recorder
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and look at the answer's status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # the caller went away before an answer began
        started = time.perf_counter()
        span = self._begin(scope)
        token = None if span is None else WITHIN.set((span.trace_id, span.span_id))

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._measures.count("tidemill_http_requests_in_flight")
        scope["tidemill.send"] = send
        try:
            await self._app(scope, receive, noted)
        finally:
            self._measures.count("tidemill_http_requests_in_flight", amount=-1)
            self._ended(scope, span, status, time.perf_counter() - started)
            if token is not None:
                WITHIN.reset(token)

    def _begin(self, scope: Scope) -> Span | None:
        """The span of a request. The data plane traces its own: there it is only for the lines that are logged."""
        if scope["path"].startswith(_DATA_PLANE) and not _log.isEnabledFor(logging.INFO):
            return None
        caller = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")
        return self._recorder.trace(f"{scope['method']}", kind="other", project=OWN_PROJECT, traceparent=caller)

    def _ended(self, scope: Scope, span: Span | None, status: int, seconds: float) -> None:
        route, method = route_of(scope), scope["method"] if scope["method"] in _METHODS else "other"
        self._measures.count("tidemill_http_requests", (method, route, str(status)))
        self._measures.observe("tidemill_http_request_duration_seconds", (route,), seconds)
        level = logging.ERROR if status >= 500 else logging.INFO
        if _log.isEnabledFor(level):
            extra = {"route": route, "method": method, "status": status, "ms": round(seconds * 1000, 1)}
            _log.log(level, "%s %s %d", method, route, status, extra=extra)
        if span is None or scope["path"].startswith(_DATA_PLANE):
            return
        is_wanted = self._own == "all" or status >= 500 or seconds > _SLOW_SECONDS
        if self._own != "off" and is_wanted:
            span.name = f"{method} {route}"
            attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            span.set(attributes=attributes, error=f"answered {status}" if status >= 500 else None)
            span.end()


def route_of(scope: Scope) -> str:
    """The route of a request with the names of its parameters, never their values; `other` for what is none."""
    path: str = scope["path"]
    if path in _PLAIN:
        return path
    found = getattr(scope.get("route"), "path", None)
    if isinstance(found, str):
        return found
    return "/docs" if path.startswith("/docs/") else "/v1/other" if path.startswith("/v1/") else "other"


class MetricsPage:
    """`GET /metrics`: an ASGI application, behind the check of who comes in."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._started = time.time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the figures of now."""
        request = Request(scope, receive)
        try:
            if request.method not in {"GET", "HEAD"}:
                raise MethodNotAllowed(f"/metrics does not take {request.method}", hint="Use GET.")
            _check(scope["tidemill.principal"])
            measures, looked_at = await self._look()
            if request.query_params.get("form") == "json":
                items = measures.items(looked_at)
                await JSONResponse({"items": items}, headers={"cache-control": "no-store"})(scope, receive, send)
                return
            is_open = "application/openmetrics-text" in request.headers.get("accept", "")
            text = measures.text(looked_at, is_open=is_open)
        except TidemillError as error:
            await problem_response(error)(scope, receive, send)
            return
        media = OPEN_METRICS if is_open else PROMETHEUS
        await Response(text, headers={"content-type": media, "cache-control": "no-store"})(scope, receive, send)

    async def _look(self) -> tuple[Measures, Mapping[str, Mapping[Labels, float]]]:
        """What was counted, and what is looked at now; of all processes of the server added up."""
        platform, measures = self._platform, self._platform.measures
        names = {} if platform.telemetry.engine_pid is None else {platform.telemetry.engine_pid: "span-store"}
        root = None if platform.others is None else os.getppid()
        machine = await anyio.to_thread.run_sync(read_machine, platform.data, names, root)
        found: dict[str, Mapping[Labels, float]] = {**machine, **await self._spans(), **await platform.database.read(_jobs)}
        seen = figures_of(platform)
        if platform.others is not None:
            measures = Measures()
            for each in (seen, *await platform.others.figures()):
                measures.add({**each.values, **each.looked_at}, each.histograms)
            found = {name: series for name, series in found.items() if name not in seen.looked_at}
        else:
            found |= {name: dict(series) for name, series in seen.looked_at.items()}
        found["tidemill_build_info"] = {(__version__,): 1}
        found["tidemill_start_time_seconds"] = {(): self._started}
        return measures, found

    async def _spans(self) -> Mapping[str, Mapping[Labels, float]]:
        telemetry = self._platform.telemetry
        waiting = await anyio.to_thread.run_sync(telemetry.waiting)
        found: dict[str, Mapping[Labels, float]] = {
            "tidemill_spool_bytes": {(): waiting.spool_bytes},
            "tidemill_projection_lag_seconds": {(): waiting.lag_seconds},
            "tidemill_spool_damaged_bytes": {(): sum(waiting.damaged.values())},
            "tidemill_store_rejected_rows": {(): waiting.rejected},
            "tidemill_store_running": {(): int(telemetry.engine_pid is not None)},
        }
        if isinstance(telemetry.engine, EmbeddedEngine):
            found["tidemill_store_starts"] = {(): telemetry.engine.starts}
        stored = None  # what cannot be asked soon is absent
        with contextlib.suppress(TidemillError), anyio.move_on_after(_PATIENCE):
            stored = await telemetry.stored(wake=False)
        if stored is not None:
            found["tidemill_store_spans"] = {(): stored.spans}
            found["tidemill_store_bytes"] = {(table,): size for table, (_, size) in stored.tables.items()}
        return found


def figures_of(platform: Platform) -> Figures:
    """What one process counted, and what it looks at of itself."""
    intake, telemetry = platform.intake, platform.telemetry
    telemetry.catch_up()
    values, histograms = platform.measures.pairs()
    taken = [(("otlp", "accepted"), float(intake.accepted)), (("otlp", "rejected"), float(intake.rejected))]
    looked_at: dict[str, Series] = {
        "tidemill_spans": [*values.get("tidemill_spans", ()), *taken],
        "tidemill_spans_dropped": [((), telemetry.dropped)],
        "tidemill_spans_sampled_out": [((), telemetry.gate.sampled_out)],
        "tidemill_ingest_bytes": [((), intake.room.held)],
        "tidemill_log_lines": [((level,), count) for level, count in LINES.items()],
    }
    return Figures(values=values, histograms=histograms, looked_at=looked_at)


def _check(principal: Principal) -> None:
    """Raise `Denied` for whoever is neither operator nor admin: the figures are of all projects."""
    if not (principal.is_admin or principal.may_administer_all or (principal.is_key and principal.role in _MAY)):
        raise Denied("these figures are for operators and admins", hint="tidemill keys create --role operator")


def _jobs(db: Connection) -> Mapping[str, Mapping[Labels, float]]:
    counts = jobs.count_jobs(db)
    return {
        "tidemill_jobs": {each: count for each, count in counts.items() if each[1] not in jobs.FINISHED},
        "tidemill_jobs_finished": {each: count for each, count in counts.items() if each[1] in jobs.FINISHED},
    }


def counting(measures: Measures, sink: Callable[[SpanRecord], None]) -> Callable[[SpanRecord], None]:
    """A sink of spans that counts what the calls of models took."""

    def counted(record: SpanRecord) -> None:
        measures.count("tidemill_spans", ("recorder", "accepted"))
        if record.kind in _CALLS:
            _count_call(measures, record)
        elif record.kind == "guardrail":
            _count_guardrail(measures, record)
        sink(record)

    return counted


def _count_guardrail(measures: Measures, record: SpanRecord) -> None:
    action = record.attributes.get("tidemill.guardrail.action")
    said = "failed" if record.status == "error" or not isinstance(action, str) else action
    measures.count("tidemill_guardrails", (record.name, said))


def _count_call(measures: Measures, record: SpanRecord) -> None:
    said = record.provider or record.attributes.get("gen_ai.provider.name")
    provider, model, usage = said if isinstance(said, str) else "unknown", record.model or "unknown", record.usage
    measures.count("tidemill_provider_calls", (provider, record.status))
    measures.observe("tidemill_provider_call_duration_seconds", (provider,), max(0, record.end_ns - record.start_ns) / 1e9)
    counts = {
        "input": usage.input_tokens, "output": usage.output_tokens, "cached": usage.cached_tokens,
        "reasoning": usage.reasoning_tokens,
    }  # fmt: skip
    for name, count in counts.items():
        if count:
            measures.count("tidemill_tokens", (provider, model, name), count)
    if record.cost:
        measures.count("tidemill_cost_dollars", (provider, model), record.cost)
