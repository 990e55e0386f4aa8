"""Spans out of files: OTLP as JSON lines (what the collector's file exporter writes), as one JSON document, or as protobuf.

What is none of these is another platform's export, which `telemetry/exports` reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tidemill.core.errors import Invalid
from tidemill.telemetry.otlp.logs import read_logs
from tidemill.telemetry.otlp.parse import parse_logs, parse_traces
from tidemill.telemetry.otlp.raw import RawSpan
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import read_spans
from tidemill.telemetry.questions.scores import TraceScore

_LENGTH: Final = struct.Struct(">I")
_TRACES: Final = (b'"resourceSpans"', b'"resource_spans"')
_LOGS: Final = (b'"resourceLogs"', b'"resource_logs"')
_METRICS: Final = (b'"resourceMetrics"', b'"resource_metrics"')
_HEAD: Final = 200
OTLP: Final = "otlp"


class Read(NamedTuple):
    """What a file is, and its spans; a log record is a span of its own below the one it belongs to. `scores` of the spans."""

    form: str
    spans: Iterator[RawSpan | None]
    logs: Iterator[RawSpan | None]
    scores: Sequence[TraceScore] = ()


def read_file(content: bytes, *, name: str, project: str, form: str, tally: Tally, now_ns: int) -> Read:
    """Read a file whole. `form` is a format's name, empty to find out. Raises `Invalid`; then nothing was given out."""
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise Invalid(f"{name} is empty", hint="Export the traces again.")
    if form in {"", OTLP} and text[:1] not in b"{[":
        return Read(OTLP, _binary(content, name, tally, now_ns), iter(()))
    if form == OTLP or (not form and is_otlp(text)):
        lines = [(f"{name} line {number}", line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
        if len(lines) > 1 and not lines[0][1].rstrip().endswith(b"}"):
            lines = [(name, text)]  # one document, written over several lines
        requests = [_json(line, where, tally, now_ns) for where, line in lines]
        return Read(OTLP, _chained(requests, logs=False), _chained(requests, logs=True))
    from tidemill.telemetry import exports  # noqa: PLC0415  (only where somebody brings such a file)

    found = exports.read(content, name=name, project=project, form=form)
    return Read(found.form, iter(found.spans), iter(()), found.scores)


def is_otlp(text: bytes) -> bool:
    """Whether JSON begins as OTLP does."""
    head = text[:_HEAD]
    return any(each in head for each in (*_TRACES, *_LOGS, *_METRICS))


def _json(line: bytes, where: str, tally: Tally, now_ns: int) -> tuple[bool, Iterator[RawSpan | None]]:
    """One request, checked now and read later; whether it holds log records."""
    head = line[:_HEAD]
    if any(each in head for each in _METRICS):
        tally.warn("lines hold metrics, which are not taken from files")
        return False, iter(())
    try:
        if any(each in head for each in _LOGS):
            return True, read_logs(parse_logs(line, form="json", tally=tally), tally, now_ns=now_ns)
        return False, read_spans(parse_traces(line, form="json", tally=tally), tally, now_ns=now_ns)
    except Invalid as error:
        raise Invalid(f"{where}: {error.message}", hint=error.hint) from error


def _chained(requests: list[tuple[bool, Iterator[RawSpan | None]]], *, logs: bool) -> Iterator[RawSpan | None]:
    for is_logs, spans in requests:
        if is_logs is logs:
            yield from spans


def _binary(content: bytes, name: str, tally: Tally, now_ns: int) -> Iterator[RawSpan | None]:
    """One message, or several, each after its length in four bytes (as the collector writes)."""
    try:
        framed = _unframed(content)
        messages = [content] if framed is None else framed
        requests = [parse_traces(each, form="protobuf", tally=tally) for each in messages]
    except Invalid as error:
        raise Invalid(
            f"{name} is neither JSON nor OTLP in protobuf",
            hint="Import OTLP as JSON lines, JSON or protobuf, or another platform's export in JSON.",
        ) from error
    return (span for request in requests for span in read_spans(request, tally, now_ns=now_ns))


def _unframed(content: bytes) -> list[bytes] | None:
    """The messages of a file of lengths and messages; None when it is none."""
    messages: list[bytes] = []
    at = 0
    while at + _LENGTH.size <= len(content):
        (size,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        if size == 0 or at + size > len(content):
            return None
        messages.append(content[at : at + size])
        at += size
    return messages if at == len(content) else None
