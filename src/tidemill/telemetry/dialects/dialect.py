"""What a dialect is: data that says under which attribute names an instrumentation keeps what a span record holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tidemill.core.json import Json
from tidemill.telemetry.dialects.values import Reader, anything, count, dollars, number, one_of, seconds, text, texts
from tidemill.telemetry.otlp.raw import RawEvent, RawSpan


@dataclass(frozen=True, slots=True)
class At:
    """One attribute. `reader` gives None for what it cannot read, and the next source is asked.

    `moves`: what was read holds all that was there, so the attribute need not be kept twice.
    """

    key: str
    reader: Reader | None = None
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Under:
    """All attributes below a beginning of their names (with its dot), as one tree: `a.0.b` is a list of objects."""

    prefix: str
    reader: Reader
    moves: bool = True


@dataclass(frozen=True, slots=True)
class Happened:
    """Events of the span by name; `reader` is given them in their order, and the span.

    `moves`: what was read holds all that was in them; with `key`, all that was in this attribute of them, if it is one event.
    """

    names: frozenset[str]
    reader: Callable[[Sequence[RawEvent], RawSpan], Json]
    moves: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class Whole:
    """For what no attribute says alone: `reader` is given the span, when one of `keys` is there (or always, without).

    `moves`: what was read holds all that was in `keys`, or all together that several fields read of the same `keys`.
    """

    reader: Callable[[RawSpan], Json | tuple[str, ...]]
    keys: tuple[str, ...] = ()
    moves: bool = False


Source: TypeAlias = "str | At | Under | Happened | Whole"
"""A text is short for `At` with the reader of the field."""

KINDS: Final = ("chain", "agent", "llm", "retriever", "tool", "embedding", "reranker", "guardrail", "evaluator", "other")
FIELDS: Final[Mapping[str, Reader]] = {
    "kind": one_of({each: each for each in KINDS}),  # one of SpanKind
    "implied_kind": one_of({each: each for each in KINDS}),  # asked when no dialect says `kind`
    "messages": anything,  # what a model was given: give a reader of `messages.py`
    "system": anything,  # messages that go before them
    "tools": anything,  # definitions of tools
    "parameters": anything,  # an object of sampling parameters, by whatever names
    "input": anything,  # what anything was given, where `messages` says nothing
    "output_messages": anything,
    "output": anything,
    "model": text,
    "provider": text,
    "input_tokens": count,
    "output_tokens": count,
    "cached_tokens": count,
    "cache_write_tokens": count,
    "reasoning_tokens": count,
    "audio_input_tokens": count,
    "audio_output_tokens": count,
    "cost": dollars,
    "finish_reasons": texts,
    "first_token_ns": seconds,
    "user": text,
    "session": text,
    "tags": texts,
    "release": text,
    "endpoint": text,
    "step": text,
    "error": text,
    "weight": number,
}
"""The fields that a dialect may fill, and the reader where a source names none. A name with a dot is an attribute to set, as in
`gen_ai.request.temperature`; its value is kept as it came (JSON in a text is understood)."""

_PLACES: Final = {"messages": "input", "output_messages": "output"}


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One instrumentation's way to write spans.

    It is spoken by a span whose scope begins with one of `scopes`, or that has an attribute whose name begins with one of
    `keys`, or an event whose name begins with one of `events`.
    Where several are spoken in one span, the lower `rank` is asked first, field by field, and names the record.
    One that `is_beside` others names the record only where no other is spoken.
    `fields` has, by the names in `FIELDS`, where to look, the best first.
    """

    name: str
    scopes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    rank: int = 50
    is_beside: bool = False
    fields: Mapping[str, Sequence[Source]] = field(default_factory=dict[str, Sequence[Source]])

    def __post_init__(self) -> None:
        unknown = [name for name in self.fields if name not in FIELDS and "." not in name]
        if unknown:
            raise ValueError(f"the dialect {self.name} fills {', '.join(unknown)}; known: {', '.join(FIELDS)}")

    @functools.cached_property
    def sources(self) -> tuple[tuple[str, str, Source], ...]:
        """Every source with its field, and with the place that the field fills: messages go where the input goes."""
        names = sorted(self.fields, key=lambda name: name in ("input", "output"))  # asked after the messages
        return tuple((_PLACES.get(name, name), name, source) for name in names for source in self.fields[name])

    def is_spoken_by(self, scope: str, keys: Iterable[str], events: Iterable[str] = ()) -> bool:
        """Whether a span with this scope and these names of attributes and events is written in it."""
        return self.is_spoken_in(scope, joined(keys), joined(events))

    def is_spoken_in(self, scope: str, keys: str, events: str) -> bool:
        """As `is_spoken_by`, of names that are joined."""
        if self.scopes and scope.startswith(self.scopes):
            return True
        return any(f"\n{each}" in keys for each in self.keys) or any(f"\n{each}" in events for each in self.events)


def joined(names: Iterable[str]) -> str:
    """Names, each behind a line's end, so that one search finds whether any begins in a certain way."""
    return "".join([f"\n{each}" for each in names])


def at(*keys: str, reader: Reader | None = None) -> tuple[At, ...]:
    """Attributes of one meaning, the best first; what is read is moved."""
    return tuple(At(key, reader, moves=True) for key in keys)
