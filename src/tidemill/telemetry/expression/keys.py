"""What an expression can ask about: each column by its names, its type, and where it is in a row and in a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from tidemill.core.records import SpanKind, SpanRecord, SpanStatus
from tidemill.telemetry import genai
from tidemill.telemetry.expression.syntax import Type


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One key. `sql` is a column, or what is made of columns; missing numbers and lengths are NaN there.

    `of_trace` says that it is asked of the whole trace: any of its spans may have it.
    """

    name: str
    type: Type
    sql: str
    get: Callable[[SpanRecord], object]
    about: str
    aliases: tuple[str, ...] = ()
    of_trace: bool = False
    values: tuple[str, ...] = ()


def _unknown(_record: SpanRecord) -> object:
    return None


def _attribute(name: str) -> Callable[[SpanRecord], object]:
    return lambda record: record.attributes.get(name)


_SPANS: Final[Sequence[Column]] = (
    Column(name="name", type="text", sql="name", get=lambda r: r.name, about="the span's name"),
    Column(
        name="kind", type="text", sql="kind", get=lambda r: r.kind, about="what it did", values=get_args(SpanKind)
    ),
    Column(name="status", type="text", sql="status", get=lambda r: r.status, about="how it ended", values=get_args(SpanStatus)),
    Column(name="model", type="text", sql="model", get=lambda r: r.model, about="the model that answered"),
    Column(name="provider", type="text", sql="provider", get=lambda r: r.provider, about="whose model it is"),
    Column(
        name="release", type="text", sql="release", get=lambda r: r.release, of_trace=True,
        about="the release, by digest; in a filter of the API also by a reference, as in `handbook@production`",
    ),
    Column(name="endpoint", type="text", sql="endpoint", get=lambda r: r.endpoint, of_trace=True, about="the endpoint"),
    Column(name="step", type="text", sql="step", get=lambda r: r.step, about="the step of a chain"),
    Column(
        name="variant", type="text", sql="variant", get=_attribute(genai.VARIANT), of_trace=True, about="a rollout's variant"
    ),
    Column(name="rollout", type="text", sql="rollout", get=_attribute(genai.ROLLOUT), of_trace=True, about="the rollout"),
    Column(
        name="environment", type="text", sql="environment", get=_attribute(genai.ENVIRONMENT), of_trace=True,
        about="the environment whose connections answered",
    ),
    Column(
        name="evaluation", type="text", sql="evaluation", get=_attribute(genai.EVALUATION), of_trace=True,
        about="the evaluation that it was run by",
    ),
    Column(name="user", type="text", sql="user", get=lambda r: r.user, of_trace=True, about="whom it was done for"),
    Column(name="session", type="text", sql="session", get=lambda r: r.session, of_trace=True, about="the conversation"),
    Column(
        name="tag", type="list", sql="tags", get=lambda r: r.tags, aliases=("tags",), of_trace=True,
        about="a whole tag; `tag.K` is the value of one written `K=V` or `K:V`",
    ),
    Column(name="service", type="text", sql="service", get=lambda r: r.service, about="the program that sent it"),
    Column(name="scope", type="text", sql="scope", get=lambda r: r.scope, about="the instrumentation that made it"),
    Column(
        name="dialect", type="text", sql="dialect", get=lambda r: r.dialect, about="the table that read it; empty: made here"
    ),
    Column(
        name="trace", type="text", sql="toString(trace_id)", get=lambda r: r.trace_id, aliases=("trace_id",),
        about="the trace's whole id",
    ),
    Column(
        name="span", type="text", sql="toString(span_id)", get=lambda r: r.span_id, aliases=("span_id",),
        about="the span's whole id",
    ),
    Column(
        name="parent", type="text", sql="parent_id", get=lambda r: r.parent_id, aliases=("parent_id",),
        about="the id of the span above",
    ),
    Column(name="error", type="text", sql="error", get=lambda r: r.error, about="what was wrong"),
    Column(name="input", type="text", sql="input", get=lambda r: r.input, about="what it was given, as JSON"),
    Column(name="output", type="text", sql="output", get=lambda r: r.output, about="what it gave, as JSON"),
    Column(
        name="text", type="text", sql="concat(name, ' ', error, ' ', input, ' ', output)", get=_unknown,
        about="name, error, input and output together; a word or text alone asks for this",
    ),
    Column(
        name="finish_reason", type="list", sql="finish_reasons", aliases=("finish_reasons",),
        get=lambda r: r.finish_reasons or r.attributes.get(genai.RESPONSE_FINISH_REASONS) or (),
        about="why the model stopped",
    ),
    Column(
        name="duration", type="duration", sql="toFloat64(duration_ns)", aliases=("latency",),
        get=lambda r: max(0, r.end_ns - r.start_ns),
        about="from start to end: `2s`, `800ms`; as `duration_ms` or `latency_ms` a number of milliseconds",
    ),
    Column(
        name="first_token", type="duration", sql="if(first_token_ns = 0, nan, toFloat64(first_token_ns))", aliases=("ttft",),
        get=lambda r: r.first_token_ns or None,
        about="until the first token; as `first_token_ms` or `ttft_ms` a number of milliseconds",
    ),
    Column(name="cost", type="number", sql="ifNull(cost, nan)", get=lambda r: r.cost, about="US dollars: `$0.01`"),
    Column(
        name="input_tokens", type="number", sql="toFloat64(input_tokens)", get=lambda r: r.usage.input_tokens,
        about="tokens read: `2000`, `2k`",
    ),
    Column(
        name="output_tokens", type="number", sql="toFloat64(output_tokens)", get=lambda r: r.usage.output_tokens,
        about="tokens written",
    ),
    Column(
        name="tokens", type="number", sql="toFloat64(input_tokens + output_tokens)", aliases=("total_tokens",),
        get=lambda r: r.usage.input_tokens + r.usage.output_tokens, about="both together",
    ),
    Column(
        name="cached_tokens", type="number", sql="toFloat64(cached_tokens)", get=lambda r: r.usage.cached_tokens,
        about="of those read, from the provider's cache",
    ),
    Column(
        name="cache_write_tokens", type="number", sql="toFloat64(cache_write_tokens)",
        get=lambda r: r.usage.cache_write_tokens, about="of those read, written to the provider's cache",
    ),
    Column(
        name="reasoning_tokens", type="number", sql="toFloat64(reasoning_tokens)", get=lambda r: r.usage.reasoning_tokens,
        about="of those written, for reasoning",
    ),
    Column(
        name="audio_input_tokens", type="number", sql="toFloat64(audio_input_tokens)",
        get=lambda r: r.usage.audio_input_tokens, about="of those read, audio",
    ),
    Column(
        name="audio_output_tokens", type="number", sql="toFloat64(audio_output_tokens)",
        get=lambda r: r.usage.audio_output_tokens, about="of those written, audio",
    ),
    Column(
        name="weight", type="number", sql="weight", get=lambda r: r.weight,
        about="how many spans it stands for after sampling",
    ),
    Column(
        name="start", type="time", sql="start", get=lambda r: r.start_ns,
        about="when it began: `2026-01-31T12:00:00Z`, `2026-01-31`, or `2h` for so long ago",
    ),
    Column(name="received", type="time", sql="received", get=_unknown, about="when it came"),
)  # fmt: skip

COLUMNS: Final[Mapping[str, Column]] = {each.name: each for each in _SPANS}
"""By name."""
NAMES: Final[Mapping[str, Column]] = {name: each for each in _SPANS for name in (each.name, *each.aliases)}
"""By name and by every other name."""
MILLISECONDS: Final[Mapping[str, Column]] = {
    f"{name}_ms": each for each in _SPANS if each.type == "duration" for name in (each.name, *each.aliases)
}
"""Keys whose bare numbers are milliseconds."""
PREFIXES: Final[Mapping[str, str]] = {
    "tag.NAME": "the value of a tag written `NAME=VALUE` or `NAME:VALUE`",
    "score.NAME": "a score of the trace or of a span of it: by a monitor, an evaluation, a person or a program",
    "feedback": "what people said: `up` or `down`, or words of a comment or correction; `feedback.NAME` by its name",
    "gen_ai.request.temperature": "any attribute with a dot in its name",
    'attr."NAME"': "any attribute whatever its name",
    "resource.NAME": "an attribute of the program that sent it, as in `resource.service.version`",
}


def key_table() -> str:
    """The reference's table of keys."""
    lines = ["| key | holds | asked of | |", "|---|---|---|---|"]
    for each in _SPANS:
        names = ", ".join(f"`{name}`" for name in (each.name, *each.aliases))
        known = f": {', '.join(f'`{value}`' for value in each.values)}" if each.values else ""
        lines.append(f"| {names} | {each.type} | {'trace' if each.of_trace else 'span'} | {each.about}{known} |")
    for name, about in PREFIXES.items():
        kind = "text" if name.startswith("tag") else "number" if name.startswith("score") else "any"
        of = "trace" if name.startswith(("tag", "score", "feedback")) else "span"
        lines.append(f"| `{name}` | {kind} | {of} | {about} |")
    return "\n".join(lines)
