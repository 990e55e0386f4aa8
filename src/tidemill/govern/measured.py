"""What was measured of a release and, as plainly, what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from tidemill.core.json import JsonObject
from tidemill.govern.dossier import Dossier, Measured

_NOT_QUALITY: Final = frozenset({"latency_ms", "cost", "error_rate"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """A question that a reader of a card asks. `scorers` are those that answer it; `how` is what to type when none did."""

    name: str
    scorers: frozenset[str]
    how: str
    needs: str = ""
    """A kind of artifact without which the question does not arise."""


TOPICS: Final[tuple[Topic, ...]] = (
    Topic(
        name="retrieval of the right passages",
        scorers=frozenset({"recall_at_k", "ndcg_at_k", "mrr"}),
        how="tidemill eval APP --data DATASET --scorer recall_at_k",
        needs="index",
    ),
    Topic(
        name="grounding of answers in what was retrieved",
        scorers=frozenset({"groundedness_overlap"}),
        how="tidemill eval APP --data DATASET --scorer groundedness_overlap",
        needs="index",
    ),
    Topic(
        name="personal data in answers",
        scorers=frozenset({"pii"}),
        how="tidemill eval APP --data DATASET --scorer pii",
    ),
    Topic(
        name="offensive language in answers",
        scorers=frozenset({"profanity"}),
        how="tidemill eval APP --data DATASET --scorer profanity",
    ),
    Topic(
        name="attempts at prompt injection in inputs",
        scorers=frozenset({"prompt_injection"}),
        how="tidemill eval APP --data DATASET --scorer prompt_injection",
    ),
    Topic(
        name="language of answers", scorers=frozenset({"language"}), how="tidemill eval APP --data DATASET --scorer language"
    ),
)
_NEVER: Final[tuple[tuple[str, str], ...]] = (
    ("fairness between groups of people", "no evaluation by group is known to the platform"),
    ("robustness against adversarial users", "no red-team run is known to the platform"),
    ("harm in use", "no study of use is known to the platform"),
)


def metrics_of(measured: Measured) -> dict[str, Mapping[str, Any]]:
    """An evaluation's metrics by name: `mean`, `interval`, `n`."""
    return dict(sorted(cast("Mapping[str, Mapping[str, Any]]", measured.result.get("metrics") or {}).items()))


def limits(dossier: Dossier) -> JsonObject:
    """`measured`: topics with the evaluations that speak to them; `not_measured`: topics with why, or what to type."""
    by_topic = {topic.name: _evaluations_on(dossier, topic.scorers) for topic in _topics(dossier)}
    quality = _quality(dossier)
    measured = [
        {"what": name, "evaluations": found} for name, found in [("quality of answers", quality), *by_topic.items()] if found
    ]
    missing = [
        {"what": topic.name, "how": topic.how.replace("APP", dossier.bundle.root.bare)}
        for topic in _topics(dossier)
        if not by_topic[topic.name]
    ]
    if not quality:
        how = f"tidemill eval {dossier.bundle.root.bare} --data DATASET"
        missing.insert(0, {"what": "quality of answers", "how": how})
    unserved = [] if dossier.served else [{"what": "behaviour in use", "why": "no endpoint ever served this release"}]
    never = [{"what": what, "why": why} for what, why in _NEVER]
    return {"measured": measured, "not_measured": [*missing, *unserved, *never]}


def _topics(dossier: Dossier) -> Sequence[Topic]:
    kinds = {each.kind for each in dossier.versions}
    return [topic for topic in TOPICS if not topic.needs or topic.needs in kinds]


def _evaluations_on(dossier: Dossier, scorers: frozenset[str]) -> list[str]:
    return [
        each.row.id
        for each in dossier.evaluations
        if any(each.scorers.get(metric, metric) in scorers and _counted(value) for metric, value in metrics_of(each).items())
    ]


def _quality(dossier: Dossier) -> list[str]:
    """Evaluations with a metric of what was answered: any but those of the topics and of time and money."""
    other = {name for topic in TOPICS for name in topic.scorers} | _NOT_QUALITY
    return [
        each.row.id
        for each in dossier.evaluations
        if any(each.scorers.get(name, name) not in other and _counted(value) for name, value in metrics_of(each).items())
    ]


def _counted(value: Mapping[str, Any]) -> bool:
    return bool(value.get("n"))
