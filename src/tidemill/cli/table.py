"""Tables that align on the decimal point and fit the width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tidemill.cli.screen import Tone, cells, cut, paint, width, wrapped

_POINT = re.compile(r"[-+−]?\$?\d[\d,]*")
_GAP = "   "
_LEAST = 16


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and its tone."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Column:
    """`point` aligns on the decimal point (or the end of the whole number)."""

    title: str
    align: Literal["left", "right", "point"] = "left"


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell | str]], *, indent: str = "", heading: bool = True
) -> list[str]:
    """The lines of a table. A last column that is too wide is wrapped; other columns are never cut."""
    grid = [[each if isinstance(each, Cell) else Cell(each) for each in row] for row in rows]
    padded = [_padded(column, [row[place] for row in grid]) for place, column in enumerate(columns)]
    widths = [
        max([cells(column.title) if heading else 0, *(cells(each) for each in texts)], default=0)
        for column, texts in zip(columns, padded, strict=True)
    ]
    room = max(_LEAST, width() - len(indent) - sum(widths[:-1]) - len(_GAP) * (len(columns) - 1))
    lines = [_line(indent, [paint(each, "quiet") for each in _titles(columns, widths)])] if heading else []
    for place, row in enumerate(grid):
        texts = [_fill(texts[place], widths[at], columns[at]) for at, texts in enumerate(padded)]
        lines += _row(indent, row, texts, room=room, before=sum(widths[:-1]) + len(_GAP) * (len(columns) - 1))
    return lines


def _row(indent: str, row: Sequence[Cell], texts: list[str], *, room: int, before: int) -> list[str]:
    last = texts[-1].rstrip()
    pieces = [last] if cells(last) <= room else wrapped(last.strip(), longest=room)
    pieces = [cut(each, room) if " " in each else each for each in pieces]
    first = [*texts[:-1], pieces[0]]
    lines = [_line(indent, [paint(text, cell.tone) for text, cell in zip(first, row, strict=True)])]
    return lines + [indent + " " * before + paint(each, row[-1].tone) for each in pieces[1:]]


def _line(indent: str, texts: Sequence[str]) -> str:
    return (indent + _GAP.join(texts)).rstrip()


def _titles(columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    return [
        _fill(each.title, size, Column("", "left" if each.align == "left" else "right"))
        for each, size in zip(columns, widths, strict=True)
    ]


def _fill(text: str, size: int, column: Column) -> str:
    space = " " * (size - cells(text))
    return space + text if column.align != "left" else text + space


def _padded(column: Column, column_cells: Sequence[Cell]) -> list[str]:
    """Texts of one width where the decimal points stand below each other."""
    if column.align != "point":
        return [each.text for each in column_cells]
    points = [_point(each.text) for each in column_cells]
    before = max(points, default=0)
    after = max((cells(each.text) - point for each, point in zip(column_cells, points, strict=True)), default=0)
    return [
        " " * (before - point) + each.text + " " * (after - cells(each.text) + point)
        for each, point in zip(column_cells, points, strict=True)
    ]


def _point(text: str) -> int:
    match = _POINT.search(text)
    return match.end() if match else cells(text)
