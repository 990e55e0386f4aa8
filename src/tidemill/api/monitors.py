"""Monitors: looks at live traffic, started here or by their schedules, done by a job; what they found and propose."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
from pydantic import ConfigDict, Field
from sqlalchemy import Connection as Database

from tidemill.api.alerts import DELIVER
from tidemill.api.append import append_to_dataset, appended_json
from tidemill.api.caller import AnyCaller, Body, Limit, Page, page, page_by
from tidemill.api.live_quality import quality_json
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.api.times import iso, to_ns
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid, TidemillError
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.data.append import Appended, append_rows
from tidemill.data.dataset import load_samples
from tidemill.data.from_traces import right_answer
from tidemill.evaluation.extra import require_eval
from tidemill.evaluation.scorers.choose import Chosen, choose_scorers
from tidemill.monitor.accept import rows_of
from tidemill.monitor.raising import alerts_of
from tidemill.monitor.spec import MonitorSpec, Past, monitor_json, parse_reference, read_monitor
from tidemill.monitor.texts import text_of
from tidemill.store import alerts, audit, config, endpoints, feedback, monitors, registry, release
from tidemill.store.lineage_notes import note_proposed
from tidemill.store.monitors import MonitorRun, Proposal, RunStatus

if TYPE_CHECKING:
    from tidemill.monitor.look import Found

router = Router(tags=["monitors"])
RUN = "monitor.run"


class NewRun(Body):
    """A look by a `monitor`, or by the `spec` of one kept nowhere. The window: `from` to `to`, or its length until now."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    monitor: str | None = None
    spec: dict[str, Any] | None = None
    window: str | None = None
    from_: str | None = Field(None, alias="from")
    to: str | None = None


class Acceptance(Body):
    """Which proposals (all when `ids` is left out) become samples of which dataset, which is made when missing."""

    to: str
    ids: tuple[int, ...] | None = None


def run_json(run: MonitorRun) -> dict[str, Any]:
    """A run as everyone sees it; what was found stands beside when it is done."""
    result = cast("dict[str, Any]", run.result or {})
    return {
        "id": run.id, "monitor": f"monitor/{run.monitor}" if run.monitor else None, "target": run.target,
        "status": run.status, "verdict": run.verdict or None, "alarm": run.alarm, "p_value": run.p_value,
        "error": run.error, "job": run.id, "release": run.config.get("release"), "spec": run.config["spec"],
        "from": iso(cast("int", run.config["from_ns"])), "to": iso(cast("int", run.config["to_ns"])),
        "created": iso(run.created_ns), "updated": iso(run.updated_ns), **result,
    }  # fmt: skip


def proposal_json(each: Proposal) -> dict[str, Any]:
    """A proposed sample, with the trace that it comes from."""
    return {
        "id": each.number, "trace": each.trace_id, "topic": each.topic or None, "text": text_of(each.input),
        "input": each.input, "output": each.output,
        "accepted_into": each.accepted_into, "accepted": iso(each.accepted_ns),
    }  # fmt: skip


@router.get("/monitors")
async def list_monitors(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every monitor by name, with its newest run."""
    environment = call.platform.settings.environment

    def work(db: Database) -> tuple[list[dict[str, Any]], str | None]:
        named = {each.name: each for each in config.list_configs(db, call.project, kind="monitor")
                 if each.environment in {None, environment}}  # fmt: skip
        found = page_by(named.values(), key=lambda each: each.name, limit=limit, cursor=cursor)
        return [_monitor_json(db, call.project, each) for each in found.items], found.next

    return page(*await call.platform.database.read(work))


@router.get("/monitors/{name}")
async def get_monitor(call: AnyCaller, name: str) -> dict[str, Any]:
    """A monitor with its newest run and, where it scores live traces, the trend over thirty of its windows."""
    name = parse_ref(name, kind="monitor").name
    environment = call.platform.settings.environment

    def work(db: Database) -> tuple[dict[str, Any], config.Config]:
        found = config.get_config(db, call.project, "monitor", name, environment)
        return _monitor_json(db, call.project, found), found

    shown, found = await call.platform.database.read(work)
    spec = read_monitor(found.spec)
    if spec.quality is not None:
        scorers = await scorers_of(call.platform, call.project, spec)
        shown["quality"] = await quality_json(call.platform, call.project, spec, scorers)
    return shown


@router.post("/monitor-runs", status_code=202)
async def start_run(call: AnyCaller, body: NewRun) -> dict[str, Any]:
    """Start a look; the answer names the run, which is also its job's id. A wrong name is told now, not by the job."""
    name, spec = await _asked(call.platform, call.project, body)
    if body.window is not None:
        spec = read_monitor({**monitor_json(spec), "window": body.window})
    run = await begin_run(
        call.platform, call.project, spec, name=name, from_ns=to_ns(body.from_), to_ns=to_ns(body.to), by=call.who
    )
    return {"run": run.id, "job": run.id}


@router.get("/monitor-runs")
async def list_runs(call: AnyCaller, monitor: str | None = None, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Runs, the newest first; of one monitor, or of all."""
    name = None if monitor is None else parse_ref(monitor, kind="monitor").name
    found = await call.platform.database.read(
        lambda db: monitors.list_runs(db, call.project, monitor=name, limit=limit, cursor=cursor)
    )
    return page([run_json(each) for each in found.items], found.next)


@router.get("/monitor-runs/{run}")
async def get_run(call: AnyCaller, run: str) -> dict[str, Any]:
    """One run, finished or not, with what it proposes."""
    found, proposed = await call.platform.database.read(
        lambda db: ((it := monitors.get_run(db, call.project, run)), monitors.list_proposals(db, call.project, it.id))
    )
    return run_json(found) | {"proposals": [proposal_json(each) for each in proposed]}


@router.post("/monitor-runs/{run}:accept")
async def accept(call: AnyCaller, run: str, body: Acceptance) -> dict[str, Any]:
    """Make proposals samples of a new dataset version, each with the trace that it comes from. Again: nothing twice.

    Where somebody corrected the answer of a trace, the correction is the sample's reference.
    """
    found, proposed = await call.platform.database.read(
        lambda db: ((it := monitors.get_run(db, call.project, run)), monitors.list_proposals(db, call.project, it.id))
    )
    chosen = _chosen(proposed, body.ids, run=found.id)

    traces = [each.trace_id for each in chosen]
    said = feedback.feedback_by_trace(
        await call.platform.database.read(lambda db: feedback.list_feedback(db, call.project, trace_ids=traces))
    )
    answers = {trace: answer for trace, each in said.items() if (answer := right_answer(each)) is not None}

    def make(dataset: Version | None, lines: bytes) -> Appended:
        rows, roles = rows_of(chosen, dataset, answers=answers)
        return append_rows(dataset, lines, rows, roles=roles, by_input=True)

    version, appended = await append_to_dataset(call, parse_ref(body.to, kind="dataset").name, make)
    now_ns = call.platform.clock.now_ns()
    into, numbers = version.ref if version else "", [each.number for each in chosen]
    detail: JsonObject = {"run": found.id, "added": appended.added, "known": appended.known}

    def note(db: Database) -> None:
        monitors.mark_accepted(db, found.id, numbers, into=into, now_ns=now_ns)
        if found.monitor:
            note_proposed(db, call.project, found.monitor, target=found.target, dataset=into, now_ns=now_ns)
        audit.append(db, call.project, who=call.who, action="samples.accept", target=into, detail=detail, now_ns=now_ns)

    await call.platform.database.write(note)
    return {**appended_json(version, appended), "accepted": len(chosen)}


def _chosen(proposed: list[Proposal], ids: tuple[int, ...] | None, *, run: str) -> list[Proposal]:
    by_number = {each.number: each for each in proposed}
    unknown = [each for each in ids or () if each not in by_number]
    if unknown:
        raise Invalid(f"run {run} proposes no sample {unknown[0]}", hint=f"See them: tidemill monitor show {run}")
    chosen = [by_number[each] for each in ids] if ids is not None else proposed
    if not chosen:
        raise Invalid(f"run {run} proposes no samples", hint="Only a run that found drift proposes some.")
    return chosen


async def _asked(platform: Platform, project: str, body: NewRun) -> tuple[str, MonitorSpec]:
    if (body.monitor is None) == (body.spec is None):
        raise Invalid("a run is asked for either by a monitor or by a spec", hint="Write monitor/NAME.")
    if body.spec is not None:
        return "", read_monitor(body.spec)
    name = parse_ref(body.monitor or "", kind="monitor").name
    return name, await monitor_spec(platform, project, name)


async def monitor_spec(platform: Platform, project: str, name: str) -> MonitorSpec:
    """What `monitor/NAME` says in this server's environment. Raises `NotFound`."""
    environment = platform.settings.environment
    found = await platform.database.read(lambda db: config.get_config(db, project, "monitor", name, environment))
    return read_monitor(found.spec)


async def begin_run(
    platform: Platform,
    project: str,
    spec: MonitorSpec,
    *,
    name: str = "",
    from_ns: int | None = None,
    to_ns: int | None = None,
    run_id: str | None = None,
    by: str | None = None,
) -> MonitorRun:
    """Keep a run and start its job, whose id is the run's. Raises for whatever the job could not begin with.

    A `run_id` that is known already answers that run.
    """
    require_eval(needed_for="watching for drift")
    run = make_run(platform, project, spec, name=name, from_ns=from_ns, to_ns=to_ns, run_id=run_id)
    await scorers_of(platform, project, spec)

    def keep(db: Database) -> MonitorRun:
        before = monitors.find_run(db, project, run.id)
        if before is not None:
            return before
        kept = replace(run, config={**run.config, "release": served_release(db, project, spec)})
        _inputs(db, project, spec)
        monitors.create_run(db, kept)
        return kept

    kept = await platform.database.write(keep)
    await platform.jobs.submit(RUN, {"run": kept.id}, project=project, job_id=kept.id, by=by)
    return kept


def make_run(
    platform: Platform,
    project: str,
    spec: MonitorSpec,
    *,
    name: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
    run_id: str | None = None,
) -> MonitorRun:
    """A run, not kept yet. Its window ends now, or at `to_ns`."""
    now_ns = platform.clock.now_ns()
    end = now_ns if to_ns is None else to_ns
    start = end - round(parse_duration(spec.window, what="window") * 1e9) if from_ns is None else from_ns
    if start >= end:
        raise Invalid("the window ends before it begins", hint="Give --from an earlier time than --to.")
    return MonitorRun(
        id=run_id or platform.ids.text(), project=project, monitor=name, target=spec.endpoint or spec.release or "",
        config={"spec": monitor_json(spec), "from_ns": start, "to_ns": end}, created_ns=now_ns, updated_ns=now_ns,
    )  # fmt: skip


def served_release(db: Database, project: str, spec: MonitorSpec) -> str:
    """What is served now at what is watched. Raises `NotFound`."""
    if spec.endpoint is not None:
        return endpoints.get_endpoint(db, project, spec.endpoint).release
    return release.load_bundle(db, project, spec.release or "").release


def _inputs(db: Database, project: str, spec: MonitorSpec) -> tuple[Version | None, Version | None]:
    """The dataset and the embedder that are named. Raises `NotFound`."""
    reference = None if spec.reference is None else parse_reference(spec.reference)
    named = None if reference is None or isinstance(reference, Past) else registry.get_version(db, project, reference)
    return named, None if spec.embedder is None else registry.get_version(db, project, spec.embedder)


async def scorers_of(platform: Platform, project: str, spec: MonitorSpec) -> list[Chosen]:
    """The scorers of a monitor's quality. Raises `Invalid` for one that reads what no live trace has."""
    from tidemill.monitor.quality import unreadable  # noqa: PLC0415  (statistics)

    names = spec.quality.scorers if spec.quality else ()
    own = {name: parse_ref(name, kind="scorer") for name in names if "/" in name}
    found = {
        name: await platform.database.read(lambda db, ref=ref: registry.get_version(db, project, ref))
        for name, ref in own.items()
    }
    chosen = await anyio.to_thread.run_sync(lambda: choose_scorers(names, dataset=None, project=found.__getitem__))
    for each in chosen:
        if lacking := unreadable(each):
            raise Invalid(
                f"the scorer {each.metric} reads {', '.join(lacking)}, which no live trace has",
                hint="Name one that reads input, output or what was retrieved.",
            )
    return chosen


def _monitor_json(db: Database, project: str, found: config.Config) -> dict[str, Any]:
    runs = monitors.list_runs(db, project, monitor=found.name, limit=10).items
    return {
        "ref": found.bare, "name": found.name, "environment": found.environment, "spec": found.spec,
        "description": found.description, "runs": [run_json(each) for each in runs],
        "open_alerts": len(alerts.list_alerts(db, project, monitor=found.name, status="open").items),
    }  # fmt: skip


class MonitorJob:
    """The job `monitor.run`. After a kill it looks again at the same window; alerts are raised once."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Do what the run in the payload asks for."""
        platform, project = self._platform, context.project
        run = await platform.database.read(lambda db: monitors.get_run(db, project, str(payload["run"])))
        if run.status != "done":
            try:
                run = await self._look(replace(run, status="running", error=None), context)
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):  # a stop of the server too: the next start goes on with it
                    await self._end(run, "cancelled", None)
                raise
            except Exception as error:
                with contextlib.suppress(TidemillError):  # what went wrong first is the news
                    await self._end(run, "failed", str(error))
                raise
        raised = await platform.database.read(lambda db: alerts.list_alerts(db, project, run=run.id).items)
        for each in raised:
            await platform.jobs.submit(DELIVER, {"alert": each.id}, project=project, job_id=f"alert-{each.id}")
        return {"run": run.id, "verdict": run.verdict, "alarm": run.alarm, "p_value": run.p_value}

    async def _end(self, run: MonitorRun, status: RunStatus, error: str | None) -> None:
        ended = replace(run, status=status, error=error, updated_ns=self._platform.clock.now_ns())
        await self._platform.database.write(lambda db: monitors.update_run(db, ended))

    async def _look(self, run: MonitorRun, context: JobContext) -> MonitorRun:
        from tidemill.monitor.look import Asked, Parts, look  # noqa: PLC0415  (SciPy, most of a second)

        platform, project = self._platform, run.project
        spec = read_monitor(cast("JsonObject", run.config["spec"]))

        def begin(db: Database) -> tuple[Version | None, Version | None]:
            monitors.update_run(db, run)
            return _inputs(db, project, spec)

        dataset, embedder = await platform.database.write(begin)
        blobs = platform.blobs(project)
        samples = [] if dataset is None else await anyio.to_thread.run_sync(lambda: load_samples(dataset, blobs))
        found = await look(
            Parts(
                telemetry=platform.telemetry, models=platform.models, database=platform.database, clock=platform.clock,
                environment=platform.settings.environment,
            ),
            Asked(
                project=project, spec=spec, from_ns=cast("int", run.config["from_ns"]), to_ns=cast("int", run.config["to_ns"]),
                dataset=dataset, samples=samples, embedder=embedder, scorers=await scorers_of(platform, project, spec),
            ),
            report=context.report,
        )  # fmt: skip
        return await self._keep(run, spec, found)

    async def _keep(self, run: MonitorRun, spec: MonitorSpec, found: Found) -> MonitorRun:
        """What was found, what it proposes and the alerts that it raises, in one transaction."""
        platform = self._platform
        raised, rules = alerts_of(run, spec, found.values, new_id=platform.ids.text, now_ns=platform.clock.now_ns())
        drift = found.drift
        done = replace(
            run, status="done", verdict=drift.verdict if drift else "", p_value=drift.p_value if drift else None,
            alarm=drift.alarm if drift else False, updated_ns=platform.clock.now_ns(),
            result={**found.result, "rules": [*rules], "alerts": [each.id for each in raised]},
        )  # fmt: skip
        proposed = [
            Proposal(
                run=run.id, number=number, project=run.project, trace_id=each.trace.id, topic=each.topic,
                input=each.trace.input, output=each.trace.output,
            )
            for number, each in enumerate(found.proposed, 1)
        ]  # fmt: skip

        def keep(db: Database) -> None:
            monitors.update_run(db, done)
            monitors.put_proposals(db, proposed)
            for each in raised:
                alerts.create_alert(db, each)

        await platform.database.write(keep)
        return done
