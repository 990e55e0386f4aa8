"""The lineage of an archive: its nodes by kind and key, its edges between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, insert, select

from tidemill.core.errors import Invalid
from tidemill.store.archive import Archive
from tidemill.store.export import file_of
from tidemill.store.import_report import Report
from tidemill.store.lineage import lineage_edges, lineage_nodes


def import_lineage(db: Connection, project: str, archive: Archive, *, rename: Callable[[Any], Any], report: Report) -> None:
    """Keep the nodes and edges that are not here. Raises `Invalid` for an edge to a node that is nowhere."""
    ids: dict[tuple[str, str], int] = {}
    columns = {each.name for each in lineage_nodes.columns} - {"id", "project"}
    for row in archive.rows(file_of("lineage_nodes")):
        values = {key: rename(each) for key, each in row.items() if key in columns}
        at = {"project": project, "kind": str(values["kind"]), "key": str(values["key"])}
        known = db.execute(select(lineage_nodes.c.id).filter_by(**at)).scalar()
        if known is None:
            known = db.execute(
                insert(lineage_nodes).values(**values, project=project).returning(lineage_nodes.c.id)
            ).scalar_one()
            report.count("lineage_nodes", is_new=True)
        ids[at["kind"], at["key"]] = known
    for row in archive.rows(file_of("lineage_edges")):
        ends = [(str(rename(kind)), str(rename(key))) for kind, key in (row["source"], row["target"])]
        if any(each not in ids for each in ends):
            raise Invalid(f"an edge of the lineage joins {ends[0]} and {ends[1]}, which the archive does not have")
        at = {"source": ids[ends[0]], "target": ids[ends[1]], "relation": str(row["relation"])}
        is_new = db.execute(select(lineage_edges.c.id).filter_by(**at)).first() is None
        report.count("lineage_edges", is_new=is_new)
        if is_new:
            db.execute(insert(lineage_edges), {**at, "project": project, "at_ns": row["at_ns"]})
