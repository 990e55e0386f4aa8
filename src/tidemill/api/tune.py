"""Tuning: what it would take, the job that does it, and the adapter and model that come of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Limit, Page, page
from tidemill.api.jobs import job_json
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.api.secrets import check_secrets
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import message_to_json
from tidemill.core.records import Job, Progress, Version
from tidemill.core.refs import check_name, parse_ref
from tidemill.data.dataset import load_samples
from tidemill.models.identity import identify
from tidemill.store import jobs as job_rows
from tidemill.store import registry
from tidemill.tune.estimate import Estimate, estimate_run, kept_rows
from tidemill.tune.extra import require_tune
from tidemill.tune.leaks import find_leaks, refuse_leaks
from tidemill.tune.recipe import Method, recipe_for
from tidemill.tune.register import Origin, Registered, keep_files, register, registered
from tidemill.tune.rows import Prepared, Row, form_problem, prepare_rows
from tidemill.tune.training import Order, measured_speed, read_losses, runs_folder, train

router = Router(tags=["tunes"])
KIND = "tune"
_CHECKED = 8
_CONTEXT = 2048


class NewTune(Body):
    """Which tune to run. `data` is another dataset in place of its own, `output` another name for the model.

    `evaluate_on` are more datasets that judge the result, beside those of the tune: no row of them may be trained on.
    """

    tune: str
    data: str | None = None
    output: str | None = None
    evaluate_on: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A tune with everything that it refers to."""

    tune: Version
    base: Version
    data: Version
    judging: Sequence[Version]
    prompt: Version | None
    output: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """A run, ready to begin, and what it takes."""

    asked: _Asked
    order: Order
    estimate: Estimate


@router.post("/tunes:estimate")
async def estimate_tune(call: AnyCaller, body: NewTune) -> dict[str, Any]:
    """What the run would take, and whether its data is fit for it. Nothing is started."""
    planned = await _plan(call.platform, call.project, body)
    return {"tune": planned.asked.tune.ref, "estimate": planned.estimate.as_json()}


@router.post("/tunes", status_code=202)
async def start_tune(call: AnyCaller, body: NewTune) -> dict[str, Any]:
    """Start, or answer the run of the same tune that is under way; the answer names the job to follow."""
    require_tune()
    planned = await _plan(call.platform, call.project, body)
    asked = planned.asked
    await check_secrets(call, (asked.base,), environment=call.platform.settings.environment)
    run: JsonObject = {
        "tune": asked.tune.ref, "data": asked.data.ref, "output": asked.output, "run": planned.order.key,
        "evaluate_on": list[Json](body.evaluate_on),
    }  # fmt: skip
    for job in (await call.platform.jobs.list(call.project, kind=KIND, limit=100)).items:
        if job.status not in job_rows.FINISHED and all(job.payload.get(name) == each for name, each in run.items()):
            return {"id": job.id, "job": job.id, "estimate": job.payload["estimate"]}
    judging: list[Json] = [each.ref for each in asked.judging]
    payload: JsonObject = {**run, "by": call.who, "estimate": planned.estimate.as_json(), "judging": judging}
    started = await call.platform.jobs.submit(KIND, payload, project=call.project, by=call.who)
    return {"id": started.id, "job": started.id, "estimate": planned.estimate.as_json()}


@router.get("/tunes")
async def list_tunes(call: AnyCaller, limit: Limit = 50, cursor: str | None = None) -> Page:
    """The newest first, without their losses."""
    found = await call.platform.jobs.list(call.project, kind=KIND, limit=limit, cursor=cursor)
    return page([_tune_json(each, None) for each in found.items], found.next)


@router.get("/tunes/{tune}")
async def get_tune(call: AnyCaller, tune: str) -> dict[str, Any]:
    """A run: how far it is, the loss of each step, and what came of it."""
    job = await call.platform.database.read(lambda db: job_rows.get_job(db, call.project, tune))
    if job.kind != KIND:
        raise NotFound(f"tune {tune} does not exist", hint="See tidemill jobs list.")
    folder = runs_folder(_home(call.platform), str(job.payload.get("run")))
    return _tune_json(job, await anyio.to_thread.run_sync(read_losses, folder))


class TuneJob:
    """The job `tune`. One trains at a time; after a kill, of the trainer or the server, it goes on at the last checkpoint."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._turn = anyio.Semaphore(1)

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Train what the payload names, and register the adapter and the model. What was trained before is not again."""
        require_tune()
        platform, project = self._platform, context.project
        body = NewTune.model_validate({name: payload[name] for name in ("tune", "data", "output", "evaluate_on")})
        planned = await _plan(platform, project, body)
        order = planned.order
        known = await platform.database.read(lambda db: registered(db, project, name=order.name, key=order.key))
        if known is not None:
            await context.report(Progress(done=order.recipe.steps, total=order.recipe.steps, unit="steps"))
            return _result(planned, known, {"reused": True})
        async with self._turn:
            return await self._train(planned, who=str(payload.get("by") or ""), context=context)

    async def _train(self, planned: _Planned, *, who: str, context: JobContext) -> JsonObject:
        platform, project, order, asked = self._platform, context.project, planned.order, planned.asked

        async def on_step(done: int) -> None:
            await context.report(Progress(done=done, total=order.recipe.steps, unit="steps"))

        trained = await train(order, on_step=on_step)
        kept = await anyio.to_thread.run_sync(keep_files, trained, platform.blobs(project))
        origin = Origin(
            tune=asked.tune, base=asked.base, data=asked.data, prompt=asked.prompt,
            recipe=order.recipe, rows=len(order.rows), key=order.key,
        )  # fmt: skip
        now_ns = platform.clock.now_ns()
        made = await platform.database.write(
            lambda db: register(db, project, name=order.name, origin=origin, kept=kept, who=who, now_ns=now_ns)
        )
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(order.folder, ignore_errors=True))
        speed = round(trained.tokens / trained.seconds, 1) if trained.seconds else None
        took: JsonObject = {
            "losses": trained.losses, "tokens": trained.tokens, "seconds": round(trained.seconds, 2),
            "tokens_per_second": speed, "peak_mb": trained.peak_mb, "reused": False,
        }  # fmt: skip
        return _result(planned, made, took)


def _result(planned: _Planned, made: Registered, took: JsonObject) -> JsonObject:
    asked = planned.asked
    return {
        "tune": asked.tune.ref,
        "adapter": made.adapter.ref,
        "model": made.model.ref,
        "base": asked.base.ref,
        "data": asked.data.ref,
        "steps": planned.order.recipe.steps,
        "rows": len(planned.order.rows),
        "notes": list(planned.estimate.notes),
        **took,
    }


async def _plan(platform: Platform, project: str, body: NewTune) -> _Planned:
    """Everything that can be known before training. Raises `Invalid` for data that is unfit for it, its rows named."""
    asked = await platform.database.read(lambda db: _ask(db, project, body))
    prepared = await anyio.to_thread.run_sync(_prepare, platform, project, asked)
    base = await anyio.to_thread.run_sync(lambda: identify(asked.base, blob_path=platform.blobs(project).path))
    file = platform.models.file_of(asked.base, project=project)
    if base.digest is None or base.architecture != "llama":
        message = f"{asked.base.ref} has the architecture {base.architecture or 'nothing known'!r}, which cannot be tuned here"
        raise Invalid(message, where="base", hint="Name a model of llama's architecture, as the local SmolLM2.")
    recipe = recipe_for(asked.tune.spec, rows=len(prepared.rows))
    environment = platform.settings.environment

    async def count(row: Row) -> tuple[int, int]:
        prompt = await platform.models.render(asked.base, row.prompt, project=project, environment=environment)
        longest = max((row.answer, row.worse or ""), key=len)
        answer = await platform.models.tokenize(asked.base, longest, project=project, environment=environment)
        return len(prompt.tokens), len(answer) + 1

    home = _home(platform)
    order = Order(
        recipe=recipe, base=file, base_digest=base.digest, rows=prepared.rows, checks=(), name=asked.output, home=home
    )
    estimate = await estimate_run(
        prepared.rows,
        recipe=recipe,
        count=count,
        speed=await anyio.to_thread.run_sync(measured_speed, order.cache),
        notes=prepared.notes,
        context=min(_CONTEXT, base.context or _CONTEXT),
    )
    rows = kept_rows(prepared.rows, estimate, recipe=recipe)
    if len(rows) < len(prepared.rows):
        recipe = recipe_for(asked.tune.spec, rows=len(rows))
    checks: list[JsonObject] = []
    for row in rows[:_CHECKED]:
        engines = await platform.models.render(asked.base, row.prompt, project=project, environment=environment)
        messages: list[Json] = [message_to_json(each) for each in row.prompt]
        checks.append({"messages": messages, "text": engines.text, "tokens": list(engines.tokens)})
    order = Order(recipe=recipe, base=file, base_digest=base.digest, rows=rows, checks=checks, name=asked.output, home=home)
    return _Planned(asked=asked, order=order, estimate=estimate)


def _prepare(platform: Platform, project: str, asked: _Asked) -> Prepared:
    blobs = platform.blobs(project)
    samples = load_samples(asked.data, blobs)
    refuse_leaks(find_leaks(samples, {each.ref: load_samples(each, blobs) for each in asked.judging}))
    method = cast("Method", asked.tune.spec["method"])
    return prepare_rows(samples, method=method, prompt=None if asked.prompt is None else asked.prompt.spec)


def _ask(db: Database, project: str, body: NewTune) -> _Asked:
    tune = registry.get_version(db, project, parse_ref(body.tune, kind="tune"))

    def referred(written: Json) -> Version:
        ref = parse_ref(str(written))
        found = registry.find_by_digest(db, project, tune.refs[str(written)], kind=ref.kind, name=ref.name)
        if found is None:
            raise NotFound(f"{tune.ref} needs {written}, which is gone", hint="Apply the project again.")
        return found

    if body.data is None:
        data = referred(tune.spec["data"])
    else:
        data = registry.get_version(db, project, parse_ref(body.data, kind="dataset"))
        problem = form_problem(data, method=cast("Method", tune.spec["method"]))
        if problem is not None:
            raise Invalid(problem.message, where=problem.where, hint=problem.hint)
    return _Asked(
        tune=tune,
        base=referred(tune.spec["base"]),
        data=data,
        judging=[
            *(referred(each) for each in cast("Sequence[Json]", tune.spec.get("evaluate_on") or ())),
            *(registry.get_version(db, project, parse_ref(each, kind="dataset")) for each in body.evaluate_on),
        ],
        prompt=referred(tune.spec["prompt"]) if tune.spec.get("prompt") else None,
        output=_output(body, tune),
    )


def _output(body: NewTune, tune: Version) -> str:
    named = body.output or str(tune.spec.get("output") or tune.name)
    return check_name(named.removeprefix("model/"), what="output")


def _home(platform: Platform) -> Path:
    return platform.data / "tune"


def _tune_json(job: Job, losses: Sequence[float] | None) -> dict[str, Any]:
    result = job.result if isinstance(job.result, dict) else {}
    kept = cast("Sequence[float]", result.get("losses") or losses or ())
    shown = {name: job.payload.get(name) for name in ("tune", "data", "output", "estimate", "judging")}
    made = {name: result.get(name) for name in ("adapter", "model", "tokens_per_second", "seconds", "peak_mb", "reused")}
    listed = {} if losses is None else {"losses": list(kept)}
    return {**job_json(job), "result": None, **shown, **made, **listed}
