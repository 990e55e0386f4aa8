"""Typed names: a prompt's variables and an application's inputs, as declared and as given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.prompts.fields import Fields, Problems, place, type_name

TYPES: Final = ("string", "integer", "number", "boolean", "list", "object", "messages", "any")
_ALIASES: Final = {"text": "string", "str": "string", "int": "integer", "float": "number", "bool": "boolean", "array": "list"}
_WORDS: Final = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
                 "list": "a list", "object": "an object", "messages": "a list of messages"}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One declared name. `type` is one of `TYPES`; `choices`, when given, are the only values allowed."""

    name: str
    type: str = "string"
    required: bool = True
    default: Json = None
    description: str = ""
    choices: tuple[Json, ...] = ()

    def as_json(self) -> JsonObject:
        """Its canonical form."""
        rest: dict[str, Json] = {}
        if not self.required:
            rest["required"] = False
        if self.default is not None:
            rest["default"] = self.default
        if self.description:
            rest["description"] = self.description
        if self.choices:
            rest["choices"] = list(self.choices)
        return {"name": self.name, "type": self.type, **rest}


def from_spec(declared: Json) -> tuple[Variable, ...]:
    """Read the canonical list that `as_json` wrote."""
    found: list[Variable] = []
    for each in declared if isinstance(declared, Sequence) and not isinstance(declared, str) else ():
        if isinstance(each, Mapping):
            choices = each.get("choices")
            found.append(
                Variable(
                    name=str(each["name"]),
                    type=str(each.get("type", "string")),
                    required=each.get("required") is not False,
                    default=each.get("default"),
                    description=str(each.get("description", "")),
                    choices=tuple(choices) if isinstance(choices, Sequence) and not isinstance(choices, str) else (),
                )
            )
    return tuple(found)


def parse_variables(value: Json, *, where: str, problems: Problems) -> tuple[Variable, ...]:
    """Read `{name: type}`, `{name: {type, default, required, description, choices}}` or a list of names."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        entries = [(str(name), declared, place(where, name)) for name, declared in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        entries = [_list_entry(each, place(where, number)) for number, each in enumerate(value)]
    else:
        problems.add(f"{where} needs an object of names and types, not {type_name(value)}", where=where)
        return ()
    return tuple(_variable(name, declared, where=at, problems=problems) for name, declared, at in entries)


def _list_entry(each: Json, at: str) -> tuple[str, Json, str]:
    if isinstance(each, Mapping) and isinstance(each.get("name"), str):
        return str(each["name"]), {key: value for key, value in each.items() if key != "name"}, at
    return (each if isinstance(each, str) else ""), "string" if isinstance(each, str) else each, at


def _variable(name: str, declared: Json, *, where: str, problems: Problems) -> Variable:
    if not name.replace("_", "a").replace("-", "a").isalnum() or name[0].isdecimal():
        problems.add(f"{name!r} is not a name", where=where, hint="Use letters, digits and _, and begin with a letter.")
    if isinstance(declared, str):
        return Variable(name=name, type=_checked_type(declared, where=where, problems=problems))
    if not isinstance(declared, Mapping):
        problems.add(f"{name} needs a type, not {type_name(declared)}", where=where, hint=f"Known: {', '.join(TYPES)}.")
        return Variable(name=name)
    fields = Fields(declared, problems=problems, where=where)
    fields.only(("type", "default", "required", "description", "choices", "enum"), what=f"the variable {name!r}")
    choices = fields.list("choices") or fields.list("enum") or ()
    default = declared.get("default")
    variable = Variable(
        name=name,
        type=_checked_type(fields.text("type") or "string", where=where, problems=problems),
        required=fields.flag("required") is not False and default is None,
        default=default,
        description=fields.text("description") or "",
        choices=tuple(choices),
    )
    if default is not None and (not _fits(default, variable.type) or (choices and default not in choices)):
        problems.add(f"the default {default!r} is not {_WORDS.get(variable.type, 'allowed')}", where=fields.at("default"))
    return variable


def _checked_type(written: str, *, where: str, problems: Problems) -> str:
    found = _ALIASES.get(written, written)
    if found not in TYPES:
        problems.add(f"{written!r} is not a type", where=where, hint=did_you_mean(written, TYPES))
        return "any"
    return found


def check_values(variables: Sequence[Variable], values: JsonObject, *, what: str) -> dict[str, Json]:
    """The values by name, checked and with defaults. Text for a type that is not text is read as JSON ("3" is 3).

    Raises `Invalid`, naming `what` (as in "chain/handbook") and the input.
    """
    known = {each.name for each in variables}
    for name in values:
        if name not in known:
            raise Invalid(f"{what} has no input {name!r}", where=f"inputs.{name}", hint=did_you_mean(name, known))
    return {each.name: _checked(each, values.get(each.name), what=what) for each in variables}


def _checked(variable: Variable, value: Json, *, what: str) -> Json:
    where = f"inputs.{variable.name}"
    if value is None:
        if variable.required:
            hint = f"Give it, as in --input {variable.name}=…" if variable.type != "messages" else ""
            raise Invalid(f"{what} needs the input {variable.name!r}", where=where, hint=hint)
        return variable.default
    if not _fits(value, variable.type):
        value = _read(value, variable, where=where)
    if variable.choices and value not in variable.choices:
        known = [str(each) for each in variable.choices]
        raise Invalid(f"the input {variable.name!r} is {value!r}", where=where, hint=f"Allowed: {', '.join(known)}.")
    return value


def _read(value: Json, variable: Variable, *, where: str) -> Json:
    if isinstance(value, str):
        try:
            read: Json = orjson.loads(value)
        except orjson.JSONDecodeError:
            read = None
        if read is not None and _fits(read, variable.type):
            return read
    shown = f" ({value!r})" if isinstance(value, str | int | float) else ""
    raise Invalid(f"the input {variable.name!r} needs {_WORDS[variable.type]}, not {type_name(value)}{shown[:80]}", where=where)


def _fits(value: Json, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, Mapping)
        case "list" | "messages":
            return isinstance(value, Sequence) and not isinstance(value, str)
        case _:
            return True
