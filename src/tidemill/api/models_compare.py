"""Comparing models on answers, and embedders on retrieval: an estimate first, then a job that evaluates one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import anyio.to_thread
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.candidates import Candidate, Setting, read_setting
from tidemill.api.evaluated import evaluation_json
from tidemill.api.models_estimate import estimate
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Progress
from tidemill.evaluation.harness import Report, evaluate
from tidemill.evaluation.results import Evaluated
from tidemill.models.catalogue import load_catalogue
from tidemill.models.configured import entry_of, price_of, verdict_of
from tidemill.models.sizes import file_size, parameters_of
from tidemill.store import evaluations, release
from tidemill.store.evaluations import EvaluationRow

router = Router(tags=["models"])


class NewComparison(Body):
    """What to compare on a dataset: models, alone or in `app`, or embedders under `index`; `load` in requests a month."""

    data: str
    models: tuple[str, ...] = Field((), max_length=20)
    embedders: tuple[str, ...] = Field((), max_length=20)
    index: str | None = None
    app: str | None = None
    scorers: tuple[str, ...] = ()
    metric: str | None = None  # what quality means for the front; default: the first scorer named, else the usual
    n: int = Field(1, ge=1, le=20)
    limit: int | None = Field(None, ge=1)
    load: int = Field(100_000, ge=1, le=10**12)
    at_once: int = Field(4, ge=1, le=64)  # samples that run side by side, which the latencies depend on
    estimate: bool = False  # say what it would take, and start nothing


@router.post("/models:compare", status_code=202)
async def compare_models(call: AnyCaller, body: NewComparison) -> dict[str, Any]:
    """Start a comparison; the answer has the estimate and the job, whose result is the comparison."""
    asked = body.model_dump(mode="json")
    setting = await read_setting(call.platform, call.project, asked)
    expected = await estimate(call.platform, call.project, setting, asked)
    if body.estimate:
        return {"estimate": expected, "job": None}
    job_id = call.platform.ids.text()
    rows = [_row(call, each, setting, job_id=job_id, asked=asked) for each in setting.candidates]

    now_ns = call.platform.clock.now_ns()

    def keep(db: Database) -> None:
        for each in setting.candidates if setting.kind == "models" and body.app is None else ():
            ref, signer = each.version.ref, call.platform.sign
            release.make_release(db, call.project, ref, now_ns=now_ns, by=call.who, signer=signer)
        for row in rows:
            evaluations.create_evaluation(db, row)

    await call.platform.database.write(keep)
    pinned = {
        **asked,
        "data": setting.dataset.ref,
        setting.kind: [each.version.ref for each in setting.candidates],
        "evaluations": [each.id for each in rows],
    }
    await call.platform.jobs.submit("models.compare", pinned, project=call.project, job_id=job_id, by=call.who)
    return {"estimate": expected, "job": job_id, "evaluations": {row.config["candidate"]: row.id for row in rows}}


def _row(call: Caller, candidate: Candidate, setting: Setting, *, job_id: str, asked: JsonObject) -> EvaluationRow:
    now_ns = call.platform.clock.now_ns()
    return EvaluationRow(
        id=call.platform.ids.text(),
        project=call.project,
        release=candidate.bundle.release,
        root=candidate.bundle.root.ref if candidate.bundle.root.number else candidate.version.ref,
        dataset=setting.dataset.ref,
        config={
            "job": job_id, "scorers": asked["scorers"], "n": asked["n"], "limit": asked["limit"],
            "candidate": candidate.version.ref,
            "data": setting.dataset.digest,
        },
        created_ns=now_ns,
        updated_ns=now_ns,
    )  # fmt: skip


class ModelsCompareJob:
    """The job `models.compare`. After a kill it goes on with the samples that are not done."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Evaluate each candidate in turn, and say where they stand."""
        setting = await read_setting(self._platform, context.project, payload)
        ids = cast("Sequence[str]", payload["evaluations"])
        total = len(setting.samples) * cast("int", payload["n"])
        for place, (candidate, evaluation) in enumerate(zip(setting.candidates, ids, strict=True)):

            async def report(progress: Progress, *, before: int = place * total) -> None:
                whole = total * len(setting.candidates)
                await context.report(Progress(done=before + progress.done, total=whole, unit="answers"))

            await self._evaluate(candidate, evaluation, setting, payload, context=context, report=report)
        return await self._result(setting, ids, payload, project=context.project)

    async def _evaluate(
        self,
        candidate: Candidate,
        evaluation: str,
        setting: Setting,
        payload: JsonObject,
        *,
        context: JobContext,
        report: Report,
    ) -> None:
        platform = self._platform
        row = await platform.database.read(lambda db: evaluations.get_evaluation(db, context.project, evaluation))
        if row.status == "done":
            return
        await evaluate(
            bundle=candidate.bundle,
            dataset=setting.dataset,
            samples=setting.samples,
            scorers=setting.scorers,
            runner=platform.runner,
            database=platform.database,
            recorder=platform.recorder,
            project=context.project,
            environment=platform.settings.environment,
            evaluation_id=evaluation,
            replicates=cast("int", payload["n"]),
            concurrency=cast("int", payload["at_once"]),
            report=report,
            clock=platform.clock,
        )

    async def _result(self, setting: Setting, ids: Sequence[str], payload: JsonObject, *, project: str) -> Json:
        def read(db: Database) -> list[tuple[EvaluationRow, list[JsonObject]]]:
            rows = [evaluations.get_evaluation(db, project, each) for each in ids]
            return [(row, [each.data for each in evaluations.get_samples(db, row.id)]) for row in rows]

        found = await self._platform.database.read(read)
        evaluated = [Evaluated.of(evaluation_json(row), samples) for row, samples in found]
        return await anyio.to_thread.run_sync(lambda: self._standings(setting, evaluated, payload, project=project))

    def _standings(self, setting: Setting, evaluated: Sequence[Evaluated], payload: JsonObject, *, project: str) -> Json:
        from tidemill.evaluation.standing import front, standing  # noqa: PLC0415  (needs the extra eval)

        catalogue = load_catalogue()
        figures = [
            standing(own, price=price_of(each.version, entry_of(each.version, catalogue)))
            for own, each in zip(evaluated, setting.candidates, strict=True)
        ]
        marks = front(list(zip(evaluated, figures, strict=True)), metric=setting.metric)
        refs = [each.version.ref for each in setting.candidates]
        rows: list[Json] = [
            {
                "candidate": each.version.ref,
                "evaluation": own.id,
                **figure.to_json(load=cast("int", payload["load"])),
                **self._facts(each, project=project),
                "mark": mark,
                "because_of": [refs[at] for at in others],
            }
            for each, own, figure, (mark, others) in zip(setting.candidates, evaluated, figures, marks, strict=True)
        ]
        return {
            "kind": setting.kind, "dataset": setting.dataset.ref, "app": payload["app"], "index": payload["index"],
            "samples": len(setting.samples), "metric": setting.metric, "metrics": [each.metric for each in setting.scorers],
            "load": payload["load"], "at_once": payload["at_once"], "items": rows,
            "timed": all(not each.earlier for each in figures),
        }  # fmt: skip

    def _facts(self, candidate: Candidate, *, project: str) -> JsonObject:
        """What does not depend on the runs."""
        entry = entry_of(candidate.version, load_catalogue())
        return {
            "size_bytes": file_size(candidate.version, self._platform.blobs(project).path),
            "parameters": parameters_of(entry.name if entry else str(candidate.version.spec.get("model") or "")),
            "licence": verdict_of(candidate.version, entry).to_json(),
        }
