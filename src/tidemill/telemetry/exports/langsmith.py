"""LangSmith: runs (`run.json()` a line, a bulk export), or the batches of `post` and `patch` that its SDK sends.

A run becomes the span that LangSmith's SDK sends of it over OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.exports.documents import Entries, Entry, items, mapping, text_of
from tidemill.telemetry.exports.form import Form
from tidemill.telemetry.exports.identity import originals, span_id, trace_id
from tidemill.telemetry.exports.said import Said
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan
from tidemill.telemetry.questions.scores import TraceScore

_BATCHES: Final = ("post", "patch")
_META: Final = "langsmith.metadata."
_TOKENS: Final = {"prompt_tokens": "gen_ai.usage.input_tokens", "completion_tokens": "gen_ai.usage.output_tokens"}
_KEPT: Final = {
    "session_name": "langsmith.trace.session_name", "session_id": "langsmith.trace.session_id",
    "serialized": "langsmith.serialized", "reference_example_id": "langsmith.reference_example_id",
    "total_cost": "langsmith.total_cost",
}  # fmt: skip


def _fits(record: JsonObject) -> bool:
    batch = any(isinstance(record.get(key), list) for key in _BATCHES)
    return batch or _is_feedback(record) or ("run_type" in record and ("id" in record or "dotted_order" in record))


def _is_feedback(record: JsonObject) -> bool:
    return "run_id" in record and "key" in record and "run_type" not in record


def _spans(entries: Entries, _project: str) -> Iterator[RawSpan]:
    for entry in _runs(entries).values():
        yield _span(entry)


def _scores(entries: Entries, project: str) -> Iterator[TraceScore]:
    """What each said, where the file has it; else what LangSmith adds up of it in a run, as one score."""
    runs = _runs(entries)
    yield from _added_up(runs, entries, project)
    told = [entry for entry in _flat(entries) if _is_feedback(entry.record())]
    for entry in told:
        said = entry.record()
        own = text_of(said, "run_id")
        trace, span = _place(runs[own].record()) if own in runs else _place({"id": own, "trace_id": said.get("trace_id")})
        source = mapping(said.get("feedback_source"))
        kind = text_of(source, "type")
        author = text_of(source, "user_name", "user_id", "ls_user_id") or f"langsmith:{kind or 'api'}"
        value = said.get("score")
        found = Said(
            trace=trace, span=span, name=text_of(said, "key"), source=kind, author=author,
            value=said.get("value") if value is None else value, comment=text_of(said, "comment"),
            at=said.get("modified_at") or said.get("created_at"), where=entry.where,
        )  # fmt: skip
        yield from found.scores(project)


def _added_up(runs: Mapping[str, Entry], entries: Entries, project: str) -> Iterator[TraceScore]:
    told = [entry.record() for entry in _flat(entries) if _is_feedback(entry.record())]
    known = {(text_of(each, "run_id"), text_of(each, "key")) for each in told}
    for own, entry in runs.items():
        run = entry.record()
        trace, span = _place(run)
        for key, stats in mapping(run.get("feedback_stats")).items():
            counted = mapping(stats)
            if (own, key) in known:
                continue
            average = counted.get("avg")
            found = Said(
                trace=trace, span=span, name=key, source="api", author="langsmith:all",
                value=mapping(counted.get("values")) if average is None else average,
                comment="; ".join(text for each in items(counted.get("comments")) if (text := str(each).strip())),
                at=run.get("end_time") or run.get("start_time"), where=entry.where,
            )  # fmt: skip
            yield from found.scores(project)


def _place(run: JsonObject) -> tuple[str, str]:
    """The ids of a run's trace and of its span; no span for the root, of which is said what is said of the trace."""
    own, above = text_of(run, "id"), _ordered(run)
    told = text_of(run, "trace_id") or above[0] or text_of(run, "parent_run_id") or own
    return told, "" if told == own else own


def _runs(entries: Entries) -> dict[str, Entry]:
    """All that is said of each run, by its id."""
    runs: dict[str, Entry] = {}
    for entry in _flat(entries):
        if _is_feedback(entry.record()):
            continue
        run = entry.record()
        own = text_of(run, "id", "run_id") or _ordered(run)[-1]
        if not own:
            raise Invalid(f"{entry.where} is a run without an id")
        before = runs.get(own)
        if before is not None:  # what came later fills in what was not known yet
            run = {**before.record(), **{key: each for key, each in run.items() if each not in (None, "", {}, [])}}
        runs[own] = Entry(before.where if before else entry.where, {**run, "id": own})
    return runs


def _flat(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Runs out of batches, and children out of their parents."""
    waiting = list(reversed(list(entries)))
    while waiting:
        entry = waiting.pop()
        record = entry.record()
        batches = [each for key in _BATCHES for each in entry.below(key, record.get(key))]
        if batches:
            waiting += reversed(batches)
            continue
        children = entry.below("child", record.get("child_runs"))
        parent = {"parent_run_id": record.get("id"), "trace_id": record.get("trace_id")}
        waiting += reversed([Entry(each.where, {**parent, **each.record()}) for each in children])
        yield Entry(entry.where, {key: each for key, each in record.items() if key != "child_runs"})


def _ordered(run: JsonObject) -> list[str]:
    """The ids of a run and of all above it, the root first, out of `dotted_order` (`TIMEZid.TIMEZid`)."""
    return [each.partition("Z")[2] for each in text_of(run, "dotted_order").split(".")]


def _span(entry: Entry) -> RawSpan:
    run, where = entry.record(), entry.where
    own, above = text_of(run, "id"), _ordered(run)
    told = text_of(run, "trace_id") or above[0] or text_of(run, "parent_run_id") or own
    parent = text_of(run, "parent_run_id") or (above[-2] if len(above) > 1 else "")
    start = time_ns(run.get("start_time"), where=f"{where}: start_time")
    end = run.get("end_time")
    error = text_of(run, "error").partition("Traceback (most recent call last)")[0].strip()
    return RawSpan(
        trace_id=trace_id(told),
        span_id=span_id(own),
        parent_id=span_id(parent),
        name=text_of(run, "name") or text_of(run, "run_type") or "run",
        start_ns=start,
        end_ns=start if end is None else time_ns(end, where=f"{where}: end_time"),
        attributes=_attributes(run) | originals(trace=told, span=own, form="langsmith"),
        status="error" if error or run.get("status") == "error" else "unset" if end is None else "ok",
        status_message=error,
        events=_events(run, where),
        resource={},
        scope="langsmith",
        scope_version=text_of(mapping(mapping(run.get("extra")).get("runtime")), "sdk_version"),
    )


def _attributes(run: JsonObject) -> dict[str, Json]:
    extra = mapping(run.get("extra"))
    made: dict[str, Json] = {"langsmith.span.kind": run.get("run_type"), "langsmith.trace.name": run.get("name")}
    for key, name in (("inputs", "gen_ai.prompt"), ("outputs", "gen_ai.completion"), *_KEPT.items(), *_TOKENS.items()):
        if run.get(key) not in (None, "", {}):
            made[name] = run[key]
    made |= {_META + key: each for key, each in mapping(extra.get("metadata")).items()}
    if tags := items(run.get("tags")):
        made["langsmith.span.tags"] = tags
    for key in ("invocation_params", "runtime"):
        if extra.get(key):
            made[f"langsmith.span.{key}"] = extra[key]
    outputs, inputs = mapping(run.get("outputs")), mapping(run.get("inputs"))
    if isinstance(outputs.get("usage_metadata"), Mapping):
        made.setdefault(_META + "usage_metadata", outputs["usage_metadata"])
    used = mapping(mapping(outputs.get("llm_output")).get("token_usage"))
    for key, name in _TOKENS.items():
        if used.get(key):
            made.setdefault(name, used[key])
    model = text_of(mapping(extra.get("invocation_params")), "model", "model_name") or text_of(inputs, "model")
    if model and run.get("run_type") == "llm":
        made["gen_ai.request.model"] = model
    return made


def _events(run: JsonObject, where: str) -> list[RawEvent]:
    """What a run tells of itself; of its tokens only the first, whose time counts."""
    told = [mapping(each) for each in items(run.get("events"))]
    kept = [
        each for each in told if each.get("time") is not None and each.get("name") not in (None, "new_token", "start", "end")
    ]
    first = next((each.get("time") for each in told if each.get("name") == "new_token"), None) or run.get("first_token_time")
    made = [
        RawEvent(
            name=text_of(each, "name"),
            time_ns=time_ns(each["time"], where=f"{where}: an event's time"),
            attributes={key: value for key, value in each.items() if key not in ("name", "time")},
        )
        for each in kept
    ]
    if first is not None:
        made.append(RawEvent(name="new_token", time_ns=time_ns(first, where=f"{where}: the first token's time"), attributes={}))
    return made


FORM: Final = Form(name="langsmith", title="LangSmith", fits=_fits, spans=_spans, scores=_scores)
