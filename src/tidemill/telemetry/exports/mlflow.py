"""MLflow: `trace.to_json()`, an answer that lists such traces, or the data frame of `search_traces()`.

https://mlflow.org/docs/latest/genai/tracing/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.exports.documents import Entries, Entry, items, mapping, text_of
from tidemill.telemetry.exports.events import read_events
from tidemill.telemetry.exports.form import Form
from tidemill.telemetry.exports.identity import originals, span_id, trace_id
from tidemill.telemetry.exports.said import Said
from tidemill.telemetry.exports.times import time_ns
from tidemill.telemetry.otlp.raw import RawSpan
from tidemill.telemetry.questions.scores import TraceScore

_OF_TRACE: Final = {"mlflow.trace.user": "user.id", "mlflow.trace.session": "session.id"}
_UNTOLD: Final = frozenset(
    {
        *_OF_TRACE, "mlflow.traceInputs", "mlflow.traceOutputs", "mlflow.trace.sizeStats", "mlflow.trace.sizeBytes",
        "mlflow.trace.infoFinalized", "mlflow.trace_schema.version", "mlflow.artifactLocation", "mlflow.trace.spansLocation",
    }
)  # fmt: skip
"""What repeats the spans, or is MLflow's own business."""
_METADATA: Final = ("trace_metadata", "request_metadata")
_FAILED: Final = frozenset({"ERROR", "STATUS_CODE_ERROR"})


def _fits(record: JsonObject) -> bool:
    if "info" in record and "spans" in mapping(record.get("data")):
        return True
    traced = "trace_id" in record or "request_id" in record or "trace_info" in record
    return traced and ("spans" in record or "trace" in record) and "observations" not in record


def _spans(entries: Entries, _project: str) -> Iterator[RawSpan]:
    for entry in entries:
        record = entry.record()
        whole = mapping(record.get("trace")) or record
        info = mapping(whole.get("info")) or mapping(whole.get("trace_info")) or whole
        listed = mapping(whole.get("data")).get("spans", whole.get("spans"))
        told = text_of(info, "trace_id", "request_id")
        for each in entry.below("span", listed):
            yield _span(each, info, told)


def _scores(entries: Entries, project: str) -> Iterator[TraceScore]:
    """Assessments that are feedback; an expectation says what should have come, and those that were replaced count no more."""
    for entry in entries:
        record = entry.record()
        whole = mapping(record.get("trace")) or record
        info = mapping(whole.get("info")) or mapping(whole.get("trace_info")) or whole
        for each in entry.below("assessment", info.get("assessments")):
            said = mapping(each.value)
            if said.get("valid") is False or not said.get("feedback"):
                continue
            source = mapping(said.get("source"))
            kind = text_of(source, "source_type")
            found = Said(
                trace=text_of(said, "trace_id") or text_of(info, "trace_id", "request_id"),
                span=text_of(said, "span_id"), name=text_of(said, "assessment_name", "name"), source=kind,
                author=text_of(source, "source_id") or f"mlflow:{kind.lower() or 'api'}",
                value=mapping(said["feedback"]).get("value"), comment=text_of(said, "rationale"),
                at=_first(said, "last_update_time", "last_update_time_ms", "create_time", "create_time_ms", "timestamp_ms")
                or _first(info, "request_time", "timestamp_ms"),
                where=each.where,
            )  # fmt: skip
            yield from found.scores(project)


def _span(entry: Entry, info: JsonObject, of_trace: str) -> RawSpan:
    span, where = entry.record(), entry.where
    context = mapping(span.get("context"))
    told = text_of(span, "trace_id") or text_of(context, "trace_id") or of_trace
    own = text_of(span, "span_id") or text_of(context, "span_id")
    if not told or not own:
        raise Invalid(f"{where} is a span without {'an id' if told else 'the id of its trace'}")
    parent = text_of(span, "parent_span_id", "parent_id")
    start = time_ns(_first(span, "start_time_unix_nano", "start_time_ns", "start_time"), where=f"{where}: its start")
    end = _first(span, "end_time_unix_nano", "end_time_ns", "end_time")
    status, message = _status(span)
    attributes: dict[str, Json] = {**mapping(span.get("attributes"))}
    for key in ("inputs", "outputs"):  # the form that `span.to_dict()` has beside the attributes
        name = f"mlflow.span{key.capitalize()}"
        if span.get(key) is not None and name not in attributes:
            attributes[name] = span[key]
    return RawSpan(
        trace_id=trace_id(told),
        span_id=span_id(own),
        parent_id=span_id(parent),
        name=text_of(span, "name") or "span",
        start_ns=start,
        end_ns=start if end is None else time_ns(end, where=f"{where}: its end"),
        attributes=attributes | _said(info, root=not parent) | originals(trace=told, span=own, form="mlflow"),
        status=status,
        status_message=message,
        events=read_events(span.get("events"), where=where),
        resource={},
        scope="mlflow",
    )


def _first(span: JsonObject, *keys: str) -> Json:
    return next((span[key] for key in keys if span.get(key) is not None), None)


def _status(span: JsonObject) -> tuple[Literal["unset", "ok", "error"], str]:
    told = span.get("status")
    status = mapping(told)
    code = (text_of(status, "code", "status_code") or text_of(span, "status_code", "status")).upper()
    message = text_of(status, "message", "description") or text_of(span, "status_message")
    if code in _FAILED or code.endswith(".ERROR"):
        return "error", message
    return ("ok" if code.endswith("OK") else "unset"), message


def _said(info: JsonObject, *, root: bool) -> dict[str, Json]:
    """Who it was for, on each span; on the root also its tags and what else MLflow notes of a trace."""
    noted = {key: each for name in _METADATA for key, each in mapping(info.get(name)).items()}
    made = {name: noted[key] for key, name in _OF_TRACE.items() if noted.get(key)}
    if root:
        made |= {f"mlflow.trace.metadata.{key}": each for key, each in noted.items() if key not in _UNTOLD}
        made |= {f"mlflow.trace.tags.{key}": each for key, each in mapping(info.get("tags")).items() if key not in _UNTOLD}
        assessments = items(info.get("assessments"))
        if expected := [each for each in assessments if not mapping(each).get("feedback")]:
            made["mlflow.trace.assessments"] = expected
    return made


FORM: Final = Form(name="mlflow", title="MLflow", fits=_fits, spans=_spans, scores=_scores)
