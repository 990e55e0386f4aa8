"""The steps of a pipeline that learn from traffic: look for drift, make samples, tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidemill.api import from_traces, monitors, tune
from tidemill.api.pipeline_caller import caller_of
from tidemill.api.platform import Platform
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import parse_ref
from tidemill.monitor.spec import monitor_json, read_monitor
from tidemill.pipelines.step import StepContext
from tidemill.store import monitors as monitor_rows

_OF_TRACES: Final = ("filter", "q", "since", "until", "limit", "pairs", "labelled", "apart")


class LearningSteps:
    """`monitor`, `samples` and `tune`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def monitor(self, args: JsonObject, context: StepContext) -> Json:
        """Look at the live traffic now. An alarm is no failure: `alarm` in the output says it."""
        platform, project = self._platform, context.project
        name = parse_ref(str(args["monitor"]), kind="monitor").name
        spec = await monitors.monitor_spec(platform, project, name)
        window = args.get("window")
        if window is not None:
            spec = read_monitor({**monitor_json(spec), "window": window})
        began = await monitors.begin_run(platform, project, spec, name=name, run_id=context.id)
        await context.job(began.id, what=f"monitor/{name}")
        found, proposed = await platform.database.read(
            lambda db: (monitor_rows.get_run(db, project, began.id), monitor_rows.list_proposals(db, project, began.id))
        )
        topics = list(dict.fromkeys(each.topic for each in proposed if each.topic))
        context.log(f"{found.verdict}, p = {found.p_value}; {len(proposed)} samples proposed")
        return {
            "run": found.id,
            "monitor": f"monitor/{name}",
            "alarm": found.alarm,
            "verdict": found.verdict,
            "p_value": found.p_value,
            "proposed": len(proposed),
            "topics": list[Json](topics),
        }

    async def samples(self, args: JsonObject, context: StepContext) -> Json:
        """Append samples to a dataset: those that a monitor's run proposes, or traces with what was said of them."""
        call = caller_of(self._platform, context)
        name = parse_ref(str(args["to"]), kind="dataset").name
        chosen = {key: args[key] for key in _OF_TRACES if args.get(key) is not None}
        run = args.get("from")
        if run is not None:
            if chosen:
                raise Invalid(f"from takes all that the run proposes, so that {', '.join(chosen)} has no place beside it")
            made = await monitors.accept(call, str(run), monitors.Acceptance(to=f"dataset/{name}"))
        else:
            apart = [chosen["apart"]] if "apart" in chosen else []
            body = from_traces.FromTraces.model_validate({**chosen, "apart": apart})
            made = await from_traces.samples_from_traces(call, name, body)
        context.log(f"{made['dataset']}: {made['added']} rows added, {made['known']} known")
        return {key: made[key] for key in ("dataset", "digest", "rows", "added", "filled", "known")}

    async def tune(self, args: JsonObject, context: StepContext) -> Json:
        """Tune, as a job. What was trained before, with the same data and recipe, is not trained again."""
        data, output, judge = args.get("data"), args.get("output"), args.get("evaluate_on")
        body = tune.NewTune(
            tune=str(args["tune"]),
            data=None if data is None else str(data),
            output=None if output is None else str(output),
            evaluate_on=() if judge is None else (str(judge),),
        )
        began = await tune.start_tune(caller_of(self._platform, context), body)
        result = await context.job(str(began["job"]), what=str(args["tune"]).partition("@")[0])
        made: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
        context.log(f"{made.get('adapter')} and {made.get('model')}")
        return {key: made.get(key) for key in ("tune", "adapter", "model", "base", "data", "steps", "rows", "seconds")}
