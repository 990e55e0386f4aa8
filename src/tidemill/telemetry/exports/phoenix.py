"""Phoenix and other OpenInference stores: a data frame of spans (records, lines or columns), or `GET /v1/projects/P/spans`.

https://arize.com/docs/phoenix/tracing/how-to-tracing/importing-and-exporting-traces
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.exports.documents import Entries, Entry, mapping, text_of
from tidemill.telemetry.exports.events import read_events
from tidemill.telemetry.exports.form import Form
from tidemill.telemetry.exports.identity import originals, span_id, trace_id
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.otlp.raw import RawSpan

_COLUMN: Final = "attributes."
_KIND: Final = "openinference.span.kind"
_DEEPEST: Final = 12
_WHOLE: Final = frozenset(
    {"metadata", "llm.invocation_parameters", "llm.prompt_template.variables", "input.value", "output.value"}
)


def _fits(record: JsonObject) -> bool:
    context = mapping(record.get("context"))
    ids = ("context.trace_id" in record and "start_time" in record) or ("trace_id" in context and "span_kind" in record)
    return ids and "name" in record


def _spans(entries: Entries, _project: str) -> Iterator[RawSpan]:
    for entry in entries:
        yield _span(entry)


def _span(entry: Entry) -> RawSpan:
    row, where = entry.record(), entry.where
    context = mapping(row.get("context"))
    told = text_of(row, "context.trace_id") or text_of(context, "trace_id")
    own = text_of(row, "context.span_id", "span_id") or text_of(context, "span_id") or text_of(row, "index")
    if not told or not own:
        raise Invalid(f"{where} is a span without {'an id' if told else 'the id of its trace'}")
    start = time_ns(row.get("start_time"), where=f"{where}: start_time")
    end = row.get("end_time")
    code = text_of(row, "status_code").upper()
    return RawSpan(
        trace_id=trace_id(told),
        span_id=span_id(own),
        parent_id=span_id(text_of(row, "parent_id")),
        name=text_of(row, "name") or "span",
        start_ns=start,
        end_ns=start if end is None else time_ns(end, where=f"{where}: end_time"),
        attributes=_attributes(row) | originals(trace=told, span=own, form="phoenix"),
        status="error" if code == "ERROR" else "ok" if code == "OK" else "unset",
        status_message=text_of(row, "status_message"),
        events=read_events(row.get("events"), where=where),
        resource={},
        scope="openinference",
    )


def _attributes(row: JsonObject) -> dict[str, Json]:
    """The attributes as columns of their own, as one object by their names, or as a tree."""
    made: dict[str, Json] = {}
    for key, value in row.items():
        if key.startswith(_COLUMN) and value is not None:
            _flatten(key.removeprefix(_COLUMN), value, made)
    for key, value in mapping(row.get("attributes")).items():
        if value is not None:
            _flatten(key, value, made)
    if text_of(row, "span_kind"):
        made.setdefault(_KIND, text_of(row, "span_kind"))
    return made


def _flatten(name: str, value: Json, into: dict[str, Json], depth: int = 0) -> None:
    """An object as attributes by dotted names; lists stay what they are."""
    if isinstance(value, Mapping) and name not in _WHOLE and depth < _DEEPEST:
        for key, each in value.items():
            _flatten(f"{name}.{key}", each, into, depth + 1)
    elif value is not None:
        into[name] = _opened(value, depth)


def _opened(value: Json, depth: int) -> Json:
    """Objects in a list whose keys have dots (`message.role`), as trees."""
    if depth > _DEEPEST or isinstance(value, str) or not isinstance(value, Sequence | Mapping):
        return value
    if isinstance(value, Sequence):
        return [_opened(each, depth + 1) for each in value]
    tree: dict[str, Json] = {}
    for key, each in value.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            inner = node.get(part)
            node[part] = node = {**inner} if isinstance(inner, Mapping) else {}
        node[last] = _opened(each, depth + 1)
    return tree


FORM: Final = Form(name="phoenix", title="Phoenix", fits=_fits, spans=_spans)
