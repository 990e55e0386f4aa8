"""The lineage of an archive: its nodes by kind and key, its edges between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, insert, select

from tidemill.core.errors import Invalid
from tidemill.store.archive import Archive
from tidemill.store.export import file_of
from tidemill.store.import_report import Report
from tidemill.store.lineage import lineage_edges, lineage_nodes

_BATCH: Final = 300
Node: TypeAlias = tuple[str, str]
Row: TypeAlias = Mapping[str, Any]


def import_lineage(db: Connection, project: str, archive: Archive, *, rename: Callable[[Any], Any], report: Report) -> None:
    """Keep the nodes and edges that are not here. Raises `Invalid` for an edge to a node that is nowhere."""
    ids: dict[Node, int] = {}
    columns = {each.name for each in lineage_nodes.columns} - {"id", "project"}
    for rows in _batches(archive.rows(file_of("lineage_nodes"))):
        wanted = [{key: rename(each) for key, each in row.items() if key in columns} for row in rows]
        ids |= _nodes(db, project, wanted, report)
    for rows in _batches(archive.rows(file_of("lineage_edges"))):
        _edges(db, project, [_joined(row, ids, rename) for row in rows], report)


def _nodes(db: Connection, project: str, wanted: list[dict[str, Any]], report: Report) -> dict[Node, int]:
    known = _known(db, project, wanted)
    new = {(str(each["kind"]), str(each["key"])): each for each in wanted}
    missing = [{**each, "project": project} for node, each in new.items() if node not in known]
    if not missing:
        return known
    db.execute(insert(lineage_nodes), missing)
    for _ in missing:
        report.count("lineage_nodes", is_new=True)
    return _known(db, project, wanted)


def _known(db: Connection, project: str, wanted: list[dict[str, Any]]) -> dict[Node, int]:
    keys = sorted({str(each["key"]) for each in wanted})
    query = select(lineage_nodes.c.kind, lineage_nodes.c.key, lineage_nodes.c.id).where(
        lineage_nodes.c.project == project, lineage_nodes.c.key.in_(keys)
    )
    return {(row.kind, row.key): row.id for row in db.execute(query)}


def _joined(row: Row, ids: Mapping[Node, int], rename: Callable[[Any], Any]) -> dict[str, Any]:
    ends = [(str(rename(kind)), str(rename(key))) for kind, key in (row["source"], row["target"])]
    if any(each not in ids for each in ends):
        raise Invalid(f"an edge of the lineage joins {ends[0]} and {ends[1]}, which the archive does not have")
    return {"source": ids[ends[0]], "target": ids[ends[1]], "relation": str(row["relation"]), "at_ns": row["at_ns"]}


def _edges(db: Connection, project: str, wanted: list[dict[str, Any]], report: Report) -> None:
    there = select(lineage_edges.c.source, lineage_edges.c.target, lineage_edges.c.relation)
    sources, targets = ({each[end] for each in wanted} for end in ("source", "target"))
    query = there.where(lineage_edges.c.source.in_(sources), lineage_edges.c.target.in_(targets))
    known = {(row.source, row.target, row.relation) for row in db.execute(query)}
    new = {(each["source"], each["target"], each["relation"]): each for each in wanted}
    missing = [{**each, "project": project} for edge, each in new.items() if edge not in known]
    for edge in new:
        report.count("lineage_edges", is_new=edge not in known)
    if missing:
        db.execute(insert(lineage_edges), missing)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch
