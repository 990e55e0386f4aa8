"""How mature a project's way of working is, from what the platform has seen of it: MLOps and GenAIOps, apart.

Levels 0 to 4 after the maturity models of Google (continuous delivery for ML, 2020) and Microsoft (MLOps and GenAIOps
maturity models, 2024), with this difference: nobody is asked. A criterion is a count of rows that is reached or not; a level is
reached when all of its criteria, and those of the levels below, are. Doing something once shows that it can be done, not that
it is done always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tidemill.core.json import JsonObject

Practice: TypeAlias = Literal["MLOps", "GenAIOps"]
PRACTICES: Final[tuple[Practice, ...]] = ("MLOps", "GenAIOps")
LEVELS: Final = ("by hand", "repeatable", "measured", "operated", "closed loop")
HIGHEST: Final = len(LEVELS) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Criterion:
    """`counts` are added up (see `store.census`); `needed` of them reach it. `next` is what to type when it is not reached."""

    practice: Practice
    level: int
    what: str
    counts: tuple[str, ...]
    next: str
    needed: int = 1


def _criteria(practice: Practice, level: int, *rows: tuple[str, str, int, str]) -> list[Criterion]:
    return [
        Criterion(practice=practice, level=level, what=what, counts=tuple(counts.split()), needed=needed, next=command)
        for what, counts, needed, command in rows
    ]


CRITERIA: Final[Sequence[Criterion]] = (
    *_criteria(
        "MLOps",
        1,
        ("datasets are versioned", "versions.dataset", 1, "tidemill apply"),
        ("models are versioned", "versions.model versions.adapter", 1, "tidemill apply"),
        ("applications are locked as releases", "releases", 1, "tidemill release APP"),
    ),
    *_criteria(
        "MLOps",
        2,
        ("releases are evaluated, with intervals", "evaluations", 3, "tidemill eval APP --data DATASET"),
        ("more than one release was measured", "evaluated.releases", 2, "tidemill eval APP --data DATASET"),
        ("gates decide on evaluations", "gates.decided", 1, "tidemill gate GATE EVALUATION"),
    ),
    *_criteria(
        "MLOps",
        3,
        (
            "what is deployed passed a gate before",
            "deployments.gated",
            1,
            "tidemill gate GATE EVALUATION && tidemill deploy APP --to ENDPOINT",
        ),
        (
            "releases were compared with what they replace",
            "gates.compared",
            1,
            "tidemill gate GATE EVALUATION --against EVALUATION",
        ),
        ("a deployment was taken back", "rollbacks", 1, "tidemill rollback ENDPOINT"),
        ("live traffic is compared with a reference", "monitor.runs", 1, "tidemill monitor run MONITOR"),
        ("a model was tuned from versioned data", "tune.runs", 1, "tidemill tune spec.yaml"),
    ),
    *_criteria(
        "MLOps",
        4,
        ("pipelines run", "pipeline.runs", 1, "tidemill pipeline run PIPELINE"),
        ("pipelines start by themselves", "pipeline.triggered", 1, "on: in the pipeline, then tidemill apply"),
        ("models are tuned more than once", "tune.runs", 2, "tidemill tune spec.yaml"),
        ("people approve releases", "approvals", 1, "tidemill approve APP --reason TEXT"),
    ),
    *_criteria(
        "GenAIOps",
        1,
        ("prompts are versioned", "versions.prompt", 1, "tidemill apply"),
        ("a prompt was changed as a version", "changed.prompt changed.chain changed.agent", 1, "tidemill apply"),
        ("what ran can be looked at", "traces", 1, "tidemill run APP --input …"),
    ),
    *_criteria(
        "GenAIOps",
        2,
        ("answers are scored", "scored.quality", 1, "tidemill eval APP --data DATASET"),
        ("safety is scored", "scored.safety", 1, "tidemill eval APP --data DATASET --scorer pii --scorer profanity"),
        ("guardrails stand before or after the model", "guardrail", 1, "kind: guardrail in the project, then tidemill apply"),
        ("releases are served at endpoints", "deployments", 1, "tidemill deploy APP --to ENDPOINT"),
    ),
    *_criteria(
        "GenAIOps",
        3,
        ("users' feedback is kept with the trace", "feedback", 10, "tidemill feedback add TRACE --thumbs up"),
        (
            "a release began with a share of the traffic",
            "rollouts",
            1,
            "tidemill rollout start ENDPOINT --to APP --share 10%",
        ),
        ("live answers are scored", "monitor.scores", 1, "tidemill monitor run MONITOR"),
        ("traffic is enough to tell something", "traces", 100, "tidemill traces list"),
        ("alerts are raised", "alerts", 1, "alerts: in a monitor, then tidemill apply"),
    ),
    *_criteria(
        "GenAIOps",
        4,
        (
            "samples come from live traffic",
            "monitor.accepted datasets.from_traces",
            1,
            "tidemill data from-traces --to DATASET",
        ),
        ("policies guard what is protected", "policy", 1, "kind: policy in the project, then tidemill apply"),
        ("people answer for changes", "audit.people", 2, "tidemill keys create --person NAME --role reviewer"),
        ("evidence is made of releases", "evidence.packs", 1, "tidemill evidence APP --out pack.zip"),
        ("the loop runs as a pipeline", "pipeline.runs", 1, "tidemill pipeline run PIPELINE"),
    ),
)
SAFETY: Final = frozenset({"pii", "profanity", "language", "prompt_injection"})
NOT_ANSWERS: Final = frozenset({"latency_ms", "cost", "error_rate"})


def maturity(census: Mapping[str, int], *, names: Mapping[str, str], next_steps: int = 3) -> JsonObject:
    """The levels of both practices, every criterion with its count, and what to do next: the lowest that are missing.

    `names` stand in commands for APP, DATASET, ENDPOINT and the like; what has no name yet stays as it is written.
    """
    criteria = [_judged(each, census) for each in CRITERIA]
    missing = sorted((each for each in criteria if not each["met"]), key=lambda each: int(str(each["level"])))
    steps: dict[str, JsonObject] = {}
    for each in missing:
        steps.setdefault(str(each["next"]), {"what": each["what"], "practice": each["practice"], "level": each["level"]})
    return {
        "practices": [
            _practice(practice, [each for each in criteria if each["practice"] == practice]) for practice in PRACTICES
        ],
        "rule": "a level is reached when all of its criteria and of those below are; a criterion is a count of what was seen",
        "next": [{"command": _named(command, names), **why} for command, why in list(steps.items())[:next_steps]],
    }


def _named(command: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\b[A-Z]{3,}\b", lambda match: names.get(match[0], match[0]), command)


def with_scores(census: Mapping[str, int], metrics: frozenset[str]) -> dict[str, int]:
    """The census with the metrics that evaluations measured: `scored.safety` and `scored.quality` count them."""
    quality = metrics - SAFETY - NOT_ANSWERS
    return {**census, "scored.safety": len(metrics & SAFETY), "scored.quality": len(quality)}


def _judged(criterion: Criterion, census: Mapping[str, int]) -> dict[str, str | int | bool]:
    count = sum(census.get(name, 0) for name in criterion.counts)
    return {
        "practice": criterion.practice,
        "level": criterion.level,
        "what": criterion.what,
        "evidence": " + ".join(criterion.counts),
        "count": count,
        "needed": criterion.needed,
        "met": count >= criterion.needed,
        "next": criterion.next,
    }


def _practice(practice: Practice, criteria: Sequence[Mapping[str, str | int | bool]]) -> JsonObject:
    unmet = [int(each["level"]) for each in criteria if not each["met"]]
    level = min(unmet) - 1 if unmet else HIGHEST
    return {
        "practice": practice,
        "level": level,
        "name": LEVELS[level],
        "met": sum(bool(each["met"]) for each in criteria),
        "of": len(criteria),
        "criteria": list(criteria),
    }
