"""The gate: a pure function from a rule and one or two evaluations to passed, failed, inconclusive or error.

- `min` passes when the whole interval of the mean is at or above it, fails when the whole interval is below, and is
  inconclusive between. `max` likewise.
- `test: superiority` passes when the candidate is shown better than the incumbent, fails when it is shown worse, and is
  inconclusive when nothing is shown: the incumbent stays.
- `test: noninferiority` with a `margin` passes when the candidate is shown worse by less than the margin, or gave the same
  output for every sample; fails when it is shown worse by more, and is inconclusive between.
- Fewer samples than `min_n`: inconclusive. A metric that is not there, or nothing to compare with: error.

The gate fails when any check failed, else is an error when any is, else inconclusive when any is, else passed. `correction:
holm` (the default) corrects the p-values of the superiority tests over the gate. Noninferiority tests stand at alpha / 2
one-sided and bounds at their own alpha: since all checks must pass, many of them cannot let a bad candidate through by luck
(Berger 1982, "Multiparameter hypothesis testing and acceptance sampling"). Samples whose run failed count as the worst score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidemill.core.json import JsonObject
from tidemill.evaluation.extra import require_eval
from tidemill.evaluation.gate_rules import Checked, GateRule, Result
from tidemill.evaluation.results import Evaluated


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The gate's answer; `incumbent_stays` is its consequence."""

    gate: str
    result: Result
    checks: Sequence[Checked]
    evaluation: str
    against: str | None = None
    correction: str = "holm"
    notes: Sequence[str] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether the candidate may take the place."""
        return self.result == "passed"

    def to_json(self) -> JsonObject:
        """As INTERFACES shows it."""
        return {
            "gate": self.gate, "result": self.result, "checks": [each.to_json() for each in self.checks],
            "evaluation": self.evaluation, "against": self.against, "correction": self.correction,
            "incumbent_stays": not self.passed, "notes": list(self.notes),
        }  # fmt: skip


def decide(rule: GateRule, candidate: Evaluated, incumbent: Evaluated | None = None) -> Decision:
    """Hold `candidate` to the rule, against `incumbent` where a check tests. Raises nothing but `MissingExtra`."""
    require_eval(needed_for="deciding a gate")
    from tidemill.evaluation.checks import check_bound, check_tests  # noqa: PLC0415  (needs the extra eval)

    results: list[list[Checked]] = [[] for _ in rule.checks]
    for place, check in enumerate(rule.checks):
        if check.min is not None:
            results[place].append(check_bound(check, "min", candidate))
        if check.max is not None:
            results[place].append(check_bound(check, "max", candidate))
    tested = check_tests([each for each in rule.checks if each.test], candidate, incumbent, correction=rule.correction)
    for place, check in enumerate(rule.checks):
        if check.test:
            results[place].append(next(tested))
    checks = [each for group in results for each in group]
    return Decision(
        gate=rule.name,
        result=overall([each.result for each in checks]),
        checks=checks,
        evaluation=candidate.id,
        against=incumbent.id if incumbent else None,
        correction=rule.correction,
        notes=_notes(candidate, incumbent),
    )


def overall(results: Sequence[Result]) -> Result:
    """The gate's result out of its checks'; no check at all is an error."""
    for result in ("failed", "error", "inconclusive"):
        if result in results:
            return result
    return "passed" if results else "error"


def _notes(candidate: Evaluated, incumbent: Evaluated | None) -> Sequence[str]:
    notes = [f"{each.id} is {each.status}, not done" for each in (candidate, incumbent) if each and each.status != "done"]
    failed = sum(each.error is not None for each in candidate.results)
    if failed:
        notes.append(f"{failed} of {len(candidate.results)} runs failed")
    return notes
