"""Templates inside a spec: any JSON whose texts may hold `{{name}}`. One name alone passes its typed value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from tidemill.core.json import Json
from tidemill.prompts.fields import place
from tidemill.prompts.mustache import Path, follow, parse

Values: TypeAlias = Mapping[str, Json]
"""Inputs and the outputs of finished steps, by name."""
Build: TypeAlias = Callable[[Values], Json]


def compile_value(value: Json) -> Build:
    """A function from values to the JSON with every template filled in."""
    if isinstance(value, str):
        return _compile_text(value)
    if isinstance(value, Mapping):
        fields = [(key, compile_value(each)) for key, each in value.items()]
        return lambda values: {key: build(values) for key, build in fields}
    if isinstance(value, Sequence):
        items = [compile_value(each) for each in value]
        return lambda values: [build(values) for build in items]
    return lambda _: value


def compile_fields(value: Mapping[str, Json]) -> Callable[[Values], dict[str, Json]]:
    """As `compile_value`, for an object."""
    fields = [(key, compile_value(each)) for key, each in value.items()]
    return lambda values: {key: build(values) for key, build in fields}


def _compile_text(text: str) -> Build:
    template = parse(text)
    if template.is_constant:
        constant = template.render({})
        return lambda _: constant
    if template.sole is None:
        return template.render
    path = template.sole
    if not path:
        return lambda values: values
    name, rest = path[0], path[1:]
    if not rest:
        return lambda values: values.get(name)
    return lambda values: follow(values.get(name), rest)


def names_in(value: Json, *, where: str) -> Iterator[tuple[str, Path, bool]]:
    """Every name used in a JSON's templates: its place, its path, and whether it stands inside a section."""
    if isinstance(value, str):
        for path, inside in parse(value).names():
            yield where, path, inside
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from names_in(each, where=place(where, key))
    elif isinstance(value, Sequence):
        for number, each in enumerate(value):
            yield from names_in(each, where=place(where, number))


def sole_path(value: Json) -> Path | None:
    """The path when the value is one `{{path}}` and nothing else."""
    return parse(value).sole if isinstance(value, str) else None
