"""Which sources a span has, worked out once for spans of the same scope and attribute names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tidemill.core.extend import extension_names, load_extension
from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import FIELDS, At, Dialect, Happened, Source, Under, Whole
from tidemill.telemetry.dialects.flat import unflatten
from tidemill.telemetry.dialects.values import Reader, anything
from tidemill.telemetry.otlp.raw import RawSpan

_LARGEST_CACHED: Final = 256
_MOST_PLANS: Final = 2048
_MOST_EVENTS: Final = 32

Many: TypeAlias = Callable[[RawSpan], "Json | tuple[str, ...]"]


@dataclass(frozen=True, slots=True)
class Step:
    """One place to look: `reader` of the attribute `key`, or `many` of the span where the key is empty.

    When it gave a value, the attributes `moved` and the events `happened` need not be kept.
    """

    key: str
    reader: Reader
    many: Many | None = None
    moved: tuple[str, ...] = ()
    happened: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of each field, and of each attribute to set, for spans of one form; `dialect` names the first spoken."""

    dialect: str
    fields: tuple[tuple[str, tuple[Step, ...]], ...]
    extra: tuple[tuple[str, tuple[Step, ...]], ...]


_NOTHING: Final = Plan("", (), ())
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
    keys, happened = sorted(attributes, key=_in_order), frozenset(events)
    spoken = [each for each in known if each.is_spoken_by(scope, keys, happened)]
    if not spoken:
        return _NOTHING
    names = dict.fromkeys(name for each in spoken for name in each.fields)
    steps = {name: _steps(name, spoken, keys, happened) for name in names}
    return Plan(
        spoken[0].name,
        tuple((name, found) for name, found in steps.items() if found and "." not in name),
        tuple((name, found) for name, found in steps.items() if found and "." in name),
    )


def _in_order(key: str) -> tuple[int, str]:
    return (len(key), key)  # a.2 before a.10


def _steps(name: str, spoken: Sequence[Dialect], keys: Sequence[str], events: frozenset[str]) -> tuple[Step, ...]:
    default = FIELDS.get(name, anything)
    present = set(keys)
    found = [
        step
        for dialect in spoken
        for source in dialect.fields.get(name, ())
        if (step := _step(source, default, keys, present, events)) is not None
    ]
    return tuple(found)


def _step(source: Source, default: Reader, keys: Sequence[str], present: set[str], events: frozenset[str]) -> Step | None:
    if isinstance(source, str):
        return Step(source, default) if source in present else None
    if isinstance(source, At):
        if source.key not in present:
            return None
        return Step(source.key, source.reader or default, moved=(source.key,) if source.moves else ())
    if isinstance(source, Under):
        below = [key for key in keys if key.startswith(source.prefix)]
        return _tree_step(source, below) if below else None
    if isinstance(source, Happened):
        return _event_step(source) if source.names & events else None
    return _whole_step(source, present)


def _tree_step(source: Under, below: Sequence[str]) -> Step:
    cut, reader = len(source.prefix), source.reader
    names = [key[cut:] for key in below]
    lost = unflatten(dict.fromkeys(names))[1] if source.moves else ()

    def many(span: RawSpan) -> Json | tuple[str, ...]:
        attributes = span.attributes
        return reader(unflatten({name: attributes[key] for name, key in zip(names, below, strict=True)})[0])

    clash = {source.prefix + name for name in lost}
    return Step("", anything, many, moved=tuple(key for key in below if key not in clash) if source.moves else ())


def _event_step(source: Happened) -> Step:
    names, reader = source.names, source.reader

    def many(span: RawSpan) -> Json:
        events = [each for each in span.events if each.name in names]
        return reader(events, span) if events else None

    return Step("", anything, many, happened=names if source.moves else frozenset())


def _whole_step(source: Whole, present: set[str]) -> Step | None:
    if source.keys and not any(key in present for key in source.keys):
        return None
    return Step("", anything, source.reader)
