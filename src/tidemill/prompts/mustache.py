"""Logic-light templates: `{{name}}`, `{{a.b}}`, `{{#section}}…{{/section}}`, `{{^none}}…{{/none}}`, `{{! remark}}`.

The syntax is Mustache (https://mustache.github.io/mustache.5.html) without partials, lambdas and changed delimiters, and
nothing is ever HTML-escaped: `{{x}}`, `{{{x}}}` and `{{&x}}` are the same.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.prompts.text import text_of

Path: TypeAlias = tuple[str, ...]
_TAG = re.compile(r"\{\{(?P<triple>\{)?\s*(?P<sigil>[#^/!&>=]?)\s*(?P<name>.*?)\s*(?(triple)\}\}\}|\}\})", re.DOTALL)
_NAME = re.compile(r"\.|[A-Za-z_][\w-]*(\.[\w-]+)*")
_FORM = "Write {{name}}, {{name.field}}, {{#name}}…{{/name}} or {{^name}}…{{/name}}."
_NESTING = 50


@dataclass(frozen=True, slots=True)
class Value:
    """`{{path}}`."""

    path: Path


@dataclass(frozen=True, slots=True)
class Section:
    """`{{#path}}…{{/path}}`, or with `inverted` `{{^path}}…{{/path}}`."""

    path: Path
    inverted: bool
    nodes: tuple[Node, ...]


Node: TypeAlias = "str | Value | Section"


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `sole` is the path when the whole text is one `{{path}}`, so that a typed value can pass."""

    nodes: tuple[Node, ...]
    sole: Path | None = None

    def render(self, values: Mapping[str, Json]) -> str:
        """The text, with every value in its place. A name that `values` lacks gives nothing."""
        pieces: list[str] = []
        _render(self.nodes, [values], pieces)
        return "".join(pieces)

    def names(self) -> Iterator[tuple[Path, bool]]:
        """Every path used, and whether it stands inside a section, where it may name a field of the section's value."""
        yield from _names(self.nodes, inside=False)

    @property
    def is_constant(self) -> bool:
        """Whether it names nothing."""
        return all(isinstance(each, str) for each in self.nodes)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Template:
    """Parse a template. Raises `Invalid` for a tag that is not closed, not opened, or has no name."""
    open_nodes: list[list[Node]] = [[]]
    open_tags: list[tuple[str, str]] = []
    end = 0
    for match in _TAG.finditer(text):
        before, after = text[end : match.start()], match.end()
        if match["sigil"] in {"#", "^", "/", "!"}:
            before, after = _standalone(text, before, match)
        _check_closed(before)
        if before:
            open_nodes[-1].append(before)
        end = after
        _add_tag(match["sigil"], match["name"], open_nodes, open_tags)
    if open_tags:
        raise Invalid(f"{{{{#{open_tags[-1][1]}}}}} is never closed", hint=f"Add {{{{/{open_tags[-1][1]}}}}}.")
    _check_closed(text[end:])
    if text[end:]:
        open_nodes[0].append(text[end:])
    nodes = tuple(open_nodes[0])
    only = nodes[0] if len(nodes) == 1 else None
    return Template(nodes=nodes, sole=only.path if isinstance(only, Value) else None)


def _check_closed(text: str) -> None:
    if "{{" in text:
        shown = text[text.index("{{") :][:30]
        raise Invalid(f"{shown!r} opens a tag that is never closed", hint=_FORM)


def _standalone(text: str, before: str, match: re.Match[str]) -> tuple[str, int]:
    """A section's tag alone on its line takes the whole line with it."""
    head = before.rpartition("\n")[2]
    starts_line = match.start() - len(head) == 0 or text[match.start() - len(head) - 1] == "\n"
    tail = re.compile(r"[ \t]*(\r?\n|\Z)").match(text, match.end())
    if head.strip() or not starts_line or tail is None:
        return before, match.end()
    return before[: len(before) - len(head)], tail.end()


def _add_tag(sigil: str, name: str, open_nodes: list[list[Node]], open_tags: list[tuple[str, str]]) -> None:
    if sigil == "!":
        return
    if sigil in {">", "="}:
        raise Invalid(f"{{{{{sigil}{name}}}}} is not supported: templates have no partials and one delimiter", hint=_FORM)
    if _NAME.fullmatch(name) is None:
        raise Invalid(f"{{{{{name[:40]}}}}} does not name anything", hint=_FORM)
    path = () if name == "." else tuple(name.split("."))
    if sigil in {"#", "^"}:
        open_tags.append((sigil, name))
        open_nodes.append([])
        if len(open_tags) > _NESTING:
            raise Invalid(f"sections are nested more than {_NESTING} deep")
    elif sigil == "/":
        if not open_tags or open_tags[-1][1] != name:
            hint = f"{{{{#{open_tags[-1][1]}}}}} is open here." if open_tags else "No section is open here."
            raise Invalid(f"{{{{/{name}}}}} closes what is not open", hint=hint)
        opened, _ = open_tags.pop()
        nodes = tuple(open_nodes.pop())
        open_nodes[-1].append(Section(path=path, inverted=opened == "^", nodes=nodes))
    else:
        open_nodes[-1].append(Value(path=path))


def _names(nodes: Sequence[Node], *, inside: bool) -> Iterator[tuple[Path, bool]]:
    for node in nodes:
        if isinstance(node, str):
            continue
        if node.path:
            yield node.path, inside
        if isinstance(node, Section):
            yield from _names(node.nodes, inside=inside or not node.inverted)


def _render(nodes: Sequence[Node], stack: list[Json], pieces: list[str]) -> None:
    for node in nodes:
        if isinstance(node, str):
            pieces.append(node)
        elif isinstance(node, Value):
            pieces.append(text_of(_look_up(node.path, stack)))
        else:
            _render_section(node, _look_up(node.path, stack), stack, pieces)


def _render_section(node: Section, value: Json, stack: list[Json], pieces: list[str]) -> None:
    given = bool(value) or (isinstance(value, int | float) and not isinstance(value, bool))
    if node.inverted:
        if not given:
            _render(node.nodes, stack, pieces)
        return
    if not given:
        return
    for each in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
        stack.append(each)
        _render(node.nodes, stack, pieces)
        stack.pop()


def _look_up(path: Path, stack: Sequence[Json]) -> Json:
    if not path:
        return stack[-1]
    for frame in reversed(stack):
        if isinstance(frame, Mapping) and path[0] in frame:
            return follow(frame[path[0]], path[1:])
    return None


def follow(value: Json, fields: Sequence[str]) -> Json:
    """A field of a field of a value; a list's items by number from 0; null for what is not there."""
    for field in fields:
        if isinstance(value, Mapping):
            value = value.get(field)
        elif isinstance(value, Sequence) and not isinstance(value, str) and field.isdecimal() and int(field) < len(value):
            value = value[int(field)]
        else:
            return None
    return value
