"""Reading rows out of CSV, TSV, JSON Lines, JSON and Parquet, with the line of every mistake."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import cast

from tidemill.core.errors import Invalid, Problem
from tidemill.core.suggest import did_you_mean
from tidemill.data.providers import parquet

Row = Mapping[str, object]
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")
SHOWN = 10
_ENDINGS = {**{name: name for name in FORMATS}, "ndjson": "jsonl", "pq": "parquet"}
_CELL_LIMIT = 16 * 1024 * 1024


def read_rows(content: bytes, *, path: str, format: str | None = None) -> list[tuple[str, Row]]:  # noqa: A002  (the spec's key)
    """Every row with the place where it stands (`questions.csv:12`), in the file's order.

    Raises `Invalid`: an unknown ending, bytes that are not UTF-8, a broken line, a row of another shape than the header.
    """
    ending = format_of(path, format)
    if ending == "parquet":
        return [(f"{path}: row {number}", row) for number, row in enumerate(parquet.read(content, path=path), 1)]
    text = decode(content, path=path)
    readers: Mapping[str, Callable[[], Iterator[tuple[str, Row]]]] = {
        "csv": lambda: _read_csv(text, path=path, delimiter=","),
        "tsv": lambda: _read_csv(text, path=path, delimiter="\t"),
        "jsonl": lambda: _read_jsonl(text, path=path),
        "json": lambda: _read_json(text, path=path),
    }
    return list(readers[ending]())


def format_of(path: str, given: str | None = None) -> str:
    """The format of a file, by its ending unless it is given. Raises `Invalid` for an ending that is not known."""
    ending = given or _ENDINGS.get(PurePosixPath(path).suffix.lower().lstrip("."))
    if ending is None:
        raise Invalid(f"{path!r} has no known ending", where="path", hint=f"Known: {', '.join(FORMATS)}; or say format: jsonl.")
    return ending


def decode(content: bytes, *, path: str) -> str:
    """UTF-8, with or without a byte order mark. Raises `Invalid`, naming the line of the first byte that is not."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Invalid(f"{path} is UTF-16, not UTF-8", where="path", hint="Save it as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = content[error.start : error.start + 1].hex()
        line = content.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{path}:{line}: the byte 0x{bad} is not UTF-8", where="path", hint="Save the file as UTF-8.") from error


def refuse(problems: list[Problem]) -> None:
    """Raise one `Invalid` that carries the first problems and says how many there are; do nothing without any."""
    if not problems:
        return
    shown = problems[:SHOWN]
    if len(problems) > SHOWN:
        shown.append(Problem(message=f"and {len(problems) - SHOWN} more like these", where=problems[SHOWN].where))
    raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=shown)


def _read_csv(text: str, *, path: str, delimiter: str) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(_CELL_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems: list[Problem] = []
    try:
        header = next(reader, None)
        names = _check_header(header, path=path, delimiter=delimiter)
        start = reader.line_num + 1
        for cells in reader:
            place, start = f"{path}:{start}", reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(names):
                problems.append(Problem(message=f"{place}: {len(cells)} cells, but the header has {len(names)}", where="path"))
                continue
            yield place, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise Invalid(f"{path}:{reader.line_num}: not valid CSV: {error}", where="path", hint="Check the quotes.") from error
    refuse(problems)


def _check_header(header: list[str] | None, *, path: str, delimiter: str) -> list[str]:
    names = [each.strip() for each in header or []]
    if not any(names):
        raise Invalid(f"{path} has no header and no rows", where="path", hint="The first line names the columns.")
    if "" in names:
        raise Invalid(f"{path}:1: column {names.index('') + 1} has no name", where="path", hint="Name every column.")
    doubled = sorted({each for each in names if names.count(each) > 1})
    if doubled:
        raise Invalid(f"{path}:1: the column {doubled[0]!r} stands there twice", where="path", hint="Rename one of them.")
    if len(names) == 1 and ";" in names[0] and delimiter == ",":
        raise Invalid(f"{path}:1: the columns seem to be parted by ';'", where="path", hint="Save it with commas.")
    return names


def _read_jsonl(text: str, *, path: str) -> Iterator[tuple[str, Row]]:
    problems: list[Problem] = []
    # Only \n ends a line: a text may hold U+2028, at which str.splitlines would cut.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            yield place, _as_row(_parse(line), place=place)
        except Invalid as error:
            problems.append(Problem(message=error.message, where="path", hint=error.hint))
        except ValueError as error:
            problems.append(Problem(message=f"{place}: not valid JSON: {error}", where="path", hint="One JSON object a line."))
    refuse(problems)


def _read_json(text: str, *, path: str) -> Iterator[tuple[str, Row]]:
    if not text.strip():
        return
    try:
        value = _parse(text)
    except ValueError as error:
        raise Invalid(f"{path}: not valid JSON: {error}", where="path") from error
    if not isinstance(value, list):
        raise Invalid(f"{path} holds {_named(value)}, not a list of rows", where="path", hint="Write [{…}, {…}].")
    for number, each in enumerate(cast("list[object]", value), 1):
        place = f"{path}: row {number}"
        yield place, _as_row(each, place=place)


def _parse(text: str) -> object:
    try:
        # The standard library's parser keeps large integers exact, which faster ones do not.
        value: object = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(each for each in names if names.count(each) > 1)!r} stands there twice")
    return made


def _as_row(value: object, *, place: str) -> Row:
    if not isinstance(value, Mapping):
        raise Invalid(f"{place}: {_named(value)}, not an object", where="path", hint='Write {"question": "…"}.')
    return cast("Row", value)


def _named(value: object) -> str:
    names = {"dict": "an object", "list": "a list", "str": "text", "bool": "a boolean", "NoneType": "null"}
    return names.get(type(value).__name__, "a number")


def unknown_column(name: str, columns: Mapping[str, str], *, where: str) -> Problem:
    """A role names a column that is not there."""
    return Problem(message=f"there is no column {name!r}", where=where, hint=did_you_mean(name, columns))
