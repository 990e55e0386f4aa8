"""Scores and feedback of traces in the span store: how they are written, and read back. They never rewrite a span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.questions.trace import time_text

Source: TypeAlias = Literal["feedback", "monitor", "evaluation", "api"]
TABLE: Final = "scores"
_LONGEST: Final = 16 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceScore:
    """What `author` said of a trace, or of a span of it, under a name: a number, a text, or both.

    The last said by one author under one name counts; `removed` takes it back. Thumbs are 1 and 0, `up` and `down`.
    """

    project: str
    trace_id: str
    name: str
    source: Source
    at_ns: int
    span_id: str = ""
    author: str = ""
    value: float | None = None
    text: str = ""
    removed: bool = False


def encode_score(score: TraceScore) -> bytes:
    """The row of the table `scores`."""
    row = {
        "project": score.project, "trace_id": score.trace_id, "span_id": score.span_id, "name": score.name,
        "source": score.source, "author": score.author, "value": score.value, "text": score.text[:_LONGEST],
        "at": score.at_ns, "version": max(0, score.at_ns), "removed": int(score.removed),
    }  # fmt: skip
    try:
        return orjson.dumps(row)
    except orjson.JSONEncodeError:  # a lone surrogate
        return orjson.dumps({**row, "text": score.text[:_LONGEST].encode("utf-8", "replace").decode()})


async def scores_of(engine: Engine, project: str, traces: Sequence[str]) -> Mapping[str, Sequence[JsonObject]]:
    """What was scored and said of these traces (whole ids), by trace, the newest first."""
    if not traces:
        return {}
    rows = await engine.query(
        "SELECT toString(trace_id), span_id, name, source, author, value, text, toUnixTimestamp64Nano(at) FROM scores FINAL"
        " WHERE project = {project:String} AND trace_id IN {traces:Array(String)} AND removed = 0"
        " ORDER BY at DESC, name, source, author",
        {"project": project, "traces": list(traces)},
    )
    found: dict[str, list[JsonObject]] = {}
    for row in rows:
        found.setdefault(str(row[0]), []).append(_shape(row))
    return found


def _shape(row: Sequence[object]) -> JsonObject:
    return {
        "name": str(row[2]),
        "value": cast("Json", row[5]),
        "text": str(row[6]) or None,
        "span": str(row[1]) or None,
        "source": str(row[3]),
        "by": str(row[4]) or None,
        "at": time_text(cast("int", row[7])),
    }
