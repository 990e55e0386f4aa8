"""Rows that stand both in the training data and in a set that will judge the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidemill.core.errors import Invalid, Problem
from tidemill.core.records import Sample
from tidemill.data.alike import asked, same_words

_NAMED = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """A row of the training data and a row of the judging set that say the same."""

    row: str
    judging: str
    dataset: str
    text: str


def find_leaks(rows: Sequence[Sample], judging: Mapping[str, Sequence[Sample]]) -> list[Leak]:
    """Every training row whose input also stands in one of the judging sets (by their reference), in order."""
    known: dict[str, tuple[str, str]] = {}
    for dataset, samples in judging.items():
        for each in samples:
            if key := same_words(asked(each)):
                known.setdefault(key, (dataset, each.id))
    found: list[Leak] = []
    for row in rows:
        text = asked(row)
        if (hit := known.get(same_words(text))) is not None:
            found.append(Leak(row=row.id, judging=hit[1], dataset=hit[0], text=text))
    return found


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Raise `Invalid` naming every row, when there are any."""
    if not leaks:
        return
    problems = [
        Problem(message=f"row {each.row} is {each.dataset} row {each.judging}: {_short(each.text)}", where="data")
        for each in leaks[:_NAMED]
    ]
    if len(leaks) > _NAMED:
        problems.append(Problem(message=f"and {len(leaks) - _NAMED} more", where="data"))
    where = ", ".join(sorted({each.dataset for each in leaks}))
    raise Invalid(
        f"{len(leaks)} training rows also stand in {where}, which judges the result",
        where="data",
        hint="Take them out of the training data; a model must not be judged on what it was taught.",
        problems=problems,
    )


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else flat[:79] + "…"
