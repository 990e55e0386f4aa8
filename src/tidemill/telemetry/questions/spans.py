"""The questions that are asked of the span store, in SQL with bound parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import Expression, Where, bounds_of, compile_spans
from tidemill.telemetry.questions.joined import join_events
from tidemill.telemetry.questions.scores import scores_of
from tidemill.telemetry.questions.trace import StoredSpan, group_by_trace, is_silent, span_shape, trace_shape
from tidemill.telemetry.questions.windows import DAY_NS, HOUR_NS, window_sql, windows
from tidemill.telemetry.row import decode_value

LARGEST_PAGE: Final = 1000
_COLUMNS: Final = (
    "trace_id, span_id, parent_id, root, name, kind, toUnixTimestamp64Nano(start), duration_ns, status, error,"
    " {input}, {output}, model, input_tokens, output_tokens, cached_tokens, cost, release, endpoint, step, user, session, tags,"
    " {attributes}, provider, first_token_ns, finish_reasons, cache_write_tokens, reasoning_tokens, audio_input_tokens,"
    " audio_output_tokens, weight, input_at, output_at, toUnixTimestamp64Nano(received), service, scope, dialect, {events},"
    " {links}, {resource}"
)
_WHOLE: Final = _COLUMNS.format(
    input="input", output="output", attributes="attributes", events="events", links="links", resource="resource"
)
# In a list only the first span's content is shown.
_LIGHT: Final = _COLUMNS.format(
    input="if(root, input, '')", output="if(root, output, '')", attributes="map()", events="''", links="''", resource="map()"
)
# Of two rows of one span the one that came last counts.
_ONCE: Final = "ORDER BY received DESC LIMIT 1 BY trace_id, span_id"
_HEX: Final = re.compile(r"[0-9a-f]{2,32}")
_NAMED: Final = 5
_FIRST_NS: Final = 64 * HOUR_NS  # what is found often is found here; an index of words tells of all the rest at once
_WIDER: Final = 10_000


async def get_trace(engine: Engine, project: str, trace_id: str) -> JsonObject:
    """A trace by its id, or by a beginning or an end of it that no other trace has.

    Raises `NotFound`, or `Invalid` when it is no id or several traces have it.
    """
    whole = await _whole_id(engine, project, _hexadecimal(trace_id))
    spans = join_events(await _spans(engine, project, [whole], columns=_WHOLE))
    if not spans:
        raise _no_trace(project, trace_id)
    scores = await scores_of(engine, project, [spans[0].trace_id])
    return trace_shape(spans, scores=scores.get(spans[0].trace_id, ()))


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTrace:
    """That a trace is there: its whole id, the endpoint that it went through, and its spans' names by their ids."""

    id: str
    endpoint: str
    spans: Mapping[str, str]


async def find_trace(engine: Engine, project: str, trace_id: str) -> FoundTrace:
    """Where a trace is, without its content; the id as in `get_trace`. Raises `NotFound` or `Invalid`."""
    whole = await _whole_id(engine, project, _hexadecimal(trace_id))
    rows = await engine.query(
        "SELECT toString(span_id), name, endpoint FROM spans WHERE project = {project:String} AND trace_id = {trace:String}",
        {"project": project, "trace": whole},
    )
    if not rows:
        raise _no_trace(project, trace_id)
    endpoint = next((str(row[2]) for row in rows if row[2]), "")
    return FoundTrace(id=whole, endpoint=endpoint, spans={str(row[0]): str(row[1]) for row in rows})


async def search_spans(
    engine: Engine,
    project: str,
    expression: Expression,
    *,
    limit: int,
    now_ns: int,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> Sequence[JsonObject]:
    """Spans that meet the expression by themselves, newest first, each with its `trace_id`."""
    size = _page_size(limit)
    low, high = bounds_of(expression)
    low = max([each for each in (from_ns, low) if each is not None], default=None)
    high = min(each for each in (now_ns + DAY_NS if to_ns is None else to_ns, high) if each is not None)
    found: dict[tuple[str, str], int] = {}
    for begin, end in windows(from_ns=low, to_ns=high, now_ns=now_ns, first=_FIRST_NS, wider=_WIDER):
        where = Where()
        where.add("project = {project:String}", project=project)
        where.clauses.append(window_sql(where, begin, end))
        compile_spans(expression, where, project=project)
        rows = await engine.query(
            f"SELECT toString(trace_id), toString(span_id), toUnixTimestamp64Nano(start) FROM spans WHERE {where.sql}"  # noqa: S608  (bound parameters)
            " ORDER BY toStartOfHour(start) DESC, start DESC, span_id LIMIT 1 BY trace_id, span_id"
            f" LIMIT {size - len(found):d}",
            where.parameters,
        )
        for row in rows:
            found.setdefault((str(row[0]), str(row[1])), cast("int", row[2]))
        if len(found) >= size:
            break
    return [{**span_shape(span), "trace_id": span.trace_id} for span in await _spans_at(engine, project, found)]


async def _spans_at(engine: Engine, project: str, places: Mapping[tuple[str, str], int]) -> list[StoredSpan]:
    """Spans by trace and id, whole and in this order, given when they began: only the wide columns of these are read."""
    if not places:
        return []
    where = Where()
    where.add("project = {project:String}", project=project)
    where.clauses.append(window_sql(where, min(places.values()), max(places.values()) + 1))
    where.add("trace_id IN {traces:Array(String)}", traces=list({trace for trace, _ in places}))
    where.add("concat(trace_id, span_id) IN {keys:Array(String)}", keys=[f"{trace}{span}" for trace, span in places])
    rows = await engine.query(f"SELECT {_WHOLE} FROM spans WHERE {where.sql} {_ONCE}", where.parameters)  # noqa: S608  (bound parameters)
    found = {(span.trace_id, span.span_id): span for span in map(_read_span, rows)}
    return [found[key] for key in places if key in found]


async def light_spans(engine: Engine, project: str, traces: Sequence[str], *, low: int, high: int) -> list[StoredSpan]:
    """The spans of these traces that began in [low, high), with the content of the first ones alone.

    Where those have none, with what the first call of a model was asked and what the last one answered.
    """
    where = Where()
    where.add("project = {project:String}", project=project)
    where.clauses.append(window_sql(where, low, high))
    where.add("trace_id IN {traces:Array(String)}", traces=list(traces))
    rows = await engine.query(f"SELECT {_LIGHT} FROM spans WHERE {where.sql} {_ONCE}", where.parameters)  # noqa: S608  (bound parameters)
    found = [_read_span(row) for row in rows]
    silent = [
        trace
        for trace, spans in group_by_trace(found).items()
        if all(is_silent(span) for span in spans) and any(span.kind == "llm" for span in spans)
    ]
    return await _with_calls(engine, where, found, silent) if silent else found


async def _with_calls(engine: Engine, where: Where, found: list[StoredSpan], silent: Sequence[str]) -> list[StoredSpan]:
    """The spans, those calls of models with content that speak for the silent traces."""
    where.add("trace_id IN {silent:Array(String)} AND kind = 'llm'", silent=list(silent))
    rows = await engine.query(
        "SELECT toString(trace_id), argMinIf((toString(span_id), input, input_at), start, input != ''),"  # noqa: S608  (bound parameters)
        " argMaxIf((toString(span_id), output, output_at), start, output != '')"
        f" FROM spans WHERE {where.sql} GROUP BY trace_id",
        where.parameters,
    )
    asked, answered = ({(str(row[0]), str(of[0])): of for row in rows for of in [_texts(row[side])]} for side in (1, 2))
    spoken: list[StoredSpan] = []
    for span in found:
        made, key = span, (span.trace_id, span.span_id)
        if key in asked:
            made = replace(made, input=decode_value(asked[key][1]), input_at=asked[key][2])
        if key in answered:
            made = replace(made, output=decode_value(answered[key][1]), output_at=answered[key][2])
        spoken.append(made)
    return spoken


def _texts(column: object) -> Sequence[str]:
    return [str(each) for each in cast("Sequence[object]", column)]


async def whole_spans(engine: Engine, project: str, traces: Sequence[str]) -> list[StoredSpan]:
    """All spans of these traces, whole."""
    return await _spans(engine, project, traces, columns=_WHOLE)


def _hexadecimal(trace_id: str) -> str:
    wanted = trace_id.lower().replace("-", "")
    if not _HEX.fullmatch(wanted):
        raise Invalid(f"{trace_id!r} is not a trace id", hint="A trace id is 32 hexadecimal digits; a part is enough.")
    return wanted


def _no_trace(project: str, trace_id: str) -> NotFound:
    return NotFound(f"no trace {trace_id} in project {project}", hint="Type: tidemill traces list")


async def _whole_id(engine: Engine, project: str, part: str) -> str:
    if len(part) == 32:
        return part
    begins = "trace_id >= {low:String} AND trace_id <= {high:String}"
    for clause in (begins, "endsWith(toString(trace_id), {part:String})"):
        rows = await engine.query(
            f"SELECT DISTINCT toString(trace_id) AS id FROM spans WHERE project = {{project:String}} AND {clause}"  # noqa: S608  (bound parameters)
            f" ORDER BY id LIMIT {_NAMED + 1}",
            {"project": project, "low": part.ljust(32, "0"), "high": part.ljust(32, "f"), "part": part},
        )
        if len(rows) > 1:
            shown = ", ".join(str(row[0]) for row in rows[:_NAMED])
            more = ", …" if len(rows) > _NAMED else ""
            raise Invalid(f"several traces have {part}: {shown}{more}", hint="Give more of the id; its end differs most.")
        if rows:
            return str(rows[0][0])
    return part.ljust(32, "0")


async def _spans(engine: Engine, project: str, traces: Sequence[str], *, columns: str) -> list[StoredSpan]:
    if not traces:
        return []
    rows = await engine.query(
        f"SELECT {columns} FROM spans WHERE project = {{project:String}} AND trace_id IN {{traces:Array(String)}} {_ONCE}",  # noqa: S608  (bound parameters)
        {"project": project, "traces": list(traces)},
    )
    return [_read_span(row) for row in rows]


def _read_span(row: Sequence[object]) -> StoredSpan:
    texts = [str(each) for each in row]
    return StoredSpan(
        trace_id=texts[0], span_id=texts[1], parent_id=texts[2], root=bool(row[3]), name=texts[4], kind=texts[5],
        start_ns=cast("int", row[6]), duration_ns=cast("int", row[7]), status=texts[8], error=texts[9],
        input=decode_value(texts[10]), output=decode_value(texts[11]), model=texts[12],
        input_tokens=cast("int", row[13]), output_tokens=cast("int", row[14]), cached_tokens=cast("int", row[15]),
        cost=cast("float | None", row[16]), release=texts[17], endpoint=texts[18], step=texts[19], user=texts[20],
        session=texts[21], tags=tuple(cast("list[str]", row[22])), attributes=_values(row[23]), provider=texts[24],
        first_token_ns=cast("int", row[25]), finish_reasons=tuple(cast("list[str]", row[26])),
        cache_write_tokens=cast("int", row[27]), reasoning_tokens=cast("int", row[28]),
        audio_input_tokens=cast("int", row[29]), audio_output_tokens=cast("int", row[30]),
        weight=cast("float", row[31]), input_at=texts[32], output_at=texts[33], received_ns=cast("int", row[34]),
        service=texts[35], scope=texts[36], dialect=texts[37],
        events=cast("Sequence[Json]", decode_value(texts[38]) or ()),
        links=cast("Sequence[Json]", decode_value(texts[39]) or ()), resource=_values(row[40]),
    )  # fmt: skip


def _values(column: object) -> JsonObject:
    return {key: decode_value(value) for key, value in cast("Mapping[str, str]", column).items()}


def _page_size(limit: int) -> int:
    if not 1 <= limit <= LARGEST_PAGE:
        raise Invalid(f"limit {limit} is not between 1 and {LARGEST_PAGE}")
    return limit
