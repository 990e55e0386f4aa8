"""A trace as a tree of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidemill.cli.figures import as_text, count, counted, duration, money, short
from tidemill.cli.screen import cells, clean, cut, one_line, paint, width, wrapped
from tidemill.client.shapes import SpanJson, TraceJson, UsageJson
from tidemill.core.json import Json

_FIRST_TOKEN = ("tidemill.first_token_ms", "gen_ai.server.time_to_first_token_ms")
_SHOWN_HITS = 3


def trace_tree(trace: TraceJson, *, full: bool = False) -> Iterator[str]:
    """The trace's own line, then its spans below each other, each with what it produced."""
    spans = trace.get("spans", ())
    children = _by_parent(spans)
    tops = children.get(None, [])
    yield _header(trace)
    if trace.get("error"):
        yield paint(f"   error: {clean(trace.get('error') or '')}", "bad")
    below = children.get(tops[0].get("id"), []) if len(tops) == 1 else tops
    yield from _branches(below, children, indent="", full=full)
    if not below and trace.get("output") is not None:
        yield from _output(trace.get("output"), indent="   ", full=full)


def _by_parent(spans: Sequence[SpanJson]) -> dict[str | None, list[SpanJson]]:
    """Spans by the parent that is in the trace, in the order in which they started."""
    known = {each.get("id") for each in spans}
    found = dict[str | None, list[SpanJson]]()
    for each in sorted(spans, key=lambda span: str(span.get("start", ""))):
        parent = each.get("parent_id")
        found.setdefault(parent if parent in known else None, []).append(each)
    return found


def _header(trace: TraceJson) -> str:
    status = trace.get("status", "unset")
    endpoint = trace.get("endpoint")
    pieces = [
        paint(clean(trace.get("name", "")), "strong"),
        short(trace.get("release")) if trace.get("release") else "",
        f"endpoint/{endpoint}" if endpoint else "",
        duration(trace.get("duration_ms")),
        money(trace.get("cost")),
        _tokens(trace.get("usage")),
        paint(status, "bad" if status == "error" else "good" if status == "ok" else "quiet"),
    ]
    return "  ".join(each for each in pieces if each)


def _tokens(usage: UsageJson | None) -> str:
    if not usage or not (usage.get("input_tokens") or usage.get("output_tokens")):
        return ""
    return f"{count(usage.get('input_tokens', 0))} in / {count(usage.get('output_tokens', 0))} out"


def _branches(
    spans: Sequence[SpanJson], children: Mapping[str | None, Sequence[SpanJson]], *, indent: str, full: bool
) -> Iterator[str]:
    names = max((cells(each.get("name", "")) for each in spans), default=0)
    kinds = max((cells(each.get("kind", "")) for each in spans), default=0)
    for place, span in enumerate(spans):
        last = place == len(spans) - 1
        yield _span_line(span, start=f"{indent}{'└─' if last else '├─'} ", names=names, kinds=kinds)
        deeper = f"{indent}{'  ' if last else '│ '} "
        below = children.get(span.get("id"), [])
        if span.get("error"):
            yield from (
                paint(line, "bad") for line in wrapped(f"error: {clean(span.get('error') or '')}", indent=deeper + "  ")
            )
        elif not below and span.get("kind") != "retriever":
            yield from _output(span.get("output"), indent=deeper + "  ", full=full)
        yield from _branches(below, children, indent=deeper, full=full)


def _span_line(span: SpanJson, *, start: str, names: int, kinds: int) -> str:
    name, kind = clean(span.get("name", "")), span.get("kind", "")
    line = f"{start}{name:<{names}}  {kind:<{kinds}}  {duration(span.get('duration_ms'))}"
    attributes = span.get("attributes", {})
    first = next((value for key in _FIRST_TOKEN if isinstance(value := attributes.get(key), int | float)), None)
    pieces = [
        line,
        clean(span.get("model") or ""),
        f"first token {duration(first)}" if first is not None else "",
        _hits(span.get("output")) if kind == "retriever" else "",
        "re-used" if attributes.get("tidemill.cached") else "",
    ]
    return cut("  ".join(each for each in pieces if each), width())


def _hits(output: Json) -> str:
    """`6 chunks   topics/with.rst#12 0.83, …`."""
    if not isinstance(output, Sequence) or isinstance(output, str):
        return ""
    hits = _objects(output)
    named = ", ".join(f"{each.get('id')} {_score(each.get('score'))}".rstrip() for each in hits[:_SHOWN_HITS])
    return clean(f"{counted(len(hits), 'chunk')}   {named}{', …' if len(hits) > _SHOWN_HITS else ''}")


def _score(score: Json) -> str:
    return (
        f"{score:.2f}"
        if isinstance(score, int | float) and abs(score) >= 0.1
        else f"{score:.3f}"
        if isinstance(score, int | float)
        else ""
    )


def _output(output: Json, *, indent: str, full: bool) -> Iterator[str]:
    text = _text_of(output)
    if not text:
        return
    if full:
        yield from wrapped(clean(text), indent=indent)
    else:
        yield indent + '"' + one_line(text, longest=width() - len(indent) - 2) + '"'


def _text_of(output: Json) -> str:
    if isinstance(output, Mapping):
        for name in ("text", "content"):
            value = output.get(name)
            if isinstance(value, str) and value:
                return value
        calls = [*_objects(output.get("tool_calls")), *_objects(output.get("content"))]
        if calls:
            return "  ".join(each for each in map(_part_text, calls) if each)
    return "" if output is None else as_text(output)


def _objects(value: Json) -> list[Mapping[str, Json]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [each for each in value if isinstance(each, Mapping)]


def _part_text(part: Mapping[str, Json]) -> str:
    """A part of a message: its text, or the tool that it asks for."""
    if "name" in part:
        return f"{part.get('name')}({as_text(part.get('arguments'))})"
    return as_text(part.get("text")) if "text" in part else ""
