"""What changed in a text, by word: `[-old-]{+new+}` with a little of what stands around it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from tidemill.cli.figures import as_text
from tidemill.core.json import Json

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_AROUND = 40


def changed_words(old: str, new: str) -> str:
    """The new text with the words marked that differ from the old; long stretches that are the same become `…`."""
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    pieces = list[str]()
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(_shortened("".join(b[b1:b2]), first=b1 == 0, last=b2 == len(b)))
            continue
        gone, come = "".join(a[a1:a2]), "".join(b[b1:b2])
        pieces.append((f"[-{gone}-]" if gone else "") + (f"{{+{come}+}}" if come else ""))
    return "".join(pieces)


def _shortened(text: str, *, first: bool, last: bool) -> str:
    if len(text) <= 2 * _AROUND + 3:
        return text
    head, tail = ("" if first else text[:_AROUND]), ("" if last else text[-_AROUND:])
    return f"{head}…{tail}"


def spec_changes(old: Json, new: Json, place: str = "") -> Iterator[str]:
    """A line for each place where two specs differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(each for each in new if each not in old)]:
            inner = f"{place}.{key}" if place else key
            yield from _member_changes(key, old, new, inner)
    elif _is_list(old) and _is_list(new) and len(old) == len(new):
        for number, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from spec_changes(a, b, f"{place}.{number}" if place else str(number))
    elif old != new:
        yield f"{place}: {changed_words(as_text(old), as_text(new))}"


def _member_changes(key: str, old: Mapping[str, Json], new: Mapping[str, Json], place: str) -> Iterator[str]:
    if key not in new:
        yield f"{place}: [-{as_text(old[key])}-]"
    elif key not in old:
        yield f"{place}: {{+{as_text(new[key])}+}}"
    else:
        yield from spec_changes(old[key], new[key], place)


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
