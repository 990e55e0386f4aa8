"""What changed between two versions: lines for a person, and the same by place for a program. All of it is bounded."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, TypeGuard

from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.core.words import changed_words

Effect: TypeAlias = Literal["add", "remove", "change"]
Contract: TypeAlias = Literal["breaking", "compatible"]

_KEYS: Final = ("id", "name", "metric", "check")
"""What tells the members of a list apart, in this order of preference."""
_SHORT: Final = 60
MOST_LINES: Final = 200
"""Lines and values that are told of one artifact."""
_LONGEST: Final = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldChange:
    """One value that came, went or changed. `path` names members of a list by their id, as in `steps.answer.model`."""

    path: str
    effect: Effect
    before: Json = None
    after: Json = None

    def as_json(self) -> JsonObject:
        """As the API answers it; a value beyond 2,000 characters is cut."""
        return {"path": self.path, "effect": self.effect, "before": _bounded(self.before), "after": _bounded(self.after)}

    def line(self, shown: str | None = None) -> str:
        """For a person: `temperature 0.2 -> 0.7`, `+ seed 1`, and longer text as words; `shown` in place of the path."""
        name = self.path if shown is None else shown
        if self.effect == "add":
            return f"+ {name} {short(self.after)}".rstrip()
        if self.effect == "remove":
            return f"- {name} {short(self.before)}".rstrip()
        before, after = self.before, self.after
        if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > _SHORT // 2:
            return f"{name}: {changed_words(before, after)}"
        if is_list(before) and is_list(after):
            return f"{name}: {_members(before, after)}"
        return f"{name} {short(before)} -> {short(after)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Every change of one artifact. `rows` and `documents` count `added`, `removed` and `changed`, with a `sample` of each.

    `contract` says of what others call whether they can go on as they did.
    """

    lines: tuple[str, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    rows: JsonObject | None = None
    documents: JsonObject | None = None
    contract: Contract | None = None

    def __bool__(self) -> bool:
        return bool(self.lines or self.fields)

    def bounded_lines(self) -> tuple[str, ...]:
        """At most 200 lines; the last says how many more there are."""
        if len(self.lines) <= MOST_LINES:
            return self.lines
        return (*self.lines[: MOST_LINES - 1], f"… and {len(self.lines) - MOST_LINES + 1} more")

    def as_json(self) -> JsonObject:
        """All but the lines, as the API answers it; what there is nothing of is left out. At most 200 fields."""
        found: dict[str, Json] = {"fields": [each.as_json() for each in self.fields[:MOST_LINES]]}
        if len(self.fields) > MOST_LINES:
            found["more_fields"] = len(self.fields) - MOST_LINES
        beside: Mapping[str, Json] = {"rows": self.rows, "documents": self.documents, "contract": self.contract}
        return found | {name: each for name, each in beside.items() if each is not None}

    def with_lines(self, *lines: str) -> Difference:
        """The same with more lines at the end."""
        return replace(self, lines=(*self.lines, *lines))


def field_changes(old: JsonObject, new: JsonObject, *, apart_from: Sequence[str] = (), place: str = "") -> list[FieldChange]:
    """Every value that differs, by its path, in the order of the old, then of the new."""
    changes: list[FieldChange] = []
    for key in (*old, *(each for each in new if each not in old)):
        if key not in apart_from:
            inner = f"{place}.{key}" if place else key
            if key not in new:
                changes.append(FieldChange(path=inner, effect="remove", before=old[key]))
            elif key not in old:
                changes.append(FieldChange(path=inner, effect="add", after=new[key]))
            else:
                changes += _value_changes(old[key], new[key], inner)
    return changes


def spec_difference(old: JsonObject, new: JsonObject, *, apart_from: Sequence[str] = ()) -> Difference:
    """The difference of two specs by path, a line a value."""
    fields = field_changes(old, new, apart_from=apart_from)
    return Difference(lines=tuple(each.line() for each in fields), fields=tuple(fields))


def by_key(members: Sequence[Json], key: str) -> dict[str, JsonObject] | None:
    """The members of a list by their own name; None when one has none, or two have the same."""
    found: dict[str, JsonObject] = {}
    for each in members:
        if not isinstance(each, Mapping) or not isinstance(each.get(key), str) or str(each[key]) in found:
            return None
        found[str(each[key])] = each
    return found


def is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    """Whether a value is a list."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def short(value: Json, longest: int = _SHORT) -> str:
    """A value on one line: text as it is, anything else as JSON, cut with `…`."""
    text = "none" if value is None else value if isinstance(value, str) else dump_json(value).decode(errors="replace")
    flat = " ".join(text.split()) if len(text) < 10 * longest else " ".join(text[: 10 * longest].split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def _value_changes(old: Json, new: Json, place: str) -> Iterator[FieldChange]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from field_changes(old, new, place=place)
    elif is_list(old) and is_list(new) and any(isinstance(each, Mapping) for each in (*old, *new)):
        yield from _list_changes(old, new, place)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield FieldChange(path=place, effect="change", before=old, after=new)


def _list_changes(old: Sequence[Json], new: Sequence[Json], place: str) -> Iterator[FieldChange]:
    """Of objects: by their ids where they have some, so that one more at the front is one more; else by number."""
    for key in _KEYS:
        before, after = by_key(old, key), by_key(new, key)
        if before is not None and after is not None:
            yield from field_changes(before, after, place=place)
            kept_before, kept_after = [each for each in before if each in after], [each for each in after if each in before]
            if kept_before != kept_after:
                yield FieldChange(path=f"{place}.order", effect="change", before=list(before), after=list(after))
            return
    yield from _numbered_changes(old, new, place)


def _numbered_changes(old: Sequence[Json], new: Sequence[Json], place: str) -> Iterator[FieldChange]:
    """Of members without a name: what both have is found first, and what is left stands beside each other by number."""
    a, b = [dump_json(each) for each in old], [dump_json(each) for each in new]
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        both = min(a2 - a1, b2 - b1)
        for at in range(both):
            yield from _value_changes(old[a1 + at], new[b1 + at], f"{place}.{b1 + at}")
        for at in range(a1 + both, a2):
            yield FieldChange(path=f"{place}.{at}", effect="remove", before=old[at])
        for at in range(b1 + both, b2):
            yield FieldChange(path=f"{place}.{at}", effect="add", after=new[at])


def _members(old: Sequence[Json], new: Sequence[Json]) -> str:
    """What a list has lost and won."""
    gone = [f"[-{short(each)}-]" for each in old if each not in new]
    come = [f"{{+{short(each)}+}}" for each in new if each not in old]
    told = [*gone[:10], *come[:10], *(["…"] if max(len(gone), len(come)) > 10 else [])]
    return " ".join(told) or f"{short(list(old))} -> {short(list(new))}"


def _bounded(value: Json) -> Json:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else dump_json(value).decode(errors="replace")
    return value if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
