"""Reading the body of a document field by field: every mistake becomes a `Problem` with its place, and reading goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import jsonschema_rs

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean


class Problems:
    """Collects what is wrong with one document."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, message: str, *, where: str, hint: str = "") -> None:
        """Note one mistake."""
        self.found.append(Problem(message=message, where=where, hint=hint))

    def raise_if_any(self) -> None:
        """Raise one `Invalid` that carries all of them; the first is its message."""
        if self.found:
            first = self.found[0]
            raise Invalid(first.message, where=first.where, hint=first.hint, problems=self.found)


def place(where: str, key: str | int) -> str:
    """The place of `key` below `where`, as in `steps.1.with`."""
    return f"{where}.{key}" if where else str(key)


def type_name(value: Json) -> str:
    """A JSON type in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "a whole number" if isinstance(value, int) else "a number"
    return "an object" if isinstance(value, Mapping) else "a list"


def one_or_many(value: Json, *, where: str) -> list[tuple[str, Json]]:
    """The items of a list with their places; a single value is a list of one, at its own place; null is none."""
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(place(where, number), each) for number, each in enumerate(value)]
    return [(where, value)]


class Fields:
    """One object of the body. A getter answers None for what is absent or wrong, after noting the problem."""

    def __init__(self, value: JsonObject, *, problems: Problems, where: str = "") -> None:
        self.value = value
        self.problems = problems
        self.where = where

    def at(self, key: str | int) -> str:
        """The place of one of its keys."""
        return place(self.where, key)

    def has(self, key: str) -> bool:
        """Whether the key is given, and is not null."""
        return self.value.get(key) is not None

    def only(self, known: Iterable[str], *, what: str) -> None:
        """Note every key that is not known here."""
        allowed = tuple(known)
        for key in self.value:
            if key not in allowed:
                self.problems.add(f"unknown key {key!r} in {what}", where=self.at(key), hint=did_you_mean(key, allowed))

    def wrong(self, key: str, needed: str) -> None:
        """Note that a key has the wrong type."""
        value = self.value.get(key)
        self.problems.add(f"{key} needs {needed}, not {type_name(value)}", where=self.at(key))

    def missing(self, key: str, *, hint: str = "") -> None:
        """Note that a key is needed."""
        self.problems.add(f"{key} is missing", where=self.at(key) if not self.where else self.where, hint=hint)

    def text(self, key: str, *, required: bool = False) -> str | None:
        """Text that is not empty."""
        value = self.value.get(key)
        if value is None:
            if required:
                self.missing(key)
            return None
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, str):
            self.problems.add(f"{key} is empty", where=self.at(key))
        else:
            self.wrong(key, "text")
        return None

    def number(self, key: str, *, low: float, high: float) -> float | None:
        """A number of [low, high]."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(key, "a number")
            return None
        if not low <= value <= high:
            self.problems.add(f"{key} is {value}, but must be from {low:g} to {high:g}", where=self.at(key))
            return None
        return value

    def integer(self, key: str, *, low: int, high: int) -> int | None:
        """A whole number of [low, high]."""
        value = self.value.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            self.wrong(key, "a whole number")
            return None
        found = self.number(key, low=low, high=high)
        return None if found is None else int(found)

    def choice(self, key: str, known: Sequence[str], *, default: str | None = None) -> str | None:
        """One of the known words."""
        value = self.value.get(key)
        if value is None:
            return default
        if value in known:
            return str(value)
        self.problems.add(f"{key} {value!r} is not known", where=self.at(key), hint=did_you_mean(str(value), known))
        return None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self.value.get(key)
        if value is not None and not isinstance(value, bool):
            self.wrong(key, "true or false")
            return None
        return value

    def object(self, key: str) -> JsonObject | None:
        """An object."""
        value = self.value.get(key)
        if value is not None and not isinstance(value, Mapping):
            self.wrong(key, "an object")
            return None
        return value

    def list(self, key: str) -> Sequence[Json] | None:
        """A list."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
            self.wrong(key, "a list")
            return None
        return value

    def ref(self, key: str, kind: str, *, required: bool = False) -> str | None:
        """A reference to an artifact of `kind`; a bare name gets the kind."""
        value = self.text(key, required=required)
        return None if value is None else checked_ref(value, kind=kind, where=self.at(key), problems=self.problems)

    def schema(self, key: str) -> JsonObject | None:
        """A JSON Schema."""
        value = self.object(key)
        if value is None:
            return None
        try:
            jsonschema_rs.validator_for(dict(value))
        except (jsonschema_rs.ValidationError, ValueError) as error:
            self.problems.add(f"{key} is not a JSON Schema: {str(error).splitlines()[0]}", where=self.at(key))
            return None
        return value


def checked_ref(value: str, *, kind: str, where: str, problems: Problems) -> str | None:
    """The reference in full, or None after noting the problem. A route stands wherever a model does."""
    named = value.partition("@")[0].rpartition(":")[2]
    try:
        return str(parse_ref(value, kind="route" if kind == "model" and named.startswith("route/") else kind))
    except Invalid as error:
        problems.add(error.message, where=where, hint=error.hint)
        return None
