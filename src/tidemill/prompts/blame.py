"""Which version of a prompt brought each of its lines, as `git blame` says it of a file."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tidemill.core.json import JsonObject
from tidemill.prompts.changes import messages_of

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptLine:
    """A line of a prompt as it is now: the number of its message from 0, the message's role, the line's number there from 1."""

    message: int
    role: str
    line: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Blamed(Generic[T]):
    """A line and the version that brought it."""

    line: PromptLine
    origin: T


def prompt_lines(spec: JsonObject) -> list[PromptLine]:
    """The lines of every message; content in parts gives a line a part or more."""
    return [
        PromptLine(message=number, role=role, line=at, text=text)
        for number, (role, content) in enumerate(messages_of(spec))
        for at, text in enumerate(content.splitlines() or [""], 1)
    ]


def blame(versions: Sequence[tuple[T, JsonObject]]) -> list[Blamed[T]]:
    """Each line of the first of `versions` (newest first, each made from the next) with the one that brought it.

    A line stays the same line while its text and its message's role do, wherever it stands; one that went and came back was
    brought when it came back.
    """
    if not versions:
        return []
    newest, spec = versions[0]
    lines = prompt_lines(spec)
    origins: list[T] = [newest for _ in lines]
    now = [(each.role, each.text) for each in lines]
    left = {at: at for at in range(len(lines))}  # a line of the version looked at -> the line of the newest
    for (version, _), (_, older) in itertools.pairwise(versions):
        before = [(each.role, each.text) for each in prompt_lines(older)]
        same = {
            block.a + step: block.b + step
            for block in difflib.SequenceMatcher(None, now, before, autojunk=False).get_matching_blocks()
            for step in range(block.size)
        }
        for at, line in left.items():
            if at not in same:
                origins[line] = version
        left = {same[at]: line for at, line in left.items() if at in same}
        now = before
        if not left:
            break
    for line in left.values():
        origins[line] = versions[-1][0]
    return [Blamed(line=line, origin=origin) for line, origin in zip(lines, origins, strict=True)]
