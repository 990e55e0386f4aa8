"""A span as it was sent, as a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from tidemill.core.chat import Usage
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanKind, SpanRecord
from tidemill.telemetry import genai
from tidemill.telemetry.dialects.dialect import FIELDS, KINDS
from tidemill.telemetry.dialects.messages import read_conversation
from tidemill.telemetry.dialects.parameters import note_parameters
from tidemill.telemetry.dialects.plan import Plan, Step, plan_for
from tidemill.telemetry.dialects.tools import read_tools
from tidemill.telemetry.dialects.values import is_list, is_object, text
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan

_REASONS_IN_ORDER: Final = ("finish_reason", "finishReason", "stop_reason")
_REASONS: Final = frozenset(_REASONS_IN_ORDER)
_LONGEST_ERROR: Final = 2000
_NO_USAGE: Final = Usage()
_TOKENS: Final = frozenset(name for name in FIELDS if name.endswith("_tokens"))
_Found: TypeAlias = dict[str, Any]  # by the names of FIELDS, whose readers make sure of the types
_NOTHING: Final[tuple[_Found, list[Step]]] = ({}, [])


def read_span(raw: RawSpan, *, project: str) -> SpanRecord:
    """The record of a span, by the dialects that it is written in. Never raises; `raw` is not changed, but shared with it.

    Of several dialects the one asked first that has a value for a field gives it. What no field holds stays in `attributes`,
    `events` and `links` as it came; messages, inputs and outputs that moved to `input` and `output` are not kept twice.
    """
    return read_with(plan_for(raw), raw, project=project)


def read_with(plan: Plan, raw: RawSpan, *, project: str) -> SpanRecord:
    """As `read_span`, with a plan made for spans of this form."""
    attributes = dict(raw.attributes)
    found, used = _fill(plan, raw, attributes) if plan.dialect else _NOTHING
    get, kind = found.get, _kind(found)
    given, answer = _payloads(found, kind, attributes) if found else (None, None)
    _note_environment(attributes, raw.resource)
    error = get("error")
    return SpanRecord(
        trace_id=raw.trace_id, span_id=raw.span_id, parent_id=raw.parent_id or None, name=raw.name, kind=kind,
        start_ns=raw.start_ns, end_ns=raw.end_ns, project=project,
        status="error" if error else raw.status,
        error=_error(raw, error) if error or raw.status == "error" else None,
        input=given, output=answer,
        model=get("model"), provider=get("provider"),
        usage=_usage(found) if found and not _TOKENS.isdisjoint(found) else _NO_USAGE,
        cost=get("cost"),
        release=get("release") or text(raw.resource.get(genai.RELEASE)),
        endpoint=get("endpoint"), step=get("step"), user=get("user"), session=get("session"),
        tags=get("tags", ()),
        first_token_ns=get("first_token_ns"),
        finish_reasons=get("finish_reasons") or (_finish_reasons(answer) if answer is not None else ()),
        service=text(raw.resource.get("service.name")) or "", scope=raw.scope, dialect=plan.dialect,
        weight=max(1.0, found["weight"]) if "weight" in found else 1.0,
        attributes=attributes,
        events=_events(raw.events, used) if raw.events else (),
        links=tuple(raw.links),
        resource=raw.resource,
    )  # fmt: skip


def _kind(found: _Found) -> SpanKind:
    said = found.get("kind") or found.get("implied_kind")
    return said if isinstance(said, str) and said in KINDS else "other"


def _fill(plan: Plan, raw: RawSpan, kept: dict[str, Json]) -> tuple[_Found, list[Step]]:
    """What the sources give, field by field. What moved is taken out of `kept`, and what is set is put there."""
    found: _Found = {}
    used: list[Step] = []
    attributes, shared = raw.attributes, dict(plan.shared) if plan.shared else None
    for steps in plan.fields:
        for step in steps:
            many = step.many
            value = step.reader(attributes[step.key]) if many is None else many(raw)
            if value is None:
                continue
            found[step.name] = value
            if step.moved:
                _drop(step.moved, kept, shared)
            if step.happened or step.cut is not None:
                used.append(step)
            break
    if plan.extra:
        _set(plan.extra, raw, kept)
    if is_object(parameters := found.get("parameters")):
        note_parameters(parameters, kept)
    return found, used


def _drop(moved: Sequence[str], kept: dict[str, Json], shared: dict[str, int] | None) -> None:
    for key in moved:
        if shared is None or key not in shared:
            kept.pop(key, None)
            continue
        shared[key] -= 1
        if not shared[key]:
            kept.pop(key, None)


def _set(extra: Sequence[Sequence[Step]], raw: RawSpan, kept: dict[str, Json]) -> None:
    for steps in extra:
        if steps[0].name in kept:
            continue
        for step in steps:
            value = step.reader(raw.attributes[step.key]) if step.many is None else step.many(raw)
            if value is not None:
                kept[step.name] = value
                break


def _payloads(found: _Found, kind: str, attributes: dict[str, Json]) -> tuple[Json, Json]:
    """What goes into `input` and `output`. What finds no place there goes back to the attributes."""
    given, answer = found.get("input"), found.get("output")
    beside: dict[str, Json] = {}
    if "output_messages" in found:
        answer = {"messages": found["output_messages"]}
    elif kind == "llm" and answer is not None:
        answer = read_conversation(answer, role="assistant") or answer
    messages = found.get("messages")
    if messages is None and kind == "llm" and given is not None and (conversation := read_conversation(given, role="user")):
        messages, beside = conversation.pop("messages"), conversation
    system, tools = found.get("system"), found.get("tools")
    if is_list(messages):
        return _conversation(messages, system, tools, beside), answer
    if given is None and (system is not None or tools is not None):
        return _conversation((), system, tools, beside), answer
    if system is not None:
        attributes.setdefault("gen_ai.system_instructions", system)
    if tools is not None:
        attributes.setdefault("gen_ai.tool.definitions", tools)
    return given, answer


def _conversation(messages: Sequence[Json], system: Json, tools: Json, beside: dict[str, Json]) -> Json:
    made: dict[str, Json] = {"messages": [*_messages(system), *messages], **beside}
    if tools is not None:
        if made.get("tools") not in (None, tools):
            made["tools_given"] = made["tools"]
        made["tools"] = tools
    if "tools" in made:
        made["tools"] = read_tools(made["tools"])
    return made


def _messages(system: Json) -> Sequence[Json]:
    if is_list(system):
        return system
    said: JsonObject = {"role": "system", "content": system}
    return () if system is None else (said,)


def _usage(found: _Found) -> Usage:
    get = found.get
    given, answered, cached, written = get("input_tokens", 0), get("output_tokens", 0), get("cached_tokens", 0), 0
    if "cache_write_tokens" in found:
        written = found["cache_write_tokens"]
    if cached + written > given:
        given += cached + written  # a sender that counts what the cache gave apart
    return Usage(
        input_tokens=given, output_tokens=answered, cached_tokens=cached, cache_write_tokens=written,
        reasoning_tokens=get("reasoning_tokens", 0), audio_input_tokens=get("audio_input_tokens", 0),
        audio_output_tokens=get("audio_output_tokens", 0),
    )  # fmt: skip


def _finish_reasons(answer: Json) -> tuple[str, ...]:
    """The reasons that stand with the messages of an answer."""
    said = answer.get("messages") if is_object(answer) else None
    reasons: list[str] = []
    for message in said if is_list(said) else ():
        if is_object(message) and not _REASONS.isdisjoint(message):
            reasons += [reason for name in _REASONS_IN_ORDER if (reason := text(message.get(name)))][:1]
    return tuple(reasons)


def _error(raw: RawSpan, found: str | None) -> str | None:
    """What went wrong: what a dialect says, else the status, else the last exception that was noted."""
    said = found or raw.status_message
    if not said:
        for event in raw.events:
            if event.name == "exception":
                what = event.attributes.get("exception.message") or event.attributes.get("exception.type")
                said = text(what) or said
    said = said or text(raw.attributes.get("error.message")) or text(raw.attributes.get("error.type")) or ""
    return said[:_LONGEST_ERROR] or None


def _events(events: Sequence[RawEvent], used: Sequence[Step]) -> tuple[JsonObject, ...]:
    """The events, without those that moved, and without what moved of those that stay."""
    gone = frozenset[str]().union(*[step.happened for step in used])
    cut = {
        step.cut[1]: name
        for step in used
        if step.cut is not None and len(names := [each.name for each in events if each.name in step.cut[0]]) == 1
        for name in names
    }
    return tuple([_event(each, cut) for each in events if each.name not in gone])


def _event(event: RawEvent, cut: Mapping[str, str]) -> JsonObject:
    attributes = event.attributes
    if cut:
        attributes = {key: value for key, value in attributes.items() if cut.get(key) != event.name}
    made: dict[str, Json] = {"name": event.name, "time_ns": event.time_ns, "attributes": attributes}
    if event.body is not None:
        made["body"] = event.body
    return made


def _note_environment(attributes: dict[str, Json], resource: JsonObject) -> None:
    named = resource.get("deployment.environment.name") or resource.get("deployment.environment")
    if isinstance(named, str) and named:
        attributes.setdefault(genai.ENVIRONMENT, named)
