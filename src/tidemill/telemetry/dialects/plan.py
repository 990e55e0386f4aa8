"""Which sources a span has, worked out once for spans of the same scope and attribute names."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tidemill.core.extend import extension_names, load_extension
from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import FIELDS, At, Dialect, Happened, Source, Under, joined
from tidemill.telemetry.dialects.flat import fill, shape_of
from tidemill.telemetry.dialects.values import Reader, anything
from tidemill.telemetry.otlp.raw import RawSpan

_LARGEST_CACHED: Final = 128
_MOST_PLANS: Final = 1024
_MOST_EVENTS: Final = 32

Many: TypeAlias = Callable[[RawSpan], "Json | tuple[str, ...]"]


@dataclass(frozen=True, slots=True)
class Step:
    """One place to look for the field `name`: `reader` of the attribute `key`, or `many` of the span where that is None.

    When it gave a value, the attributes `moved` and the events `happened` need not be kept, and of events of a name in `cut`
    not the attribute in it. `reads` are the attributes that a
    step without a key looks at.
    """

    name: str
    key: str
    reader: Reader
    many: Many | None = None
    moved: tuple[str, ...] = ()
    happened: frozenset[str] = frozenset()
    cut: tuple[frozenset[str], str] | None = None
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of each field, and of each attribute to set, for spans of one form; `dialect` names the first spoken.

    `shared` says of how many fields the steps must have given a value before an attribute that they share has moved.
    """

    dialect: str
    fields: tuple[tuple[Step, ...], ...]
    extra: tuple[tuple[Step, ...], ...]
    shared: Mapping[str, int]


_NOTHING: Final = Plan("", (), (), {})
_NO_NAMES: Final[frozenset[str]] = frozenset()
_plans: dict[tuple[str, frozenset[str], frozenset[str]], Plan] = {}


@functools.cache
def dialects() -> tuple[Dialect, ...]:
    """All that are registered under `tidemill.dialects`, the first to be asked first."""
    found = [load_extension("dialects", name) for name in extension_names("dialects")]
    return tuple(sorted((each for each in found if isinstance(each, Dialect)), key=lambda each: (each.rank, each.name)))


def plan_for(span: RawSpan) -> Plan:
    """The plan of a span; remembered for spans of usual size."""
    events = frozenset(each.name for each in span.events) if span.events else _NO_NAMES
    if len(span.attributes) > _LARGEST_CACHED or len(events) > _MOST_EVENTS:
        return make_plan(dialects(), span.scope, span.attributes, events)
    form = (span.scope, frozenset(span.attributes), events)
    plan = _plans.get(form)
    if plan is None:
        plan = make_plan(dialects(), span.scope, span.attributes, events)
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[form] = plan
    return plan


def make_plan(known: Sequence[Dialect], scope: str, attributes: Iterable[str], events: Iterable[str] = ()) -> Plan:
    """The plan for a scope, and names of attributes and events."""
    keys, happened = dict.fromkeys(attributes), frozenset(events)
    named, begun = joined(keys), joined(happened)
    spoken = [each for each in known if each.is_spoken_in(scope, named, begun)]
    if not spoken:
        return _NOTHING
    slots: dict[str, list[Step]] = {}
    for dialect in spoken:
        for slot, name, source in dialect.sources:
            if isinstance(source, Under) and f"\n{source.prefix}" not in named:
                continue
            step = _step(name, source, keys, happened)
            if step is not None:
                slots.setdefault(slot, []).append(step)
    fields = tuple(tuple(steps) for slot, steps in slots.items() if "." not in slot)
    moving = Counter(key for steps in fields for key in {key for step in steps for key in step.moved})
    return Plan(
        next((each for each in spoken if not each.is_beside), spoken[0]).name,
        fields,
        tuple(tuple(steps) for slot, steps in slots.items() if "." in slot),
        {key: times for key, times in moving.items() if times > 1},
    )


def _step(name: str, source: Source, keys: Mapping[str, None], events: frozenset[str]) -> Step | None:
    default = FIELDS.get(name, anything)
    if isinstance(source, str):
        return Step(name, source, default) if source in keys else None
    if isinstance(source, At):
        moved = (source.key,) if source.moves else ()
        return Step(name, source.key, source.reader or default, moved=moved) if source.key in keys else None
    if isinstance(source, Under):
        below = sorted([key for key in keys if key.startswith(source.prefix)], key=len)  # what lies higher before what is below
        return _tree_step(name, source, below) if below else None
    if isinstance(source, Happened):
        return _event_step(name, source) if source.names & events else None
    present = tuple(key for key in source.keys if key in keys)
    if source.keys and not present:
        return None
    return Step(name, "", anything, source.reader, moved=present if source.moves else (), reads=present)


def _tree_step(name: str, source: Under, below: Sequence[str]) -> Step:
    prefix, reader = source.prefix, source.reader
    shape, lost = shape_of([key[len(prefix) :] for key in below], prefix=prefix)
    clash = {prefix + each for each in lost}

    def many(span: RawSpan) -> Json | tuple[str, ...]:
        return reader(fill(shape, span.attributes))

    moved = tuple(key for key in below if key not in clash) if source.moves else ()
    return Step(name, "", anything, many, moved=moved, reads=tuple(below))


def _event_step(name: str, source: Happened) -> Step:
    names, reader = source.names, source.reader

    def many(span: RawSpan) -> Json:
        events = [each for each in span.events if each.name in names]
        return reader(events, span) if events else None

    if source.key:
        return Step(name, "", anything, many, cut=(names, source.key) if source.moves else None)
    return Step(name, "", anything, many, happened=names if source.moves else frozenset())
