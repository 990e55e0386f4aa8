"""Langfuse: a trace with its observations (the interface's download and `GET /api/public/traces/ID`), or observations a line.

What an observation keeps of the span that it was is given back; the rest is set as Langfuse's own SDK sets it on spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.exports.documents import Entries, Entry, mapping, text_of, unwrapped
from tidemill.telemetry.exports.form import Form
from tidemill.telemetry.exports.identity import originals, span_id, trace_id
from tidemill.telemetry.exports.said import Said
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.otlp.raw import RawSpan
from tidemill.telemetry.questions.scores import TraceScore

_PREFIX: Final = "langfuse.observation."
_TYPES: Final = frozenset(
    {"SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"}
)
_ORIGIN: Final = frozenset({"attributes", "resourceAttributes", "scope"})
_PLAIN: Final = {
    "level": "level", "statusMessage": "status_message", "modelParameters": "model.parameters", "promptName": "prompt.name",
    "completionStartTime": "completion_start_time", "promptVersion": "prompt.version", "toolDefinitions": "tool_definitions",
}  # fmt: skip
_OF_TRACE: Final = {
    "userId": "user.id", "sessionId": "session.id", "tags": "langfuse.trace.tags", "release": "langfuse.release",
    "version": "langfuse.version", "environment": "langfuse.environment",
}  # fmt: skip


def _fits(record: JsonObject) -> bool:
    named = _camel(record)
    if "observations" in named:
        return "trace" in named or "timestamp" in named
    if "traceId" in named:
        return _is_score(named) or (text_of(named, "type").upper() in _TYPES and "startTime" in named)
    return "timestamp" in named and "id" in named and bool({"sessionId", "userId", "bookmarked"} & set(named))


def _spans(entries: Entries, project: str) -> Iterator[RawSpan]:
    traces: dict[str, JsonObject] = {}
    observations: dict[str, list[Entry]] = {}
    for entry in entries:
        named = _camel(entry.record())
        if _is_score(named):
            continue
        if "traceId" in named:
            observations.setdefault(text_of(named, "traceId"), []).append(Entry(entry.where, named))
            continue
        trace = _camel(mapping(named["trace"])) if "trace" in named else named
        told = text_of(trace, "id")
        if not told:
            raise Invalid(f"{entry.where} is a trace without an id")
        traces[told] = trace
        below = [each for each in entry.below("observation", named.get("observations")) if isinstance(each.value, Mapping)]
        observations.setdefault(told, []).extend(Entry(each.where, _camel(each.record())) for each in below)
    for told, found in observations.items():
        yield from _trace(told, traces.get(told, {}), found, project)


def _scores(entries: Entries, project: str) -> Iterator[TraceScore]:
    """Those that stand in their traces, and those of a file of scores."""
    for entry in entries:
        named = _camel(entry.record())
        alone = _is_score(named)
        trace = _camel(mapping(named["trace"])) if "trace" in named else named
        of_trace: JsonObject = {} if alone else {"traceId": trace.get("id"), "timestamp": trace.get("timestamp")}
        told = [entry] if alone else entry.below("score", named.get("scores", trace.get("scores")))
        for each in told:
            if not isinstance(each.value, Mapping):
                continue
            said = {**of_trace, **{key: value for key, value in _camel(each.record()).items() if value is not None}}
            source = text_of(said, "source")
            found = Said(
                trace=text_of(said, "traceId"), span=text_of(said, "observationId"), name=text_of(said, "name"),
                source=source, author=text_of(said, "authorUserId") or f"langfuse:{source.lower() or 'api'}",
                value=_value(said), comment=text_of(said, "comment"), at=said.get("timestamp"),
                where=each.where,
            )  # fmt: skip
            yield from found.scores(project)


def _is_score(named: JsonObject) -> bool:
    return "dataType" in named and "name" in named and bool({"value", "stringValue"} & set(named))


def _value(said: JsonObject) -> Json:
    """A truth value is sent as 1 or 0 with its word, a category as its word with a number that only orders it."""
    kind, value, word = text_of(said, "dataType").upper(), said.get("value"), said.get("stringValue")
    if kind == "BOOLEAN" and value is not None:
        return bool(value)
    return word if kind in {"CATEGORICAL", "TEXT"} and word else value


def _trace(told: str, trace: JsonObject, found: list[Entry], project: str) -> Iterator[RawSpan]:
    shared = {name: value for key, name in _OF_TRACE.items() if (value := trace.get(key)) not in (None, "", [])}
    tops = [each for each in found if not text_of(each.record(), "parentObservationId")]
    root = "" if len(tops) == 1 or not trace else f"{told}-trace"
    if root:
        ends = [text_of(each.record(), "endTime", "startTime") for each in found]
        end = max((time_ns(each, where=told) for each in ends if each), default=None)
        made: dict[str, Json] = {"id": root, "type": "SPAN", "name": trace.get("name"), "startTime": trace.get("timestamp")}
        yield _span(Entry(f"the trace {told}", made | {"endTime": end}), told, "", shared | _root(trace, {}), project)
    for entry in found:
        observation = entry.record()
        top = not text_of(observation, "parentObservationId")
        beside = _root(trace, observation) if top and not root else {}
        yield _span(entry, told, root if top else "", shared | beside, project)


def _root(trace: JsonObject, observation: JsonObject) -> dict[str, Json]:
    """What is said of the trace itself; its input and output where the root has none."""
    said: dict[str, Json] = {}
    for key in ("input", "output"):
        if trace.get(key) is not None and observation.get(key) is None:
            said[_PREFIX + key] = _unquoted(trace[key])
    metadata = mapping(trace.get("metadata"))
    said |= {f"langfuse.trace.metadata.{key}": each for key, each in metadata.items() if key not in _ORIGIN}
    if trace.get("name"):
        said["langfuse.trace.name"] = trace["name"]
    return said


def _span(entry: Entry, told: str, root: str, shared: Mapping[str, Json], project: str) -> RawSpan:
    observation, where = entry.record(), entry.where
    own = text_of(observation, "id")
    if not told or not own:
        raise Invalid(f"{where} is an observation without {'an id' if told else 'the id of its trace'}")
    metadata = mapping(observation.get("metadata"))
    origin: JsonObject = metadata if "resourceAttributes" in metadata or "scope" in metadata else {}
    scope = mapping(origin.get("scope"))
    start = time_ns(observation.get("startTime"), where=f"{where}: startTime")
    end = observation.get("endTime")
    failed = observation.get("level") == "ERROR"
    parent = text_of(observation, "parentObservationId") or root
    span = RawSpan(
        trace_id=trace_id(told),
        span_id=span_id(own),
        parent_id=span_id(parent),
        name=text_of(observation, "name") or text_of(observation, "type").lower() or "trace",
        start_ns=start,
        end_ns=start if end is None else time_ns(end, where=f"{where}: endTime"),
        attributes={**mapping(origin.get("attributes"))},
        status="error" if failed else "unset",
        status_message=text_of(observation, "statusMessage") if failed else "",
        resource=mapping(origin.get("resourceAttributes")),
        scope=text_of(scope, "name") or "langfuse",
        scope_version=text_of(scope, "version"),
    )
    _add(span, observation, project)
    rest = metadata if origin is not metadata else {key: each for key, each in metadata.items() if key not in _ORIGIN}
    span.attributes |= {f"{_PREFIX}metadata.{key}": each for key, each in rest.items()}
    span.attributes |= {key: each for key, each in shared.items() if key not in span.attributes}
    span.attributes |= originals(trace=told, span=own, form="langfuse")
    return span


def _add(span: RawSpan, observation: JsonObject, project: str) -> None:
    """What Langfuse says of an observation; input and output only where the span that it was says nothing of them."""
    said = span.attributes
    known = read_span(span, project=project) if said else None
    for key in ("input", "output"):
        if observation.get(key) is not None and (known is None or not _says(getattr(known, key))):
            said[_PREFIX + key] = _unquoted(observation[key])
    said[_PREFIX + "type"] = text_of(observation, "type").lower()
    model = text_of(observation, "providedModelName", "model")
    if model:
        said[_PREFIX + "model.name"] = model
    usage = mapping(observation.get("usageDetails")) or mapping(observation.get("usage"))
    if any(usage.values()):
        said[_PREFIX + "usage_details"] = usage
    cost = mapping(observation.get("costDetails")) or _total(observation)
    if cost:
        said[_PREFIX + "cost_details"] = cost
    for key, name in _PLAIN.items():
        if observation.get(key) not in (None, "", [], {}):
            said[_PREFIX + name] = observation[key]


def _says(value: Json) -> bool:
    return value is not None and not (isinstance(value, Mapping) and value.get("messages") == [])


def _unquoted(value: Json) -> Json:
    """A text without the quotes of JSON, which some exports write around it once or twice; all else as it is."""
    for _ in range(2):
        found = unwrapped(value)
        if not isinstance(found, str) or found == value:
            break
        value = found
    return value


def _total(observation: JsonObject) -> JsonObject:
    found = next((observation[key] for key in ("totalCost", "calculatedTotalCost") if observation.get(key)), None)
    return {} if found is None else {"total": found}


def _camel(record: JsonObject) -> JsonObject:
    """A record whose keys are written in either way (exports to a bucket have `trace_id`)."""
    return {_humps(key): value for key, value in record.items()}


def _humps(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(each[:1].upper() + each[1:] for each in rest)


FORM: Final = Form(name="langfuse", title="Langfuse", fits=_fits, spans=_spans, scores=_scores)
