"""Pipelines: what there is, their runs, and what their steps wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Limit, Page, page
from tidemill.api.cursors import seal
from tidemill.api.plan_rights import check_deploys
from tidemill.api.router import Router
from tidemill.api.secrets import check_named
from tidemill.api.times import iso
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.jobs.cron import parse_cron
from tidemill.store import pipelines, registry
from tidemill.store.pipelines import PipelineRun, StepRow
from tidemill.store.schedules import find_mark

router = Router(tags=["pipelines"])


class NewPipelineRun(Body):
    """The inputs that differ from the pipeline's defaults. The same `id` again answers the same run."""

    inputs: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    id: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{7,63}$")


def run_json(run: PipelineRun, steps: tuple[StepRow, ...] | None = None) -> dict[str, Any]:
    """A run as everyone sees it. `waiting` stands for one whose running steps all wait for a person or for traffic."""
    shown: dict[str, Any] = {
        "id": run.id, "pipeline": f"pipeline/{run.pipeline}", "version": f"pipeline/{run.pipeline}@v{run.version}",
        "digest": run.digest, "status": run.status, "trigger": run.trigger, "who": run.who, "inputs": run.inputs,
        "error": run.error, "created": iso(run.created_ns), "ended": iso(run.ended_ns),
        "duration_ms": _milliseconds(run.created_ns, run.ended_ns),
    }  # fmt: skip
    if steps is not None:
        active = [each.status for each in steps if each.status in {"running", "waiting"}]
        if run.status == "running" and active and set(active) == {"waiting"}:
            shown["status"] = "waiting"
        shown["steps"] = [step_json(each) for each in steps]
    return shown


def step_json(step: StepRow) -> dict[str, Any]:
    """A step of a run: how it stands, what went in, what came out."""
    return {
        "id": step.step, "kind": step.kind, "status": step.status, "cached": step.cached_from is not None,
        "cached_from": step.cached_from, "attempt": step.attempt, "key": step.key, "inputs": step.inputs,
        "output": step.output, "digest": step.output_digest, "error": step.error, "note": step.note,
        "started": iso(step.started_ns), "ended": iso(step.ended_ns),
        "duration_ms": _milliseconds(step.started_ns, step.ended_ns),
    }  # fmt: skip


@router.get("/pipelines")
async def list_pipelines(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every pipeline: what starts it, when next, and its last run."""

    def work(db: Database) -> tuple[list[dict[str, Any]], str | None]:
        found = registry.list_artifacts(db, call.project, kind="pipeline", limit=limit, cursor=cursor)
        return [_pipeline_json(db, each.latest) for each in found.items], found.next

    items, following = await call.platform.database.read(work)
    return page(items, following)


@router.get("/pipelines/{name}")
async def get_pipeline(call: AnyCaller, name: str) -> dict[str, Any]:
    """One pipeline with its steps."""
    ref = Ref(kind="pipeline", name=name)

    def work(db: Database) -> dict[str, Any]:
        version = registry.get_version(db, call.project, ref)
        return _pipeline_json(db, version) | {"spec": version.spec}

    return await call.platform.database.read(work)


@router.post("/pipelines/{name}:run", status_code=202)
async def run_pipeline(call: AnyCaller, name: str, body: NewPipelineRun) -> dict[str, Any]:
    """Start a run of the latest version, or of the one named (`improve@v3`). It is held to that version until its end."""
    ref = parse_ref(name, kind="pipeline")
    version = await call.platform.database.read(lambda db: registry.get_version(db, call.project, ref))
    check_deploys(call, version)
    await check_named(call, [version.spec, dict(body.inputs)])
    run = await call.platform.pipelines.begin(
        call.project, name, body.inputs, who=call.who, role=call.principal.role, run_id=body.id
    )
    return await get_pipeline_run(call, run.id)


@router.get("/pipeline-runs")
async def list_pipeline_runs(
    call: AnyCaller, pipeline: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """Runs, newest first; with `pipeline`, those of one."""
    name = pipeline.removeprefix("pipeline/") if pipeline else None
    found = await call.platform.database.read(
        lambda db: pipelines.list_runs(db, call.project, pipeline=name, limit=limit, cursor=cursor)
    )
    return page([run_json(each) for each in found.items], found.next)


@router.get("/pipeline-runs/{run}")
async def get_pipeline_run(call: AnyCaller, run: str) -> dict[str, Any]:
    """One run with its steps."""

    def work(db: Database) -> dict[str, Any]:
        found = pipelines.get_run(db, call.project, run)
        return run_json(found, pipelines.get_steps(db, found.id))

    return await call.platform.database.read(work)


@router.get("/pipeline-runs/{run}/logs")
async def list_pipeline_lines(
    call: AnyCaller, run: str, step: str | None = None, limit: Limit = 1000, cursor: str | None = None
) -> Page:
    """What the steps wrote, in order; each line's `cursor` asks for those after it, also while more come."""

    def work(db: Database) -> tuple[list[dict[str, Any]], str | None]:
        found = pipelines.get_run(db, call.project, run)
        if step is not None:
            pipelines.get_step(db, found.id, step)
        lines = pipelines.list_lines(db, found.id, step=step, limit=limit, cursor=cursor)
        items = [{"cursor": each.id, "step": each.step, "at": iso(each.at_ns), "line": each.line} for each in lines.items]
        return items, lines.next

    items, following = await call.platform.database.read(work)
    return page([{**each, "cursor": seal(str(each["cursor"]))} for each in items], following)


@router.post("/pipeline-runs/{run}:cancel")
async def cancel_pipeline_run(call: AnyCaller, run: str) -> dict[str, Any]:
    """Stop a run: its steps, and the jobs that they wait for. What it finished stays."""
    ended = await call.platform.pipelines.cancel(call.project, run, who=call.who)
    return await get_pipeline_run(call, ended.id)


def _pipeline_json(db: Database, version: Version) -> dict[str, Any]:
    on = version.spec.get("on")
    rule = on.get("schedule") if isinstance(on, Mapping) else None
    due: int | None = None
    if isinstance(rule, str):
        mark = find_mark(db, version.project, "pipeline", version.name, trigger="schedule", rule=rule)
        due = mark.mark_ns if mark is not None else parse_cron(rule).next_after(version.created_ns)
    last = pipelines.list_runs(db, version.project, pipeline=version.name, limit=1).items
    return {
        "name": version.name, "ref": version.ref, "digest": version.digest, "on": on or {}, "next": iso(due),
        "inputs": version.spec.get("inputs"), "last_run": run_json(last[0]) if last else None,
    }  # fmt: skip


def _milliseconds(began_ns: int | None, ended_ns: int | None) -> float | None:
    return None if began_ns is None or ended_ns is None else (ended_ns - began_ns) / 1e6
