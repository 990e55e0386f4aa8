"""How much of what spans say is understood: for the table of dialects, and for who adds one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tidemill.core.records import SpanRecord
from tidemill.telemetry.dialects.plan import Plan, plan_for
from tidemill.telemetry.dialects.read import read_span
from tidemill.telemetry.otlp.raw import RawSpan

_ASKED_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "llm": ("input", "output", "model", "provider", "input_tokens", "output_tokens", "finish_reasons"),
    "embedding": ("input", "output", "model", "input_tokens"),
    "tool": ("input", "output"),
    "agent": ("input", "output"),
    "chain": ("input", "output"),
    "retriever": ("input", "output"),
    "reranker": ("input", "output"),
    "guardrail": ("input", "output"),
    "evaluator": ("input", "output"),
}


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of some spans: `filled` of the `fields` that spans of their kinds have, and `read` of their `attributes`."""

    spans: int
    fields: int
    filled: int
    attributes: int
    read: int


def coverage(spans: Iterable[RawSpan]) -> Coverage:
    """What is understood of `spans`.

    A field counts for each span of a kind that has it (a call of a model has an input, an output, a model, a provider, tokens
    and a reason why it ended), also where the sender said nothing of it; of a call that failed only the model. An attribute
    counts as read when a field, or an attribute of OpenTelemetry's name, was made of it.
    """
    fields = filled = attributes = read = count = 0
    for span in spans:
        record, plan = read_span(span, project=""), plan_for(span)
        asked = _ASKED_OF.get(record.kind, ()) if record.status != "error" else ("model",) if record.kind == "llm" else ()
        count += 1
        fields += len(asked)
        filled += sum(_has(record, name) for name in asked)
        attributes += len(span.attributes)
        read += len(_read(plan, span) | _normal(span))
    return Coverage(spans=count, fields=fields, filled=filled, attributes=attributes, read=read)


def _has(record: SpanRecord, name: str) -> bool:
    if name.endswith("_tokens"):
        return getattr(record.usage, name) > 0
    return bool(getattr(record, name))


def _read(plan: Plan, span: RawSpan) -> set[str]:
    """The attributes that sources, alone or with others, give a value of."""
    found: set[str] = set()
    for steps in (*plan.fields, *plan.extra):
        for step in steps:
            value = step.reader(span.attributes[step.key]) if step.many is None else step.many(span)
            if value is not None:
                found |= {step.key} if step.many is None else {*step.reads}
    return found


def _normal(span: RawSpan) -> set[str]:
    """What has OpenTelemetry's name already needs no reading."""
    return {
        key
        for key in span.attributes
        if key.startswith(("gen_ai.request.", "gen_ai.response.", "server.", "error.", "gen_ai.tool."))
    }
