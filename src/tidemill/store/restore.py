"""Restoring a backup: read whole and checked before anything is touched, then all of it or nothing.

A backup of an older schema is put back as it was and brought up to date, in the same transaction. Either database takes what
the other wrote, so that this is also the way from SQLite to PostgreSQL.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from sqlalchemy import Connection, MetaData, Table, func, inspect, select, text

from tidemill.core.errors import Conflict, Invalid
from tidemill.core.json import parse_json
from tidemill.store.backup import CHECKSUM, MANIFEST, SCHEMA, Backup, decoder, kept_tables
from tidemill.store.disk import disk_errors, write_whole, writing
from tidemill.store.migrate import REVISIONS, upgrade

_LARGEST_MANIFEST: Final = 16 << 20
_PIECE: Final = 1 << 20
_ROWS: Final = 500
_LEFT: Final = re.compile(r"blobs/[a-z0-9][a-z0-9._-]{0,127}/[0-9a-f]{2}/[0-9a-f]{62}\.erased")
_TRACES: Final = re.compile(r"traces/[a-z][a-z0-9_]{0,63}\.native\.zst")
_PAYLOAD: Final = re.compile(r"payloads/[a-z0-9][a-z0-9._-]{0,127}/[0-9A-Za-z_-]{2}/[0-9A-Za-z_-][0-9A-Za-z._-]{0,127}")
_NAME: Final = re.compile(
    rf"tables/[a-z_]{{1,63}}\.jsonl|keys/[A-Za-z0-9_-][A-Za-z0-9._-]{{0,63}}|{_LEFT.pattern}|{_TRACES.pattern}|{_PAYLOAD.pattern}"
)
_BLOB: Final = re.compile(r"blobs/(?P<place>[a-z0-9][a-z0-9._-]{0,127}/(?P<a>[0-9a-f]{2})/(?P<b>[0-9a-f]{62}))")
_DAMAGED: Final = "Take another copy of it; nothing was changed."


@dataclass(frozen=True, slots=True)
class Archive:
    """An open backup whose every part was checked."""

    file: zipfile.ZipFile
    manifest: Mapping[str, Any]
    summary: Backup


def open_backup(path: Path) -> Archive:
    """Open a backup and check all of it. Raises `Invalid` for one that is cut off or altered, `Conflict` for a newer one."""
    try:
        with disk_errors(path):
            file = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise Invalid("that is no backup, or one that is cut off", where=str(path), hint=_DAMAGED) from error
    try:
        return _checked(file, path)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        file.close()
        raise Invalid(f"the backup is damaged: {error}", where=str(path), hint=_DAMAGED) from error
    except BaseException:
        file.close()
        raise


def _checked(file: zipfile.ZipFile, path: Path) -> Archive:
    if file.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
        raise Invalid("the backup's manifest is too large", where=str(path), hint=_DAMAGED)
    raw = file.read(MANIFEST)
    digest = hashlib.sha256(raw).hexdigest()
    if file.read(CHECKSUM).decode("ascii", "replace").strip() != digest:
        raise Invalid("the backup's manifest was altered", where=str(path), hint=_DAMAGED)
    manifest = cast("dict[str, Any]", parse_json(raw, what="the manifest"))
    if manifest.get("schema") != SCHEMA:
        raise Conflict(f"the backup has the form {manifest.get('schema')!r}", where=str(path), hint="Use the newer Tidemill.")
    if manifest["revision"] not in REVISIONS:
        raise Conflict(
            f"the backup has schema {manifest['revision']}; this Tidemill knows up to {REVISIONS[-1]}",
            where=str(path),
            hint="Use the newer Tidemill.",
        )
    _check_parts(file, manifest, path)
    return Archive(file=file, manifest=manifest, summary=_summary(manifest, digest))


def _check_parts(file: zipfile.ZipFile, manifest: Mapping[str, Any], path: Path) -> None:
    parts = cast("dict[str, str]", manifest["parts"])
    names, count = hashlib.sha256(), 0
    seen = [each.filename for each in file.infolist()]
    expected = {MANIFEST, CHECKSUM, *parts}
    for name in seen:
        blob = _BLOB.fullmatch(name)
        if blob is not None:
            found = _digest(file, name)
            wanted = blob["a"] + blob["b"]
            names.update(f"{blob['place']}\n".encode())
            count += 1
        elif name in parts and _NAME.fullmatch(name):
            found, wanted = _digest(file, name), parts[name]
        elif name in expected:
            continue
        else:
            raise Invalid(f"the backup holds {name[:80]!r}, which is none of its parts", where=str(path), hint=_DAMAGED)
        if found != wanted:
            raise Invalid(f"{name} was altered", where=str(path), hint=_DAMAGED)
    if len(set(seen)) != len(seen) or not expected <= set(seen):
        gone = sorted(expected - set(seen))
        raise Invalid(
            f"the backup lacks {gone[0]}" if gone else "the backup holds a part twice", where=str(path), hint=_DAMAGED
        )
    if (count, names.hexdigest()) != (manifest["blobs"]["count"], manifest["blobs"]["names"]):
        raise Invalid("the backup lacks blobs, or has others", where=str(path), hint=_DAMAGED)


def _digest(file: zipfile.ZipFile, name: str) -> str:
    found = hashlib.sha256()
    with file.open(name) as member:
        while piece := member.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _summary(manifest: Mapping[str, Any], digest: str) -> Backup:
    return Backup(
        revision=manifest["revision"],
        made_ns=int(manifest["made_ns"]),
        tables={name: each["rows"] for name, each in manifest["tables"].items()},
        blobs=manifest["blobs"]["count"],
        blob_bytes=manifest["blobs"]["bytes"],
        digest=f"sha256:{digest}",
        with_blobs=manifest["blobs"]["included"],
    )


def count_rows(db: Connection) -> dict[str, int]:
    """How many rows each table has; empty for a database without the schema."""
    return {str(each.name): db.execute(select(func.count()).select_from(each)).scalar_one() for each in kept_tables(db)}


def restore_rows(db: Connection, archive: Archive) -> None:
    """Replace everything in the database, in the caller's transaction, by what the backup holds, in the newest schema."""
    old = MetaData()
    old.reflect(db)
    old.drop_all(db)
    upgrade(db, to=archive.summary.revision)
    for name, each in archive.manifest["tables"].items():
        table = Table(name, MetaData(), autoload_with=db)
        decoders = [(str(column), decoder(table.columns[column])) for column in cast("list[str]", each["columns"])]
        batch: list[dict[str, Any]] = []
        with archive.file.open(f"tables/{name}.jsonl") as member:
            for line in _lines(member):
                values = cast("list[Any]", parse_json(line, what=f"a row of {name}"))
                batch.append({column: decode(value) for (column, decode), value in zip(decoders, values, strict=True)})
                if len(batch) == _ROWS:
                    db.execute(table.insert(), batch)
                    batch = []
        if batch:
            db.execute(table.insert(), batch)
    if archive.summary.revision != REVISIONS[-1]:
        upgrade(db)
    if db.dialect.name == "postgresql":
        _count_on(db)


def _lines(member: IO[bytes]) -> Iterator[bytes]:
    yield from (line for line in member if line.strip())


def _count_on(db: Connection) -> None:
    """Numbers that the database gives out go on after the largest that was put back."""
    for name in inspect(db).get_table_names():
        table = Table(name, MetaData(), autoload_with=db)
        for column in table.primary_key.columns:
            if column.server_default is None and not column.identity:
                continue
            sequence = db.execute(text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": name, "c": column.name}).scalar()
            if sequence:
                last = db.execute(select(func.max(column))).scalar()
                db.execute(
                    text("SELECT setval(CAST(:s AS regclass), :n, :used)"), {"s": sequence, "n": last or 1, "used": bool(last)}
                )


def restore_blobs(archive: Archive, folder: Path) -> int:
    """Put back the blobs that are missing; how many. Each is there whole or not at all; of erased rows, what is left."""
    count = 0
    for info in archive.file.infolist():
        blob = _BLOB.fullmatch(info.filename)
        if blob is None:
            continue
        path = folder / blob["place"]
        if path.exists():
            continue
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with archive.file.open(info) as member, writing(path) as file:
            while piece := member.read(_PIECE):
                file.write(piece)
        count += 1
    for name in filter(_LEFT.fullmatch, archive.manifest["parts"]):
        path = folder / name.removeprefix("blobs/")
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, archive.file.read(name))
        path.with_suffix("").unlink(missing_ok=True)  # its rows were erased while the backup was made
    return count


def restore_traces(archive: Archive, data: Path) -> None:
    """Put the span store's tables where its process takes them from when it starts next, in place of every span there."""
    found = [name for name in archive.manifest["parts"] if _TRACES.fullmatch(name) or _PAYLOAD.fullmatch(name)]
    if not found:
        return
    with disk_errors(data):
        for place in ("spans", "spool", "spans.restore", "payloads"):
            shutil.rmtree(data / place, ignore_errors=True)
        for name in found:
            to = data / name.replace("traces/", "spans.restore/", 1) if _TRACES.fullmatch(name) else data / name
            to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with archive.file.open(name) as member, writing(to, mode=0o600) as file:
                shutil.copyfileobj(member, file, _PIECE)


def restore_keys(archive: Archive, folder: Path) -> None:
    """Put back the platform's keys (mode 0600); what was signed can then be verified, and signed for, as before."""
    for name in archive.manifest["parts"]:
        if name.startswith("keys/"):
            with disk_errors(folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(folder / name.removeprefix("keys/"), archive.file.read(name), mode=0o600)
