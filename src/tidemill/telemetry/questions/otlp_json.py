"""A trace as OTLP in JSON, such that whoever reads it has the same tree: what no field of OTLP holds stands in attributes.

Ours are named in `genai.py` and read back by `dialects/tidemill.py`. https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.telemetry import genai
from tidemill.telemetry.questions.trace import StoredSpan
from tidemill.telemetry.row import encode_value

_STATUS: Final = {"ok": 1, "error": 2}
_INTERNAL: Final = 1


def otlp_line(spans: Sequence[StoredSpan]) -> bytes:
    """One request with these spans: a line of JSON without its end."""
    resources: dict[bytes, tuple[JsonObject, dict[str, list[Json]]]] = {}
    for span in sorted(spans, key=lambda each: (each.start_ns, each.span_id)):
        resource = {"service.name": span.service, **span.resource} if span.service else span.resource
        _, scopes = resources.setdefault(dump_json(resource), (resource, {}))
        scopes.setdefault(span.scope, []).append(_span(span))
    found: list[Json] = [
        {
            "resource": {"attributes": _attributes(resource)},
            "scopeSpans": [{"scope": {"name": name}, "spans": group} for name, group in scopes.items()],
        }
        for resource, scopes in resources.values()
    ]
    return dump_json({"resourceSpans": found})


def _span(span: StoredSpan) -> JsonObject:
    made: dict[str, Json] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.start_ns + span.duration_ns),
        "attributes": _attributes({**span.attributes, **_ours(span)}),
        "events": [_event(each) for each in span.events if isinstance(each, Mapping)],
        "links": [_link(each) for each in span.links if isinstance(each, Mapping)],
        "status": {"code": _STATUS.get(span.status, 0), **({"message": span.error} if span.error else {})},
    }
    if span.parent_id:
        made["parentSpanId"] = span.parent_id
    return made


def _ours(span: StoredSpan) -> JsonObject:
    """The fields that OTLP has none for, where there is something."""
    given: dict[str, Json] = {
        genai.INPUT: encode_value(span.input),
        genai.OUTPUT: encode_value(span.output),
        genai.RESPONSE_MODEL: span.model,
        genai.PROVIDER: span.provider,
        genai.RESPONSE_FINISH_REASONS: list(span.finish_reasons),
        genai.USAGE_INPUT_TOKENS: span.input_tokens,
        genai.USAGE_OUTPUT_TOKENS: span.output_tokens,
        genai.USAGE_CACHED_TOKENS: span.cached_tokens,
        genai.USAGE_CACHE_WRITE: span.cache_write_tokens,
        genai.USAGE_REASONING: span.reasoning_tokens,
        genai.USAGE_AUDIO_INPUT: span.audio_input_tokens,
        genai.USAGE_AUDIO_OUTPUT: span.audio_output_tokens,
        genai.COST: span.cost,
        genai.FIRST_TOKEN_MS: span.first_token_ns / 1e6 if span.first_token_ns else None,
        genai.USER: span.user,
        genai.SESSION: span.session,
        genai.TAGS: list(span.tags),
        genai.RELEASE: span.release,
        genai.ENDPOINT: span.endpoint,
        genai.STEP: span.step,
    }
    return {genai.KIND: span.kind, **{key: value for key, value in given.items() if value not in (None, "", 0, [])}}


def _event(event: JsonObject) -> JsonObject:
    attributes = dict(cast("JsonObject", event.get("attributes") or {}))
    if event.get("body") is not None:
        attributes["body"] = event["body"]
    return {
        "name": str(event.get("name", "")),
        "timeUnixNano": str(event.get("time_ns", 0)),
        "attributes": _attributes(attributes),
    }


def _link(link: JsonObject) -> JsonObject:
    return {
        "traceId": str(link.get("trace_id", "")),
        "spanId": str(link.get("span_id", "")),
        "attributes": _attributes(cast("JsonObject", link.get("attributes") or {})),
    }


def _attributes(values: JsonObject) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Json) -> JsonObject:
    """A value as OTLP's `AnyValue`; whole numbers as texts, as its JSON has them."""
    match value:
        case bool():
            return {"boolValue": value}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"stringValue": str(value)}
        case float():
            return {"doubleValue": value}
        case None:
            return {}
        case Mapping():
            return {"kvlistValue": {"values": _attributes(value)}}
        case _:
            return {"arrayValue": {"values": [_value(each) for each in value]}}
