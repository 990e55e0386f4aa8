"""Putting a change of what is kept into what a person wrote, which says the same in other words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from tidemill.core.json import Json, JsonObject
from tidemill.core.yaml_edit import same


def candidates(written: JsonObject, old: JsonObject, new: JsonObject) -> Iterator[JsonObject]:
    """Bodies that may say `new`, the nearest to `written` first; `old` is what `written` is when it is made of what is kept."""
    merged = _merged(written, old, new)
    if isinstance(merged, Mapping):
        yield merged
    changed = {key for key in {*old, *new} if not _equal(old, new, key)}
    yield {
        **{key: value for key, value in written.items() if key not in changed or key in new},
        **{key: new[key] for key in new if key in changed},
    }
    yield new


def _merged(written: Json, old: Json, new: Json) -> Json:
    """`written` with the difference between `old` and `new` put into it, as far as it is built alike."""
    if same(old, new):
        return written
    if isinstance(written, Mapping) and isinstance(old, Mapping) and isinstance(new, Mapping):
        kept = {key: value for key, value in written.items() if key in new or key not in old}
        for key, value in new.items():
            if key not in old:
                kept[key] = value
            elif key in written:
                kept[key] = _merged(written[key], old[key], value)
            elif not same(old[key], value):
                kept[key] = value
        return kept
    if _is_list(written) and _is_list(old) and _is_list(new) and len(written) == len(old):
        names = [_name(each) for each in old]
        found: list[Json] = []
        for number, value in enumerate(new):
            name = _name(value)
            at = names.index(name) if name is not None and name in names else number if name is None else len(old)
            by_value = next((place for place, each in enumerate(old) if same(each, value)), None)
            place = by_value if by_value is not None else at
            found.append(_merged(written[place], old[place], value) if place < len(old) else value)
        return found
    return new


def _name(value: Json) -> str | None:
    """What tells an item of a list apart."""
    if not isinstance(value, Mapping):
        return None
    return next((f"{key}={value[key]}" for key in ("id", "name") if isinstance(value.get(key), str)), None)


def _equal(one: JsonObject, other: JsonObject, key: str) -> bool:
    return key in one and key in other and same(one[key], other[key])


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
