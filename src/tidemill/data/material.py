"""Datasets and indexes as a document says them, with the files that it names."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from tidemill.core.errors import Invalid
from tidemill.core.extend import BlobReader, Files, Surroundings
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.records import Material, Version
from tidemill.core.rows import decode_value
from tidemill.data.dataset import canonical_rows
from tidemill.data.rewrite import rewrite_rows
from tidemill.data.rows import Row, read_rows
from tidemill.data.specs import RolesSpec

_INLINE: Final = 20
_OTHERS: Final = ("jsonl", "parquet")


def dataset_material(version: Version, *, around: Surroundings) -> Material:
    """The rows where they stand now, inline or in their file, which keeps its format when it can hold them.

    New ones stand inline when they are few and plain, else in `NAME.jsonl`, or `.parquet` for what JSON cannot hold.
    """
    current = around.body
    lines = around.blobs.get(version.blobs["rows"])
    columns = list(cast("JsonObject", version.spec["columns"]))
    rows = [_row(each, columns) for each in lines.split(b"\n") if each]
    roles = cast("JsonObject", version.spec["roles"])
    if current is None or "rows" in current:
        is_inline = current is not None or len(rows) <= _INLINE
        if is_inline and _is_said([("", row) for row in rows], roles, lines) and _is_plain(rows):
            return Material(body={"rows": cast("Json", rows), "roles": roles})
    for path, form, like in _places(version, current, around.files):
        with contextlib.suppress(Invalid):
            content = rewrite_rows(like, rows, path=path, format=form)
            if _is_said(read_rows(content, path=path, format=form), roles, lines):
                body: dict[str, Json] = {"path": path, **({"format": form} if form else {}), "roles": roles}
                return Material(body=body, files={} if content == like else {path: content})
    raise Invalid(f"no file can hold the rows of {version.ref}")


def index_material(version: Version, *, blobs: BlobReader) -> Material:
    """The options, and the documents as files below the source's folder."""
    spec = version.spec
    source = cast("Mapping[str, Json]", spec["source"])
    body: dict[str, Json] = {"source": source if len(source) > 1 else source.get("folder", source)}
    body.update({key: spec[key] for key in ("chunk", "embed", "search") if spec.get(key) is not None})
    if source.get("python") is not None:
        return Material(body={**body, "source": source})
    listed = cast("Sequence[Mapping[str, str]]", parse_json(blobs.get(version.blobs["documents"]), what="the documents"))
    folder = str(source.get("folder") or "")
    return Material(body=body, files={posixpath.join(folder, each["id"]): blobs.get(each["blob"]) for each in listed})


def _row(line: bytes, columns: Sequence[str]) -> Row:
    """A row in the order of the columns."""
    row = cast("Row", decode_value(parse_json(line, what="a dataset's row")))
    return {name: row[name] for name in (*columns, *row) if name in row}


def _places(version: Version, current: JsonObject | None, files: Files | None) -> Iterator[tuple[str, str | None, bytes]]:
    """Where the rows can stand: path, format when the path does not say it, and what stands there now."""
    path = str(current["path"]) if current is not None and current.get("path") else None
    if path is not None and files is not None:
        form = cast("str | None", (current or {}).get("format"))
        with contextlib.suppress(Invalid):
            yield path, form, files.read(path)
    stem = version.name if path is None else posixpath.splitext(path)[0]
    for ending in _OTHERS:
        yield f"{stem}.{ending}", None, b""


def _is_said(rows: Sequence[tuple[str, Row]], roles: JsonObject, lines: bytes) -> bool:
    """Whether these rows, read back, are the ones that are kept."""
    try:
        return canonical_rows(rows, roles=RolesSpec.model_validate(roles))[1] == lines
    except Invalid:
        return False


def _is_plain(rows: Sequence[Row]) -> bool:
    return all(_is_json(value) for row in rows for value in row.values())


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_json(each) for each in cast("Mapping[str, object]", value).values())
    if isinstance(value, list):
        return all(_is_json(each) for each in cast("list[object]", value))
    is_number = isinstance(value, int | float) and abs(value) < 2**53
    return value is None or isinstance(value, str | bool) or is_number
