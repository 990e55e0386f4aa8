"""Single values as YAML text: plain, quoted as before, or a literal block."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.json import Json
from tidemill.core.yaml_nodes import YamlProblem, compose
from tidemill.core.yaml_text import is_plain_block

_HEADER: Final = re.compile(r"(?:[&!][^\s]+[ \t]+)*[|>][^\n]*\n")
_COMMENT: Final = re.compile(r"[ \t]+#.*$")
_INDENT: Final = re.compile(r"[ ]*")


def inline_text(value: Json, *, in_flow: bool, style: str = "") -> str:
    """A value on one line: text in the quotes that it had, or without any where YAML reads it as the same text."""
    if not isinstance(value, str):
        return flow_text(value)
    printable = value.isprintable()
    if style == "'" and printable:
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and printable and _is_plain(value, in_flow=in_flow):
        return value
    return json.dumps(value, ensure_ascii=not printable and not _is_safe(value))


def flow_text(value: Json) -> str:
    """A value on one line, as it stands inside of braces and brackets."""
    if isinstance(value, str):
        return inline_text(value, in_flow=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow_text(key)}: {flow_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(flow_text(each) for each in value) + "]"
    text = json.dumps(value)
    return text.replace("e", ".0e") if isinstance(value, float) and "e" in text and "." not in text else text


def literal_text(value: str, column: int, before: str) -> str | None:
    """Text as a literal block below a key at `column`, its lines indented as those of the block before; None when it cannot.

    A folded block becomes a literal one: folding would have to guess where lines may break.
    """
    if not is_plain_block(value):
        return None
    body = value.rstrip("\n")
    ends = len(value) - len(body)
    sign = {0: "|-", 1: "|"}.get(ends, "|+")
    header, *rest = before.split("\n")
    lines = [line for line in rest if line.strip()]
    comment = _COMMENT.search(header) if rest else None
    sign += "" if comment is None else comment[0]
    indent = " " * (min(len(_indent(line)) for line in lines) if lines else max(column, 0) + 2)
    told = [indent + line if line else "" for line in body.split("\n")]
    return "\n".join((sign, *told, *([""] * (ends - 1) if ends > 1 else [])))


def block_end(text: str, start: int) -> int:
    """Where a literal or folded block ends: after its last line that is not blank."""
    header = _HEADER.match(text, start)
    if header is None:
        return start
    place = end = header.end()
    deep: int | None = None
    while place < len(text):
        stop = text.find("\n", place)
        stop = len(text) if stop < 0 else stop
        line = text[place:stop]
        if line.strip():
            indent = len(_indent(line))
            deep = indent if deep is None else deep
            if indent < deep or (indent == 0 and deep == 0):
                break
            end = stop
        place = stop + 1
    return min(end, len(text)) if deep is not None else header.end() - 1


def _indent(line: str) -> str:
    match = _INDENT.match(line)
    return "" if match is None else match[0]


def _is_plain(text: str, *, in_flow: bool) -> bool:
    if not text or text != text.strip() or "\n" in text:
        return False
    try:
        nodes = compose(f"[{text}]" if in_flow else f"k: {text}\n")
    except YamlProblem:
        return False
    if len(nodes) != 1:
        return False
    root = nodes[0]
    found = (root.sequence or [None])[0] if in_flow else (root.mapping or [(None, None)])[0][1]
    alone = len(root.sequence or root.mapping or ()) == 1
    return alone and found is not None and found.tag == "str" and found.scalar == text


def _is_safe(text: str) -> bool:
    return all(each.isprintable() or each in "\n\t" for each in text)
