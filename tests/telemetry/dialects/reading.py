"""Spans for the tests of this room: made here, recorded, or out of the shared data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import orjson
import pytest

from tidemill.core.records import SpanRecord
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.otlp.parse import parse_traces
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import read_spans

START_NS = 1_790_000_000_000_000_000
RECORDED = Path(__file__).parent / "recorded"


def raw(attributes=None, *, events=(), **fields) -> RawSpan:
    return RawSpan(
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_id=fields.pop("parent_id", ""),
        name=fields.pop("name", "a span"),
        start_ns=START_NS,
        end_ns=START_NS + 10**9,
        attributes=attributes or {},
        events=events,
        resource=fields.pop("resource", {"service.name": "app"}),
        **fields,
    )


def read(attributes=None, *, events=(), **fields) -> SpanRecord:
    return read_span(raw(attributes, events=events, **fields), project="p")


def event(name, body=None, *, after_ns=0, **attributes) -> RawEvent:
    return RawEvent(name=name, time_ns=START_NS + after_ns, attributes=attributes, body=body)


def raw_spans(file: Path) -> list[RawSpan]:
    tally = Tally()
    request = parse_traces(file.read_bytes(), form="json", tally=tally)
    spans = [each for each in read_spans(request, tally, now_ns=START_NS) if each is not None]
    assert not tally.rejected, tally.message
    return spans


def shared(*path: str) -> Path:
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "data"
    if not folder.joinpath(*path).exists():
        pytest.skip(f"{'/'.join(path)} is not in {folder}; set TIDEMILL_SHARED_DATA to the folder of the shared data")
    return folder.joinpath(*path)


def leaves(value, depth=0):
    """Every text and number in a value, JSON within texts opened."""
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each, depth)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each, depth)
    elif isinstance(value, str):
        opened = _opened(value) if depth < 9 else None
        if opened is not None:
            yield from leaves(opened, depth + 1)
        elif value:
            yield value
    elif value is not None:
        yield json.dumps(value)


def _opened(text):
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict | list | str) else None


def all_of(record: SpanRecord):
    """Every text and number that is kept of a span, wherever."""
    return set(
        leaves(
            [
                record.input, record.output, dict(record.attributes), list(record.events), list(record.tags),
                list(record.finish_reasons), record.name, record.error, record.model, record.user, record.session,
                record.release, record.endpoint, record.step,
            ]
        )
    )  # fmt: skip
