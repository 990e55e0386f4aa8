"""One look at live traffic: read it and the reference, embed, test, say what moved, score a share of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import anyio.to_thread

from tidemill.core.clock import Clock
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid, MissingExtra
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Progress, Sample, Version
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.models.service import Models
from tidemill.monitor.drift import Drift, Options, Side, detect_drift
from tidemill.monitor.embedding import Report, embed_texts, local_embedder
from tidemill.monitor.moved import (
    Topic,
    compare_topics,
    drift_json,
    moved_languages,
    moved_words,
    propose,
    telling_examples,
    token_quantiles,
)
from tidemill.monitor.quality import TraceReader, score_traffic, trend
from tidemill.monitor.spec import MonitorSpec, Past, parse_reference
from tidemill.monitor.texts import languages, text_of
from tidemill.monitor.traffic import LiveTrace, TraceList, read_traffic
from tidemill.store import monitors
from tidemill.store.database import Database

_LONGEST = 300


class Traces(TraceList, TraceReader, Protocol):
    """Where traces are listed and read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a look needs of the platform."""

    telemetry: Traces
    models: Models
    database: Database
    clock: Clock
    environment: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What to look at: live traces that began in [from_ns, to_ns). `samples` are those of a dataset that is the reference.

    `embedder` None is the local one, without which embeddings are left out.
    """

    project: str
    spec: MonitorSpec
    from_ns: int
    to_ns: int
    dataset: Version | None = None
    samples: Sequence[Sample] = ()
    embedder: Version | None = None
    scorers: Sequence[Chosen] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposed:
    """A live trace that the reference lacks the like of."""

    trace: LiveTrace
    topic: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found. `values` is what alert rules read."""

    drift: Drift | None
    result: JsonObject
    values: Mapping[str, Json]
    proposed: Sequence[Proposed] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Texts:
    """One side before it is embedded; `traces` are None for a dataset."""

    what: str
    texts: Sequence[str]
    traces: Sequence[LiveTrace] | None = None
    notes: Sequence[str] = ()


@dataclass(kw_only=True)
class _Told:
    notes: list[str] = field(default_factory=list[str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])


async def look(parts: Parts, asked: Asked, *, report: Report) -> Found:
    """Look once. Raises `Invalid` when the reference has nothing to compare with, and what the embedder raises."""
    spec, told = asked.spec, _Told()
    traces, has_more = await read_traffic(
        parts.telemetry, asked.project, endpoint=spec.endpoint, release=spec.release, from_ns=asked.from_ns,
        to_ns=asked.to_ns, most=spec.limit,
    )  # fmt: skip
    if has_more:
        told.notes.append(f"the window holds more than {spec.limit} traces; the newest were taken")
    failed = sum(each.failed for each in traces)
    result: dict[str, Json] = {
        "reads": spec.reads,
        "window": {"from_ns": asked.from_ns, "to_ns": asked.to_ns, "n": len(traces), "errors": failed,
                   "releases": _releases(traces)},
    }  # fmt: skip
    values: dict[str, Json] = {"window": {"n": len(traces), "errors": failed / len(traces) if traces else 0.0}}
    drift, proposed = None, list[Proposed]()
    if spec.reference is not None:
        drift, proposed = await _drift(parts, asked, traces, result=result, values=values, told=told, report=report)
    if spec.quality is not None:
        await _quality(parts, asked, traces, result=result, values=values, told=told)
    result["notes"] = list(told.notes)
    return Found(drift=drift, result=result, values=values, proposed=proposed)


def _releases(traces: Sequence[LiveTrace]) -> JsonObject:
    return {each: sum(trace.release == each for trace in traces) for each in sorted({trace.release for trace in traces})}


async def _drift(
    parts: Parts,
    asked: Asked,
    traces: Sequence[LiveTrace],
    *,
    result: dict[str, Json],
    values: dict[str, Json],
    told: _Told,
    report: Report,
) -> tuple[Drift, list[Proposed]]:
    spec = asked.spec
    window = _of_traces("window", traces, spec=spec)
    reference = await _reference(parts, asked)
    told.notes += [*reference.notes, *window.notes]
    sides = await _sides(parts, asked, reference, window, told=told, report=report)
    options = Options(
        alpha=spec.alpha, permutations=spec.permutations, simulations=spec.simulations, least=spec.min_n, tests=spec.tests
    )
    await report(Progress(done=len(reference.texts) + len(window.texts), unit="texts tested"))
    work = partial(_tested, *sides, options=options, left_out=told.left_out, most=spec.propose)
    drift, topics, moved, chosen = await anyio.to_thread.run_sync(work)
    assert window.traces is not None
    told.notes += [f"{name}: left out, {why}" for name, why in drift.left_out.items()]
    shown = drift_json(drift, alpha=spec.alpha)
    result |= {
        "reference": {"what": reference.what, "n": len(reference.texts)},
        "drift": shown,
        "topics": [_topic_json(each, *sides, window.traces, reference.traces) for each in topics],
        "moved": _with_examples(moved, window.traces, window.texts),
    }
    counts: JsonObject = {name: sum(each.change == name for each in topics) for name in ("new", "up", "down", "gone")}
    rate = drift.false_alarms
    values |= {
        "drift": {name: shown[name] for name in ("verdict", "alarm", "p_value")},
        "tests": shown["tests"],
        "topics": counts,
        "false_alarms": {"rate": None if rate is None else rate.rate},
    }
    return drift, [Proposed(trace=window.traces[place], topic=topic) for place, topic in chosen]


def _tested(
    reference: Side, window: Side, *, options: Options, left_out: Mapping[str, str], most: int
) -> tuple[Drift, list[Topic], JsonObject, list[tuple[int, str]]]:
    """Everything that takes long, on a worker thread."""
    drift = detect_drift(reference, window, options=options, without=left_out)
    if drift.verdict == "undecidable":
        return drift, [], {}, []
    topics = compare_topics(reference, window, drift, alpha=options.alpha)
    examples: list[Json] = [*telling_examples(reference, window, drift)]
    moved: JsonObject = {
        "words": [*moved_words(reference, window)], "languages": [*moved_languages(reference, window)],
        "tokens": {"then": token_quantiles(reference), "now": token_quantiles(window)}, "examples": examples,
    }  # fmt: skip
    return drift, topics, moved, propose(reference, window, drift, topics, most=most)


def _of_traces(what: str, traces: Sequence[LiveTrace], *, spec: MonitorSpec) -> _Texts:
    read = [(text_of(each.output if spec.reads == "output" else each.input), each) for each in traces]
    kept = [(text, each) for text, each in read if text.strip() and not (spec.reads == "output" and each.failed)]
    empty = len(read) - len(kept)
    notes = [f"{empty} of {len(read)} traces of the {what} have no {spec.reads} to compare"] if empty else []
    return _Texts(what=what, texts=[text for text, _ in kept], traces=[each for _, each in kept], notes=notes)


async def _reference(parts: Parts, asked: Asked) -> _Texts:
    spec = asked.spec
    assert spec.reference is not None
    past = parse_reference(spec.reference)
    if isinstance(past, Past):
        from_ns, to_ns = past.bounds(asked.from_ns)
        if to_ns > asked.from_ns:
            raise Invalid("the reference reaches into the window that it is compared with", hint="End it before the window.")
        traces, _ = await read_traffic(
            parts.telemetry, asked.project, endpoint=spec.endpoint, release=spec.release, from_ns=from_ns, to_ns=to_ns,
            most=spec.limit,
        )  # fmt: skip
        return replace(_of_traces("reference", traces, spec=spec), what=f"traffic, {spec.reference}")
    assert asked.dataset is not None
    texts = [text_of(each.reference if spec.reads == "output" else each.input) for each in asked.samples]
    kept = [each for each in texts if each.strip()]
    if spec.reads == "output" and not kept:
        raise Invalid(
            f"{asked.dataset.ref} has no reference answers to compare outputs with",
            hint="Take a past window as reference, as in --reference 7d, or read the input.",
        )
    notes = list[str]()
    if len(kept) > spec.limit:
        notes.append(f"{asked.dataset.ref} has {len(kept)} texts; {spec.limit} at even distances were taken")
        kept = [kept[place * len(kept) // spec.limit] for place in range(spec.limit)]
    return _Texts(what=asked.dataset.ref, texts=kept, notes=notes)


async def _sides(
    parts: Parts, asked: Asked, reference: _Texts, window: _Texts, *, told: _Told, report: Report
) -> tuple[Side, Side]:
    """Both sides with vectors and languages, as far as these can be had and are needed."""
    texts = [*reference.texts, *window.texts]
    cut, spec = len(reference.texts), asked.spec
    sides = (Side(texts=reference.texts), Side(texts=window.texts))
    if min(cut, len(window.texts)) < spec.min_n:
        return sides  # undecidable whatever the vectors say
    if "language" in spec.tests:
        try:
            found = await anyio.to_thread.run_sync(languages, texts)
            sides = (replace(sides[0], languages=found[:cut]), replace(sides[1], languages=found[cut:]))
        except MissingExtra as error:
            told.left_out["language"] = f"{error.message} ({error.hint})"
    wanted = [name for name in ("topics", "embeddings") if name in spec.tests]
    if wanted:
        try:
            rows = await embed_texts(
                texts, embedder=asked.embedder or local_embedder(asked.project), models=parts.models,
                database=parts.database, project=asked.project, environment=parts.environment, clock=parts.clock,
                report=report,
            )  # fmt: skip
            sides = (replace(sides[0], rows=rows[:cut]), replace(sides[1], rows=rows[cut:]))
        except MissingExtra as error:
            if asked.embedder is not None:
                raise
            told.left_out.update(dict.fromkeys(wanted, f"{error.message} ({error.hint})"))
    return sides


async def _quality(
    parts: Parts, asked: Asked, traces: Sequence[LiveTrace], *, result: dict[str, Json], values: dict[str, Json], told: _Told
) -> None:
    quality = asked.spec.quality
    assert quality is not None
    scored = await score_traffic(
        traces, share=quality.share, scorers=asked.scorers, telemetry=parts.telemetry, database=parts.database,
        project=asked.project, clock=parts.clock,
    )  # fmt: skip
    if scored.without_reference:
        told.notes.append(f"{scored.without_reference} sampled traces have no correction to be held against")
    ids = {each.id for each in traces}
    digests = [each.digest for each in asked.scorers]
    rows = await parts.database.read(lambda db: monitors.list_live_scores(db, asked.project, digests, since_ns=asked.from_ns))
    rows = [each for each in rows if each.trace_id in ids]
    bucket_s = parse_duration(quality.bucket, what="bucket")
    whole = await anyio.to_thread.run_sync(lambda: {each.metric: trend(rows, each, bucket_s=1e10) for each in asked.scorers})
    parted = await anyio.to_thread.run_sync(
        lambda: {each.metric: trend(rows, each, bucket_s=bucket_s) for each in asked.scorers}
    )
    errors = {each.metric: each.error for each in rows if each.error}
    metrics: dict[str, Json] = {name: {**_metric(found), "error": errors.get(name)} for name, found in whole.items()}
    result["quality"] = {
        "share": quality.share, "sampled": scored.sampled, "fresh": scored.fresh, "bucket_s": bucket_s, "metrics": metrics,
        "trend": {name: [*found] for name, found in parted.items()},
    }  # fmt: skip
    values["quality"] = {name: _readable(found) for name, found in metrics.items()}


def _metric(found: Sequence[JsonObject]) -> JsonObject:
    if not found:
        return {"mean": None, "interval": None, "n": 0, "errors": 0}
    return {name: found[0][name] for name in ("mean", "interval", "n", "errors")}


def _readable(metric: Json) -> JsonObject:
    assert isinstance(metric, Mapping)
    low, high = metric["interval"] if isinstance(metric["interval"], Sequence) else (None, None)
    return {"mean": metric["mean"], "low": low, "high": high, "n": metric["n"]}


def _topic_json(
    topic: Topic, reference: Side, window: Side, live: Sequence[LiveTrace], past: Sequence[LiveTrace] | None
) -> JsonObject:
    side, traces = (window, live) if topic.window else (reference, past)
    examples: list[Json] = [
        {"text": side.texts[each][:_LONGEST], "trace": traces[each].id if traces is not None else None}
        for each in topic.examples
    ]
    return {
        "name": topic.name, "words": list(topic.words), "change": topic.change, "then": topic.reference,
        "now": topic.window, "share_then": topic.reference / reference.n, "share_now": topic.window / window.n,
        "difference": topic.difference, "interval": list(topic.interval), "p_corrected": topic.p_corrected,
        "examples": examples,
    }  # fmt: skip


def _with_examples(moved: JsonObject, traces: Sequence[LiveTrace], texts: Sequence[str]) -> JsonObject:
    places = moved.get("examples")
    if not isinstance(places, Sequence):
        return moved
    shown: list[Json] = [{"trace": traces[each].id, "text": texts[each][:_LONGEST]} for each in places if isinstance(each, int)]
    return {**moved, "examples": shown}
