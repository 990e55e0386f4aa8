"""A trace as a tree of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tidemill.cli.figures import as_text, count, counted, duration, money, short
from tidemill.cli.screen import cells, clean, cut, one_line, paint, width, wrapped
from tidemill.client.shapes import SpanJson, TraceJson, UsageJson
from tidemill.core.json import Json

_DEEPEST = 60
_SHOWN_HITS = 3


def trace_tree(trace: TraceJson, *, full: bool = False, events: bool = False) -> Iterator[str]:
    """The trace's own line, then its spans below each other, each with what it produced."""
    spans = trace.get("spans", ())
    children = _by_parent(spans)
    tops = children.get(None, [])
    yield _header(trace)
    if trace.get("error"):
        yield paint(f"   error: {clean(trace.get('error') or '')}", "bad")
    below = children.get(tops[0].get("id"), []) if len(tops) == 1 else tops
    yield from _branches(below, children, shown=Shown(full=full, events=events))
    if not below and trace.get("output") is not None:
        yield from _output(trace.get("output"), indent="   ", full=full)


def _by_parent(spans: Sequence[SpanJson]) -> dict[str | None, list[SpanJson]]:
    """Spans by the parent that is in the trace, in the order in which they started."""
    known = {each.get("id") for each in spans}
    found = dict[str | None, list[SpanJson]]()
    for each in sorted(spans, key=lambda span: str(span.get("start", ""))):
        parent = each.get("parent_id") if each.get("depth") != 0 else None  # of a ring, the server chose the top
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


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of each span."""

    full: bool = False
    events: bool = False


def _branches(spans: Sequence[SpanJson], children: Mapping[str | None, Sequence[SpanJson]], *, shown: Shown) -> Iterator[str]:
    """Lines of spans and all below them. Not by recursion: a chain of spans may be as long as a trace."""
    waiting = [_group(spans, "")]
    while waiting:
        try:
            span, start, deeper, sizes = next(waiting[-1])
        except StopIteration:
            waiting.pop()
            continue
        below = children.get(span.get("id"), [])
        yield _span_line(span, start=start, names=sizes[0], kinds=sizes[1])
        yield from _below(span, indent=deeper + "  ", shown=shown, has_children=bool(below))
        waiting.append(_group(below, deeper if len(deeper) < _DEEPEST else deeper[:_DEEPEST]))


_Line: TypeAlias = tuple[SpanJson, str, str, tuple[int, int]]


def _group(spans: Sequence[SpanJson], indent: str) -> Iterator[_Line]:
    """Spans of one parent: each with the beginning of its line and of those below, and the widths of names and kinds."""
    names = max((cells(each.get("name", "")) for each in spans), default=0)
    kinds = max((cells(each.get("kind", "")) for each in spans), default=0)
    for place, span in enumerate(spans):
        last = place == len(spans) - 1
        yield span, f"{indent}{'└─' if last else '├─'} ", f"{indent}{'  ' if last else '│ '} ", (names, kinds)


def _below(span: SpanJson, *, indent: str, shown: Shown, has_children: bool) -> Iterator[str]:
    for score in span.get("scores", ()):
        value = score.get("value")
        yield paint(f"{indent}{clean(score.get('name', ''))} {'' if value is None else f'{value:.4g}'}".rstrip(), "quiet")
    for event in span.get("events", ()) if shown.events else ():
        yield cut(paint(f"{indent}{clean(str(event.get('name', '')))}  {as_text(event.get('attributes'))}", "quiet"), width())
    if span.get("error"):
        yield from (paint(line, "bad") for line in wrapped(f"error: {clean(span.get('error') or '')}", indent=indent))
    elif not has_children and span.get("kind") != "retriever":
        yield from _output(span.get("output"), indent=indent, full=shown.full)


def _span_line(span: SpanJson, *, start: str, names: int, kinds: int) -> str:
    name, kind = clean(span.get("name", "")), span.get("kind", "")
    line = f"{start}{name:<{names}}  {kind:<{kinds}}  {duration(span.get('duration_ms'))}"
    attributes = span.get("attributes", {})
    first = span.get("first_token_ms")
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
    text = text_of(output)
    if not text:
        return
    if full:
        yield from wrapped(clean(text), indent=indent)
    else:
        yield indent + '"' + one_line(text, longest=width() - len(indent) - 2) + '"'


def text_of(output: Json) -> str:
    """What of an input or output is read as text."""
    if isinstance(output, Mapping):
        if said := _objects(output.get("messages")):
            return text_of(said[-1])
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
