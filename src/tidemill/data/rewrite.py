"""Writing rows into a file of the format that it has, the lines of rows that stay left as they are. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Final, cast

from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.core.rows import encode_value
from tidemill.data.providers import parquet
from tidemill.data.rows import Row, format_of, read_rows

_BOM: Final = "\ufeff"


def rewrite_rows(content: bytes, rows: Sequence[Row], *, path: str, format: str | None = None) -> bytes:  # noqa: A002  (the spec's key)
    """`content` with `rows` in it, in their order. A row that the file has keeps its own text.

    Raises `Invalid` for values that the format cannot hold: whoever calls reads the result back and compares.
    """
    form = format_of(path, format)
    if form == "parquet":
        return parquet.write(rows, like=content, path=path)
    text = content.decode("utf-8-sig")
    bom = _BOM if content.startswith(_BOM.encode()) else ""
    match form:
        case "jsonl":
            made = _jsonl(text, rows, path=path)
        case "json":
            made = _json(text, rows)
        case _:
            made = _csv(text, rows, delimiter="\t" if form == "tsv" else ",")
    return (bom + made).encode()


class _Known:
    """The text of each row that a file has, given out once each."""

    def __init__(self) -> None:
        self._texts: defaultdict[bytes, deque[str]] = defaultdict(deque)
        self._names: dict[str, None] = {}

    def ordered(self, row: Row) -> Row:
        """A row with its values in the order of those before it."""
        return {name: row[name] for name in (*self._names, *row) if name in row}

    def add(self, row: Row, text: str) -> None:
        self._names.update(dict.fromkeys(row))
        self._texts[_key(row)].append(text)

    def take(self, row: Row) -> str | None:
        texts = self._texts.get(_key(row))
        return texts.popleft() if texts else None


def _key(row: Row) -> bytes:
    return canonical({name: encode_value(each) for name, each in row.items()})


def _jsonl(text: str, rows: Sequence[Row], *, path: str) -> str:
    known = _Known()
    end = "\r\n" if "\r\n" in text else "\n"
    for line in text.split("\n"):
        if line.strip():
            (_, row), *_ = read_rows(line.encode(), path=path, format="jsonl")
            known.add(row, line.rstrip("\r"))
    lines = [known.take(row) or _dumped(known.ordered(row)) for row in rows]
    return end.join(lines) + ("" if text and not text.endswith("\n") else end)


def _json(text: str, rows: Sequence[Row]) -> str:
    """A list, each element that stays with its own text, the others in the form of the first."""
    known = _Known()
    decoder = json.JSONDecoder()
    place = text.find("[") + 1 if text.strip() else 0
    lead = ""
    while place and (start := _next(text, place)) is not None:
        value, stop = decoder.raw_decode(text, start)
        known.add(cast("Row", value), text[start:stop])
        lead = lead or text[place:start]
        place = stop
    lead = lead or "\n  "
    deep = len(lead) - len(lead.lstrip(" ")) if "\n" not in lead else len(lead.rpartition("\n")[2])
    body = ("," + lead).join(known.take(row) or _indented(known.ordered(row), deep, is_flat="\n" not in lead) for row in rows)
    tail = text[text.rindex("]") - _blank_before(text) :] if text.rstrip().endswith("]") else "\n]\n"
    return "[" + lead + body + tail


def _next(text: str, place: int) -> int | None:
    """Where the next element begins; None at the end of the list."""
    while place < len(text) and text[place] in " \t\r\n,":
        place += 1
    return None if place >= len(text) or text[place] == "]" else place


def _blank_before(text: str) -> int:
    before = text[: text.rindex("]")]
    return len(before) - len(before.rstrip())


def _indented(row: Row, deep: int, *, is_flat: bool) -> str:
    if is_flat:
        return _dumped(row)
    return json.dumps(row, ensure_ascii=False, indent=2, default=_refused).replace("\n", "\n" + " " * deep)


def _csv(text: str, rows: Sequence[Row], *, delimiter: str) -> str:
    """Records keep their text while the header stays; else all are written again."""
    end = "\r\n" if "\r\n" in text else "\n"
    records = _records(text, delimiter)
    header = [each.strip() for each in records[0][0]] if records else []
    names = [*header, *dict.fromkeys(name for row in rows for name in row if name not in header)]
    names = [name for name in names if any(name in row for row in rows)]
    known = _Known()
    if names == header:
        for cells, raw in records[1:]:
            if len(cells) == len(names):
                known.add(dict(zip(names, cells, strict=True)), raw)
    first = records[0][1] if records and names == header else _record(names, delimiter)
    lines = [first, *(known.take(row) or _record([_cell(row, name) for name in names], delimiter) for row in rows)]
    return end.join(lines) + ("" if text and not text.endswith("\n") else end)


def _records(text: str, delimiter: str) -> list[tuple[list[str], str]]:
    """Each record with its own text, without the end of its last line."""
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    found: list[tuple[list[str], str]] = []
    start = 0
    for cells in reader:
        raw = "".join(lines[start : reader.line_num]).removesuffix("\n").removesuffix("\r")
        start = reader.line_num
        if cells:
            found.append((cells, raw))
    return found


def _record(cells: Sequence[str], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="").writerow(cells)
    return out.getvalue()


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise Invalid(f"the column {name!r} holds {value!r}, and such a file holds text only", where="path")
    return value


def _dumped(row: Mapping[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False, default=_refused)


def _refused(value: object) -> object:
    raise Invalid(f"{value!r} cannot stand in such a file", where="path", hint="Keep it in Parquet.")
