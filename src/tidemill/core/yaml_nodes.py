"""YAML text as a plain tree of nodes with line numbers; the one place that knows the YAML library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CORE = "tag:yaml.org,2002:"


class YamlProblem(Exception):
    """The text is not YAML; `line` is where, from 1."""

    def __init__(self, message: str, *, line: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.hint = hint


@dataclass(eq=False, slots=True)
class Node:
    """One value: exactly one of `scalar`, `sequence` and `mapping` is not None. An alias is the same node again.

    `tag` is `str`, `int`, `map` … for the core types, else the tag as written. `start` and `end` are places in the text, as far
    as the library knows them: a block's end may be that of blank lines and comments below it. `style` is `|`, `>`, `"`, `'` or
    empty for a scalar, and `flow` for a collection on one line.
    """

    tag: str
    line: int
    scalar: str | None = None
    sequence: list[Node] | None = None
    mapping: list[tuple[Node, Node]] | None = None
    start: int = 0
    end: int = 0
    style: str = ""


def compose(text: str) -> list[Node]:
    """The root node of every document. Raises `YamlProblem`."""
    from ruamel.yaml import YAML  # noqa: PLC0415  (only commands that read specs pay for it)
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    try:
        constructor, _ = YAML(typ="safe", pure=True).get_constructor_parser(text)
        composer: Any = constructor.composer
        seen: dict[int, Node] = {}
        found: list[Node] = []
        kept_alive: list[Any] = []
        while composer.check_node():
            root = composer.get_node()
            kept_alive.append(root)
            found.append(_convert(root, seen))
    except MarkedYAMLError as error:
        raise _marked(error) from error
    except YAMLError as error:
        # ruamel's ReaderError: a character that YAML does not allow; it has no line, so it is found here.
        raise YamlProblem("a control character is not allowed here", line=_control_line(text)) from error
    except RecursionError as error:
        raise YamlProblem("values are nested too deeply", line=1) from error
    except ValueError as error:
        raise YamlProblem(f"not valid YAML: {error}", line=1) from error
    return found


def _marked(error: Any) -> YamlProblem:
    mark = error.problem_mark or error.context_mark
    message = " ".join(str(each) for each in (error.context, error.problem) if each)
    return YamlProblem(f"not valid YAML: {message}", line=1 if mark is None else mark.line + 1)


def _convert(node: Any, seen: dict[int, Node]) -> Node:
    known = seen.get(id(node))
    if known is not None:
        return known
    made = Node(tag=_tag(str(node.tag)), line=node.start_mark.line + 1, start=node.start_mark.index, end=node.end_mark.index)
    made.style = (node.style or "") if node.id == "scalar" else "flow" if node.flow_style else ""
    seen[id(node)] = made
    if node.id == "mapping":
        made.mapping = [(_convert(key, seen), _convert(value, seen)) for key, value in node.value]
    elif node.id == "sequence":
        made.sequence = [_convert(each, seen) for each in node.value]
    else:
        made.scalar = str(node.value)
    return made


def _tag(tag: str) -> str:
    return tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag


def _control_line(text: str) -> int:
    for number, line in enumerate(text.split("\n"), start=1):
        if any(ord(each) < 0x20 and each not in "\t\r" for each in line) or "\x7f" in line:
            return number
    return 1
