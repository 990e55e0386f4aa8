"""Documents of a project: YAML read safely, each value with the line it stands on.

Only the JSON types are made: a tag that would build an object, a document that expands without end, or a key written twice
is refused with its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import check_name
from tidemill.core.yaml_nodes import Node, YamlProblem, compose

_LARGEST_FILE = 4 * 1024 * 1024
_MOST_VALUES = 200_000
_DEEPEST = 60
_OUTSIDE = frozenset({"kind", "name", "description", "tags", "owner", "environment"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceDocument:
    """One document of a project's files: what it is called, its body, and where each of its values stands.

    `body` is without kind, name, description, tags, owner and environment.
    """

    kind: str
    name: str
    body: JsonObject
    path: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: str = ""
    environment: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def bare(self) -> str:
        """`kind/name`."""
        return f"{self.kind}/{self.name}"

    def line_of(self, place: str) -> int:
        """The line, from 1, of a place such as `steps.1.prompt`; of what encloses it when there is no such place."""
        while place not in self.lines and place:
            place = place.rpartition(".")[0]
        return self.lines.get(place, 1)

    def where(self, place: str) -> str:
        """`file:line` of a place."""
        return f"{self.path}:{self.line_of(place)}"


def load_documents(text: str | bytes, *, path: str) -> list[SourceDocument]:
    """Read the documents of one file; empty ones are left out.

    Raises `Invalid` with `path:line` and every mistake that was found.
    """
    decoded = _decode(text, path)
    try:
        nodes = compose(decoded)
    except YamlProblem as error:
        raise _invalid([Problem(message=error.message, where=f"{path}:{error.line}", hint=error.hint)]) from error
    found: list[SourceDocument] = []
    problems: list[Problem] = []
    reader = _Reader(path)
    for node in nodes:
        try:
            document = reader.read(node)
        except Invalid as error:
            problems.extend(error.problems)
        else:
            if document is not None:
                found.append(document)
    if problems:
        raise _invalid(problems)
    return found


def node_value(node: Node) -> Json:
    """What a node says. Raises `Invalid` for what no document may hold."""
    return _Reader("").value(node)


def _decode(text: str | bytes, path: str) -> str:
    if len(text) > _LARGEST_FILE:
        hint = "Keep rows and documents in files of their own and name them by path."
        raise _invalid([Problem(message="the file is larger than 4 MiB", where=f"{path}:1", hint=hint)])
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        problem = Problem(
            message=f"byte {text[error.start]:#04x} is not UTF-8", where=f"{path}:{line}", hint="Save the file as UTF-8."
        )
        raise _invalid([problem]) from error


class _Reader:
    """Makes documents out of nodes; counts values over the whole file, so that aliases cannot expand without end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.values = 0
        self.lines: dict[str, int] = {}

    def value(self, node: Node) -> Json:
        return self._value(node, "", ())

    def read(self, node: Node) -> SourceDocument | None:
        self.lines = {"": node.line}
        content = self._value(node, "", ())
        if content is None:
            return None
        if not isinstance(content, Mapping):
            raise self._mistake("", "a document is a mapping of keys to values", hint="Begin it with kind: and name:.")
        required = {"kind": True, "name": True, "description": False, "owner": False, "environment": False}
        checked = [self._text_problem(content, key, required=needed) for key, needed in required.items()]
        problems = [each for each in checked if each is not None]
        problems.extend(self._name_problems(content))
        tags, tag_problems = self._tags(content.get("tags"))
        problems.extend(tag_problems)
        if problems:
            raise _invalid(problems)
        environment = content.get("environment")
        return SourceDocument(
            kind=str(content["kind"]),
            name=str(content["name"]),
            description=str(content.get("description") or ""),
            tags=tags,
            owner=str(content.get("owner") or ""),
            environment=None if environment is None else str(environment),
            body={key: value for key, value in content.items() if key not in _OUTSIDE},
            path=self.path,
            lines=self.lines,
        )

    def _text_problem(self, content: JsonObject, key: str, *, required: bool) -> Problem | None:
        value = content.get(key)
        if value is None:
            hint = f"Write {key}: as one of its first lines."
            return Problem(message=f"a document needs {key}", where=self._where(""), hint=hint) if required else None
        if isinstance(value, str):
            return None
        return Problem(message=f"{key} {value!r} is not text", where=self._where(key), hint="Quote it.")

    def _name_problems(self, content: JsonObject) -> list[Problem]:
        found: list[Problem] = []
        for key in ("name", "environment"):
            value = content.get(key)
            if isinstance(value, str):
                try:
                    check_name(value, what=key)
                except Invalid as error:
                    found.append(Problem(message=error.message, where=self._where(key), hint=error.hint))
        return found

    def _tags(self, value: Json) -> tuple[dict[str, str], list[Problem]]:
        if value is None:
            return {}, []
        if isinstance(value, Mapping) and all(isinstance(each, str | int | float | bool) for each in value.values()):
            return {key: each if isinstance(each, str) else _plain(each) for key, each in value.items()}, []
        if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, str) for each in value):
            return dict.fromkeys(cast("Sequence[str]", value), ""), []
        hint = "Write tags: {team: search} or tags: [search]."
        return {}, [Problem(message="tags are a mapping of text, or a list", where=self._where("tags"), hint=hint)]

    def _value(self, node: Node, place: str, above: tuple[Node, ...]) -> Json:
        self.values += 1
        self.lines.setdefault(place, node.line)
        if self.values > _MOST_VALUES:
            raise self._mistake(place, f"the file expands to more than {_MOST_VALUES:,} values", hint="Use fewer aliases.")
        if any(each is node for each in above):
            raise self._mistake(place, "an alias stands inside what it refers to", hint="Write the value out.")
        if len(above) > _DEEPEST:
            raise self._mistake(place, f"values are nested more than {_DEEPEST} deep")
        if node.scalar is None and node.tag not in {"map", "seq"}:
            raise self._refused(node, place)
        if node.mapping is not None:
            return self._mapping(node, place, above)
        if node.sequence is not None:
            below = (*above, node)
            return [self._value(each, _join(place, str(index)), below) for index, each in enumerate(node.sequence)]
        return self._scalar(node, place)

    def _mapping(self, node: Node, place: str, above: tuple[Node, ...]) -> Json:
        result: dict[str, Json] = {}
        merged: dict[str, Json] = {}
        for key, each in node.mapping or ():
            if key.tag == "merge":
                merged |= self._merged(each, place, (*above, node))
                continue
            name = key.scalar
            if name is None or key.tag != "str":
                shown = "a list or mapping" if name is None else repr(name)
                raise self._mistake(place, f"the key {shown} is not text", hint="Quote it.", line=key.line)
            if name in result:
                first = self.lines[_join(place, name)]
                raise self._mistake(place, f"the key {name!r} stands here twice; the first is on line {first}", line=key.line)
            self.lines[_join(place, name)] = key.line
            result[name] = self._value(each, _join(place, name), (*above, node))
        return {**merged, **result}

    def _merged(self, node: Node, place: str, above: tuple[Node, ...]) -> dict[str, Json]:
        merged: dict[str, Json] = {}
        for each in reversed(node.sequence if node.sequence is not None else (node,)):
            value = self._value(each, place, above)
            if not isinstance(value, Mapping):
                raise self._mistake(place, "<< merges mappings only", line=node.line)
            merged |= value
        return merged

    def _scalar(self, node: Node, place: str) -> Json:
        text = node.scalar or ""
        try:
            match node.tag:
                case "null":
                    return None
                case "bool":
                    return text.lower() in {"true", "yes", "on", "y"}
                case "int":
                    return _integer(text)
                case "float":
                    return _float(text)
                case "str" | "timestamp" | "value":
                    return text
                case _:
                    raise self._refused(node, place)
        except ValueError as error:
            raise self._mistake(
                place, f"{text[:60]!r} is not a number that can be kept", hint="Quote it.", line=node.line
            ) from error

    def _refused(self, node: Node, place: str) -> Invalid:
        tag = node.tag if node.tag.startswith("!") else f"!!{node.tag}"
        hint = "Specs hold plain values; nothing is built or run from them."
        return self._mistake(place, f"the tag {tag} is not allowed", hint=hint, line=node.line)

    def _where(self, place: str) -> str:
        return f"{self.path}:{self.lines.get(place, 1)}"

    def _mistake(self, place: str, message: str, *, hint: str = "", line: int | None = None) -> Invalid:
        where = self._where(place) if line is None else f"{self.path}:{line}"
        return _invalid([Problem(message=message, where=where, hint=hint)])


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    for prefix, radix in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], radix)
    return sign * int(digits)


def _float(text: str) -> float:
    value = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _invalid(problems: Sequence[Problem]) -> Invalid:
    first = problems[0]
    if len(problems) == 1:
        return Invalid(first.message, where=first.where, hint=first.hint, problems=problems)
    return Invalid(f"{len(problems)} problems", problems=problems)
