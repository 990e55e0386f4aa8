"""What the steps of a pipeline do: each calls its use case as the route does, in the name of who started the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection as Database

from tidemill.api import endpoints, evaluations, gate, runs
from tidemill.api.evaluated import evaluation_json
from tidemill.api.pipeline_caller import caller_of
from tidemill.api.pipeline_learning import LearningSteps
from tidemill.api.pipeline_release import ReleaseSteps
from tidemill.api.platform import Platform
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.pipelines.python import call_python
from tidemill.pipelines.step import NotPassed, StepContext, StepHandler
from tidemill.store import evaluations as evaluation_rows
from tidemill.store import index_builds, registry, release
from tidemill.store.replace import replace_parts


def step_handlers(platform: Platform) -> dict[str, StepHandler]:
    """Every kind of step and what does it."""
    steps, learning, releases = Steps(platform), LearningSteps(platform), ReleaseSteps(platform)
    return {
        "python": call_python,
        "run": steps.run,
        "evaluate": steps.evaluate,
        "gate": steps.gate,
        "index": steps.index,
        "release": steps.release,
        "deploy": steps.deploy,
        "monitor": learning.monitor,
        "samples": learning.samples,
        "tune": learning.tune,
        "approve": releases.approve,
        "rollout": releases.rollout,
        "promote": releases.promote,
    }


class Steps:
    """The steps that measure, decide and serve."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def run(self, args: JsonObject, context: StepContext) -> Json:
        """Ask an application once. Steps that declare no effects are answered from before."""
        body = runs.RunRequest(app=str(args["app"]), inputs=cast("Mapping[str, Any]", args.get("with") or {}), reuse=True)
        answered = await runs.run(caller_of(self._platform, context), body)
        assert isinstance(answered, dict)
        return {key: answered[key] for key in ("output", "trace", "release", "usage", "cost")}

    async def evaluate(self, args: JsonObject, context: StepContext) -> Json:
        """Evaluate an application on a dataset, as a job. Begun again, it goes on with the samples that are not done."""
        body = evaluations.NewEvaluation.model_validate({key: value for key, value in args.items() if value is not None})
        call = caller_of(self._platform, context)
        began = await evaluations.begin_evaluation(call, body, evaluation=context.id, job_id=context.id)
        context.log(f"evaluation {began['evaluation']} of {began['release'][:19]}… on {body.data.partition('@')[0]}")
        await context.job(began["job"], what="evaluation")
        row = await self._platform.database.read(
            lambda db: evaluation_rows.get_evaluation(db, context.project, began["evaluation"])
        )
        shown = evaluation_json(row)
        for name, metric in shown["metrics"].items():
            context.log(f"{name}: {metric.get('mean')} {metric.get('interval') or ''}".rstrip())
        kept = {key: shown.get(key) for key in ("release", "app", "dataset", "samples", "errors", "metrics")}
        return {"evaluation": row.id, **kept}

    async def gate(self, args: JsonObject, context: StepContext) -> Json:
        """Hold an evaluation to a gate. What does not pass fails the step, unless `must_pass` is false."""
        against = args.get("against")
        body = gate.GateCheck(evaluation=str(args["evaluation"]), against=None if against is None else str(against))
        name = str(args["gate"]).removeprefix("gate/")
        decided = await gate.check_gate(caller_of(self._platform, context), name, body)
        checks = cast("Sequence[Mapping[str, Any]]", decided.get("checks") or ())
        for each in checks:
            context.log(f"{each.get('result')}   {each.get('metric')}   {each.get('reason')}")
        result = str(decided["result"])
        if result != "passed" and args.get("must_pass") is not False:
            reasons = "; ".join(f"{each['metric']} {each['reason']}" for each in checks if each["result"] != "passed")
            bare = name.partition("@")[0]
            raise NotPassed(f"gate/{bare} {result}: {reasons}", hint=f"See: tidemill gate gate/{bare} {body.evaluation}")
        return {"gate": decided.get("gate"), "result": result, "evaluation": body.evaluation, "checks": list(checks)}

    async def index(self, args: JsonObject, context: StepContext) -> Json:
        """Build an index, unless it is built."""
        platform, project = self._platform, context.project
        ref = parse_ref(str(args["index"]), kind="index")

        def work(db: Database) -> tuple[Version, bool]:
            version = registry.get_version(db, project, ref)
            return version, index_builds.get_build(db, project, version.digest) is not None

        index, built = await platform.database.read(work)
        if built:
            context.log(f"{index.ref} is built already")
            return {"index": index.ref, "digest": index.digest, "built": False}
        job = await platform.jobs.submit("index.build", {"index": index.digest}, project=project, job_id=context.id)
        report = await context.job(job.id, what="index")
        return {"index": index.ref, "digest": index.digest, "built": True, "report": report}

    async def release(self, args: JsonObject, context: StepContext) -> Json:
        """Lock an application, with the parts in `using` in the place of those of the same name."""
        platform, project = self._platform, context.project
        ref = parse_ref(str(args["app"]))
        now_ns = platform.clock.now_ns()

        def work(db: Database) -> release.Release:
            root = registry.get_version(db, project, ref)
            parts = {
                name: registry.get_version(db, project, parse_ref(part)) for name, part in parts_of(args.get("using")).items()
            }
            made = replace_parts(db, project, root, parts, kinds=platform.kinds, now_ns=now_ns, by=context.who)
            root_ref = parse_ref(f"{made.bare}@{made.digest}")
            return release.make_release(db, project, root_ref, now_ns=now_ns, by=context.who, signer=platform.sign)

        made = await platform.database.write(work)
        context.log(f"{made.root.ref} is {made.digest}")
        return {"release": made.digest, "app": made.root.ref, "ref": made.version.ref, "digest": made.root.digest}

    async def deploy(self, args: JsonObject, context: StepContext) -> Json:
        """Serve an application at an endpoint, through every policy at its door."""
        call = caller_of(self._platform, context)
        endpoint = parse_ref(str(args["endpoint"]), kind="endpoint").name
        served = endpoints.endpoint_json(await endpoints.serve(call, endpoint, endpoints.Deployment(app=str(args["app"]))))
        return {key: served[key] for key in ("ref", "release", "app", "previous")} | {"endpoint": served["ref"]}


def parts_of(using: Json) -> dict[str, str]:
    """The parts to put in: one reference or a step's output, several, or by the name of what each replaces."""
    if using is None:
        return {}
    if isinstance(using, str):
        return {parse_ref(using).bare: using}
    if isinstance(using, Mapping):
        for field in ("model", "adapter", "ref"):
            value = using.get(field)
            if isinstance(value, str):
                return {parse_ref(value).bare: value}
        return {parse_ref(name).bare: _reference(part) for name, part in using.items()}
    if isinstance(using, Sequence):
        return {name: part for each in using for name, part in parts_of(each).items()}
    raise Invalid(f"using is {using!r}, which names no artifact", hint="Write using: adapter/NAME, or {model/OLD: model/NEW}.")


def _reference(part: Json) -> str:
    found = list(parts_of(part).values())
    if len(found) != 1:
        raise Invalid(f"using has {part!r}, which names no artifact", hint="Write using: {model/OLD: model/NEW}.")
    return found[0]
