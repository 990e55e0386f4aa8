"""How the variants of a rollout do, out of its spans and of what was said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidemill.api.platform import Platform
from tidemill.core.errors import MissingExtra
from tidemill.core.json import Json
from tidemill.serve.rollout_report import (
    QUANTILES,
    Ranks,
    clustered_share,
    difference_json,
    feedback_summary,
    quantile_ranks,
    thumbs_of,
)
from tidemill.store import feedback
from tidemill.store.feedback import Feedback
from tidemill.store.rollout_rows import Rollout
from tidemill.telemetry.questions.variants import RolloutSpans, VariantCounts

_VARIANTS: Final = ("canary", "stable")
_FEEDBACK: Final = 10_000
_NONE: Final = VariantCounts()


async def variants_json(platform: Platform, rollout: Rollout) -> dict[str, Any]:
    """`{"variants": {canary, stable}, "differences": {…}}`; `note` says why when it cannot be told."""
    spans = RolloutSpans(project=rollout.project, endpoint=rollout.endpoint, rollout=rollout.id, since_ns=rollout.started_ns)
    try:
        counts = await platform.telemetry.count_variants(spans)
        said = await _feedback(platform, rollout, spans)
        shown = {
            name: {
                **_counts_json(counts.get(name, _NONE)),
                "latency_ms": await _latency(platform, spans, name, counts.get(name, _NONE)),
                "feedback": feedback_summary(said[name]),
            }
            for name in _VARIANTS
        }
    except MissingExtra as error:
        return {"variants": None, "differences": {}, "note": f"{error.message}. {error.hint}"}
    failed = [clustered_share(counts.get(name, _NONE)) for name in _VARIANTS]
    thumbs = [thumbs_of(said[name]) for name in _VARIANTS]
    differences = {
        "error_share": difference_json(failed[0], failed[1], more_is_better=False),
        "thumbs_up": difference_json(thumbs[0], thumbs[1], more_is_better=True),
    }
    return {"variants": shown, "differences": {name: each for name, each in differences.items() if each}, "note": None}


def _counts_json(counts: VariantCounts) -> dict[str, Any]:
    return {"requests": counts.requests, "users": counts.askers, "error_share": clustered_share(counts).to_json()}


async def _latency(platform: Platform, spans: RolloutSpans, variant: str, counts: VariantCounts) -> dict[str, Json] | None:
    """p50 and p95 of the answered requests, each with its interval where there are enough of them."""
    n = counts.requests - counts.errors
    if n <= 0:
        return None
    ranks = {name: quantile_ranks(n, quantile) for name, quantile in QUANTILES.items()}
    wanted = sorted({rank for each in ranks.values() for rank in (each.at, each.low, each.high) if rank is not None})
    values = await platform.telemetry.latency_ranks(spans, variant=variant, ranks=wanted)
    found = dict(zip(wanted, values, strict=True))
    return {name: _quantile_json(each, found, n=n) for name, each in ranks.items()}


def _quantile_json(ranks: Ranks, found: Mapping[int, float], *, n: int) -> dict[str, Json]:
    interval = None if ranks.low is None or ranks.high is None else [found[ranks.low], found[ranks.high]]
    return {"value": found[ranks.at], "interval": interval, "n": n}


async def _feedback(platform: Platform, rollout: Rollout, spans: RolloutSpans) -> Mapping[str, Sequence[Feedback]]:
    """What was said since the rollout began, by the variant that it was said of."""
    found = await platform.database.read(
        lambda db: feedback.list_feedback(db, rollout.project, since_ns=rollout.started_ns, limit=_FEEDBACK)
    )
    by_trace = feedback.feedback_by_trace(found)
    variants = await platform.telemetry.variants_of(spans, list(by_trace))
    said: dict[str, list[Feedback]] = {name: [] for name in _VARIANTS}
    for trace, variant in variants.items():
        said.setdefault(variant, []).extend(by_trace[trace])
    return said
