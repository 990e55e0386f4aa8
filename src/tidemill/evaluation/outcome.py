"""The JSON of an evaluation, made of its samples' results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.core.chat import Usage
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.evaluation.results import Evaluated, SampleResult
from tidemill.evaluation.scorers.choose import Chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is evaluated, on what, by what. `steps` are the steps that run, None for all."""

    evaluation: str
    project: str
    environment: str
    bundle: Bundle
    dataset: Version
    scorers: Sequence[Chosen]
    steps: tuple[str, ...] | None


def evaluation_json(asked: Asked, results: Sequence[SampleResult], *, duration_ms: float) -> JsonObject:
    """The evaluation of INTERFACES. Usage and cost are what this evaluation spent; re-used outputs spent nothing."""
    from tidemill.evaluation.summary import summarise  # noqa: PLC0415  (needs the extra eval)

    evaluated = Evaluated(
        id=asked.evaluation,
        release=asked.bundle.release,
        dataset=asked.dataset.ref,
        scorers={each.metric: each.digest for each in asked.scorers},
        binary=frozenset(each.metric for each in asked.scorers if each.scorer.binary),
        steps=asked.steps,
        results=sorted(results, key=lambda each: (each.sample, each.replicate)),
    )
    usage = sum((each.spent_usage for each in results), Usage())
    return {
        "id": asked.evaluation,
        "app": asked.bundle.root.ref,
        "release": asked.bundle.release,
        "dataset": asked.dataset.ref,
        "status": "done",
        "samples": len(results),
        "errors": sum(each.error is not None for each in results),
        "metrics": dict(summarise(evaluated)),
        "reused": {
            "outputs": sum(each.reused and not any(each.calls.values()) for each in results),
            "scores": sum(each.reused_scores for each in results),
        },
        "calls": _calls(results),
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        "cost": _spent(results),
        "duration_ms": duration_ms,
        "scorers": {each.metric: {"digest": each.digest, "binary": each.scorer.binary} for each in asked.scorers},
        "steps": None if asked.steps is None else list(asked.steps),
    }


def _calls(results: Sequence[SampleResult]) -> JsonObject:
    names = ("model", "embed", "retrieve", "tool")
    return {name: sum(each.calls.get(name, 0) for each in results) for name in names}


def _spent(results: Sequence[SampleResult]) -> Json:
    """In US dollars; None when the price of any run is not known. What a failed run spent is in its trace only."""
    spent = [each.spent for each in results if each.error is None]
    known = [each for each in spent if each is not None]
    return sum(known) if len(known) == len(spent) else None
