"""Rows of tokens side by side in one sequence, their common beginning only once.

Causal attention sees only what stands before, so a beginning that rows share (a system message, the instructions of a prompt,
the prompt of two answers) has the same hidden states in each of them. It is computed once; each row then sees the beginning
and itself, at the positions that it would have alone. Losses and gradients are those of the rows one by one, without padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

LONGEST = 512
"""Tokens of a pack: attention in it is dense, so longer ones cost more than they save."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """A row: token ids, and for each whether the model learns to say it. The first is never learnt."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]


@dataclass(kw_only=True, slots=True)
class Pack:
    """`owners[i]` says which row token `i` belongs to, 0 for the shared beginning, rows from 1.

    Each of `answers` is `(place, token, row)`: the hidden state at `place` must say `token`, for row `row` of the pack from 0.
    """

    ids: list[int] = field(default_factory=list[int])
    positions: list[int] = field(default_factory=list[int])
    owners: list[int] = field(default_factory=list[int])
    answers: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    rows: int = 0


def pack_rows(rows: Sequence[Tokens]) -> Pack:
    """One pack of all these rows."""
    shared = _common_length([each.ids for each in rows]) if len(rows) > 1 else 0
    pack = Pack(ids=list(rows[0].ids[:shared]), positions=list(range(shared)), owners=[0] * shared, rows=len(rows))
    for number, row in enumerate(rows):
        start = len(pack.ids)
        pack.ids += row.ids[shared:]
        pack.positions += range(shared, len(row.ids))
        pack.owners += [number + 1] * (len(row.ids) - shared)
        for at in range(1, len(row.ids)):
            if row.learnt[at]:
                before = at - 1
                pack.answers.append((before if before < shared else start + before - shared, row.ids[at], number))
    return pack


def packs(rows: Sequence[Tokens], *, longest: int = LONGEST, together: int = 1) -> Iterator[tuple[list[int], Pack]]:
    """Packs of at most `longest` tokens, each with the places of its rows in `rows`.

    `together` rows at a time are never parted; those that are longer have a pack to themselves.
    """
    group: list[int] = []
    for at in range(0, len(rows), together):
        added = list(range(at, at + together))
        if group and _length([rows[each].ids for each in [*group, *added]]) > longest:
            yield group, pack_rows([rows[each] for each in group])
            group = []
        group += added
    if group:
        yield group, pack_rows([rows[each] for each in group])


def _length(rows: Sequence[tuple[int, ...]]) -> int:
    shared = _common_length(rows) if len(rows) > 1 else 0
    return sum(map(len, rows)) - shared * (len(rows) - 1)


def _common_length(rows: Sequence[tuple[int, ...]]) -> int:
    first = rows[0]
    most = min(map(len, rows))
    return next((at for at in range(most) if any(row[at] != first[at] for row in rows)), most)
