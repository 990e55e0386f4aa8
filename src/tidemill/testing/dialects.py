"""A kit for dialects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from tidemill.core.records import SpanRecord
from tidemill.telemetry.dialects import Dialect, dialects
from tidemill.telemetry.dialects.dialect import At, Under
from tidemill.telemetry.dialects.messages import WORDS_OF_FORMS
from tidemill.telemetry.dialects.plan import make_plan
from tidemill.telemetry.dialects.read import read_with
from tidemill.telemetry.otlp.raw import RawSpan
from tidemill.telemetry.row import encode_row

_ODD: tuple[Any, ...] = (
    7,
    -1,
    1.5,
    True,
    None,
    "",
    "word",
    "[",
    '{"a": [1]}',
    "\x00",
    [],
    [[["x"]]],
    {"a": {"b": 1}},
    [{"role": 5}],
)


def check_dialect(dialect: Dialect, *, attributes: Mapping[str, Any], scope: str = "", name: str = "span") -> SpanRecord:
    """`dialect` must read a span with these attributes, lose nothing of it, and take values of any type. Gives the record.

    `attributes` are those of a span that the instrumentation really sends; `scope` its instrumentation scope.
    """
    assert dialect.is_spoken_by(scope, attributes), f"{dialect.name} is not spoken by the span: name a scope or keys of it"
    record = _read(dialect, attributes, scope, name)
    assert record.dialect, "the record names no dialect"
    filled = (record.kind != "other", record.input, record.output, record.model, record.user, record.session, record.tags)
    assert any(filled), "nothing of the span was understood"
    lost = set(_leaves(attributes)) - set(_leaves(_kept(record))) - WORDS_OF_FORMS
    assert not lost, f"of the span {min(lost)!r} is nowhere in the record"
    for value in _ODD:
        odd = dict.fromkeys((*attributes, *_keys(dialect)), value)
        made = _read(dialect, odd, scope, name)
        row = json.loads(encode_row(made))
        for column in ("model", "provider", "user", "session", "error", "release", "endpoint", "step", "kind"):
            assert isinstance(row[column], str), f"{column} is not text when an attribute is {value!r}"
        assert isinstance(row["input_tokens"], int), f"input_tokens is no whole number when an attribute is {value!r}"
        assert all(isinstance(each, str) for each in row["tags"]), f"tags are not texts when an attribute is {value!r}"
    return record


def _read(dialect: Dialect, attributes: Mapping[str, Any], scope: str, name: str) -> SpanRecord:
    span = RawSpan(
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_id="",
        name=name,
        start_ns=1_790_000_000_000_000_000,
        end_ns=1_790_000_001_000_000_000,
        attributes=dict(attributes),
        resource={},
        scope=scope,
    )
    known = sorted({each.name: each for each in (*dialects(), dialect)}.values(), key=lambda each: (each.rank, each.name))
    return read_with(make_plan(known, scope, span.attributes), span, project="p")


def _keys(dialect: Dialect) -> Iterable[str]:
    for _place, _name, source in dialect.sources:
        if isinstance(source, str):
            yield source
        elif isinstance(source, At):
            yield source.key
        elif isinstance(source, Under):
            yield f"{source.prefix}0.content"


def _kept(record: SpanRecord) -> list[object]:
    return [
        record.input, record.output, dict(record.attributes), record.model, record.provider, record.user, record.session,
        record.tags, record.error, record.finish_reasons, record.cost, record.release, record.endpoint, record.step,
        record.kind,
    ]  # fmt: skip


def _leaves(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for each in cast("Mapping[str, Any]", value).values():
            yield from _leaves(each)
    elif isinstance(value, list | tuple):
        for each in cast("Iterable[Any]", value):
            yield from _leaves(each)
    elif isinstance(value, str):
        try:
            opened = json.loads(value)
        except ValueError:
            opened = None
        if isinstance(opened, dict | list | str):
            yield from _leaves(opened)
        elif value:
            yield value
    elif value is not None:
        yield json.dumps(value)
