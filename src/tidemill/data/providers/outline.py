"""A document's headings as sections that nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.core.records import Section


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading:
    """A heading and where its line starts, in characters."""

    title: str
    level: int
    start: int


def sections_of(headings: Sequence[Heading], *, length: int) -> tuple[Section, ...]:
    """Each heading with the text below it, up to the next heading of its level or above. `headings` are in order."""
    made: list[Section] = []
    for position, heading in enumerate(headings):
        following = (each.start for each in headings[position + 1 :] if each.level <= heading.level)
        end = next(following, length)
        made.append(Section(title=heading.title, level=heading.level, start=heading.start, end=end))
    return tuple(made)


def title_of(text: str) -> str:
    """The first line that is not blank, shortened: what to call a text that has no heading."""
    line = next((each.strip() for each in text.split("\n") if each.strip()), "")
    return line if len(line) <= 100 else line[:99] + "…"
