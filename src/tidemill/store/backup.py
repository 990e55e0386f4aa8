"""Backups: one file with every row, every blob and the platform's keys, taken while the server goes on, for either database.

A zip file: `tables/NAME.jsonl` (a row a line, the columns' names in the manifest), `blobs/PROJECT/ab/…` (and `….erased`, what
is left of a blob after rows of it were erased), `keys/…`, and last `manifest.json` with the digest of each part and
`manifest.sha256`. The rows are of one snapshot; blobs never change, so those that it needs are there. Not in it: the
admin token, and the drivers' own records, which are made anew.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import math
import pkgutil
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Column, Connection, Float, LargeBinary, MetaData, Table, inspect, select

import tidemill.store
from tidemill.core.json import dump_json
from tidemill.store.disk import disk_errors
from tidemill.store.tables import metadata

SCHEMA: Final = "tidemill-backup/1"
MANIFEST: Final = "manifest.json"
CHECKSUM: Final = "manifest.sha256"
_NOT_KEPT: Final = frozenset({"alembic_version", "kept_answers", "processes"})
_BLOB: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}/[0-9a-f]{2}/[0-9a-f]{62}")
_ROWS: Final = 500
_PIECE: Final = 1 << 20
_QUICK: Final = 1  # zlib's level: rows of JSON lose most of their size at the first


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """What a backup holds: rows by table, blobs, bytes of blobs; `digest` is that of its manifest."""

    revision: str
    made_ns: int
    tables: Mapping[str, int]
    blobs: int
    blob_bytes: int
    digest: str
    with_blobs: bool = True


@cache
def all_tables() -> MetaData:
    """Every table of the store, wherever it is declared."""
    for module in pkgutil.iter_modules(tidemill.store.__path__, "tidemill.store."):
        importlib.import_module(module.name)
    return metadata


def write_backup(  # noqa: PLR0913  (each is a place that it is made from)
    db: Connection, into: IO[bytes], *, blobs: Path, keys: Path, revision: str, version: str, now_ns: int,
    with_blobs: bool = True, traces: Path | None = None, payloads: Path | None = None,
) -> Backup:  # fmt: skip
    """Write a backup of what the connection's snapshot shows, of the folder of blobs and that of keys.

    `traces` is a folder with the span store's tables, a file each; `payloads` that of large values of spans.
    """
    parts: dict[str, str] = {}
    rows: dict[str, int] = {}
    columns: dict[str, list[str]] = {}
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=_QUICK) as archive:
        for table in kept_tables(db):
            _write_table(archive, db, table, rows=rows, columns=columns, parts=parts)
        for name, folder, pattern in (("keys", keys, "*"), ("traces", traces, "*"), ("payloads", payloads, "*/??/*")):
            if folder is not None:
                parts |= _write_files(archive, name, folder, pattern)
        count, size, names = _write_blobs(archive, blobs) if with_blobs else (0, 0, hashlib.sha256().hexdigest())
        if with_blobs:  # after the blobs, so that one from which rows are erased meanwhile is there or its rest is
            parts |= _write_files(archive, "blobs", blobs, "*/??/*.erased")
        about = {"schema": SCHEMA, "version": version, "revision": revision, "database": db.dialect.name}
        manifest = dump_json(
            {
                **about,
                "made_ns": str(now_ns),
                "tables": {name: {"rows": rows[name], "columns": columns[name]} for name in rows},
                "parts": parts,
                "blobs": {"count": count, "bytes": size, "names": names, "included": with_blobs},
            }
        )
        archive.writestr(MANIFEST, manifest)
        digest = hashlib.sha256(manifest).hexdigest()
        archive.writestr(CHECKSUM, digest)
    held: dict[str, Any] = {"revision": revision, "made_ns": now_ns, "tables": rows, "blobs": count, "blob_bytes": size}
    return Backup(**held, digest=f"sha256:{digest}", with_blobs=with_blobs)


def kept_tables(db: Connection) -> Sequence[Table]:
    """The tables that are there, as they are there: also those of an older schema."""
    known = all_tables().tables
    names = sorted(set(inspect(db).get_table_names()) & set(known) - _NOT_KEPT)
    return [_as_it_is(db, known[name]) for name in names]


def _as_it_is(db: Connection, table: Table) -> Table:
    """The table with those of its columns that the database has by now, of the types that we know."""
    there = [each["name"] for each in inspect(db).get_columns(table.name)]
    typed = {each.name: each.type for each in table.columns}
    return Table(table.name, MetaData(), *(Column(name, typed[name]) for name in there if name in typed))


def _write_rows(db: Connection, table: Table, into: IO[bytes]) -> tuple[int, str]:
    found, count = hashlib.sha256(), 0
    encoders = [_encoder(each) for each in table.columns]
    with db.execute(select(table).execution_options(yield_per=_ROWS)) as rows:
        for row in rows:
            line = dump_json([encode(value) for encode, value in zip(encoders, row, strict=True)]) + b"\n"
            found.update(line)
            into.write(line)
            count += 1
    return count, found.hexdigest()


def _encoder(column: Column[Any]) -> Callable[[Any], Any]:
    if isinstance(column.type, LargeBinary):
        return _bytes_to_text
    return _float_to_json if isinstance(column.type, Float) else _same


def decoder(column: Column[Any]) -> Callable[[Any], Any]:
    """How a value of this column is read back."""
    if isinstance(column.type, LargeBinary):
        return _text_to_bytes
    return _json_to_float if isinstance(column.type, Float) else _same


def _same(value: Any) -> Any:
    return value


def _bytes_to_text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _text_to_bytes(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)


def _float_to_json(value: float | None) -> float | str | None:
    """JSON has no word for infinity, and none for what is not a number."""
    return value if value is None or math.isfinite(value) else str(value)


def _json_to_float(value: float | str | None) -> float | None:
    return float(value) if isinstance(value, str) else value


def blob_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every blob of every project, `PROJECT/ab/…` and where it is, sorted; nothing that is just being written."""
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*/??/*")):
        name = path.relative_to(folder).as_posix()
        if _BLOB.fullmatch(name):
            yield name, path


def _write_table(
    archive: zipfile.ZipFile,
    db: Connection,
    table: Table,
    *,
    rows: dict[str, int],
    columns: dict[str, list[str]],
    parts: dict[str, str],
) -> None:
    name = str(table.name)
    columns[name] = [str(each.name) for each in table.columns]
    with archive.open(f"tables/{name}.jsonl", "w", force_zip64=True) as member:
        rows[name], parts[f"tables/{name}.jsonl"] = _write_rows(db, table, member)


def _write_files(archive: zipfile.ZipFile, place: str, folder: Path, pattern: str) -> dict[str, str]:
    """Files that are not named by their content, each with its digest."""
    written: dict[str, str] = {}
    for path in sorted(folder.glob(pattern)):
        name, found = f"{place}/{path.relative_to(folder).as_posix()}", hashlib.sha256()
        try:
            opened = path.open("rb")
        except FileNotFoundError:
            continue  # erased since it was listed
        with opened, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
            while piece := opened.read(_PIECE):
                member.write(piece)
                found.update(piece)
        written[name] = found.hexdigest()
    return written


def _write_blobs(archive: zipfile.ZipFile, folder: Path) -> tuple[int, int, str]:
    count, size, names = 0, 0, hashlib.sha256()
    for name, path in blob_files(folder):
        info = zipfile.ZipInfo(f"blobs/{name}")
        with disk_errors(path):
            try:
                opened = path.open("rb")
            except FileNotFoundError:
                continue  # erased since it was listed
            with opened, archive.open(info, "w", force_zip64=True) as member:
                while piece := opened.read(_PIECE):
                    member.write(piece)
                    size += len(piece)
        names.update(f"{name}\n".encode())
        count += 1
    return count, size, names.hexdigest()
