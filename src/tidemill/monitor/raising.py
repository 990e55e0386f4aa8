"""From a run and its rules to the alerts that they raise. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from tidemill.core.json import Json, JsonObject
from tidemill.monitor.rules import judge
from tidemill.monitor.spec import MonitorSpec, Rule, Step
from tidemill.store.alerts import Action, ActionKind, Alert
from tidemill.store.monitors import MonitorRun


def alerts_of(
    run: MonitorRun, spec: MonitorSpec, values: Mapping[str, Json], *, new_id: Callable[[], str], now_ns: int
) -> tuple[list[Alert], list[JsonObject]]:
    """The alerts, and what became of every rule: `{"name", "when", "holds", "reason"}`."""
    raised: list[Alert] = []
    told: list[JsonObject] = []
    for number, rule in enumerate(spec.alerts):
        held = judge(rule.when, values)
        told.append({"name": rule.name, "when": rule.when, "holds": held.holds, "reason": held.reason})
        if held.holds:
            raised.append(
                Alert(
                    id=new_id(), project=run.project, monitor=run.monitor, run=run.id, rule=number,
                    name=rule.name or f"rule {number + 1}", condition=rule.when, message=_message(run, rule, values),
                    target=run.target, release=str(run.config.get("release") or ""), values=held.values, created_ns=now_ns,
                    actions=[_action(place, step, now_ns=now_ns) for place, step in enumerate(rule.then)],
                )
            )  # fmt: skip
    return raised, told


def _message(run: MonitorRun, rule: Rule, values: Mapping[str, Json]) -> str:
    drift = cast("JsonObject", values.get("drift") or {})
    p_value = drift.get("p_value")
    found = f"; drift p = {p_value:.2g} after Holm" if isinstance(p_value, float) else ""
    seen = cast("JsonObject", values.get("window") or {}).get("n")
    return f"{rule.name or rule.when} holds for {run.target}, {seen} requests{found}"


def _action(number: int, step: Step, *, now_ns: int) -> Action:
    kind: ActionKind = "webhook" if step.webhook is not None else "email" if step.email is not None else "rollback"
    told = step.webhook or step.email
    dumped = told.model_dump(mode="json", by_alias=True, exclude_none=True) if told is not None else {}
    config = cast("JsonObject", dumped)
    return Action(number=number, kind=kind, config=config, updated_ns=now_ns)
