"""A project as an archive in open formats: its registry, what it serves, what was measured and said, and every blob.

Rows are JSON lines, a file a table, in the columns that they have here without the project's name. Keys stay where they are,
also the project's own, by which users are hashed and payloads encrypted, with the marks of what was erased of traces; so do
sessions, caches and jobs. A connection names its secrets by reference, so that none is in an archive.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from sqlalchemy import Connection, Select, Table, and_, select
from sqlalchemy.sql import ColumnElement

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.json import Json, JsonObject, dump_json, parse_json
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.store import audit, tombstones
from tidemill.store.approvals import approvals
from tidemill.store.archive import ArchiveWriter, blob_name
from tidemill.store.blobs import Blobs
from tidemill.store.erase import erased_rows
from tidemill.store.export_table import write_samples
from tidemill.store.feedback import feedback
from tidemill.store.lineage import lineage_edges, lineage_nodes
from tidemill.store.promotions import promotions
from tidemill.store.registry import get_version, list_versions
from tidemill.store.saved_queries import saved_queries
from tidemill.store.signatures import release_signatures
from tidemill.store.tables import (
    alias_moves,
    aliases,
    artifacts,
    configs,
    decisions,
    endpoint_moves,
    endpoints,
    evaluation_samples,
    evaluations,
    versions,
)

_FOLDERS: Final[Mapping[str, Sequence[Table]]] = {
    "registry": (artifacts, versions, aliases, alias_moves, configs, release_signatures, erased_rows, promotions),
    "serving": (endpoints, endpoint_moves),
    "evaluations": (evaluations, evaluation_samples, decisions),
    "record": (approvals, feedback, saved_queries, audit.audit),
    "lineage": (lineage_nodes, lineage_edges),
}
TABLES: Final[Mapping[str, Table]] = {table.name: table for tables in _FOLDERS.values() for table in tables}
"""Each table that is exported, by its name."""
_BY_ARTIFACT: Final = ("artifacts", "aliases", "alias_moves")
_BY_TIME: Final = {
    "versions": "created_ns",
    "evaluations": "created_ns",
    "feedback": "created_ns",
    "decisions": "decided_ns",
    "saved_queries": "changed_ns",
}
_BATCH: Final = 256 * 1024
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What to export: all, or `only` these references with all that they need, or what is new since `since_ns`."""

    only: tuple[str, ...] = ()
    since_ns: int | None = None
    with_blobs: bool = True


@dataclass(slots=True)
class _Found:
    """What was written, for the blobs and the manifest."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    blobs: dict[str, str] = field(default_factory=dict[str, str])
    """Each blob, and a version that has it."""
    manifests: set[str] = field(default_factory=set[str])
    """Those that list further blobs."""
    evaluations: set[str] = field(default_factory=set[str])


def file_of(table: str) -> str:
    """The file of a table's rows in an archive."""
    folder = next(name for name, tables in _FOLDERS.items() if TABLES[table] in tables)
    return f"{folder}/{table}.jsonl"


def write_export(
    db: Connection,
    project: str,
    file: IO[bytes],
    *,
    blobs: Blobs,
    choice: Choice,
    now_ns: int,
    by: str = "",
    documents: Callable[[], Iterable[tuple[str, bytes]]] = tuple,
) -> JsonObject:
    """Write the archive; its manifest. `documents` are the files of a project folder that says the same.

    Rows are read within one snapshot and nothing is held in memory but a piece at a time. Raises `NotFound` for a reference, or
    a blob, that is not there.
    """
    found, chosen = _Found(), _chosen(db, project, choice)
    with ArchiveWriter(file) as writer:
        for name, table in TABLES.items():
            rows = _rows(db, project, table, choice=choice, chosen=chosen, found=found)
            is_chain = table is audit.audit
            writer.add(file_of(name), _chain(db, project, found) if is_chain else _lines(rows, found, name))
        _add_parquet(writer, _rows(db, project, evaluation_samples, choice=choice, chosen=chosen, found=found))
        for path, content in documents():
            writer.add(f"project/{path}", [content])
        if choice.with_blobs:
            _add_blobs(writer, blobs, found)
        head = audit.head_of(db, project)
        return writer.finish({
            "project": project,
            "made_ns": str(now_ns),
            "by": by,
            "only": list(choice.only),
            "since_ns": None if choice.since_ns is None else str(choice.since_ns),
            "blobs": choice.with_blobs,
            "counts": {**found.counts, "blobs": len(found.blobs)},
            "audit": None if head is None else f"{head[0]}:{head[1]}",
        })  # fmt: skip


def _chosen(db: Connection, project: str, choice: Choice) -> dict[str, set[str]] | None:
    """The digests to export by `kind/name`, with all that they need; None for all."""
    if not choice.only:
        return None
    chosen: dict[str, set[str]] = {}
    waiting = [each for text in choice.only for each in _named(db, project, parse_ref(text))]
    while waiting:
        version = waiting.pop()
        if version.digest in chosen.setdefault(version.bare, set()):
            continue
        chosen[version.bare].add(version.digest)
        needed = {parse_ref(written).bare: digest for written, digest in version.refs.items()}
        locked = version.spec.get("artifacts") if version.kind == "release" else None
        if isinstance(locked, Mapping):
            needed |= {
                name.partition("@")[0]: str(each["digest"]) for name, each in locked.items() if isinstance(each, Mapping)
            }
        waiting += [get_version(db, project, parse_ref(f"{bare}@{digest}")) for bare, digest in needed.items()]
    return chosen


def _named(db: Connection, project: str, ref: Ref) -> list[Version]:
    """The version that a reference names, or all of the artifact's."""
    if ref.version is not None:
        return [get_version(db, project, ref)]
    found: list[Version] = []
    cursor: str | None = None
    while True:
        page = list_versions(db, project, ref, limit=1000, cursor=cursor)
        found += page.items
        if page.next is None:
            return found
        cursor = page.next


def _rows(
    db: Connection, project: str, table: Table, *, choice: Choice, chosen: Mapping[str, set[str]] | None, found: _Found
) -> Iterator[Mapping[str, Json]]:
    if table.name == "lineage_edges":
        yield from _edges(db, project) if chosen is None else ()
        return
    left_out = _left_out(table)
    for row in db.execute(_query(project, table, choice).execution_options(yield_per=500)).mappings():
        values: dict[str, Any] = {str(name): value for name, value in row.items() if name not in left_out}
        if chosen is not None and not _is_chosen(table.name, values, chosen, found):
            continue
        if table.name == "versions":
            _note_blobs(values, found)
        elif table is evaluations:
            found.evaluations.add(values["id"])
        yield values


def _query(project: str, table: Table, choice: Choice) -> Select[Any]:
    query = select(table)
    where: list[ColumnElement[bool]] = []
    if table is evaluation_samples:
        query = query.join(evaluations, evaluations.c.id == evaluation_samples.c.evaluation)
        where = [evaluations.c.project == project]
    else:
        where = [table.c.project == project]
    column = _BY_TIME.get(table.name)
    if choice.since_ns is not None and column is not None:
        where.append(table.c[column] >= choice.since_ns)
    if choice.since_ns is not None and table is evaluation_samples:
        where.append(evaluations.c.created_ns >= choice.since_ns)
    return query.where(and_(*where)).order_by(*table.primary_key)


def _left_out(table: Table) -> frozenset[str]:
    """The project, which is the archive's, and numbers that a database gives."""
    return frozenset({"project", *(each.name for each in table.primary_key if each.autoincrement is True)})


def _is_chosen(table: str, row: Mapping[str, Any], chosen: Mapping[str, set[str]], found: _Found) -> bool:
    bare = f"{row.get('kind')}/{row.get('name')}"
    releases = {digest for bare, digests in chosen.items() if bare.startswith("release/") for digest in digests}
    match table:
        case "versions":
            return row["digest"] in chosen.get(bare, ())
        case "release_signatures" | "evaluations" | "promotions":
            return row["release"] in releases
        case "evaluation_samples" | "decisions":
            return row["evaluation"] in found.evaluations
        case "approvals":
            return row["digest"] in releases
        case _:
            return table in _BY_ARTIFACT and bare in chosen


def _edges(db: Connection, project: str) -> Iterator[Mapping[str, Json]]:
    """Each edge with the nodes that it joins by kind and key, as no number outlives a database."""
    source, target = lineage_nodes.alias("source_node"), lineage_nodes.alias("target_node")
    query = (
        select(source.c.kind, source.c.key, target.c.kind, target.c.key, lineage_edges.c.relation, lineage_edges.c.at_ns)
        .select_from(lineage_edges)
        .join(source, source.c.id == lineage_edges.c.source)
        .join(target, target.c.id == lineage_edges.c.target)
        .where(lineage_edges.c.project == project)
        .order_by(lineage_edges.c.id)
    )
    for source_kind, source_key, target_kind, target_key, relation, at_ns in db.execute(query.execution_options(yield_per=500)):
        yield {"source": [source_kind, source_key], "target": [target_kind, target_key], "relation": relation, "at_ns": at_ns}


def _note_blobs(row: Mapping[str, Any], found: _Found) -> None:
    for role, digest in row["blobs"].items():
        found.blobs.setdefault(digest, f"{row['kind']}/{row['name']}@v{row['number']}")
        if row["kind"] == "index" and role == "documents":
            found.manifests.add(digest)


def _lines(rows: Iterable[Mapping[str, Json]], found: _Found, table: str) -> Iterator[bytes]:
    piece, count = bytearray(), 0
    for row in rows:
        piece += dump_json(dict(row)) + b"\n"
        count += 1
        if len(piece) >= _BATCH:
            yield bytes(piece)
            piece.clear()
    found.counts[table] = count
    yield bytes(piece)


def _chain(db: Connection, project: str, found: _Found) -> Iterator[bytes]:
    """The audit as it is exported by itself, so that whoever has the archive can verify it."""
    piece, count = bytearray(), 0
    for entry in audit.read_chain(db, project):
        piece += entry.exported() + b"\n"
        count += 1
        if len(piece) >= _BATCH:
            yield bytes(piece)
            piece.clear()
    found.counts["audit"] = count
    yield bytes(piece)


def _add_blobs(writer: ArchiveWriter, blobs: Blobs, found: _Found) -> None:
    for digest in sorted(found.manifests):
        listed = parse_json(blobs.get(digest), what=f"the documents of {found.blobs[digest]}")
        for each in cast("Sequence[Mapping[str, str]]", listed):
            found.blobs.setdefault(each["blob"], found.blobs[digest])
    for digest in sorted(found.blobs):
        path = blobs.path(digest)
        if not path.exists() and tombstones.is_erased(path):
            path = path.with_name(f"{path.name}.erased")
            writer.add(f"{blob_name(digest)}.erased", _pieces(path))
            continue
        if not path.exists():
            raise NotFound(
                f"the blob {digest} of {found.blobs[digest]} is gone", hint="Restore it from a copy, or export with --no-blobs."
            )
        if writer.add(blob_name(digest), _pieces(path)) != digest:
            raise Invalid(
                f"the blob {digest} of {found.blobs[digest]} is damaged on the disk", hint="Restore it from a copy first."
            )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _add_parquet(writer: ArchiveWriter, rows: Iterable[Mapping[str, Json]]) -> None:
    """Samples and scores as a table, beside the lines; left out where pyarrow is not installed."""
    with tempfile.TemporaryDirectory(prefix="tidemill-export-") as folder:
        path = Path(folder, "samples.parquet")
        if write_samples(rows, path):
            writer.add("evaluations/samples.parquet", _pieces(path))
