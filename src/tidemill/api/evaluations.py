"""Evaluations: a release on a dataset, scored. Started here, done by a job, read back here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import anyio.to_thread
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.evaluated import evaluation_json
from tidemill.api.platform import Platform
from tidemill.api.releases import lock_bundle
from tidemill.api.router import Router
from tidemill.api.secrets import check_secrets, environment_of
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import parse_ref
from tidemill.data.dataset import load_samples
from tidemill.evaluation.harness import evaluate
from tidemill.evaluation.results import SampleResult
from tidemill.evaluation.scorers.choose import Chosen, choose_scorers
from tidemill.store import evaluations, registry, release
from tidemill.store.evaluations import EvaluationRow, SampleRow
from tidemill.store.page import Page as Found
from tidemill.telemetry.questions.scores import TraceScore

router = Router(tags=["evaluations"])


class NewEvaluation(Body):
    """What to evaluate on which dataset: `n` replicates of the first `limit` samples. No scorer means those that fit.

    `environment` is whose connections are used, else the server's.
    """

    app: str
    data: str
    scorers: tuple[str, ...] = ()
    n: int = Field(1, ge=1, le=100)
    limit: int | None = Field(None, ge=1)
    environment: str | None = None


@router.post("/evaluations", status_code=202)
async def start_evaluation(call: AnyCaller, body: NewEvaluation) -> dict[str, str]:
    """Start; the answer names the evaluation, and the job to follow."""
    return await begin_evaluation(call, body, evaluation=call.platform.ids.text(), job_id=call.platform.ids.text())


async def begin_evaluation(call: Caller, body: NewEvaluation, *, evaluation: str, job_id: str) -> dict[str, str]:
    """The same under ids of the caller's: begun again with them, it is the same evaluation."""
    bundle = await lock_bundle(call, body.app)
    environment = await environment_of(call, body.environment)
    await check_secrets(call, bundle.versions.values(), environment=environment)
    dataset_ref = parse_ref(body.data, kind="dataset")
    dataset = await call.platform.database.read(lambda db: registry.get_version(db, call.project, dataset_ref))
    await chosen_scorers(call.platform, call.project, body.scorers, dataset)  # a wrong name is told now, not by the job
    now_ns = call.platform.clock.now_ns()
    row = EvaluationRow(
        id=evaluation,
        project=call.project,
        release=bundle.release,
        root=bundle.root.ref,
        dataset=dataset.ref,
        config={
            "job": job_id,
            "scorers": list(body.scorers),
            "n": body.n,
            "limit": body.limit,
            "data": dataset.digest,
            "environment": environment,
        },
        created_ns=now_ns,
        updated_ns=now_ns,
    )
    await call.platform.database.write(lambda db: evaluations.create_evaluation(db, row))
    await call.platform.jobs.submit("evaluation", {"evaluation": evaluation}, project=call.project, job_id=job_id, by=call.who)
    return {"evaluation": evaluation, "job": job_id, "release": bundle.release}


@router.get("/evaluations")
async def list_evaluations(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The newest first."""
    found = await call.platform.database.read(
        lambda db: evaluations.list_evaluations(db, call.project, limit=limit, cursor=cursor)
    )
    return page([evaluation_json(each) for each in found.items], found.next)


@router.get("/evaluations/{evaluation}")
async def get_evaluation(call: AnyCaller, evaluation: str) -> dict[str, Any]:
    """One evaluation, finished or not."""
    row = await call.platform.database.read(lambda db: evaluations.get_evaluation(db, call.project, evaluation))
    shown = evaluation_json(row)
    if row.status in {"queued", "running"} and row.config.get("job"):
        job = await call.platform.jobs.get(str(row.config["job"]))
        if job.status in {"failed", "cancelled"}:  # it ended before it could say so itself
            shown |= {"status": job.status, "error": job.error}
    return shown


@router.get("/evaluations/{evaluation}/samples")
async def list_results(call: AnyCaller, evaluation: str, limit: Limit = 1000, cursor: str | None = None) -> Page:
    """What each sample gave: its output, scores, errors, latency, and the trace where it ran."""

    def work(db: Database) -> Found[SampleRow]:
        row = evaluations.get_evaluation(db, call.project, evaluation)
        return evaluations.page_of_samples(db, row.id, limit=limit, cursor=cursor)

    found = await call.platform.database.read(work)
    return page([each.data for each in found.items], found.next)


async def chosen_scorers(platform: Platform, project: str, names: Sequence[str], dataset: Version) -> list[Chosen]:
    """The scorers of these names, the project's own too; none named means those that fit the dataset."""
    own = {name: parse_ref(name, kind="scorer") for name in names if "/" in name}
    found = {
        name: await platform.database.read(lambda db, ref=ref: registry.get_version(db, project, ref))
        for name, ref in own.items()
    }
    return await anyio.to_thread.run_sync(lambda: choose_scorers(names, dataset=dataset, project=found.__getitem__))


class EvaluationJob:
    """The job `evaluation`. After a kill it goes on with the samples that are not done."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Evaluate what the row in the payload asks for."""
        platform, project = self._platform, context.project
        row, bundle, dataset = await platform.database.read(lambda db: _asked(db, project, str(payload["evaluation"])))
        scorers = await chosen_scorers(platform, project, cast("list[str]", row.config["scorers"]), dataset)
        result = await evaluate(
            bundle=bundle,
            dataset=dataset,
            samples=load_samples(dataset, platform.blobs(project)),
            scorers=scorers,
            runner=platform.runner,
            database=platform.database,
            recorder=platform.recorder,
            project=project,
            environment=str(row.config.get("environment") or platform.settings.environment),
            evaluation_id=row.id,
            replicates=cast("int", row.config["n"]),
            limit=cast("int | None", row.config["limit"]),
            report=context.report,
            clock=platform.clock,
        )
        rows = await platform.database.read(lambda db: evaluations.get_samples(db, row.id))
        results = [SampleResult.from_json(each.data) for each in rows]
        now_ns = platform.clock.now_ns()
        await platform.telemetry.put_scores([score for each in results for score in _of_trace(each, project, row.id, now_ns)])
        return result


def _of_trace(result: SampleResult, project: str, evaluation: str, now_ns: int) -> list[TraceScore]:
    """A sample's scores as those of its trace; one that was re-used has no trace of its own."""
    if not result.trace or result.reused:
        return []
    return [
        TraceScore(
            project=project, trace_id=result.trace, name=name, source="evaluation", author=evaluation, value=value,
            text=result.reasons.get(name, ""), at_ns=now_ns,
        )
        for name, value in result.scores.items()
        if value is not None
    ]  # fmt: skip


def _asked(db: Database, project: str, evaluation: str) -> tuple[EvaluationRow, Bundle, Version]:
    row = evaluations.get_evaluation(db, project, evaluation)
    bundle = release.load_bundle(db, project, row.release)
    dataset = registry.get_version(db, project, parse_ref(row.dataset))
    return row, bundle, dataset
