"""The lineage graph, and in it what happened before there was one.

Traces that older datasets were made of are not found again: their rows are blobs, which a migration does not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Connection, Integer, String, TableClause, column, insert, select, table

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_JSON = JSON(none_as_null=True)
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "lineage_nodes",
        Column("id", _SERIAL, primary_key=True, autoincrement=True),
        Column("project", String, nullable=False),
        Column("kind", String, nullable=False),
        Column("key", String, nullable=False),
        Column("label", String, nullable=False),
        Column("attributes", _JSON, nullable=True),
        Column("first_ns", BigInteger, nullable=False),
        Column("last_ns", BigInteger, nullable=False),
    )
    op.create_index("lineage_nodes_once", "lineage_nodes", ["project", "kind", "key"], unique=True)
    op.create_table(
        "lineage_edges",
        Column("id", _SERIAL, primary_key=True, autoincrement=True),
        Column("project", String, nullable=False),
        Column("source", BigInteger, nullable=False),
        Column("target", BigInteger, nullable=False),
        Column("relation", String, nullable=False),
        Column("at_ns", BigInteger, nullable=False),
    )
    op.create_index("lineage_edges_once", "lineage_edges", ["source", "target", "relation"], unique=True)
    op.create_index("lineage_edges_back", "lineage_edges", ["target", "source"])
    op.create_table(
        "lineage_events",
        Column("project", String, primary_key=True),
        Column("run", String, primary_key=True),
        Column("type", String, primary_key=True),
        Column("at", String, primary_key=True),
        Column("job", String, nullable=False),
        Column("body", _JSON, nullable=False),
        Column("received_ns", BigInteger, nullable=False),
    )
    _Past(op.get_bind()).fill()


_NODES = table(
    "lineage_nodes", column("id", _SERIAL), column("project"), column("kind"), column("key"), column("label"),
    column("attributes", _JSON), column("first_ns", BigInteger), column("last_ns", BigInteger),
)  # fmt: skip
_EDGES = table(
    "lineage_edges", column("id", _SERIAL), column("project"), column("source", BigInteger), column("target", BigInteger),
    column("relation"), column("at_ns", BigInteger),
)  # fmt: skip
_Point = tuple[str, str, str]


class _Past:
    """Reads the tables that there are, and numbers points in the order met."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._ids: dict[_Point, int] = {}
        self._nodes: list[dict[str, Any]] = []
        self._edges: dict[tuple[int, int, str], dict[str, Any]] = {}
        self._releases: dict[tuple[str, str], str] = {}
        self._numbers: dict[tuple[str, str, str], str] = {}
        self._indexes: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}

    def fill(self) -> None:
        """Put in everything that is found."""
        for take in (
            self._versions, self._builds, self._evaluations, self._decisions, self._approvals, self._rollouts, self._moves,
            self._proposals, self._runs,
        ):  # fmt: skip
            take()
        for rows, into in ((self._nodes, _NODES), (list(self._edges.values()), _EDGES)):
            for start in range(0, len(rows), 5000):
                self._db.execute(insert(into), rows[start : start + 5000])
        if self._db.dialect.name == "postgresql" and self._nodes:  # the numbers were given here, not by the sequences
            for name in ("lineage_nodes", "lineage_edges"):
                sequence = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"  # noqa: S608  (two known names)
                self._db.exec_driver_sql(sequence)

    def _versions(self) -> None:
        names = ("project", "kind", "name", "number", "digest", "created_ns")
        rows = list(
            self._rows(table("versions", *map(column, names), column("refs", _JSON), column("spec", _JSON)), "created_ns")
        )
        for row in rows:
            self._point(row.project, row.kind, f"{row.name}@{row.digest}", row.created_ns, label=f"{row.name}@v{row.number}")
            self._numbers[row.project, f"{row.kind}/{row.name}", f"v{row.number}"] = row.digest
            if row.kind == "release":
                self._releases[row.project, row.digest] = row.name
            if row.kind == "index":
                self._indexes.setdefault((row.project, row.digest), []).append((row.name, row.spec))
        for row in rows:
            mine = (row.project, row.kind, f"{row.name}@{row.digest}")
            for written, digest in row.refs.items():
                self._link(self._needed(row.project, written, digest), mine, "used_by", row.created_ns)
            if row.kind == "release":
                root = row.spec.get("root", "")
                digest = row.spec.get("artifacts", {}).get(root, {}).get("digest", "")
                self._link(self._needed(row.project, root, digest), mine, "locked", row.created_ns)

    def _builds(self) -> None:
        names = ("project", "index_digest", "status", "updated_ns")
        for row in self._rows(table("index_builds", *map(column, names), column("manifest", _JSON)), "updated_ns"):
            manifest: Mapping[str, Any] = row.manifest or {}
            documents: list[Mapping[str, Any]] = manifest.get("documents", []) if row.status == "ready" else []
            for name, spec in self._indexes.get((row.project, row.index_digest), ()) if documents else ():
                source: Mapping[str, Any] = spec.get("source") or {}
                folder = source.get("folder")
                for each in documents:
                    attributes: Mapping[str, Any] = {"format": each.get("format")}
                    key = f"{name}#{each['id']}"
                    document = self._point(row.project, "document", key, row.updated_ns, attributes=attributes)
                    if isinstance(folder, str):
                        plain = folder.strip("/").removeprefix("./")
                        path = str(each["id"]) if plain in {"", "."} else f"{plain}/{each['id']}"
                        file = self._point(row.project, "file", path, row.updated_ns)
                        self._link(file, document, "read_as", row.updated_ns)
                    index = (row.project, "index", f"{name}@{row.index_digest}")
                    self._link(document, index, "indexed", row.updated_ns)

    def _evaluations(self) -> None:
        names = ("project", "id", "release", "root", "dataset", "created_ns")
        for row in self._rows(table("evaluations", *map(column, names)), "created_ns"):
            mine = self._point(row.project, "evaluation", row.id, row.created_ns)
            self._link(self._release(row.project, row.release, row.root, row.created_ns), mine, "evaluated", row.created_ns)
            self._link(self._version(row.project, row.dataset), mine, "judged_on", row.created_ns)

    def _decisions(self) -> None:
        names = ("project", "evaluation", "against", "decided_ns")
        of = table("decisions", column("id", Integer), *map(column, names), column("detail", _JSON))
        for row in self._rows(of, "id"):
            mine = self._point(row.project, "decision", str(row.id), row.decided_ns)
            self._link((row.project, "evaluation", row.evaluation), mine, "decided", row.decided_ns)
            if row.against:
                self._link((row.project, "evaluation", row.against), mine, "against", row.decided_ns)
            self._link(self._version(row.project, str(row.detail.get("gate_version"))), mine, "rule_of", row.decided_ns)

    def _approvals(self) -> None:
        for row in self._rows(
            table("approvals", *map(column, ("project", "id", "digest", "root", "created_ns"))), "created_ns"
        ):
            mine = self._point(row.project, "approval", row.id, row.created_ns)
            self._link(self._release(row.project, row.digest, row.root, row.created_ns), mine, "approved", row.created_ns)

    def _rollouts(self) -> None:
        names = ("project", "id", "endpoint", "release", "root", "started_ns")
        for row in self._rows(table("rollouts", *map(column, names)), "started_ns"):
            mine = self._point(row.project, "rollout", row.id, row.started_ns)
            self._link(self._release(row.project, row.release, row.root, row.started_ns), mine, "tried", row.started_ns)
            place = self._point(row.project, "endpoint", row.endpoint, row.started_ns)
            self._link(mine, place, "shared", row.started_ns)

    def _moves(self) -> None:
        names = ("project", "endpoint", "action", "release", "root", "moved_ns")
        for row in self._rows(table("endpoint_moves", column("id", Integer), *map(column, names)), "id"):
            if row.action in {"deploy", "promote", "rollback"}:
                place = self._point(row.project, "endpoint", row.endpoint, row.moved_ns)
                served = self._release(row.project, row.release, row.root, row.moved_ns)
                self._link(served, place, row.action, row.moved_ns)

    def _proposals(self) -> None:
        names = ("project", "trace_id", "accepted_into", "accepted_ns")
        for row in self._rows(table("monitor_proposals", *map(column, names)), "accepted_ns"):
            if row.accepted_into:
                trace = self._point(row.project, "trace", row.trace_id, row.accepted_ns or 0)
                self._link(trace, self._version(row.project, row.accepted_into), "sampled", row.accepted_ns or 0)

    def _runs(self) -> None:
        for row in self._rows(
            table("pipeline_runs", *map(column, ("project", "id", "pipeline", "digest", "created_ns"))), "id"
        ):
            mine = self._point(row.project, "run", row.id, row.created_ns)
            self._link((row.project, "pipeline", f"{row.pipeline}@{row.digest}"), mine, "ran", row.created_ns)

    def _rows(self, of: TableClause, order: str) -> Iterator[Any]:
        yield from self._db.execute(select(of).order_by(of.c[order])).all()

    def _point(
        self, project: str, kind: str, key: str, at_ns: int, *, label: str = "", attributes: Mapping[str, Any] | None = None
    ) -> _Point:
        point = (project, kind, key)
        if point not in self._ids:
            self._ids[point] = len(self._ids) + 1
            times = {"first_ns": at_ns, "last_ns": at_ns}
            row = {"id": self._ids[point], "project": project, "kind": kind, "key": key, "label": label or key}
            self._nodes.append({**row, "attributes": attributes, **times})
        return point

    def _link(self, source: _Point | None, target: _Point | None, relation: str, at_ns: int) -> None:
        if source in self._ids and target in self._ids and source != target:
            assert source is not None
            assert target is not None
            key = (self._ids[source], self._ids[target], relation)
            row = {"project": source[0], "source": key[0], "target": key[1], "relation": relation, "at_ns": at_ns}
            self._edges.setdefault(key, {"id": len(self._edges) + 1, **row})

    def _needed(self, project: str, written: str, digest: str) -> _Point:
        kind, _, name = written.partition("@")[0].rpartition(":")[2].partition("/")
        return project, kind, f"{name}@{digest}"

    def _version(self, project: str, ref: str) -> _Point | None:
        bare, _, number = ref.partition("@")
        digest = self._numbers.get((project, bare, number))
        return None if digest is None else self._needed(project, bare, digest)

    def _release(self, project: str, digest: str, root: str, at_ns: int) -> _Point:
        bare, _, number = root.partition("@")
        name = self._releases.get((project, digest)) or bare.partition("/")[2] or "unnamed"
        point = (project, "release", f"{name}@{digest}")
        if point not in self._ids:
            self._point(*point, at_ns)
            self._link(self._version(project, f"{bare}@{number}"), point, "locked", at_ns)
        return point
