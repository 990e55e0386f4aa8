"""Cutting a text at its own joints, coarse to fine: blocks, list items, sentences or lines of code, words, characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
Joints: TypeAlias = Callable[[str, int, int, int], Iterator[int]]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"^[ \t]*(?:[-*+•‣]|\d{1,4}[.)]|[a-zA-Z][.)])[ \t]+\S", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+(?=[^\sa-z])|[。！？｡]+[」』”’)]*")
_LINE = re.compile(r"\n")
_WORD = re.compile(r"\s+")
_CODE = re.compile(r"\A(?: {0,3}(?:```|~~~)|>>> |(?:[ ]{4,}|\t))")
_JOINERS = "\u200d\ufe0e\ufe0f"


def cut(text: str, start: int, end: int, *, limit: int) -> list[Span]:
    """Units of at most `limit` characters that cover `[start, end)` without gaps, cut no finer than they must be."""
    return list(_cut(text, start, end, limit, _LEVELS))


def pack(text: str, units: Sequence[Span], *, limit: int, overlap: int) -> Iterator[Span]:
    """Join units in order into spans of at most `limit` characters; each begins with up to `overlap` of the one before.

    Blank space at a span's ends is left out, but not the indentation of its first line.
    """
    held: list[Span] = []
    for unit in units:
        if held and unit[1] - held[0][0] > limit and trim(text, held[0][0], unit[1])[1] - held[0][0] > limit:
            yield trim(text, held[0][0], held[-1][1])
            held = _tail(held, unit, limit=limit, overlap=overlap)
        held.append(unit)
    if held:
        yield trim(text, held[0][0], held[-1][1])


def trim(text: str, start: int, end: int) -> Span:
    """Without blank lines at the start and blank space at the end; empty when there is nothing else."""
    while end > start and text[end - 1].isspace():
        end -= 1
    position = start
    while position < end and text[position].isspace():
        position += 1
    line = text.rfind("\n", start, position)
    return (max(start, line + 1) if line >= 0 else start) if position < end else end, end


def _tail(held: list[Span], unit: Span, *, limit: int, overlap: int) -> list[Span]:
    kept: list[Span] = []
    for each in reversed(held[1:]):
        if held[-1][1] - each[0] > overlap or unit[1] - each[0] > limit:
            break
        kept.insert(0, each)
    return kept


def _cut(text: str, start: int, end: int, limit: int, levels: Sequence[Joints]) -> Iterator[Span]:
    if end - start <= limit or not levels:
        yield start, end
        return
    before = start
    for joint in (*levels[0](text, start, end, limit), end):
        if before < joint:
            yield from _cut(text, before, joint, limit, levels[1:])
            before = joint


def _blocks(text: str, start: int, end: int, limit: int) -> Iterator[int]:  # noqa: ARG001  (as every level)
    """Where a block begins: after a blank line, at a fence and behind it. A fenced block is one, blank lines and all."""
    fence, blank, position = "", False, start
    while position < end:
        stop = text.find("\n", position, end)
        stop = end if stop < 0 else stop + 1
        line = text[position:stop]
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence, blank = "", True
        elif mark is not None:
            fence = mark[1]
            yield position
        elif not line.strip():
            blank = True
        elif blank:
            blank = False
            yield position
        position = stop


def _matches(pattern: re.Pattern[str]) -> Joints:
    def joints(text: str, start: int, end: int, limit: int) -> Iterator[int]:  # noqa: ARG001  (as every level)
        return (match.end() for match in pattern.finditer(text, start, end))

    return joints


def _items(text: str, start: int, end: int, limit: int) -> Iterator[int]:  # noqa: ARG001  (as every level)
    return (match.start() for match in _ITEM.finditer(text, start, end))


def _sentences(text: str, start: int, end: int, limit: int) -> Iterator[int]:  # noqa: ARG001  (as every level)
    return iter(()) if _CODE.match(text[start:end]) else (match.end() for match in _SENTENCE.finditer(text, start, end))


def _characters(text: str, start: int, end: int, limit: int) -> Iterator[int]:
    """Every `limit` characters, but not between a letter and the marks that belong to it."""
    position = start + limit
    while position < end:
        joint = position
        while joint > position - 16 and joint > start + 1 and _continues(text, joint):
            joint -= 1
        yield joint
        start, position = joint, joint + limit


def _continues(text: str, position: int) -> bool:
    here = text[position]
    return unicodedata.combining(here) != 0 or here in _JOINERS or text[position - 1] == "\u200d"


_LEVELS: Sequence[Joints] = (_blocks, _items, _sentences, _matches(_LINE), _matches(_WORD), _characters)
