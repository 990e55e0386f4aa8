"""What changed in a text, by word: `[-old-]{+new+}` with a little of what stands around it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

_WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")
_AROUND: Final = 40
_LONGEST: Final = 600
_LARGEST: Final = 400_000
"""Pairs of words that are compared at most; beyond that a stretch is shown as replaced."""

_Span: TypeAlias = tuple[bool, str, str]
"""Whether both sides are the same, the old text and the new one."""


def changed_words(old: str, new: str) -> str:
    """The lines of the new text that differ from the old, with the words marked; long stretches become `…`."""
    spans = list(_joined(_spans(old, new)))
    pieces = list[str]()
    for place, (same, gone, come) in enumerate(spans):
        if same:
            pieces.append(_around(come, first=place == 0, last=place == len(spans) - 1))
        else:
            pieces.append((f"[-{_middle(gone)}-]" if gone else "") + (f"{{+{_middle(come)}+}}" if come else ""))
    return "".join(pieces).strip("\n")


def _spans(old: str, new: str) -> Iterator[_Span]:
    """Line by line first, so that a long text costs no more than what changed in it; words within the lines that differ."""
    a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
    for tag, a1, a2, b1, b2 in _opcodes(a, b):
        gone, come = "".join(a[a1:a2]), "".join(b[b1:b2])
        if tag == "replace":
            yield from _word_spans(gone, come)
        else:
            yield tag == "equal", gone, come


def _word_spans(old: str, new: str) -> Iterator[_Span]:
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    for tag, a1, a2, b1, b2 in _opcodes(a, b):
        yield tag == "equal", "".join(a[a1:a2]), "".join(b[b1:b2])


def _opcodes(a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """As difflib's; what both begin and end with is set aside first."""
    least = min(len(a), len(b))
    start = next((at for at in range(least) if a[at] != b[at]), least)
    end = next((at for at in range(least - start) if a[-1 - at] != b[-1 - at]), least - start)
    stop_a, stop_b = len(a) - end, len(b) - end
    if start:
        yield "equal", 0, start, 0, start
    if (stop_a - start) * (stop_b - start) > _LARGEST:
        yield "replace", start, stop_a, start, stop_b
    else:
        matcher = difflib.SequenceMatcher(None, a[start:stop_a], b[start:stop_b], autojunk=False)
        for tag, a1, a2, b1, b2 in matcher.get_opcodes():
            yield tag, a1 + start, a2 + start, b1 + start, b2 + start
    if end:
        yield "equal", stop_a, len(a), stop_b, len(b)


def _joined(spans: Iterator[_Span]) -> Iterator[_Span]:
    """Neighbours as one; a blank between two changes belongs to both, or every word of a new sentence stood alone."""
    found = [each for each in spans if each[1] or each[2]]
    kept: _Span | None = None
    for place, (same, gone, come) in enumerate(found):
        is_same = same and not (kept is not None and not kept[0] and come.isspace() and _changes_after(found, place))
        if kept is not None and kept[0] == is_same:
            kept = (is_same, kept[1] + gone, kept[2] + come)
            continue
        if kept is not None:
            yield kept
        kept = (is_same, gone, come)
    if kept is not None:
        yield kept


def _changes_after(spans: Sequence[_Span], place: int) -> bool:
    return place + 1 < len(spans) and not spans[place + 1][0]


def _around(text: str, *, first: bool, last: bool) -> str:
    """What stands beside a change: no more than the rest of its line, and of a long line no more than a few words."""
    before, newline, after = text.partition("\n")
    if newline:
        between, _, after = after.rpartition("\n")
        head = "" if first else _shortened(before, first=False, last=True)
        tail = "" if last else _shortened(after, first=True, last=False)
        return head if last else tail if first else f"{head}\n…\n{tail}" if between.strip() else f"{head}\n{tail}"
    return _shortened(text, first=first, last=last)


def _shortened(text: str, *, first: bool, last: bool) -> str:
    if len(text) <= 2 * _AROUND + 3:
        return text
    head, tail = ("" if first else text[:_AROUND]), ("" if last else text[-_AROUND:])
    return f"{head}…{tail}"


def _middle(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
