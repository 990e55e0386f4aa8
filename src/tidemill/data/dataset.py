"""Datasets: typed rows, the roles of their columns, and samples."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

from tidemill.core.digests import canonical, digest_bytes
from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.records import Sample, Version
from tidemill.core.rows import decode_value, encode_value
from tidemill.data.rows import Row, refuse, unknown_column
from tidemill.data.specs import RolesSpec

SINGLE_ROLES = ("reference", "context", "gold")
_NUMBERS = {"integer", "number", "decimal"}


class BlobReader(Protocol):
    """Where a version's blobs are read."""

    def get(self, digest: str) -> bytes:
        """The content of a blob."""
        ...


def canonical_rows(rows: Sequence[tuple[str, Row]], *, roles: RolesSpec, where: str = "path") -> tuple[JsonObject, bytes]:
    """The canonical spec (`columns`, `roles`, `rows_count`) and the rows as canonical JSON Lines.

    `rows` come with their places, `where` is the key of the document that gave them. Raises `Invalid` with every problem: no
    rows, mixed types, a role without its column, an input that is missing, ids that are not unique.
    """
    if not rows:
        raise Invalid("the dataset has 0 rows", where=where, hint="Give it at least one row below the header.")
    problems: list[Problem] = []
    lines = [_encode(row, place=place, where=where, problems=problems) for place, row in rows]
    refuse(problems)
    columns = _column_types(rows, where, problems)
    chosen = _choose_roles(roles, columns, problems)
    refuse(problems)
    _check_inputs(rows, chosen, where, problems)
    _check_ids(rows, chosen.get("id"), where, problems)
    refuse(problems)
    return {"columns": columns, "roles": chosen, "rows_count": len(rows)}, b"\n".join((*lines, b""))


def load_samples(version: Version, blobs: BlobReader) -> list[Sample]:
    """A dataset version's rows as samples, in order. Without an id column, a sample's id is its row's number from 1."""
    roles = cast("Mapping[str, str | Sequence[str]]", version.spec["roles"])
    return [
        _sample(line, number=number, roles=roles)
        for number, line in enumerate(blobs.get(version.blobs["rows"]).split(b"\n"), 1)
        if line
    ]


def _sample(line: bytes, *, number: int, roles: Mapping[str, str | Sequence[str]]) -> Sample:
    row = cast("dict[str, Json]", _plain(decode_value(parse_json(line, what="a dataset's row"))))
    inputs = roles["input"]
    known = {each for role in roles.values() for each in ([role] if isinstance(role, str) else role)}

    def value(role: str) -> Json:
        name = roles.get(role)
        return row.get(name) if isinstance(name, str) else None

    return Sample(
        id=str(value("id")) if "id" in roles else str(number),
        input=row.get(inputs) if isinstance(inputs, str) else {name: row.get(name) for name in inputs},
        reference=value("reference"),
        context=value("context"),
        gold=value("gold"),
        metadata={name: each for name, each in row.items() if name not in known},
        row=row,
        digest=digest_bytes(line),
    )


def _plain(value: object) -> Json:
    """A typed value as plain JSON: times and decimals as text, bytes as they are encoded in the row."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[object]", value)]
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return encode_value(value) if isinstance(value, bytes) else cast("Json", value)


def _encode(row: Row, *, place: str, where: str, problems: list[Problem]) -> bytes:
    try:
        return canonical({name: encode_value(each) for name, each in row.items()})
    except Invalid as error:
        problems.append(Problem(message=f"{place}: {error.message}", where=where, hint=error.hint))
        return b""


def _column_types(rows: Sequence[tuple[str, Row]], where: str, problems: list[Problem]) -> dict[str, str]:
    """The type of each column; a problem for each that holds two."""
    seen: dict[str, dict[str, str]] = {}
    for place, row in rows:
        for name, value in row.items():
            seen.setdefault(name, {}).setdefault(_type_of(value), place)
    columns: dict[str, str] = {}
    for name, types in seen.items():
        kinds = {each: place for each, place in types.items() if each != "null"}
        if len(kinds) > 1 and set(kinds) <= _NUMBERS:
            kinds = {"number": ""}
        if len(kinds) > 1:
            (one, here), (other, there), *_ = kinds.items()
            message = f"the column {name!r} mixes types: {one} at {here}, {other} at {there}"
            problems.append(Problem(message=message, where=where, hint="Give the column one type."))
        columns[name] = next(iter(kinds), "null")
    return columns


def _type_of(value: object) -> str:
    checks: Sequence[tuple[type | tuple[type, ...], str]] = (
        (bool, "boolean"), (str, "text"), (int, "integer"), (float, "number"), (Mapping, "object"),
        ((bytes, bytearray), "bytes"), (decimal.Decimal, "decimal"), (dt.datetime, "time"), (dt.date, "date"),
    )  # fmt: skip
    return "null" if value is None else next((name for kind, name in checks if isinstance(value, kind)), "list")


def _choose_roles(roles: RolesSpec, columns: Mapping[str, str], problems: list[Problem]) -> dict[str, Json]:
    """The column of each role: as given, else the column that has the role's own name."""
    chosen: dict[str, Json] = {}
    named: Sequence[tuple[str, str | list[str] | None]] = (
        ("input", roles.input), ("reference", roles.reference), ("context", roles.context), ("gold", roles.gold),
        ("id", roles.id),
    )  # fmt: skip
    for role, given in named:
        if given is None:
            if role in columns:
                chosen[role] = role
            continue
        names = [given] if isinstance(given, str) else given
        problems.extend(unknown_column(each, columns, where=f"roles.{role}") for each in names if each not in columns)
        chosen[role] = given
    if not chosen.get("input") and not problems:
        hint = f"Write roles: {{input: COLUMN}}; columns here: {', '.join(columns)}."
        problems.append(Problem(message="no column is the input", where="roles", hint=hint))
    return chosen


def _check_inputs(rows: Sequence[tuple[str, Row]], roles: Mapping[str, Json], where: str, problems: list[Problem]) -> None:
    names = [roles["input"]] if isinstance(roles["input"], str) else cast("Sequence[str]", roles["input"])
    problems.extend(
        Problem(message=f"{place}: the input {name!r} is missing", where=where, hint="Every row needs its input.")
        for place, row in rows
        for name in names
        if row.get(str(name)) is None
    )


def _check_ids(rows: Sequence[tuple[str, Row]], column: Json, where: str, problems: list[Problem]) -> None:
    if not isinstance(column, str):
        return
    first: dict[str, str] = {}
    report: Callable[[str], None] = lambda message: problems.append(Problem(message=message, where=where))  # noqa: E731
    for place, row in rows:
        value = row.get(column)
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            report(f"{place}: the id {value!r} is not text or a whole number")
        elif str(value) in first:
            report(f"{place}: the id {str(value)!r} was already used at {first[str(value)]}")
        else:
            first[str(value)] = place
