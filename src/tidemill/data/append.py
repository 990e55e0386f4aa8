"""Rows added to a dataset: what was there stays as it is and where it is, and nothing stands there twice. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from tidemill.core.errors import Conflict
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.records import Version
from tidemill.core.rows import decode_value, row_digest
from tidemill.data.dataset import canonical_rows
from tidemill.data.from_traces import key_of
from tidemill.data.specs import RolesSpec

Row = Mapping[str, object]
_TRACE: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Appended:
    """A dataset's content after an append: `spec` and `lines` as `canonical_rows` makes them.

    `added` rows are new, `known` were there already, `filled` were there and got the reference that they did not have.
    `traces` are those that new and filled rows name, with the digest of the release that answered (empty: not said), and
    `feedback` the ids of what was said of them.
    """

    spec: JsonObject
    lines: bytes
    added: int
    known: int
    filled: int = 0
    traces: Mapping[str, str] = field(default_factory=dict[str, str])
    feedback: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self.added or self.filled)


def append_rows(
    version: Version | None, lines: bytes, rows: Sequence[Row], *, roles: RolesSpec, by_input: bool = False
) -> Appended:
    """Put `rows` after those of a dataset's `version` (None: a new dataset), whose rows are `lines`.

    A row without the id that the dataset wants gets one of its content. One with the content of a row that is there is left
    out. With `by_input` so is one that asks the same; a row there that was made of traces and has no reference gets the new
    one's. `roles` are for a new dataset; for one that is there they add what it has none for. Raises `Conflict` when they say
    otherwise than it does, and `Invalid` as `canonical_rows`.
    """
    there = [] if version is None else _decoded(lines)
    chosen = roles if version is None else _merged(version, roles)
    seen = {row_digest(each) for each in there}
    asked = _Asked(there, chosen) if by_input else None
    new: list[Row] = []
    for row in _named(rows, chosen.id):
        digest = row_digest(row)
        if digest in seen or (asked is not None and asked.holds(row)):
            continue
        seen.add(digest)
        new.append(row)
    filled = 0 if asked is None else asked.filled
    name = "the dataset" if version is None else version.ref
    places = [
        *(f"{name} row {number}" for number in range(1, len(there) + 1)),
        *(f"new row {n}" for n in range(1, len(new) + 1)),
    ]
    spec, made = canonical_rows(list(zip(places, [*there, *new], strict=True)), roles=chosen, where="rows")
    traces, said = _origins([*new, *(asked.filled_rows if asked is not None else ())])
    known = len(rows) - len(new) - filled
    return Appended(spec=spec, lines=made, added=len(new), known=known, filled=filled, traces=traces, feedback=said)


def _origins(rows: Sequence[Row]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The traces that rows name, with their releases, and the feedback."""
    traces: dict[str, str] = {}
    said: dict[str, None] = {}
    for row in rows:
        main, release, more = row.get("trace"), row.get("release"), row.get("traces")
        for each in (main, *(cast("Sequence[object]", more) if isinstance(more, list | tuple) else ())):
            if isinstance(each, str) and _TRACE.fullmatch(each):
                own = release if each == main and isinstance(release, str) else ""
                traces[each] = traces.get(each) or own
        named = row.get("feedback")
        if traces and isinstance(named, list | tuple):
            said |= dict.fromkeys(
                each for each in cast("Sequence[object]", named) if isinstance(each, str) and len(each) <= 200
            )
    return traces, tuple(said)


def _named(rows: Sequence[Row], column: str | None) -> Sequence[Row]:
    """The rows, those without an id with one that the same content always gets."""
    if column is None:
        return rows
    bare = [{name: value for name, value in row.items() if name != column or value is not None} for row in rows]
    return [row if column in row else {**row, column: row_digest(row)[7:39]} for row in bare]


class _Asked:
    """The inputs that are there, and their rows, into which a missing reference may be put."""

    def __init__(self, rows: list[Row], roles: RolesSpec) -> None:
        inputs = roles.input or "input"
        self._inputs = [inputs] if isinstance(inputs, str) else inputs
        self._reference = roles.reference or "reference"
        self._rows = rows
        self._places = {self._key(row): place for place, row in enumerate(rows)}
        self.filled_rows: list[Row] = []

    @property
    def filled(self) -> int:
        """How many rows got a reference."""
        return len(self.filled_rows)

    def holds(self, row: Row) -> bool:
        """Whether the row's input is there; its reference is then put where there is none."""
        place = self._places.get(self._key(row))
        if place is None:
            return False
        old = self._rows[place]
        if old.get(self._reference) is None and row.get(self._reference) is not None and "traces" in old:
            links = {name: row[name] for name in ("trace", "release", "traces", "feedback") if name in row}
            self._rows[place] = {**old, self._reference: row[self._reference], **links}
            self.filled_rows.append(self._rows[place])
        return True

    def _key(self, row: Row) -> bytes:
        values = [cast("Json", row.get(name)) for name in self._inputs]
        return key_of(values[0] if len(values) == 1 else values)


def _decoded(lines: bytes) -> list[Row]:
    return [cast("Row", decode_value(parse_json(line, what="a dataset's row"))) for line in lines.split(b"\n") if line]


def _merged(version: Version, roles: RolesSpec) -> RolesSpec:
    """The roles of the dataset, and those asked for that it has none for."""
    own = cast("Mapping[str, Json]", version.spec["roles"])
    asked = roles.model_dump(exclude_none=True)
    for role, column in asked.items():
        if role in own and own[role] != column:
            raise Conflict(
                f"{version.bare} has {own[role]} as its {role}, not {column}",
                hint="Leave roles out, or append to another dataset.",
            )
    return RolesSpec.model_validate({**asked, **own})
