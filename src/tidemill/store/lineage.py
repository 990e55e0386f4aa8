"""The lineage graph: what was made of what. Points (nodes) and links (edges) from what feeds to what is fed.

A version's point is keyed by `name@digest`, so that a link needs no look-up of its number. Links are kept in the transaction
of the write that makes them (see `lineage_notes`). Requests and chunks are no points: they are joined when asked for, from the
span store and from the manifests of indexes; only traces that became samples stand here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Connection, Index, Integer, String, Table, bindparam, select
from sqlalchemy.sql.dml import Insert

from tidemill.core.json import JsonObject
from tidemill.core.refs import is_digest
from tidemill.store.tables import metadata
from tidemill.store.upsert import insert_by, insert_new

_Serial = BigInteger().with_variant(Integer, "sqlite")

lineage_nodes = Table(
    "lineage_nodes",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("project", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
    Column("label", String, nullable=False),  # as a reference writes it, without its kind: `answer@v3`
    Column("attributes", JSON(none_as_null=True), nullable=True),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Index("lineage_nodes_once", "project", "kind", "key", unique=True),
)
lineage_edges = Table(
    "lineage_edges",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("project", String, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("target", BigInteger, nullable=False),
    Column("relation", String, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Index("lineage_edges_once", "source", "target", "relation", unique=True),
    Index("lineage_edges_back", "target", "source"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A thing in the graph. `kind` and `key` name it within a project; `label` is how a reference writes it."""

    kind: str
    key: str
    label: str = ""
    attributes: JsonObject | None = None

    @property
    def ref(self) -> str:
        """How it is written in a command."""
        return ref_of(self.kind, self.label or self.key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """`source` feeds `target`; `relation` is a word that reads in this direction, as in `prompt used_by chain`."""

    source: Point
    target: Point
    relation: str


def ref_of(kind: str, label: str) -> str:
    """`prompt/answer@v3`, `index/handbook#topics/with.rst`, `evaluation/ID`."""
    return f"index/{label}" if kind == "document" else f"{kind}/{label}"


def version_point(kind: str, name: str, digest: str, number: int | None = None) -> Point:
    """The point of a version."""
    return Point(kind=kind, key=f"{name}@{digest}", label=f"{name}@v{number}" if number else f"{name}@{digest}")


def digest_in(key: str) -> str | None:
    """The digest in a version's key, None for the key of anything else."""
    digest = key.rpartition("@")[2]
    return digest if is_digest(digest) else None


def record(db: Connection, project: str, *, points: Iterable[Point] = (), links: Sequence[Link] = (), now_ns: int) -> None:
    """Keep points and links within the caller's transaction; what is there already stays as it is.

    A link whose ends are neither there nor in `points` is left out.
    """
    insert_new(db, lineage_nodes, [_node_row(project, each, now_ns) for each in points])
    if links:
        rows = [
            {
                "of_project": project,
                "source_kind": each.source.kind, "source_key": each.source.key,
                "target_kind": each.target.kind, "target_key": each.target.key,
                "of_relation": each.relation, "of_ns": now_ns,
            }
            for each in links
        ]  # fmt: skip
        db.execute(_link_statement(db.dialect.name), rows)


def _node_row(project: str, point: Point, now_ns: int) -> Mapping[str, Any]:
    return {
        "project": project, "kind": point.kind, "key": point.key, "label": point.label or point.key,
        "attributes": point.attributes, "first_ns": now_ns, "last_ns": now_ns,
    }  # fmt: skip


@cache
def _link_statement(dialect: str) -> Insert:
    source, target = lineage_nodes.alias("source_node"), lineage_nodes.alias("target_node")
    project = bindparam("of_project", type_=String)
    chosen = select(
        project,
        source.c.id,
        target.c.id,
        bindparam("of_relation", type_=String),
        bindparam("of_ns", type_=BigInteger),
    ).where(
        source.c.project == project,
        source.c.kind == bindparam("source_kind", type_=String),
        source.c.key == bindparam("source_key", type_=String),
        target.c.project == project,
        target.c.kind == bindparam("target_kind", type_=String),
        target.c.key == bindparam("target_key", type_=String),
        source.c.id != target.c.id,
    )
    statement = insert_by(dialect, lineage_edges).from_select(["project", "source", "target", "relation", "at_ns"], chosen)
    return statement.on_conflict_do_nothing(index_elements=["source", "target", "relation"])
