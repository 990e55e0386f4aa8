"""What was said to models and by them, as a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidemill.cli.figures import as_text, duration, moment
from tidemill.cli.screen import clean, one_line, paint, width, wrapped
from tidemill.cli.tree import text_of
from tidemill.client.shapes import TraceJson
from tidemill.core.json import Json

_INDENT = "  "


def conversation(trace: TraceJson, *, full: bool) -> Iterator[str]:
    """The messages of every call of a model, in the order of the calls; those that were shown before are left out."""
    yield f"{paint(clean(trace.get('name', '')), 'strong')}  {duration(trace.get('duration_ms'))}"
    seen = set[str]()
    calls = [each for each in trace.get("spans", ()) if each.get("kind") == "llm"]
    for call in calls:
        yield paint(f"{clean(call.get('name', ''))}  {clean(call.get('model') or '')}".rstrip(), "quiet")
        for message in (*_messages(call.get("input"), "user"), *_messages(call.get("output"), "assistant")):
            key = as_text(message)
            if key not in seen:
                seen.add(key)
                yield from _lines(message, full=full)
    if not calls:
        yield from turn_lines(trace, full=full)


def turn_lines(trace: TraceJson, *, full: bool) -> Iterator[str]:
    """What a trace was asked and what it answered, as far as that is known."""
    yield paint(f"{trace.get('id', '')[:12]}  {moment(trace, 'start')}  {duration(trace.get('duration_ms'))}", "quiet")
    if asked := _last(trace.get("input")):
        yield from _said("user", asked, full=full)
    if trace.get("error"):
        yield from _said("error", clean(trace.get("error") or ""), full=full)
    elif answered := text_of(trace.get("output")):
        yield from _said("assistant", answered, full=full)


def _last(value: Json) -> str:
    """What was asked last: of messages the user's last, else all of it."""
    messages = [each for each in _messages(value, "user") if each.get("role") == "user"]
    return _text(messages[-1]) if messages else text_of(value)


def _messages(value: Json, role: str) -> Sequence[Mapping[str, Json]]:
    if isinstance(value, Mapping):
        held = value.get("messages")
        if isinstance(held, Sequence) and not isinstance(held, str):
            return [each for each in held if isinstance(each, Mapping)]
        if "role" in value or "text" in value or "content" in value or "tool_calls" in value:
            return [{"role": role, **value}]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        found = [each for each in value if isinstance(each, Mapping) and "role" in each]
        if found:
            return found
    return [] if value is None else [{"role": role, "content": text_of(value)}]


def _text(message: Mapping[str, Json]) -> str:
    return text_of({key: value for key, value in message.items() if key not in {"role", "name", "tool_call_id"}})


def _lines(message: Mapping[str, Json], *, full: bool) -> Iterator[str]:
    yield from _said(str(message.get("role", "")), _text(message), full=full)


def _said(who: str, text: str, *, full: bool) -> Iterator[str]:
    head = f"{_INDENT}{clean(who):<10}"
    room = width() - len(head)
    lines = wrapped(clean(text), longest=room) if full else [one_line(text, longest=room)]
    for place, line in enumerate(lines):
        yield f"{head if not place else ' ' * len(head)}{line}".rstrip()
