"""Changing values in YAML that a person wrote: only the characters of what changes, so that comments, order and quotes stay.

Each pass finds what differs between the text and what is wanted and edits those places. The result is read again: what a pass
made elsewhere, as through an anchor, the next one mends. What cannot be done so is written anew, value by value, at last whole.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeGuard

from tidemill.core.documents import node_value
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.yaml_nodes import Node, YamlProblem, compose
from tidemill.core.yaml_scalars import block_end, flow_text, inline_text, literal_text
from tidemill.core.yaml_text import dump_value

_PASSES: Final = 12
_SHORT: Final = 80
_ANCHOR: Final = re.compile(r"&[^\s,\[\]{}]+[ \t]+")
_ALIAS: Final = re.compile(r"\*[^\s,\[\]{}]+")
_NAMES: Final = ("id", "name")
Edit = tuple[int, int, str]


def edit_document(text: str, index: int, wanted: JsonObject) -> str:
    """The text of a file whose document at `index` (empty ones count) says `wanted`; all else stays as it is.

    Raises `Invalid` when it cannot be made to say that.
    """
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    ending = line_ending(text)
    made = text.removeprefix(bom).replace(ending, "\n")
    for whole in (False, True):
        for _ in range(_PASSES):
            root = compose(made)[index]
            if same(node_value(root), wanted):
                return bom + made.replace("\n", ending)
            edits = [_anew(made, root, wanted)] if whole else _Pass(made).edits(root, wanted)
            edited = _edited(made, edits)
            if edited == made or not _is_sound(edited, index):
                break
            made = edited
    raise Invalid("the file cannot be made to say this", hint="Change it by hand.")


def line_ending(text: str) -> str:
    r"""How the lines of a text end: `\r\n` when each of them does, else `\n`."""
    return "\r\n" if 0 < text.count("\n") == text.count("\r\n") else "\n"


def same(one: Json, other: Json) -> bool:
    """Whether two values are the same, 1 and true told apart, keys in any order."""
    return _plain(one) == _plain(other)


def _plain(value: Json) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _is_sound(text: str, index: int) -> bool:
    try:
        nodes = compose(text)
        node_value(nodes[index])
    except (YamlProblem, Invalid, IndexError):
        return False
    return True


def _edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with these edits, of which none overlaps one before it."""
    pieces: list[str] = []
    place = 0
    for start, end, new in sorted(edits, key=lambda each: each[:2]):
        if start >= place:
            pieces += [text[place:start], new]
            place = end
    return "".join((*pieces, text[place:]))


def _anew(text: str, root: Node, wanted: JsonObject) -> Edit:
    """The whole document written anew."""
    return root.start, _Pass(text).end(root, root.start), dump_value(wanted).rstrip("\n")


@dataclass(slots=True)
class _Pass:
    """Collects what to change in one text."""

    text: str
    found: list[Edit] = field(default_factory=list[Edit])
    aliases: list[Edit] = field(default_factory=list[Edit])
    """Where an alias would be written out; only when its anchor does not change in the same pass."""

    def edits(self, root: Node, wanted: JsonObject) -> list[Edit]:
        self._change(root, wanted, after=root.start, deep=-2, in_flow=False)
        return self.found or self.aliases

    def end(self, node: Node, after: int) -> int:
        """Where a value's own text ends; `after` is where it may begin, which tells an alias from its anchor."""
        if node.start < after:
            match = _ALIAS.search(self.text, after)
            return after if match is None else match.end()
        if node.scalar is not None:
            return block_end(self.text, node.start) if node.style in {"|", ">"} else node.end
        if node.style == "flow":
            return node.end
        place = node.start
        for key, value in node.mapping or ():
            place = max(key.end, self.end(value, key.end))
        for each in node.sequence or ():
            place = max(place, self.end(each, place))
        return place

    def _change(self, node: Node, wanted: Json, *, after: int, deep: int, in_flow: bool) -> None:
        if same(node_value(node), wanted):
            return
        inside = in_flow or node.style == "flow"
        if node.start < after:
            self._replace(node, wanted, after=after, deep=deep, in_flow=in_flow)
        elif node.mapping and isinstance(wanted, Mapping):
            self._change_mapping(node, wanted, deep=deep, in_flow=inside)
        elif node.sequence and _is_list(wanted) and wanted:
            self._change_sequence(node, wanted, deep=deep, in_flow=inside)
        else:
            self._replace(node, wanted, after=after, deep=deep, in_flow=in_flow)

    def _change_mapping(self, node: Node, wanted: JsonObject, *, deep: int, in_flow: bool) -> None:
        entries = [(key, value) for key, value in node.mapping or () if key.tag != "merge"]
        own = {str(key.scalar): (key, value) for key, value in entries}
        now = node_value(node)
        merged: JsonObject = now if isinstance(now, Mapping) else {}
        column = deep + 2 if not entries else self._column(entries[0][0].start)
        for name, (key, value) in own.items():
            if name in wanted:
                self._change(value, wanted[name], after=key.end, deep=column, in_flow=in_flow)
            else:
                self._delete_entry(entries, key, value, in_flow=in_flow)
        new = {
            name: each for name, each in wanted.items() if name not in own and not (name in merged and same(merged[name], each))
        }
        if not new:
            return
        last = max((self.end(value, key.end) for key, value in node.mapping or ()), default=node.start)
        if in_flow:
            told = ", ".join(f"{flow_text(name)}: {flow_text(each)}" for name, each in new.items())
            self.found.append((last, last, f", {told}" if node.mapping else told))
            return
        place = self._line_end(last)
        lines = [f"{' ' * column}{inline_text(name, in_flow=False)}:{self._below(each, column)}" for name, each in new.items()]
        self.found.append((place, place, "".join("\n" + each for each in lines)))

    def _change_sequence(self, node: Node, wanted: Sequence[Json], *, deep: int, in_flow: bool) -> None:
        items = list(node.sequence or ())
        values = [node_value(each) for each in items]
        before, after = [_name(each) for each in values], [_name(each) for each in wanted]
        spans: list[tuple[int, int]] = []
        place = node.start
        for each in items:
            begin = max(each.start, place)
            place = self.end(each, place)
            spans.append((begin, place))
        lower = [node.start, *(end for _, end in spans)]
        for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            paired = b - a if tag == "equal" else min(b - a, d - c)
            for at in range(paired):
                column = deep + 2 if in_flow else self._column(spans[a + at][0])
                self._change(items[a + at], wanted[c + at], after=lower[a + at], deep=column - 2, in_flow=in_flow)
            for at in range(a + paired, b):
                self._delete_item(spans, at, in_flow=in_flow)
            if d - c > paired:
                self._insert(spans, a + paired, wanted[c + paired : d], in_flow=in_flow)

    def _replace(self, node: Node, wanted: Json, *, after: int, deep: int, in_flow: bool) -> None:
        is_alias = node.start < after
        start, end = node.start, self.end(node, after)
        if is_alias:
            match = _ALIAS.search(self.text, after)
            start = after if match is None else match.start()
        elif (anchor := _ANCHOR.match(self.text, start)) is not None:
            start = anchor.end()
        if in_flow:
            told = inline_text(wanted, in_flow=True, style=node.style) if isinstance(wanted, str) else flow_text(wanted)
            (self.aliases if is_alias else self.found).append((start, end, told))
            return
        if is_alias:
            self.aliases.append((start, end, self._below(wanted, deep).removeprefix(" ")))
            return
        if isinstance(wanted, str) and node.style in {"|", ">"} and (made := literal_text(wanted, deep, self.text[start:end])):
            self.found.append((start, end, made))
            return
        if not isinstance(wanted, Mapping) and not _is_list(wanted) and node.scalar is not None and node.start != node.end:
            if isinstance(wanted, str) and "\n" in wanted and (made := literal_text(wanted, deep, "")):
                self.found.append((start, end, made))
            else:
                self.found.append((start, end, inline_text(wanted, in_flow=False, style=node.style)))
            return
        colon = self.text.find(":", after) + 1 if self.text[after : after + 1] in {":", " ", "\t"} else start
        self.found.append((colon, max(colon, end), self._below(wanted, deep)))

    def _below(self, value: Json, column: int) -> str:
        """A value as it follows `key:` at this column: on the line, as a literal block, or as a block below."""
        if isinstance(value, str) and "\n" in value and (made := literal_text(value, column, "")):
            return f" {made}"
        short = flow_text(value)
        if (not isinstance(value, Mapping) and not _is_list(value)) or not value:
            return f" {inline_text(value, in_flow=False) if isinstance(value, str) else short}"
        if len(short) <= _SHORT and "\n" not in short and not _holds_lines(value):
            return f" {short}"
        lines = dump_value(value).rstrip("\n").split("\n")
        return "".join(f"\n{' ' * (column + 2)}{line}".rstrip() if line else "\n" for line in lines)

    def _insert(self, spans: Sequence[tuple[int, int]], at: int, values: Sequence[Json], *, in_flow: bool) -> None:
        if in_flow:
            told = ", ".join(flow_text(each) for each in values)
            place = spans[at - 1][1] if at else spans[0][0]
            self.found.append((place, place, f", {told}" if at else f"{told}, "))
            return
        dash = self._dash(spans[max(at - 1, 0)][0])
        column = self._column(dash)
        lines = "".join(f"{' ' * column}-{self._item(each, column)}\n" for each in values)
        if at == 0:
            place = self.text.rfind("\n", 0, dash) + 1
            self.found.append((place, place, lines))
        else:
            place = self._line_end(spans[at - 1][1])
            self.found.append((place, place, "\n" + lines.rstrip("\n")))

    def _item(self, value: Json, column: int) -> str:
        if isinstance(value, Mapping) and value and (len(flow_text(value)) > _SHORT or _holds_lines(value)):
            lines = dump_value(value).rstrip("\n").split("\n")
            return (" " + lines[0]) + "".join(f"\n{' ' * (column + 2)}{line}".rstrip() if line else "\n" for line in lines[1:])
        return self._below(value, column)

    def _delete_entry(self, entries: Sequence[tuple[Node, Node]], key: Node, value: Node, *, in_flow: bool) -> None:
        at = next(number for number, (each, _) in enumerate(entries) if each is key)
        following = entries[at + 1][0].start if at + 1 < len(entries) else None
        end = self.end(value, key.end)
        line = self.text.rfind("\n", 0, key.start) + 1
        if in_flow or self.text[line : key.start].strip():
            before = self.end(entries[at - 1][1], entries[at - 1][0].end) if at else key.start
            self.found.append((key.start, following, "") if following is not None else (before, end, ""))
        else:
            self.found.append((line, min(self._line_end(end) + 1, len(self.text)), ""))

    def _delete_item(self, spans: Sequence[tuple[int, int]], at: int, *, in_flow: bool) -> None:
        start, end = spans[at]
        if in_flow:
            following = spans[at + 1][0] if at + 1 < len(spans) else None
            self.found.append((start, following, "") if following is not None else (spans[at - 1][1] if at else start, end, ""))
            return
        dash = self._dash(start)
        line = self.text.rfind("\n", 0, dash) + 1
        begin = dash if self.text[line:dash].strip() else line
        self.found.append((begin, min(self._line_end(end) + 1, len(self.text)), ""))

    def _dash(self, start: int) -> int:
        return self.text.rfind("-", 0, start)

    def _column(self, place: int) -> int:
        return place - (self.text.rfind("\n", 0, place) + 1)

    def _line_end(self, place: int) -> int:
        found = self.text.find("\n", place)
        return len(self.text) if found < 0 else found - (self.text[found - 1 : found] == "\r")


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _name(value: Json) -> str:
    """What tells an item of a list apart: its id or name, else all that it says."""
    if isinstance(value, Mapping):
        return next((f"{key}={value[key]}" for key in _NAMES if isinstance(value.get(key), str)), _plain(value))
    return _plain(value)


def _holds_lines(value: Json) -> bool:
    if isinstance(value, str):
        return "\n" in value
    if isinstance(value, Mapping):
        return any(_holds_lines(each) for each in value.values())
    return _is_list(value) and any(_holds_lines(each) for each in value)
