"""A span as one row of the span store: a line of JSON whose keys are the columns of `schema.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanRecord
from tidemill.telemetry import genai

_LARGEST_VALUE: Final = 1024 * 1024
_KEPT: Final = 256 * 1024
_LONGEST_MS: Final = 1e12


def encode_row(record: SpanRecord, *, received_ns: int | None = None) -> bytes:
    """The row of a span. Never raises: what JSON cannot carry is written as text, and a value beyond 1 MiB is cut short.

    `received_ns` is when it came (default: its end); of two rows of one span, the one received last stays.
    """
    attributes, usage = record.attributes, record.usage
    row = {
        "project": record.project,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "parent_id": record.parent_id or "",
        "root": int(record.parent_id is None or genai.REMOTE_PARENT in attributes),
        "name": record.name,
        "kind": record.kind,
        "start": record.start_ns,
        "received": record.end_ns if received_ns is None else received_ns,
        "duration_ns": max(0, record.end_ns - record.start_ns),
        "first_token_ns": _first_token_ns(record),
        "status": record.status,
        "error": record.error or "",
        "input": encode_value(record.input),
        "output": encode_value(record.output),
        "provider": record.provider or _text(attributes, genai.PROVIDER),
        "model": record.model or "",
        "finish_reasons": record.finish_reasons or _texts(attributes.get(genai.RESPONSE_FINISH_REASONS)),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_input_tokens": usage.audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
        "cost": record.cost,
        "release": record.release or "",
        "endpoint": record.endpoint or "",
        "step": record.step or "",
        "variant": _text(attributes, genai.VARIANT),
        "rollout": _text(attributes, genai.ROLLOUT),
        "environment": _text(attributes, genai.ENVIRONMENT),
        "evaluation": _text(attributes, genai.EVALUATION),
        "user": record.user or "",
        "session": record.session or "",
        "tags": record.tags,
        "service": record.service,
        "scope": record.scope,
        "dialect": record.dialect,
        "weight": record.weight,
        "attributes": _pairs(attributes),
        "resource": _pairs(record.resource),
        "events": encode_value(list(record.events)) if record.events else "",
        "links": encode_value(list(record.links)) if record.links else "",
    }
    try:
        return orjson.dumps(row, default=_plain)
    except orjson.JSONEncodeError:
        return json.dumps(row, default=_plain, ensure_ascii=False).encode("utf-8", "replace")


def _pairs(values: JsonObject) -> dict[str, str]:
    return {str(key): encode_value(value) or "null" for key, value in values.items()}


def _text(attributes: JsonObject, key: str) -> str:
    value = attributes.get(key)
    return value if isinstance(value, str) else ""


def _texts(value: Json) -> Sequence[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else ()


def _first_token_ns(record: SpanRecord) -> int:
    if record.first_token_ns is not None:
        return max(0, record.first_token_ns)
    given = record.attributes.get(genai.FIRST_TOKEN_MS)
    return round(given * 1e6) if isinstance(given, int | float) and 0 <= given < _LONGEST_MS else 0


def encode_value(value: Json) -> str:
    """A value as JSON text; nothing for None."""
    if value is None:
        return ""
    try:
        text = orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError:
        text = _encode_oddity(value)
    if len(text) > _LARGEST_VALUE:
        kept = text[:_KEPT].decode("utf-8", "ignore")
        text = orjson.dumps(f"{kept} … ({len(text)} bytes, cut short)")
    return text.decode("utf-8", "replace")


def decode_value(text: str) -> Json:
    """The inverse of `encode_value`; text that is no JSON is given back as it is."""
    if not text:
        return None
    try:
        return cast("Json", orjson.loads(text))
    except orjson.JSONDecodeError:
        return text


def _encode_oddity(value: object) -> bytes:
    """For lone surrogates, integers beyond 64 bits, keys that are not text, and values nested within themselves."""
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, skipkeys=True).encode("utf-8", "replace")
    except (ValueError, RecursionError, TypeError):
        return orjson.dumps(f"(a {type(value).__name__} that cannot be written as JSON)")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray | str):
        return list(cast("Sequence[object]", value))
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (a user's object; recording it must not fail the request)
        return f"(a {type(value).__name__} that cannot be shown)"
