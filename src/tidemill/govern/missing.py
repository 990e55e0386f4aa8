"""What is missing when a rule does not hold, and the command that supplies it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tidemill.core.errors import Problem
from tidemill.core.json import Json, JsonObject
from tidemill.govern.facts import Decided, Facts
from tidemill.govern.rules import Rule
from tidemill.store.evaluations import EvaluationRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """One rule that does not hold: what there is instead, and what to type, one line each."""

    policy: str
    rule: str
    found: tuple[str, ...]
    commands: tuple[str, ...] = ()

    def as_problem(self, target: str) -> Problem:
        """As an error shows it."""
        lines = [f"{target} needs {self.rule}", *self.found]
        return Problem(message="\n".join(lines), where=self.policy, hint="\n".join(self.commands))

    def as_json(self) -> JsonObject:
        """As the audit keeps it."""
        return {"policy": self.policy, "rule": self.rule, "found": list(self.found), "commands": list(self.commands)}


def explain(rule: Rule, facts: Facts, *, policy: str, why: str) -> Missing:
    """What a rule that does not hold lacks. `why` says why it could not be decided; empty when it was decided."""
    found: list[str] = []
    commands: list[str] = []
    for name in sorted(rule.gates):
        if name in facts.gates:
            _note(_of_gate(name, facts.gates[name], facts), found, commands)
    if rule.reads("approvals"):
        _note(_of_approvals(rule, facts), found, commands)
    if rule.reads("evaluation"):
        _note(_of_evaluation(rule, facts), found, commands)
    if why and not commands:
        found.append(why)
    return Missing(policy=policy, rule=rule.text, found=tuple(found), commands=tuple(dict.fromkeys(commands)))


def _note(said: tuple[Sequence[str], Sequence[str]], found: list[str], commands: list[str]) -> None:
    found += said[0]
    commands += said[1]


def _of_gate(name: str, gate: Decided, facts: Facts) -> tuple[Sequence[str], Sequence[str]]:
    if gate.decision is not None:
        decision = gate.decision
        if decision.result == "passed":
            return [f"{name} passed on evaluation {decision.evaluation}"], []
        return (
            [f"{name} is {decision.result} on evaluation {decision.evaluation}"],
            [f"See why: tidemill gate {gate.version.ref} {decision.evaluation}"],
        )
    if facts.evaluation is None:
        return [f"{name} decided nothing: {facts.digest} was never evaluated"], [_evaluate(facts)]
    asks = f"Ask it: tidemill gate {gate.version.ref} {facts.evaluation.id}"
    if gate.other is not None:
        version = gate.other.detail.get("gate_version") or "another version of it"
        return [f"{version} decided {gate.other.result}, but the policy holds to {gate.version.ref}"], [asks]
    return [f"{name} decided nothing of {facts.digest}"], [asks]


def _of_approvals(rule: Rule, facts: Facts) -> tuple[Sequence[str], Sequence[str]]:
    held = {each.role for each in facts.approvals}
    wanted = [role for role in rule.roles if role not in held] or (["reviewer"] if not rule.roles else [])
    found = [f"approved by {each.who} as {each.role}" for each in facts.approvals]
    found += [f"the approval of {each.who} as {each.role} does not count: {why}" for each, why in facts.passed_over]
    if not facts.approvals and not facts.passed_over:
        found.append(f"nobody approved {facts.digest}")
    if wanted and facts.authors:
        found.append(f"who wrote it cannot approve it: {', '.join(sorted(facts.authors))}")
    return found, [
        f'Approve it: tidemill approve {facts.ref} --role {role} --for {facts.target} --reason "…"' for role in wanted
    ]


def _of_evaluation(rule: Rule, facts: Facts) -> tuple[Sequence[str], Sequence[str]]:
    if facts.evaluation is None:
        return [f"{facts.digest} was never evaluated"], [_evaluate(facts)]
    row = facts.evaluation
    metrics = _metrics(row)
    told = [f"{name} {_figure(metrics.get(name))}" for name in sorted(rule.metrics)]
    found = [f"evaluation {row.id} on {row.dataset}: {'; '.join(told)}" if told else f"evaluation {row.id} on {row.dataset}"]
    return found, [_evaluate(facts)] if any(name not in metrics for name in rule.metrics) else []


def _metrics(row: EvaluationRow) -> Mapping[str, Json]:
    result = cast("Mapping[str, Any]", row.result or {})
    return cast("Mapping[str, Json]", result.get("metrics") or {})


def _figure(metric: Json) -> str:
    if not isinstance(metric, Mapping):
        return "was not measured"
    mean, interval = metric.get("mean"), metric.get("interval")
    if not isinstance(mean, int | float):
        return "has no value"
    ends = cast("Sequence[float]", interval) if isinstance(interval, Sequence) else ()
    return f"is {mean:.4g}" + (f" [{ends[0]:.4g}, {ends[1]:.4g}]" if len(ends) == 2 else "")


def _evaluate(facts: Facts) -> str:
    return f"Measure it: tidemill eval {facts.ref} --data dataset/NAME"


def one_line(problems: Iterable[Problem]) -> str:
    """The problems in one line, for what shows no more."""
    return "; ".join(each.message.replace("\n", ", ") for each in problems)
