"""What changed in what a tool or a function takes and does, and whether those who call it can go on as they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from tidemill.core.difference import Contract, Difference, Effect, FieldChange, field_changes, is_list, short
from tidemill.core.json import Json, JsonObject
from tidemill.core.words import changed_words

_EFFECTS: Final = ("none", "read", "write", "irreversible")
_OPEN: Final = frozenset({"description", "title", "default", "examples", "minimum", "maximum", "minLength", "maxLength"})
_Told: TypeAlias = tuple[Contract, str]


def code_difference(old: JsonObject, new: JsonObject) -> Difference:
    """The source files and packages that changed, each file's words; then the contract; then the rest by path."""
    before, after = _inside(old, "code"), _inside(new, "code")
    lines = [*_source_lines(before, after), *_package_lines(before, after)]
    if before.get("entry") != after.get("entry"):
        lines.insert(0, f"entry {short(before.get('entry'))} -> {short(after.get('entry'))}")
    contract = list(contract_changes(old, new))
    lines += [f"{effect}: {line}" for effect, line in contract]
    rest = field_changes(old, new, apart_from=("code", "parameters", "effects"))
    lines += [each.line() for each in rest]
    found: Contract | None = None
    if contract:
        found = "breaking" if any(effect == "breaking" for effect, _ in contract) else "compatible"
    sources = [
        FieldChange(path=f"code.modules.{name}", effect=_effect(a, b), before=a, after=b)
        for name, a, b in _different(_inside(before, "modules"), _inside(after, "modules"))
    ]
    others = field_changes({**old, "code": _rest(before)}, {**new, "code": _rest(after)})
    return Difference(lines=tuple(lines), fields=(*sources, *others), contract=found)


def contract_changes(old: JsonObject, new: JsonObject) -> Iterator[_Told]:
    """Each change of the parameters and effects: `breaking` when a call that was right may now be wrong or do more."""
    yield from _parameter_changes(_inside(old, "parameters"), _inside(new, "parameters"))
    before, after = old.get("effects"), new.get("effects")
    if before != after:
        more = _level(after) > _level(before)
        yield ("breaking" if more else "compatible"), f"effects {short(before)} -> {short(after)}"


def _parameter_changes(old: JsonObject, new: JsonObject) -> Iterator[_Told]:
    before, after = _inside(old, "properties"), _inside(new, "properties")
    needed_before, needed_after = _required(old), _required(new)
    for name in before:
        if name not in after:
            yield "breaking", f"- parameter {name}"
    for name, schema in after.items():
        is_needed = name in needed_after
        if name not in before:
            words = f"+ parameter {name} ({'required' if is_needed else 'optional'}, {_type(schema)})"
            yield ("breaking" if is_needed else "compatible"), words
            continue
        if is_needed != (name in needed_before):
            yield ("breaking", f"parameter {name} is required now") if is_needed else (
                "compatible", f"parameter {name} is optional now",
            )  # fmt: skip
        yield from _schema_changes(name, before[name], schema)
    closed_before, closed_after = old.get("additionalProperties") is False, new.get("additionalProperties") is False
    if closed_before != closed_after:
        yield ("breaking", "other parameters are refused now") if closed_after else (
            "compatible", "other parameters are taken now",
        )  # fmt: skip


def _schema_changes(name: str, old: Json, new: Json) -> Iterator[_Told]:
    a, b = _object(old), _object(new)
    types_before, types_after = _types(a), _types(b)
    if types_before != types_after:
        wider = types_before <= types_after or not types_after
        yield ("compatible" if wider else "breaking"), f"parameter {name}: {_type(a)} -> {_type(b)}"
    allowed_before, allowed_after = a.get("enum"), b.get("enum")
    if allowed_before != allowed_after:
        narrower = is_list(allowed_after) and (
            not is_list(allowed_before) or any(each not in allowed_after for each in allowed_before)
        )
        words = f"parameter {name}: one of {short(allowed_before)} -> {short(allowed_after)}"
        yield ("breaking" if narrower else "compatible"), words
    for each in field_changes(a, b, apart_from=("type", "enum")):
        effect: Contract = "compatible" if each.path in _OPEN - {"minimum", "maximum", "minLength", "maxLength"} else "breaking"
        yield effect, f"parameter {each.line(f'{name}.{each.path}')}"


def _types(schema: JsonObject) -> frozenset[str]:
    """The types that a schema takes; an integer is a number too."""
    given = schema.get("type")
    found = {given} if isinstance(given, str) else {str(each) for each in given} if isinstance(given, Sequence) else set[str]()
    return frozenset(found | ({"integer"} if "number" in found else set()))


def _type(schema: Json) -> str:
    given = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(given, Sequence) and not isinstance(given, str):
        return " or ".join(map(str, given))
    return str(given or "anything")


def _level(effects: Json) -> int:
    return _EFFECTS.index(effects) if isinstance(effects, str) and effects in _EFFECTS else len(_EFFECTS)


def _required(schema: JsonObject) -> frozenset[str]:
    given = schema.get("required")
    return frozenset(map(str, given)) if isinstance(given, Sequence) and not isinstance(given, str) else frozenset()


def _inside(spec: JsonObject, key: str) -> JsonObject:
    return _object(spec.get(key))


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _rest(code: JsonObject) -> JsonObject:
    return {key: value for key, value in code.items() if key != "modules"}


def _different(old: JsonObject, new: JsonObject) -> Iterator[tuple[str, Json, Json]]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _effect(before: Json, after: Json) -> Effect:
    return "add" if before is None else "remove" if after is None else "change"


def _source_lines(old: JsonObject, new: JsonObject) -> Iterator[str]:
    for name, before, after in _different(_inside(old, "modules"), _inside(new, "modules")):
        path = f"{name.replace('.', '/')}.py"
        if before is None or after is None:
            lines = len(str(before or after).splitlines())
            yield f"{'-' if after is None else '+'} source {path} ({lines} line{'' if lines == 1 else 's'})"
        else:
            yield f"source {path}: {changed_words(str(before), str(after))}"


def _package_lines(old: JsonObject, new: JsonObject) -> Iterator[str]:
    for name, before, after in _different(_inside(old, "packages"), _inside(new, "packages")):
        yield f"package {name} {short(before)} -> {short(after)}"
