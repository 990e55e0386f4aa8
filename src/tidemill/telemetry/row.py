"""A span as one row of the span store, whose columns are those of `schema.py`.

Many at once are a block of columns (`encode_spans`); one is a line of JSON (`encode_row`), which costs several times as much to
insert and can hold whatever it is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanRecord
from tidemill.telemetry import genai
from tidemill.telemetry.engine import native

_LARGEST_VALUE: Final = 1024 * 1024
_KEPT: Final = 256 * 1024
_LONGEST_MS: Final = 1e12
_LONG_BITS: Final = 64
_SHORT: Final = 128  # characters of a text whose JSON is kept
_MOST_KNOWN: Final = 8192
_known: dict[str, str] = {}  # short texts in JSON

_COLUMNS: Final = (
    ("project", native.TEXT), ("trace_id", native.TRACE), ("span_id", native.SPAN), ("parent_id", native.TEXT),
    ("root", native.FLAG), ("name", native.TEXT), ("kind", native.TEXT), ("start", native.MOMENT), ("received", native.MOMENT),
    ("duration_ns", native.COUNT), ("first_token_ns", native.COUNT), ("status", native.TEXT), ("error", native.TEXT),
    ("input", native.TEXT), ("output", native.TEXT), ("provider", native.TEXT), ("model", native.TEXT),
    ("finish_reasons", native.TEXTS), ("input_tokens", native.COUNT), ("output_tokens", native.COUNT),
    ("cached_tokens", native.COUNT), ("cache_write_tokens", native.COUNT), ("reasoning_tokens", native.COUNT),
    ("audio_input_tokens", native.COUNT), ("audio_output_tokens", native.COUNT), ("cost", native.PERHAPS),
    ("release", native.TEXT), ("endpoint", native.TEXT), ("step", native.TEXT), ("variant", native.TEXT),
    ("rollout", native.TEXT), ("environment", native.TEXT), ("evaluation", native.TEXT), ("user", native.TEXT),
    ("session", native.TEXT), ("tags", native.TEXTS), ("service", native.TEXT), ("scope", native.TEXT),
    ("dialect", native.TEXT), ("weight", native.NUMBER), ("attributes", native.PAIRS), ("resource", native.PAIRS),
    ("events", native.TEXT), ("links", native.TEXT), ("input_at", native.TEXT), ("output_at", native.TEXT),
)  # fmt: skip
_NAMES: Final = tuple(name for name, _ in _COLUMNS)


def span_columns() -> Sequence[tuple[str, str]]:
    """The columns of a span's block, each with its type, in order: what `native.encode_block` needs to make one."""
    return _COLUMNS


def encode_spans(records: Sequence[SpanRecord], *, received_ns: int | None = None) -> bytes | None:
    """The block of some spans, at least one; None when one of them holds what a column cannot: then take `encode_row`."""
    try:
        resources: dict[int, Mapping[str, str]] = {}  # by identity: the spans of a request share theirs
        rows = [_values(each, each.end_ns if received_ns is None else received_ns, resources) for each in records]
        return native.encode_block(_COLUMNS, rows)
    except (ValueError, TypeError, OverflowError):
        return None


def encode_row(record: SpanRecord, *, received_ns: int | None = None) -> bytes:
    """The row of a span. Never raises: what JSON cannot carry is written as text, and a value beyond 1 MiB is cut short.

    `received_ns` is when it came (default: its end); of two rows of one span, the one received last stays.
    """
    row = dict(zip(_NAMES, _values(record, record.end_ns if received_ns is None else received_ns, {}), strict=True))
    try:
        return orjson.dumps(row, default=_plain)
    except orjson.JSONEncodeError:
        return json.dumps(row, default=_plain, ensure_ascii=False).encode("utf-8", "replace")


def _values(record: SpanRecord, received_ns: int, resources: dict[int, Mapping[str, str]]) -> Sequence[object]:
    """What stands in each of `_COLUMNS`."""
    attributes, usage = record.attributes, record.usage
    resource = resources.get(id(record.resource))
    if resource is None:
        resource = resources[id(record.resource)] = _pairs(record.resource)
    return (
        record.project, record.trace_id, record.span_id, record.parent_id or "",
        int(record.parent_id is None or genai.REMOTE_PARENT in attributes), record.name, record.kind, record.start_ns,
        received_ns, max(0, record.end_ns - record.start_ns), _first_token_ns(record), record.status, record.error or "",
        encode_value(record.input), encode_value(record.output), record.provider or _text(attributes, genai.PROVIDER),
        record.model or "", record.finish_reasons or _texts(attributes.get(genai.RESPONSE_FINISH_REASONS)),
        usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens,
        usage.audio_input_tokens, usage.audio_output_tokens, record.cost, record.release or "", record.endpoint or "",
        record.step or "", _text(attributes, genai.VARIANT), _text(attributes, genai.ROLLOUT),
        _text(attributes, genai.ENVIRONMENT), _text(attributes, genai.EVALUATION), record.user or "", record.session or "",
        record.tags, record.service, record.scope, record.dialect, record.weight, _pairs(attributes), resource,
        encode_value(list(record.events)) if record.events else "", encode_value(list(record.links)) if record.links else "",
        record.input_at, record.output_at,
    )  # fmt: skip


def _pairs(values: JsonObject) -> dict[str, str]:
    known = _known
    return {
        str(key): (known.get(value) if value.__class__ is str else None) or _pair(value)  # pyright: ignore[reportArgumentType, reportCallIssue]
        for key, value in values.items()
    }


def _pair(value: Json) -> str:
    """A value as it stands in a map; short texts, which repeat, are written once."""
    if isinstance(value, int) and value.__class__ is int and value.bit_length() < _LONG_BITS:
        return str(value)
    written = encode_value(value) or "null"
    if isinstance(value, str) and len(value) <= _SHORT:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[value] = written
    return written


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


def encode_value(value: Json, *, largest: int = _LARGEST_VALUE) -> str:
    """A value as JSON text, cut short beyond `largest` bytes; nothing for None."""
    if value is None:
        return ""
    try:
        text = orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError:
        text = _encode_oddity(value)
    if len(text) > largest:
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
