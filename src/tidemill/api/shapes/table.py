"""Which route answers which shape. A route with a response model of its own needs no line; a test asks all others for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tidemill.api.shapes import (
    environments,
    evaluations,
    govern,
    importing,
    knowledge,
    lineage,
    numbers,
    past,
    privacy,
    registry,
    routing,
    serving,
    work,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a route answers when it succeeds.

    `shape` is an item where it is `many`, a page of a list; `also` are fields beside the items. `other` are further types of
    one answer, `media` is what it is when it is not JSON, and `statuses` other codes of success with the same body.
    """

    shape: type[Any] | None = None
    many: bool = False
    also: Mapping[str, Any] = field(default_factory=dict[str, Any])
    other: tuple[type[Any], ...] = ()
    media: str | None = None
    medias: tuple[str, ...] = ()
    """Further ones, by what was asked."""
    statuses: tuple[int, ...] = ()


def one(shape: type[Any], *other: type[Any], media: str | None = None, statuses: tuple[int, ...] = ()) -> Answer:
    """One thing, or one of several."""
    return Answer(shape=shape, other=other, media=media, statuses=statuses)


def many(shape: type[Any], *other: type[Any], **also: Any) -> Answer:
    """A page of a list."""
    return Answer(shape=shape, other=other, many=True, also=also)


def raw(media: str) -> Answer:
    """Bytes."""
    return Answer(media=media)


EVENTS: Final = "text/event-stream"
_ANY: Final[dict[str, Any]] = {"type": "object"}

ANSWERS: Final[Mapping[str, Answer]] = {
    "GET /artifacts": many(registry.ListedArtifactShape, registry.ConfigShape, registry.DeletedVersionShape),
    "GET /prompts": many(registry.ListedArtifactShape),
    "GET /indexes": many(registry.ListedArtifactShape),
    "GET /datasets": many(registry.ListedArtifactShape),
    "GET /artifacts/{kind}/{name}": one(registry.ArtifactShape, registry.ConfigShape),
    "GET /artifacts/{kind}/{name}/versions": many(registry.VersionShape),
    "GET /artifacts/{kind}/{name}/versions/{version}": one(registry.VersionShape),
    "GET /artifacts/{kind}/{name}/aliases": many(registry.AliasShape),
    "GET /artifacts/{kind}/{name}/aliases/{alias}": one(registry.AliasShape),
    "PUT /artifacts/{kind}/{name}/aliases/{alias}": one(registry.MovedAliasShape),
    "POST /plan": one(registry.PlanShape),
    "POST /apply": one(registry.AppliedShape),
    "POST /blobs:missing": one(registry.MissingBlobsShape),
    "POST /releases": one(registry.LockedShape),
    "GET /releases/{digest}": one(registry.ReleaseShape),
    "GET /releases/{digest}/diff/{other}": one(registry.ReleaseDiffShape),
    "GET /datasets/{name}/samples": many(registry.SampleShape),
    "POST /datasets/{name}/samples": one(registry.AppendedShape),
    "POST /datasets/{name}:from-traces": one(registry.GatheredShape),
    "POST /indexes/{name}:build": one(registry.JobStartedShape),
    "POST /indexes/{name}:search": many(registry.HitShape),
    "POST /evaluations": one(evaluations.StartedEvaluationShape),
    "GET /evaluations": many(evaluations.EvaluationShape),
    "GET /evaluations/{evaluation}": one(evaluations.EvaluationShape),
    "GET /evaluations/{evaluation}/samples": Answer(many=True),
    "POST /comparisons": one(evaluations.ComparedShape),
    "POST /gates/{name}:check": one(evaluations.GateShape),
    "POST /runs": one(serving.RunShape, media=EVENTS),
    "GET /runs/{run_id}": one(serving.FoundRunShape),
    "GET /endpoints": many(serving.EndpointShape),
    "GET /endpoints/{name}": one(serving.EndpointShape),
    "PUT /endpoints/{name}": one(serving.EndpointShape),
    "POST /endpoints/{name}:deploy": one(serving.EndpointShape),
    "POST /endpoints/{name}:rollback": one(serving.EndpointShape),
    "GET /rollouts": many(serving.RolloutShape),
    "POST /rollouts": one(serving.RolloutShape),
    "GET /rollouts/{rollout}": one(serving.WatchedRolloutShape),
    "POST /rollouts/{rollout}:promote": one(serving.RolloutShape),
    "POST /rollouts/{rollout}:abort": one(serving.RolloutShape),
    "GET /traces": many(serving.ListedTraceShape),
    "GET /traces/{trace_id}": one(serving.TraceShape),
    "POST /spans:reprice": one(registry.JobStartedShape),
    "POST /query": one(numbers.NumbersShape, numbers.ComparedNumbersShape),
    "POST /traces/{trace_id}/scores": many(serving.TraceScoreShape),
    "GET /traces:export": Answer(media="application/x-ndjson", medias=("application/vnd.apache.parquet",)),
    "GET /traces:tail": raw(EVENTS),
    "POST /spans:search": many(
        serving.FoundSpanShape,
        serving.ListedTraceShape,
        **{name: {"type": ["integer", "null"]} for name in ("texts", "covered", "embedded")},
    ),
    "GET /sessions": many(serving.GroupShape),
    "GET /sessions/{session}": one(serving.ConversationShape),
    "GET /trace-users": many(serving.GroupShape),
    "GET /saved-queries": many(serving.SavedQueryShape),
    "GET /saved-queries/{name}": one(serving.SavedQueryShape),
    "PUT /saved-queries/{name}": one(serving.SavedQueryShape, statuses=(201,)),
    "POST /feedback": one(serving.FeedbackShape, statuses=(200,)),
    "POST /feedback:batch": many(serving.FeedbackShape),
    "GET /feedback": many(serving.FeedbackShape),
    "GET /jobs": many(serving.JobShape),
    "GET /jobs/{job_id}": one(serving.JobShape),
    "POST /jobs/{job_id}:cancel": one(serving.JobShape),
    "GET /jobs/{job_id}/events": raw(EVENTS),
    "GET /audit": many(govern.AuditShape),
    "GET /audit/verify": one(govern.AuditReportShape),
    "GET /audit/export": raw("application/x-ndjson"),
    "GET /approvals": many(govern.ApprovalShape),
    "GET /approvals/{approval}": one(govern.ApprovalShape),
    "POST /approvals": one(govern.ApprovalShape),
    "DELETE /approvals/{approval}": one(govern.ApprovalShape),
    "GET /policies": many(govern.PolicyShape),
    "POST /policies:check": one(govern.PolicyAnswerShape),
    "GET /alerts": many(govern.AlertShape),
    "GET /alerts/{alert}": one(govern.AlertShape),
    "POST /alerts/{alert}:ack": one(govern.AlertShape),
    "GET /pipelines": many(work.ListedPipelineShape),
    "GET /pipelines/{name}": one(work.PipelineShape),
    "POST /pipelines/{name}:run": one(work.PipelineRunStepsShape),
    "GET /pipeline-runs": many(work.PipelineRunShape),
    "GET /pipeline-runs/{run}": one(work.PipelineRunStepsShape),
    "GET /pipeline-runs/{run}/logs": many(work.PipelineLineShape),
    "POST /pipeline-runs/{run}:cancel": one(work.PipelineRunStepsShape),
    "GET /monitors": many(work.MonitorShape),
    "GET /monitors/{name}": one(work.MonitorShape),
    "POST /monitor-runs": one(work.StartedRunShape),
    "GET /monitor-runs": many(work.MonitorRunShape),
    "GET /monitor-runs/{run}": one(work.MonitorRunProposalsShape),
    "POST /monitor-runs/{run}:accept": one(work.AcceptedShape),
    "POST /tunes:estimate": one(work.TuneEstimateShape),
    "POST /tunes": one(work.StartedTuneShape),
    "GET /tunes": many(work.TuneShape),
    "GET /tunes/{tune}": one(work.TuneShape),
    "GET /models": Answer(many=True, also={"total": {"type": "integer"}, "facets": _ANY, "sources": {}}),
    "GET /models/{name}": Answer(),
    "GET /routes": many(routing.RouteShape),
    "GET /routes/{name}": one(routing.SeenRouteShape),
    "POST /models:compare": one(work.ModelsCompareShape),
    "GET /evidence/cards": one(knowledge.CardsShape),
    "GET /evidence/bom": one(knowledge.BillShape),
    "POST /evidence": raw("application/zip"),
    "POST /evidence/watermark": one(knowledge.WatermarkShape),
    "GET /maturity": one(knowledge.MaturityShape),
    "POST /lineage/openlineage": one(lineage.TakenShape),
    "POST /pull": Answer(),
    "POST /pull:written": Answer(),
    "GET /api/v1/database": Answer(),
    "GET /api/v1/database/backup": raw("application/zip"),
    "GET /lineage/openlineage": Answer(shape=lineage.OpenLineageEventShape, many=True, media="application/x-ndjson"),
    "POST /diff": one(past.DiffShape),
    "GET /artifacts/{kind}/{name}/diff/{other}": one(past.DiffShape),
    "GET /artifacts/{kind}/{name}/history": many(past.PastShape),
    "GET /prompts/{name}/blame": one(past.BlameShape),
    "GET /blobs/{digest}": raw("application/octet-stream"),
    "GET /export": raw("application/zip"),
    "POST /import": Answer(),
    "PATCH /artifacts/{kind}/{name}": one(registry.VersionShape),
    "DELETE /artifacts/{kind}/{name}": one(registry.DeletedShape),
    "DELETE /artifacts/{kind}/{name}/versions/{version}": one(registry.DeletedShape),
    "DELETE /artifacts/{kind}/{name}/aliases/{alias}": one(registry.MovedAliasShape),
    "GET /artifacts/{kind}/{name}/moves": Answer(many=True),
    "POST /artifacts/{kind}/{name}:restore": one(registry.RestoredShape),
    "POST /artifacts:purge": one(registry.PurgedShape),
    "GET /releases": many(registry.ListedReleaseShape),
    "POST /releases:verify": one(registry.VerifiedShape),
    "POST /datasets/{name}/samples:erase": one(registry.ErasedShape),
    "POST /traces:import": one(importing.TracesImportedShape),
    "GET /telemetry": one(privacy.TelemetryShape),
    "POST /traces:erase": one(privacy.TraceErasureShape),
    "GET /traces/{trace_id}/spans/{span_id}/payload": one(privacy.PayloadShape),
    "GET /lineage": one(lineage.LineageShape),
    "GET /lineage/impact": one(lineage.ImpactShape),
    "GET /lineage/path": one(lineage.PathShape),
    "GET /keys": many(govern.KeyShape),
    "GET /keys/{key_id}": one(govern.KeyShape),
    "POST /keys": one(govern.MadeKeyShape),
    "PATCH /keys/{key_id}": one(govern.KeyShape),
    "GET /keys/{key_id}/usage": one(govern.KeyUsageShape),
    "GET /usage": one(govern.SubjectsUsageShape),
    "POST /keys/{key_id}:rotate": one(govern.MadeKeyShape),
    "GET /environments": many(environments.EnvironmentShape),
    "GET /environments/{name}": one(environments.EnvironmentShape),
    "GET /promotions": many(environments.PromotionShape),
    "GET /promotions/{promotion}": one(environments.PromotionShape),
    "POST /environments/{name}:promote": one(environments.PromotedShape),
    "GET ": one(govern.CountedProjectShape),
    "PATCH ": one(govern.CountedProjectShape),
    "GET /access": many(govern.RuleShape),
    "POST /access": one(govern.RuleShape),
    "DELETE /access/{rule}": one(govern.RuleShape),
    "POST /access:check": one(govern.AccessAnswerShape),
    "GET /api/v1/projects": many(govern.ProjectShape),
    "POST /api/v1/projects": one(govern.CountedProjectShape),
    "GET /api/v1/people": many(govern.PersonShape),
    "POST /api/v1/people": one(govern.PersonShape),
    "GET /api/v1/people/{name}": one(govern.PersonShape),
    "PATCH /api/v1/people/{name}": one(govern.PersonShape),
    "GET /api/v1/access": many(govern.RuleShape),
    "POST /api/v1/access": one(govern.RuleShape),
    "DELETE /api/v1/access/{rule}": one(govern.RuleShape),
    "GET /api/v1/session": one(govern.CallerShape),
    "GET /api/v1/sessions": many(govern.SessionShape),
    "POST /api/v1/login-links": one(govern.LoginLinkShape),
    "GET /api/v1/audit": many(govern.AuditShape),
    "GET /api/v1/audit/verify": one(govern.AuditReportShape),
    "GET /api/v1/audit/export": raw("application/x-ndjson"),
}  # fmt: skip
"""By method and path below the project."""
