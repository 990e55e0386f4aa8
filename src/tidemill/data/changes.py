"""What changed in a dataset's rows and an index's documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from tidemill.core.difference import Difference, FieldChange, field_changes, short
from tidemill.core.digests import canonical
from tidemill.core.extend import BlobReader
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.records import Version

_SAMPLE: Final = 3
_ROW_LINE: Final = 80
_Keys = Sequence[str] | None


@dataclass(slots=True)
class _Counted:
    """What came, went and changed: how many, and the first few."""

    added: list[JsonObject] = field(default_factory=list[JsonObject])
    removed: list[JsonObject] = field(default_factory=list[JsonObject])
    changed: list[tuple[JsonObject, JsonObject]] = field(default_factory=list[tuple[JsonObject, JsonObject]])

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def words(self) -> str:
        return f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"

    def json(self, sample: Sequence[JsonObject]) -> JsonObject:
        counts: dict[str, Json] = {
            "added": len(self.added), "removed": len(self.removed), "changed": len(self.changed),
        }  # fmt: skip
        return {**counts, "sample": list(sample)}


def dataset_difference(old: Version, new: Version, *, blobs: BlobReader) -> Difference:
    """Rows by their id (else by their input, else whole), columns and roles. Raises what reading a blob raises."""
    columns = columns_difference(old.spec, new.spec)
    if old.blobs.get("rows") == new.blobs.get("rows"):
        return columns
    before, after = _rows(blobs.get(old.blobs["rows"])), _rows(blobs.get(new.blobs["rows"]))
    key = _key_of(old, new, before, after)
    counted = _compare(before, after, key)
    lines, sample = _row_lines(counted, key, _first_columns(new))
    total = f"rows {_count(old)} -> {_count(new)}" if _count(old) != _count(new) else f"rows {_count(new)}"
    told = counted.words() if counted else "in another order"
    return Difference(
        lines=(f"{total}: {told}", *lines, *columns.lines[_counts_rows(columns) :]),
        fields=columns.fields,
        rows=counted.json(sample),
    )


def columns_difference(old: JsonObject, new: JsonObject) -> Difference:
    """What the specs alone say: how many rows, which columns of which types, which roles."""
    fields = sorted(field_changes(old, new), key=lambda each: each.path != "rows_count")
    return Difference(lines=tuple(each.line(_spoken(each.path)) for each in fields), fields=tuple(fields))


def index_difference(old: Version, new: Version, *, blobs: BlobReader) -> Difference:
    """Documents by their id, and options. Raises what reading a blob raises."""
    options = options_difference(old.spec, new.spec)
    if old.blobs.get("documents") == new.blobs.get("documents"):
        return options
    before, after = _documents(blobs.get(old.blobs["documents"])), _documents(blobs.get(new.blobs["documents"]))
    counted = _Counted(
        added=[after[each] for each in after if each not in before],
        removed=[before[each] for each in before if each not in after],
        changed=[(before[each], after[each]) for each in after if each in before and before[each] != after[each]],
    )
    named = [("+", counted.added), ("-", counted.removed), ("~", [pair[1] for pair in counted.changed])]
    lines = [f"{sign} {each['id']}" for sign, found in named for each in found[:_SAMPLE]]
    lines += [f"{sign} and {len(found) - _SAMPLE} more" for sign, found in named if len(found) > _SAMPLE]
    sample: list[JsonObject] = [{"id": each["id"], "effect": "add", "after": each} for each in counted.added[:_SAMPLE]]
    sample += [{"id": each["id"], "effect": "remove", "before": each} for each in counted.removed[:_SAMPLE]]
    sample += [{"id": b["id"], "effect": "change", "before": a, "after": b} for a, b in counted.changed[:_SAMPLE]]
    total = f"documents {len(before)} -> {len(after)}" if len(before) != len(after) else f"documents {len(after)}"
    rest = [each for each in options.lines if not each.startswith("documents ")]
    told = counted.words() if counted else "in another order"
    return Difference(lines=(f"{total}: {told}", *lines, *rest), fields=options.fields, documents=counted.json(sample))


def options_difference(old: JsonObject, new: JsonObject) -> Difference:
    """What the specs alone say of an index: its options, and how many documents."""
    fields = field_changes(old, new)
    lines = [each.line("documents" if each.path == "documents_count" else None) for each in fields]
    return Difference(lines=tuple(lines), fields=tuple(fields))


def _spoken(path: str) -> str:
    """`column answer`, as a person says it."""
    return "rows" if path == "rows_count" else path.replace("columns.", "column ", 1) if path.startswith("columns.") else path


def _counts_rows(columns: Difference) -> int:
    """Whether the first line says how many rows there are, which is told with what became of them."""
    return int(any(each.path == "rows_count" for each in columns.fields[:1]))


def _count(version: Version) -> int:
    return cast("int", version.spec["rows_count"])


def _rows(content: bytes) -> list[bytes]:
    return [each for each in content.split(b"\n") if each]


def _parsed(line: bytes) -> JsonObject:
    return cast("JsonObject", parse_json(line, what="a dataset's row"))


def _documents(content: bytes) -> dict[str, JsonObject]:
    listed = cast("Sequence[JsonObject]", parse_json(content, what="an index's documents"))
    return {str(each["id"]): each for each in listed}


def _key_of(old: Version, new: Version, before: Sequence[bytes], after: Sequence[bytes]) -> Callable[[JsonObject], str] | None:
    """By what a row is the same row: the id, else the input where no two rows share one, else nothing but all of it."""
    roles, others = (cast("Mapping[str, Json]", each.spec.get("roles") or {}) for each in (new, old))
    for role in ("id", "input"):
        columns = roles.get(role)
        if columns is None or columns != others.get(role):
            continue
        names = [columns] if isinstance(columns, str) else cast("Sequence[str]", columns)

        def key(row: JsonObject, names: Sequence[str] = names) -> str:
            return str(row.get(names[0])) if len(names) == 1 else canonical([row.get(each) for each in names]).decode()

        if role == "id" or all(len({key(_parsed(each)) for each in rows}) == len(rows) for rows in (before, after)):
            return key
    return None


def _compare(before: Sequence[bytes], after: Sequence[bytes], key: Callable[[JsonObject], str] | None) -> _Counted:
    """Only the rows that are not in both, byte by byte, are read."""
    gone, come = Counter(before), Counter(after)
    gone.subtract(after)
    come.subtract(before)
    removed = [_parsed(each) for each, count in gone.items() for _ in range(count)]
    added = [_parsed(each) for each, count in come.items() for _ in range(count)]
    if key is None:
        return _Counted(added=added, removed=removed)
    old, new = {key(each): each for each in removed}, {key(each): each for each in added}
    return _Counted(
        added=[each for name, each in new.items() if name not in old],
        removed=[each for name, each in old.items() if name not in new],
        changed=[(old[name], each) for name, each in new.items() if name in old],
    )


def _first_columns(version: Version) -> Sequence[str]:
    """The columns that a row is known by: its input's."""
    columns = cast("Mapping[str, Json]", version.spec.get("roles") or {}).get("input")
    return [columns] if isinstance(columns, str) else cast("Sequence[str]", columns or ())


def _row_lines(
    counted: _Counted, key: Callable[[JsonObject], str] | None, first: Sequence[str]
) -> tuple[list[str], list[JsonObject]]:
    lines: list[str] = []
    sample: list[JsonObject] = []
    for sign, effect, side, rows in (
        ("+", "add", "after", counted.added), ("-", "remove", "before", counted.removed),
    ):  # fmt: skip
        for each in rows[:_SAMPLE]:
            lines.append(f"{sign} {_row_words(each, key, first)}")
            sample.append({"id": None if key is None else key(each), "effect": effect, side: _bounded(each)})
        lines += [f"{sign} and {len(rows) - _SAMPLE} more"] if len(rows) > _SAMPLE else []
    for old, new in counted.changed[:_SAMPLE]:
        name = "" if key is None else key(new)
        cells = field_changes(old, new)
        lines += [f"~ {short(name, 40)}: {each.line()}" for each in cells]
        sample.append({"id": name, "effect": "change", "fields": [each.as_json() for each in cells]})
    lines += [f"~ and {len(counted.changed) - _SAMPLE} more"] if len(counted.changed) > _SAMPLE else []
    return lines, sample


def _row_words(row: JsonObject, key: Callable[[JsonObject], str] | None, first: Sequence[str]) -> str:
    """A row's id and input on one line."""
    name = "" if key is None else key(row)
    shown = [row[each] for each in first if each in row and str(row[each]) != name]
    text = ", ".join(short(each, _ROW_LINE) for each in shown)
    return short(f"{short(name, 40)}: {text}" if name and text else name or text, _ROW_LINE)


def _bounded(row: JsonObject) -> JsonObject:
    return {name: change.as_json()["after"] for name, change in _as_changes(row)}


def _as_changes(row: JsonObject) -> Iterator[tuple[str, FieldChange]]:
    for name, value in row.items():
        yield name, FieldChange(path=name, effect="add", after=value)
