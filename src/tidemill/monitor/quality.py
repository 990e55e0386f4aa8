"""Scores of live traces: a share of them by their ids, by the scorers of evaluations, each trace once; and the trend."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.json import Json, JsonObject
from tidemill.evaluation.results import SampleResult
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.evaluation.scoring import Finished, Scoring
from tidemill.monitor.traffic import LiveTrace
from tidemill.store import cache, monitors
from tidemill.store.database import Database
from tidemill.store.feedback import list_feedback
from tidemill.store.monitors import LiveScore
from tidemill.telemetry.questions.scores import TraceScore

ALWAYS: Final = frozenset({"input", "output", "retrieved", "retrieved_text", "context", "metadata"})
"""What a trace can fill. `reference` only where feedback gave a correction; `gold` never."""
_BATCH: Final = 200


class TraceReader(Protocol):
    """Where a trace is read with its spans."""

    async def get_trace(self, project: str, trace_id: str) -> JsonObject:
        """One trace."""
        ...

    async def put_scores(self, found: Sequence[TraceScore]) -> None:
        """Keep scores beside the traces."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """`sampled` traces, of which `fresh` were scored now; `without_reference` lack one that some scorer reads."""

    sampled: int
    fresh: int
    without_reference: int


def is_sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is in the share: by a hash of its id, so always the same, and a larger share holds every smaller one."""
    return int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8], "big") < share * 2**64


def unreadable(scorer: Chosen) -> list[str]:
    """The fields that the scorer reads and no trace can fill."""
    return sorted(scorer.scorer.reads - ALWAYS - {"reference"})


async def score_traffic(
    traces: Sequence[LiveTrace],
    *,
    share: float,
    scorers: Sequence[Chosen],
    telemetry: TraceReader,
    database: Database,
    project: str,
    clock: Clock,
) -> Scored:
    """Score what is in the share and was not scored by these scorers before. A failed request has no answer to score."""
    sampled = [each for each in traces if not each.failed and each.output is not None and is_sampled(each.id, share)]
    ids = [each.id for each in sampled]
    corrections = await database.read(lambda db: _corrections(db, project, ids))
    fresh: set[str] = set()
    lacking: set[str] = set()
    for chosen in scorers:
        done = await database.read(lambda db, chosen=chosen: monitors.scored_traces(db, project, chosen.digest, ids))
        waiting = [each for each in sampled if each.id not in done]
        if "reference" in chosen.scorer.reads:
            lacking.update(each.id for each in waiting if each.id not in corrections)
            waiting = [each for each in waiting if each.id in corrections]
        for start in range(0, len(waiting), _BATCH):
            batch = waiting[start : start + _BATCH]
            fields = [await _fields(each, chosen, corrections, telemetry, project) for each in batch]
            scored = await _score(batch, fields, chosen, database=database, project=project, clock=clock)
            await telemetry.put_scores([_of_trace(each) for each in scored if each.value is not None])
            fresh.update(each.id for each in batch)
    return Scored(sampled=len(sampled), fresh=len(fresh), without_reference=len(lacking))


def _corrections(db: Connection, project: str, traces: Sequence[str]) -> Mapping[str, Json]:
    """The newest correction of each trace."""
    if not traces:
        return {}
    found = list_feedback(db, project, trace_ids=traces, kinds=["correction"])
    return {each.trace_id: each.value for each in sorted(found, key=lambda each: each.created_ns)}


async def _fields(
    trace: LiveTrace, chosen: Chosen, corrections: Mapping[str, Json], telemetry: TraceReader, project: str
) -> JsonObject:
    fields: dict[str, Json] = {
        "input": trace.input, "output": trace.output, "reference": corrections.get(trace.id), "context": None,
        "metadata": {"user": trace.user, "tags": list(trace.tags), "release": trace.release},
    }  # fmt: skip
    if chosen.scorer.reads & {"retrieved", "retrieved_text", "context"}:
        whole = await telemetry.get_trace(project, trace.id)
        fields |= _retrieved(cast("Sequence[JsonObject]", whole["spans"]))
    return fields


def _retrieved(spans: Sequence[JsonObject]) -> JsonObject:
    """What the first retriever that found anything gave."""
    for span in spans:
        output = span.get("output")
        if span.get("kind") == "retriever" and isinstance(output, Sequence) and not isinstance(output, str):
            hits = [each for each in output if isinstance(each, Mapping)]
            texts = [str(each.get("text", "")) for each in hits]
            return {"retrieved": [str(each.get("document", "")) for each in hits], "retrieved_text": texts, "context": texts}
    return {"retrieved": None, "retrieved_text": [], "context": None}


async def _score(
    traces: Sequence[LiveTrace],
    fields: Sequence[JsonObject],
    chosen: Chosen,
    *,
    database: Database,
    project: str,
    clock: Clock,
) -> Sequence[LiveScore]:
    scoring = Scoring(database=database, project=project, scorers=[chosen], clock=clock)
    finished = [
        Finished(make=functools.partial(SampleResult, sample=each.id), fields=row)
        for each, row in zip(traces, fields, strict=True)
    ]
    scored = await scoring.score_all(finished)
    now_ns = clock.now_ns()
    rows = [
        LiveScore(
            project=project, trace_id=trace.id, scorer=chosen.digest, metric=chosen.metric, endpoint=trace.endpoint,
            release=trace.release, value=result.scores.get(chosen.metric), error=result.score_errors.get(chosen.metric),
            reason=result.reasons.get(chosen.metric, ""), start_ns=trace.start_ns, created_ns=now_ns,
        )
        for trace, result in zip(traces, scored.results, strict=True)
    ]  # fmt: skip

    def keep(db: Connection) -> None:
        cache.put_scores(db, project, scored.fresh)
        monitors.put_live_scores(db, rows)

    await database.write(keep)
    return rows


def _of_trace(score: LiveScore) -> TraceScore:
    return TraceScore(
        project=score.project, trace_id=score.trace_id, name=score.metric, source="monitor", author=score.scorer,
        value=score.value, text=score.reason, at_ns=score.created_ns,
    )  # fmt: skip


def trend(scores: Sequence[LiveScore], chosen: Chosen, *, bucket_s: float) -> list[JsonObject]:
    """Each bucket of time, the oldest first: `{"from_ns", "mean", "interval" (95 %), "n", "errors"}`."""
    from tidemill.evaluation.summary import mean_of  # noqa: PLC0415  (the extra eval)

    width = max(1, round(bucket_s * 1e9))
    buckets: dict[int, list[LiveScore]] = {}
    for each in scores:
        if each.scorer == chosen.digest:
            buckets.setdefault(each.start_ns // width, []).append(each)
    found: list[JsonObject] = []
    for number in sorted(buckets):
        values = [each.value for each in buckets[number] if each.value is not None]
        mean = mean_of(values, binary=chosen.scorer.binary, unit=True)
        found.append({"from_ns": number * width, **mean.to_json(), "errors": len(buckets[number]) - len(values)})
    return found
